//! The signature of a batch against the batched session router, with the session key manager and both validation
//! modules behind it.

use alloy_primitives::{Address, B256, U256};
use alloy_signer::SignerSync;
use alloy_sol_types::SolValue;
use quorate_contracts::SessionKeyManager::setMerkleRootCall;
use quorate_core::{
    Call, Encode, Erc20Policy, Erc20SessionKeyData, ExecuteBatch, ModuleSignature, Policy, RoutedSession,
    RoutedSignature, SessionEpoch, SessionKeyData, SessionLeaf, merkle, routed_hash, signing_hash,
};

use crate::abi::{UserOperation, ValidationModule::validateUserOpCall};
use crate::machine::{Machine, Refused};
use crate::{contracts, session_signer};

const ROUTER: Address = Address::repeat_byte(0x4a);
const MANAGER: Address = Address::repeat_byte(0x4b);
const ABI_MODULE: Address = Address::repeat_byte(0x4c);
const ERC20_MODULE: Address = Address::repeat_byte(0x4d);
const ACCOUNT: Address = Address::repeat_byte(0x4e);
const TOKEN: Address = Address::repeat_byte(0x4f);
const USER_OP_HASH: B256 = B256::repeat_byte(0x50);
const SELECTOR: [u8; 4] = [0x40, 0xd0, 0x97, 0xc3];

struct Session {
    epoch: SessionEpoch,
    module: Address,
    data: Vec<u8>,
}

#[test]
fn the_router_takes_a_batch_and_says_when_it_is_valid() {
    let contracts = contracts();
    let mut machine = Machine::new();
    for (place, code) in [
        (ROUTER, &contracts.batched_router),
        (MANAGER, &contracts.session_key_manager),
        (ABI_MODULE, &contracts.abi_module),
        (ERC20_MODULE, &contracts.erc20_module),
    ] {
        machine.place(place, code, &[]);
    }

    let key = session_signer().address();
    let policy = Policy::new(TOKEN, SELECTOR.into());
    let tokens = Erc20Policy {
        token: TOKEN,
        recipient: ACCOUNT,
        max_amount: U256::from(100),
        epoch: SessionEpoch::UNLIMITED,
    };
    let sessions = [
        Session {
            epoch: SessionEpoch::new(10, 2_000).unwrap(),
            module: ABI_MODULE,
            data: SessionKeyData::new(key, &policy).to_vec(),
        },
        Session {
            epoch: SessionEpoch::new(20, 3_000).unwrap(),
            module: ERC20_MODULE,
            data: Erc20SessionKeyData::new(key, tokens).to_vec(),
        },
        Session { epoch: SessionEpoch::UNLIMITED, module: ABI_MODULE, data: vec![0; 62] },
    ];
    let leaf = |session: &Session| {
        let Session { epoch, module, data } = session;
        SessionLeaf { epoch: *epoch, validation_module: *module, session_key_data: data }.hash()
    };
    let leaves: Vec<B256> = sessions.iter().map(leaf).collect();
    machine.transact(ACCOUNT, MANAGER, &setMerkleRootCall { _merkleRoot: merkle::root(&leaves).unwrap() });

    let transfer = |amount: u64| {
        let arguments = (ACCOUNT, U256::from(amount)).abi_encode();
        [[0xa9, 0x05, 0x9c, 0xbb].as_slice(), &arguments].concat()
    };
    let signer = session_signer();
    let signed = signer.sign_hash_sync(&signing_hash(routed_hash(USER_OP_HASH, MANAGER))).unwrap().as_bytes();
    let unbound = signer.sign_hash_sync(&signing_hash(USER_OP_HASH)).unwrap().as_bytes();
    let mut ask = |places: &[usize], inner: &[&[u8]], signature: &[u8]| {
        let proofs: Vec<_> =
            places.iter().map(|place| merkle::Proof::of(&leaves, leaves[*place]).unwrap()).collect();
        let entries: Vec<_> = places
            .iter()
            .zip(&proofs)
            .map(|(place, proof)| RoutedSession {
                epoch: sessions[*place].epoch,
                validation_module: sessions[*place].module,
                session_key_data: &sessions[*place].data,
                proof: proof.siblings(),
                call_specific_data: &[1, 2, 3],
            })
            .collect();
        let module_signature =
            RoutedSignature { session_key_manager: MANAGER, sessions: &entries, signature };
        assert_eq!(module_signature.to_vec().len(), module_signature.encoded_len());
        assert_eq!(module_signature.to_vec(), by_another_encoder(&entries, signature));
        let calls: Vec<_> = inner.iter().map(|data| Call { to: TOKEN, value: U256::ZERO, data }).collect();
        let operation = UserOperation {
            sender: ACCOUNT,
            callData: ExecuteBatch(&calls).to_vec().into(),
            signature: ModuleSignature { module_signature, module: ROUTER }.to_vec().into(),
            ..UserOperation::default()
        };
        machine.ask(ROUTER, &validateUserOpCall { userOp: operation, userOpHash: USER_OP_HASH })
    };

    let valid = |after: u64, until: u64| Ok(U256::from(until) << 160 | U256::from(after) << 208);
    let (little, much) = (transfer(100), transfer(101));
    assert_eq!(ask(&[0], &[&SELECTOR], &signed), valid(10, 2_000));
    assert_eq!(ask(&[1, 0, 1], &[&little, &SELECTOR, &little], &signed), valid(20, 2_000));
    let because = |reason: &str| Err(Refused::Because(reason.to_owned()));
    assert_eq!(ask(&[0, 1], &[&SELECTOR, &much], &signed), because("ERC20SV Max Amount Exceeded"));
    assert_eq!(ask(&[0], &[&SELECTOR, &SELECTOR], &signed), because("Lengths mismatch"));
    assert_eq!(ask(&[0], &[&SELECTOR], &unbound), Ok(U256::ONE), "not bound to the manager");
}

/// What alloy makes of it.
fn by_another_encoder(entries: &[RoutedSession<'_>], signature: &[u8]) -> Vec<u8> {
    alloy_sol_types::sol! {
        struct SessionData {
            uint48 validUntil;
            uint48 validAfter;
            address sessionValidationModule;
            bytes sessionKeyData;
            bytes32[] merkleProof;
            bytes callSpecificData;
        }
    }
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| SessionData {
            validUntil: entry.epoch.valid_until().try_into().unwrap(),
            validAfter: entry.epoch.valid_after().try_into().unwrap(),
            sessionValidationModule: entry.validation_module,
            sessionKeyData: entry.session_key_data.to_vec().into(),
            merkleProof: entry.proof.to_vec(),
            callSpecificData: entry.call_specific_data.to_vec().into(),
        })
        .collect();
    (MANAGER, entries, alloy_primitives::Bytes::copy_from_slice(signature)).abi_encode_params()
}
