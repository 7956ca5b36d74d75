//! The manager's hashes and digests, and its calls one by one.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_sol_types::{SolCall, SolError, SolValue};
use quorate_core::delegation::{
    Caveat, Caveats, Context, Delegation, DelegationCall, Delegations, Disable, Mode, NoRedemption,
    ROOT_AUTHORITY, Redeem, SingleExecution,
};
use quorate_core::{Call, Encode};

use super::abi::{self, Manager};
use super::chain::{CHAIN_ID, Who, chain_of_accounts};
use super::{Framework, MANAGER};
use crate::machine::Refused;

#[test]
fn hashes_and_digests_are_the_manager_s() {
    let mut framework = chain_of_accounts();
    let terms: [&[u8]; 4] = [&[], &[1], &[2; 32], &[3; 45]];
    let all: Vec<_> = terms.iter().map(|terms| Caveat { enforcer: Address::repeat_byte(4), terms }).collect();
    let domain = framework.machine.ask(MANAGER, &Manager::getDomainHashCall {}).unwrap();
    for number in 0..=all.len() {
        let delegation = Delegation {
            delegate: Address::repeat_byte(1),
            delegator: Address::repeat_byte(2),
            authority: B256::repeat_byte(3),
            caveats: Caveats::from(&all[..number]),
            salt: U256::MAX - U256::from(number),
            signature: &[5; 65],
        };
        let question = Manager::getDelegationHashCall { delegation: for_alloy(&delegation) };
        let hash = framework.machine.ask(MANAGER, &question).unwrap();
        assert_eq!(hash, delegation.hash());
        let digest = [&[0x19, 0x01], domain.as_slice(), hash.as_slice()].concat();
        assert_eq!(delegation.signing_digest(CHAIN_ID, MANAGER), keccak256(digest));

        // And the encodings are alloy's.
        let context = Delegations(&[delegation, delegation]).to_vec();
        assert_eq!(context, vec![for_alloy(&delegation), for_alloy(&delegation)].abi_encode());
        assert!(Context::parse(&context).unwrap().delegations().eq([delegation, delegation]));
        let disable = Disable(delegation).to_vec();
        let call = Manager::disableDelegationCall { delegation: for_alloy(&delegation) };
        assert_eq!(disable, call.abi_encode());
        assert_eq!(DelegationCall::decode(&disable), Ok(DelegationCall::Disable(Disable(delegation))));
    }
}

#[test]
fn the_other_calls_do_what_they_say() {
    let Framework { mut machine, .. } = chain_of_accounts();
    let [owner, key] = [Who::Account(0), Who::Key(0)];
    assert_eq!(machine.call(key.address(), MANAGER, NoRedemption.to_vec()), Ok(Bytes::new()));

    let delegation = Delegation {
        delegate: key.address(),
        delegator: owner.address(),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::default(),
        salt: U256::ZERO,
        signature: &[1],
    };
    let question = Manager::disabledDelegationsCall { delegationHash: delegation.hash() };
    assert_eq!(machine.ask(MANAGER, &question), Ok(false));
    machine.commit(owner.address(), MANAGER, Disable(delegation).to_vec()).unwrap();
    assert_eq!(machine.ask(MANAGER, &question), Ok(true));

    let context = Delegations(&[delegation]).to_vec();
    let execution = SingleExecution(Call { to: owner.address(), value: U256::ZERO, data: &[] }).to_vec();
    let redeem =
        Redeem { context: Context::parse(&context).unwrap(), mode: Mode::SINGLE, execution: &execution };
    let disabled = Manager::CannotUseADisabledDelegation {}.abi_encode();
    assert_eq!(machine.call(key.address(), MANAGER, redeem.to_vec()), Err(Refused::With(disabled.into())));
}

#[test]
fn another_chain_s_signature_is_not_taken() {
    let Framework { mut machine, .. } = chain_of_accounts();
    let [owner, middle, key] = [Who::Account(0), Who::Key(1), Who::Key(0)];
    let root = Delegation {
        delegate: middle.address(),
        delegator: owner.address(),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::default(),
        salt: U256::ZERO,
        signature: &[1],
    };
    let leaf = Delegation {
        delegate: key.address(),
        delegator: middle.address(),
        authority: root.hash(),
        signature: &[],
        ..root
    };
    let execution = SingleExecution(Call { to: owner.address(), value: U256::ZERO, data: &[] }).to_vec();
    for (chain_id, answer) in [
        (CHAIN_ID, Ok(Bytes::new())),
        (CHAIN_ID + 1, Err(Refused::With(Manager::InvalidEOASignature {}.abi_encode().into()))),
    ] {
        let digest = leaf.signing_digest(chain_id, MANAGER);
        let signature = middle.key().sign_hash_sync(&digest).unwrap().as_bytes();
        let context = Delegations(&[Delegation { signature: &signature, ..leaf }, root]).to_vec();
        let context = Context::parse(&context).unwrap();
        let redeem = Redeem { context, mode: Mode::SINGLE, execution: &execution };
        assert_eq!(machine.call(key.address(), MANAGER, redeem.to_vec()), answer);
    }
}

fn for_alloy(delegation: &Delegation<'_>) -> abi::Delegation {
    abi::Delegation {
        delegate: delegation.delegate,
        delegator: delegation.delegator,
        authority: delegation.authority,
        caveats: delegation
            .caveats
            .iter()
            .map(|it| abi::Caveat {
                enforcer: it.enforcer,
                terms: it.terms.to_vec().into(),
                args: Bytes::new(),
            })
            .collect(),
        salt: delegation.salt,
        signature: delegation.signature.to_vec().into(),
    }
}
