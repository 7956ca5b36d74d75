//! What a key's permissions let its nodes sign.

#![allow(clippy::unwrap_used, reason = "an operation that should be judged and is not has failed")]

use alloy_primitives::{Address, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use quorate_core::{
    Call, Condition, Encode as _, Erc20Policy, Erc20Refusal, Execute, ExecuteBatch, FunctionSelector, Policy,
    Refusal as AbiRefusal, Rule, SessionEpoch, UserOperation, evaluate_erc20, routed_hash, signing_hash,
};
use quorate_protocol::{
    Answer, ArgumentLimit, CallPolicy, ClientError, Forbidden, ForbiddenCall, Limits, NetworkDescriptor,
    OperationMessage, Permissions, PermissionsError, Permitted, PermittedPolicy, Refusal, SignatureRequest,
    SignatureText,
};

const ACCOUNT: Address = Address::repeat_byte(0xaa);
const ENTRY_POINT: Address = Address::repeat_byte(0xee);
const MANAGER: Address = Address::repeat_byte(0x5e);
const SESSION_KEY: Address = Address::repeat_byte(0x4b);
const CHAIN: u64 = 80002;
const NOW: u64 = 1_750_000_000;

const TOKEN: Address = Address::repeat_byte(0x70);
const NFT: Address = Address::repeat_byte(0x0f);
const FRIEND: Address = Address::repeat_byte(0xf1);
const TRANSFER: &str = "transfer(address,uint256)";

/// A key that may transfer up to 1000 of the token to the friend until `NOW`, and mint to the friend for 7 wei.
fn permissions() -> Permissions {
    let until_now = SessionEpoch::new(NOW - 10, NOW).unwrap();
    let transfer =
        Erc20Policy { token: TOKEN, recipient: FRIEND, max_amount: U256::from(1000), epoch: until_now };
    let mint: Policy = Policy::new(NFT, "safeMint(address)".parse().unwrap())
        .with_value_limit_wei(U256::from(7))
        .unwrap()
        .with_rule(Rule::new(0, Condition::Equal, FRIEND))
        .unwrap();
    let policy = |module, policy| PermittedPolicy { validation_module: Address::repeat_byte(module), policy };
    Permissions {
        owner: Address::repeat_byte(0x01),
        account: ACCOUNT,
        chain_id: CHAIN,
        entry_point: ENTRY_POINT,
        session_key_manager: MANAGER,
        policies: vec![policy(0x20, transfer.into()), policy(0xab, mint.into())],
        limits: Limits {
            uses: Some(9),
            native_value: Some(U256::from(99)),
            arguments: vec![ArgumentLimit {
                contract: TOKEN,
                selector: FunctionSelector::parse(TRANSFER).unwrap().as_bytes().into(),
                offset: 32,
                total: U256::from(5000),
                seconds: None,
            }],
            ..Limits::default()
        },
    }
}

fn operation(call_data: Vec<u8>) -> UserOperation<Vec<u8>> {
    UserOperation {
        sender: ACCOUNT,
        nonce: U256::ONE,
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::from(10),
        verification_gas_limit: U256::from(100),
        pre_verification_gas: U256::from(1000),
        max_fee_per_gas: U256::ONE,
        max_priority_fee_per_gas: U256::ONE,
        paymaster_and_data: Vec::new(),
    }
}

fn judge(call_data: Vec<u8>, now: u64) -> Result<Permitted, Forbidden> {
    permissions().judge(&operation(call_data), ENTRY_POINT, CHAIN, SESSION_KEY, now)
}

/// A call with these words as arguments.
fn data(function: &str, words: &[[u8; 32]]) -> Vec<u8> {
    let selector = FunctionSelector::parse(function).unwrap();
    [selector.as_bytes().as_slice(), &words.concat()].concat()
}

fn transfer(to: Address, amount: U256) -> Vec<u8> {
    data(TRANSFER, &[to.into_word().0, amount.to_be_bytes()])
}

fn mint(to: Address) -> Vec<u8> {
    data("safeMint(address)", &[to.into_word().0])
}

const fn call(to: Address, value: U256, data: &[u8]) -> Call<'_> {
    Call { to, value, data }
}

fn judge_call(to: Address, value: u64, data: &[u8]) -> Result<Permitted, Forbidden> {
    judge(Execute(call(to, U256::from(value), data)).to_vec(), NOW)
}

fn judge_batch(calls: &[Call<'_>]) -> Result<Permitted, Forbidden> {
    judge(ExecuteBatch(calls).to_vec(), NOW)
}

#[test]
fn transfers_are_judged_as_the_erc20_module_does() {
    let permitted = judge_call(TOKEN, 0, &transfer(FRIEND, U256::from(1000))).unwrap();
    assert_eq!(permitted.policies, [0]);
    assert_eq!(permitted.amounts, [U256::ONE, U256::ZERO, U256::from(1000)]);

    let of = |refusal| Forbidden::Call(ForbiddenCall::Erc20 { policy: 0, refusal });
    let (amount, limit) = (U256::from(1001), U256::from(1000));
    for (value, data, refusal) in [
        (0, transfer(FRIEND, amount), Erc20Refusal::AmountExceeded { amount, limit }),
        (0, transfer(NFT, limit), Erc20Refusal::RecipientForbidden { called: NFT, permitted: FRIEND }),
        (1, transfer(FRIEND, limit), Erc20Refusal::ValueForbidden { value: U256::ONE }),
    ] {
        assert_eq!(judge_call(TOKEN, value, &data), Err(of(refusal)));
    }
    let refusal = Refusal::from(of(Erc20Refusal::AmountExceeded { amount, limit }));
    let Refusal::Forbidden { reason, revert } = refusal else { panic!("{refusal}") };
    assert_eq!(*reason, *"policy 0 forbids the call: the amount is 1001, permitted are at most 1000");
    assert_eq!(revert.as_deref(), Some("ERC20SV Max Amount Exceeded"));
}

#[test]
fn what_the_erc20_module_takes_for_a_transfer_is_not_signed() {
    let approve = data("approve(address,uint256)", &[FRIEND.into_word().0, U256::from(1000).to_be_bytes()]);
    let session_key_data = permissions().policies[0].policy.session_key_data(SESSION_KEY);
    let call_data = Execute(call(TOKEN, U256::ZERO, &approve)).to_vec();
    assert_eq!(evaluate_erc20(&session_key_data, &call_data), Ok(SESSION_KEY));

    let called = FunctionSelector::parse("approve(address,uint256)").unwrap();
    let reason = ForbiddenCall::NotTransfer { policy: 0, called };
    assert_eq!(judge(call_data, NOW), Err(Forbidden::Call(reason)));
}

#[test]
fn each_policy_has_its_own_times() {
    let call_data = Execute(call(TOKEN, U256::ZERO, &transfer(FRIEND, U256::ONE))).to_vec();
    for now in [NOW - 10, NOW] {
        judge(call_data.clone(), now).unwrap();
    }
    let late = ForbiddenCall::Expired { policy: 0, valid_until: NOW, now: NOW + 1 };
    assert_eq!(judge(call_data.clone(), NOW + 1), Err(Forbidden::Call(late)));
    let early = ForbiddenCall::NotYetValid { policy: 0, valid_after: NOW - 10, now: NOW - 11 };
    assert_eq!(judge(call_data, NOW - 11), Err(Forbidden::Call(early)));
}

#[test]
fn each_call_of_a_batch_has_a_policy_of_its_own() {
    let (some, mint) = (transfer(FRIEND, U256::from(1000)), mint(FRIEND));
    let calls = [
        call(NFT, U256::from(7), &mint),
        call(TOKEN, U256::ZERO, &some),
        call(NFT, U256::from(6), &mint),
        call(TOKEN, U256::ZERO, &some),
    ];
    let permitted = judge_batch(&calls).unwrap();
    assert_eq!(permitted.policies, [1, 0, 1, 0]);
    assert_eq!(permitted.amounts, [U256::ONE, U256::from(13), U256::from(2000)]);
}

#[test]
fn a_batch_is_refused_for_each_call_that_no_policy_allows_and_says_which() {
    let (good, mint_to_friend, mint_to_other) = (transfer(FRIEND, U256::ONE), mint(FRIEND), mint(NFT));
    let forbidden = call(NFT, U256::ZERO, &mint_to_other);
    let dear = call(NFT, U256::from(8), &mint_to_friend);
    for place in 0..3 {
        let mut calls = [call(TOKEN, U256::ZERO, &good); 3];
        calls[place] = forbidden;
        let error = judge_batch(&calls).unwrap_err();
        assert!(matches!(
            error,
            Forbidden::BatchedCall {
                call,
                reason: ForbiddenCall::Abi { policy: 1, refusal: AbiRefusal::RuleViolated { rule: 0, .. } },
            } if call == place
        ));
        assert!(error.to_string().starts_with(&format!("call {place} of the batch: policy 1 forbids")));
        assert_eq!(error.revert_reason(), Some("ABISV Arg Rule Violated"));
        calls[place] = dear;
        let error = judge_batch(&calls).unwrap_err();
        assert_eq!(error.revert_reason(), Some("ABISV Permitted Value Exceeded"));
    }
    assert_eq!(judge_batch(&[]), Err(Forbidden::EmptyBatch));
}

#[test]
fn a_batch_is_refused_when_the_policy_of_one_call_is_over() {
    let (transfer, mint) = (transfer(FRIEND, U256::ONE), mint(FRIEND));
    let calls = [call(NFT, U256::ZERO, &mint), call(TOKEN, U256::ZERO, &transfer)];
    let reason = ForbiddenCall::Expired { policy: 0, valid_until: NOW, now: NOW + 1 };
    let error = judge(ExecuteBatch(&calls).to_vec(), NOW + 1);
    assert_eq!(error, Err(Forbidden::BatchedCall { call: 1, reason }));
}

#[test]
fn sums_over_a_batch_saturate() {
    let most = transfer(FRIEND, U256::MAX);
    let mut permissions = permissions();
    let CallPolicy::Erc20(policy) = &mut permissions.policies[0].policy else { panic!() };
    policy.max_amount = U256::MAX;
    let calls = [call(TOKEN, U256::ZERO, &most); 2];
    let operation = operation(ExecuteBatch(&calls).to_vec());
    let permitted = permissions.judge(&operation, ENTRY_POINT, CHAIN, SESSION_KEY, NOW).unwrap();
    assert_eq!(permitted.amounts[2], U256::MAX);
}

#[test]
fn a_batch_is_signed_for_the_router_and_a_single_call_for_the_manager() {
    let transfer = transfer(FRIEND, U256::ONE);
    let single = call(TOKEN, U256::ZERO, &transfer);
    let hash = |call_data| operation(call_data).hash(ENTRY_POINT, CHAIN);
    let call_data = Execute(single).to_vec();
    assert_eq!(judge(call_data.clone(), NOW).unwrap().digest, signing_hash(hash(call_data)));
    // A batch of one call is the router's, too.
    let call_data = ExecuteBatch(&[single]).to_vec();
    let routed = signing_hash(routed_hash(hash(call_data.clone()), MANAGER));
    assert_eq!(judge(call_data, NOW).unwrap().digest, routed);
}

#[test]
fn a_client_takes_the_signature_that_is_for_its_module() {
    let key = PrivateKeySigner::from_bytes(&U256::from(7).into()).unwrap();
    let nodes = (1..=3).map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key()).collect();
    let network = NetworkDescriptor::new(2, nodes, vec!["ws://gateway.example".parse().unwrap()]).unwrap();
    let transfer = transfer(FRIEND, U256::ONE);
    let single = call(TOKEN, U256::ZERO, &transfer);
    let message = |call_data| OperationMessage {
        operation: operation(call_data),
        entry_point: ENTRY_POINT,
        chain_id: CHAIN,
    };
    let id = "0f".repeat(32);
    let single = message(Execute(single).to_vec());
    let single = (SignatureRequest::new(&network, &id, key.address(), &single), single);
    let batch = message(ExecuteBatch(&[call(TOKEN, U256::ZERO, &transfer); 2]).to_vec());
    let routed = (SignatureRequest::routed(&network, &id, key.address(), MANAGER, &batch), batch.clone());
    for (request, OperationMessage { operation, .. }) in [single, routed] {
        let permitted = permissions().judge(&operation, ENTRY_POINT, CHAIN, key.address(), NOW).unwrap();
        let signature = key.sign_hash_sync(&permitted.digest).unwrap();
        let answer = Answer::Signature(SignatureText { signature }).to_json();
        assert_eq!(request.accept(&answer).unwrap(), signature);
        for other in [
            SignatureRequest::new(&network, &id, key.address(), &batch),
            SignatureRequest::routed(&network, &id, key.address(), ACCOUNT, &batch),
        ] {
            assert!(matches!(other.accept(&answer), Err(ClientError::Signature { .. })));
        }
    }
}

#[test]
fn a_policy_is_for_the_kind_of_module_that_it_names() {
    let erc20_module = "000000D50C68705bd6897B2d17c7de32FB519fDA".parse().unwrap();
    let abi_module = "000006bC2eCdAe38113929293d241Cf252D91861".parse().unwrap();
    let named = |erc20, abi| {
        let mut permissions = permissions();
        permissions.policies[0].validation_module = erc20;
        permissions.policies[1].validation_module = abi;
        permissions
    };
    named(erc20_module, abi_module).check().unwrap();
    for (permissions, place, kind, named) in [
        (named(abi_module, abi_module), 0, "ERC-20", abi_module),
        (named(erc20_module, erc20_module), 1, "ABI", erc20_module),
    ] {
        let read = Permissions::from_json(&permissions.to_json()).unwrap_err();
        for error in [permissions.check().unwrap_err(), read] {
            assert!(matches!(error, PermissionsError::OtherModule { policy, kind: of, module }
                if (policy, of, module) == (place, kind, named)));
        }
    }
}

proptest! {
    /// A batch is allowed when each of its calls is, and comes to the sum of what they come to.
    #[test]
    fn a_batch_is_all_of_its_calls(
        choices in proptest::collection::vec((any::<bool>(), 0_u64..9, 998_u64..1002), 1..6)
    ) {
        let data: Vec<_> = choices
            .iter()
            .map(|(is_mint, _, amount)| if *is_mint { mint(FRIEND) } else { transfer(FRIEND, U256::from(*amount)) })
            .collect();
        let calls: Vec<_> = choices
            .iter()
            .zip(&data)
            .map(|((is_mint, value, _), data)| {
                call(if *is_mint { NFT } else { TOKEN }, U256::from(if *is_mint { *value } else { 0 }), data)
            })
            .collect();
        let singles: Vec<_> = calls.iter().map(|call| judge(Execute(*call).to_vec(), NOW)).collect();
        let batch = judge_batch(&calls);
        match singles.iter().position(Result::is_err) {
            Some(first) => {
                let Err(Forbidden::Call(reason)) = singles[first] else { panic!() };
                prop_assert_eq!(batch, Err(Forbidden::BatchedCall { call: first, reason }));
            }
            None => {
                let singles: Vec<_> = singles.into_iter().map(Result::unwrap).collect();
                let Permitted { policies, amounts, .. } = batch.unwrap();
                prop_assert_eq!(policies, singles.iter().map(|it| it.policies[0]).collect::<Vec<_>>());
                for dimension in [1, 2] {
                    let sum: U256 = singles.iter().map(|it| it.amounts[dimension]).sum();
                    prop_assert_eq!(amounts[dimension], sum);
                }
            }
        }
    }
}
