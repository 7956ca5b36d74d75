//! The core against bare keccak256 calls of the same sizes, and against alloy's encoder.

use std::hint::black_box;

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U48, keccak256};
use alloy_sol_types::{SolValue as _, sol_data};
use quorate_core::{
    Call, Condition, Encode as _, Execute, FunctionSelector, Policy, Rule, SessionEpoch, SessionKeyData,
    SessionSignature, UserOperation, evaluate, merkle,
};

use crate::goal::Goal;
use crate::ratio::Plan;

pub(crate) fn run(quick: bool) -> anyhow::Result<Vec<Goal>> {
    let plan = Plan::new(quick);
    Ok(vec![
        tree(plan)?,
        added_session(plan)?,
        user_operation_hash(plan),
        evaluation(plan)?,
        session_signature(plan)?,
    ])
}

const SESSIONS: u32 = 10_000;

fn leaves() -> Vec<B256> {
    (0..SESSIONS).map(|index| keccak256(index.to_be_bytes())).collect()
}

fn tree(plan: Plan) -> anyhow::Result<Goal> {
    let leaves = leaves();
    merkle::root(&leaves)?;
    let pairs: Vec<[u8; 64]> =
        leaves.windows(2).map(|pair| pair[0].concat_const::<32, 64>(pair[1]).into()).collect();
    let ratio = plan.ratio(
        || merkle::root(black_box(&leaves)),
        || {
            for pair in &pairs {
                black_box(keccak256(black_box(pair)));
            }
        },
    );
    Ok(Goal::at_most("tree of 10 000 leaves, in its keccak256 calls", ratio, 1.15))
}

fn added_session(plan: Plan) -> anyhow::Result<Goal> {
    let mut builder = merkle::RootBuilder::default();
    for leaf in leaves() {
        builder.push(leaf)?;
    }
    let leaf = keccak256("one more");
    let ratio = plan.ratio(
        || {
            let mut builder = black_box(&builder).clone();
            let _ = builder.push(black_box(leaf));
            builder.root()
        },
        one_keccak(),
    );
    Ok(Goal::at_most("a session added to 10 000, in keccak256 calls", ratio, 40.0))
}

fn user_operation_hash(plan: Plan) -> Goal {
    let call_data = execute(&[0x40; 68]);
    let operation = UserOperation {
        sender: Address::repeat_byte(0xaa),
        nonce: U256::from(7),
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::from(100_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: U256::from(1_000_000_000),
        max_priority_fee_per_gas: U256::from(1),
        paymaster_and_data: vec![0x77; 149],
    };
    let entry_point = Address::repeat_byte(0xee);
    let (packed, outer) = ([7; 320], [9; 96]);
    let ratio = plan.ratio(
        || black_box(&operation).hash(entry_point, 137),
        || {
            black_box(keccak256(black_box(&operation.init_code)));
            black_box(keccak256(black_box(&operation.call_data)));
            black_box(keccak256(black_box(&operation.paymaster_and_data)));
            black_box(keccak256(black_box(packed)));
            black_box(keccak256(black_box(outer)));
        },
    );
    Goal::at_most("user operation hash, in its keccak256 calls", ratio, 1.3)
}

fn evaluation(plan: Plan) -> anyhow::Result<Goal> {
    let mut policy = Policy::new(Address::repeat_byte(0x0f), FunctionSelector::new([1, 2, 3, 4]));
    for rule in 0..16 {
        policy = policy.with_rule(Rule::new(rule * 32, Condition::LessThanOrEqual, U256::from(1000)))?;
    }
    let data = SessionKeyData::new(Address::repeat_byte(0x5e), &policy).to_vec();
    let arguments = [[1, 2, 3, 4].as_slice(), &[0; 16 * 32]].concat();
    let call_data = execute(&arguments);
    evaluate(&data, &call_data)?;
    let ratio = plan.ratio(|| evaluate(black_box(&data), black_box(&call_data)), one_keccak());
    Ok(Goal::at_most("evaluation of a 16-rule policy, in keccak256 calls", ratio, 4.0))
}

fn session_signature(plan: Plan) -> anyhow::Result<Goal> {
    type Tuple = (
        sol_data::Uint<48>,
        sol_data::Uint<48>,
        sol_data::Address,
        sol_data::Bytes,
        sol_data::Array<sol_data::FixedBytes<32>>,
        sol_data::Bytes,
    );
    let module = Address::repeat_byte(0xab);
    let (data, signature) = (vec![3; 132], vec![5; 65]);
    let proof: Vec<B256> = leaves().into_iter().take(10).collect();
    let ours = SessionSignature {
        epoch: SessionEpoch::new(1_700_000_000, 1_800_000_000)?,
        validation_module: module,
        session_key_data: &data,
        proof: &proof,
        signature: &signature,
    };
    let theirs = (
        U48::from(1_800_000_000_u64),
        U48::from(1_700_000_000_u64),
        module,
        Bytes::from(data.clone()),
        proof.clone(),
        Bytes::from(signature.clone()),
    );
    let encoded = <Tuple as alloy_sol_types::SolType>::abi_encode_params(&theirs);
    anyhow::ensure!(ours.to_vec() == encoded, "the two encodings differ");
    let ratio = plan.ratio(|| black_box(&ours).to_vec(), || black_box(&theirs).abi_encode_params());
    Ok(Goal::at_most("session signature, in alloy's encoding of it", ratio, 1.0))
}

fn execute(data: &[u8]) -> Vec<u8> {
    Execute(Call { to: Address::repeat_byte(0x0f), value: U256::ZERO, data }).to_vec()
}

/// A keccak256 of one block.
fn one_keccak() -> impl FnMut() -> B256 {
    let block = [1; 64];
    move || keccak256(black_box(block))
}
