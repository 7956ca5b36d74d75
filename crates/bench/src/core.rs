//! The core against bare keccak256 calls of the same sizes, and against alloy's encoder.

use std::hint::black_box;

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U48, keccak256};
use alloy_sol_types::{SolValue as _, sol_data};
use quorate_core::delegation::{
    Caveat, Caveats, Context, CounterKey, Counters, Delegation, Delegations, Enforcer, Enforcers, Mode,
    ROOT_AUTHORITY, Redemption, SingleExecution, State, Verdict,
};
use quorate_core::{
    Call, Condition, Domain, Encode as _, EntryPointVersion, Execute, FunctionSelector, Initialization,
    OperationHead, Paymaster, Policy, ReviewState, Rule, SessionEpoch, SessionKeyData, SessionLeaf,
    SessionSignature, Text, TrustedContext, UnpackedUserOperation, UserOperation, evaluate, merkle,
};

use crate::goal::Goal;
use crate::ratio::Plan;

pub(crate) fn run(quick: bool) -> anyhow::Result<Vec<Goal>> {
    let plan = Plan::new(quick);
    Ok(vec![
        tree(plan)?,
        all_proofs(plan)?,
        encoded_policies(plan)?,
        added_session(plan)?,
        user_operation_hash(plan),
        typed_user_operation_hash(plan)?,
        evaluation(plan)?,
        redemption(plan)?,
        review(plan)?,
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
    let ratio = plan.ratio(|| merkle::root(black_box(&leaves)), keccaks_of_tree(&leaves));
    Ok(Goal::at_most("tree of 10 000 leaves, in its keccak256 calls", ratio, 1.15))
}

fn all_proofs(plan: Plan) -> anyhow::Result<Goal> {
    let leaves = leaves();
    let mut scratch = vec![B256::ZERO; merkle::TreeRef::node_count(leaves.len())];
    merkle::TreeRef::new(&leaves, &mut scratch)?;
    let ratio = plan.ratio(
        || {
            let tree = merkle::TreeRef::new(black_box(&leaves), &mut scratch);
            for siblings in tree.iter().flat_map(|tree| (0..).map_while(|index| tree.siblings(index))) {
                black_box(siblings.fold(B256::ZERO, |_, sibling| black_box(sibling)));
            }
        },
        keccaks_of_tree(&leaves),
    );
    Ok(Goal::at_most("10 000 leaves to root and all proofs, in keccak256 calls", ratio, 3.0))
}

/// Bare keccaks, as many and as long as the tree's.
fn keccaks_of_tree(leaves: &[B256]) -> impl FnMut() + use<> {
    let pairs: Vec<[u8; 64]> =
        leaves.windows(2).map(|pair| pair[0].concat_const::<32, 64>(pair[1]).into()).collect();
    move || {
        for pair in &pairs {
            black_box(keccak256(black_box(pair)));
        }
    }
}

/// Five times the policies may take a tenth more than five times the time. What `quorate policy encode` does between
/// reading its input and writing its answer, by the same functions of the library.
fn encoded_policies(plan: Plan) -> anyhow::Result<Goal> {
    let policies = |count: u32| (0..count).map(policy).collect::<anyhow::Result<Vec<Policy>>>();
    let (few, many) = (policies(SESSIONS / 5)?, policies(SESSIONS)?);
    encode(&few)?;
    let ratio = plan.ratio(|| encode(black_box(&many)), || encode(black_box(&few)));
    Ok(Goal::at_most("10 000 policies encoded and proved, in 2 000 of them", ratio, 5.5))
}

type EncodedSession = (Vec<u8>, Vec<B256>);

fn encode(policies: &[Policy]) -> Result<(B256, Vec<EncodedSession>), merkle::TreeError> {
    let (session_key, validation_module) = (Address::repeat_byte(0x5e), Address::repeat_byte(0xab));
    let data: Vec<_> =
        policies.iter().map(|policy| SessionKeyData::new(session_key, policy).to_vec()).collect();
    let leaf = |(policy, session_key_data): (&Policy, &Vec<u8>)| {
        SessionLeaf { epoch: policy.epoch(), validation_module, session_key_data }.hash()
    };
    let tree = merkle::Tree::new(policies.iter().zip(&data).map(leaf).collect())?;
    let proof = |index| tree.siblings(index).into_iter().flatten().collect();
    let sessions = data.into_iter().enumerate().map(|(index, data)| (data, proof(index))).collect();
    Ok((tree.root(), sessions))
}

fn policy(limit: u32) -> anyhow::Result<Policy> {
    let policy = Policy::new(Address::repeat_byte(0x0f), FunctionSelector::new([1, 2, 3, 4]));
    Ok(policy.with_rule(Rule::new(0, Condition::LessThanOrEqual, U256::from(limit)))?)
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
            // The hash of the empty init code is a constant.
            black_box(keccak256(black_box(&operation.call_data)));
            black_box(keccak256(black_box(&operation.paymaster_and_data)));
            black_box(keccak256(black_box(packed)));
            black_box(keccak256(black_box(outer)));
        },
    );
    Goal::at_most("user operation hash, in its keccak256 calls", ratio, 1.3)
}

/// Unpacked and packed, with a factory and a paymaster.
fn typed_user_operation_hash(plan: Plan) -> anyhow::Result<Goal> {
    let (factory_data, paymaster_data) = ([0x22; 100], [0x77; 100]);
    let operation = UnpackedUserOperation {
        sender: Address::repeat_byte(0xaa),
        nonce: U256::from(7),
        init: Initialization::Factory { factory: Address::repeat_byte(0xfa), data: factory_data.to_vec() },
        call_data: execute(&[0x40; 68]),
        call_gas_limit: 100_000,
        verification_gas_limit: 200_000,
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        paymaster: Some(Paymaster {
            paymaster: Address::repeat_byte(0x9a),
            verification_gas_limit: 50_000,
            post_op_gas_limit: 40_000,
            data: paymaster_data.to_vec(),
        }),
    };
    let entry_point = Address::repeat_byte(0xee);
    let packed = operation.clone().pack();
    anyhow::ensure!(packed.hash_v0_8(entry_point, 137, None) == Ok(operation.hash_v0_8(entry_point, 137)));
    // Type hash and eight words; five words of the domain; prefix, domain and operation.
    let (words, domain, bound) = ([7; 288], [8; 160], [9; 66]);
    let ratio = plan.ratio(
        || {
            let _ = black_box(black_box(&operation).hash_v0_8(entry_point, 137));
            let _ = black_box(black_box(&operation).hash_v0_9(entry_point, 137));
            let _ = black_box(black_box(&packed).hash_v0_8(entry_point, 137, None));
            let _ = black_box(black_box(&packed).hash_v0_9(entry_point, 137, None));
        },
        || {
            for _ in 0..4 {
                black_box(keccak256(black_box(&packed.init_code)));
                black_box(keccak256(black_box(&packed.call_data)));
                black_box(keccak256(black_box(&packed.paymaster_and_data)));
                black_box(keccak256(black_box(words)));
                black_box(keccak256(black_box(domain)));
                black_box(keccak256(black_box(bound)));
            }
        },
    );
    Ok(Goal::at_most("hashes of v0.8 and v0.9, in their keccak256 calls", ratio, 1.3))
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

/// A redemption of a delegation with five caveats, from its bytes to the verdict: read, hashed, and judged.
fn redemption(plan: Plan) -> anyhow::Result<Goal> {
    let (nft, key) = (Address::repeat_byte(0x0f), Address::repeat_byte(0x5e));
    let (mint, bounds) = ([0x40, 0xd0, 0x97, 0xc3], [[0; 16], 2_000_000_000_u128.to_be_bytes()].concat());
    let (value, calls) = (U256::ZERO.to_be_bytes::<32>(), U256::from(1_000).to_be_bytes::<32>());
    let caveats = [
        (Enforcer::AllowedTargets, nft.as_slice()),
        (Enforcer::AllowedMethods, &mint),
        (Enforcer::ValueLte, &value),
        (Enforcer::Timestamp, &bounds),
        (Enforcer::LimitedCalls, &calls),
    ];
    let caveats = caveats.map(|(enforcer, terms)| Caveat { enforcer: enforcer.address_v1_3_0(), terms });
    let delegation = Delegation {
        delegate: key,
        delegator: Address::repeat_byte(0xaa),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(&caveats[..]),
        salt: U256::ZERO,
        signature: &[7; 65],
    };
    let context = Delegations(&[delegation]).to_vec();
    let data = [mint.as_slice(), key.into_word().as_slice()].concat();
    let execution = SingleExecution(Call { to: nft, value: U256::ZERO, data: &data }).to_vec();
    let state = State { time: 1_900_000_000, block: None, counters: &TenCalls };
    let judge = || {
        let context = Context::parse(black_box(&context)).ok()?;
        let redemption = Redemption::new(context, Mode::SINGLE, black_box(&execution), key).ok()?;
        Some(redemption.evaluate(&Enforcers::V1_3_0, black_box(&state)))
    };
    anyhow::ensure!(judge() == Some(Verdict::Allowed), "the redemption is not allowed");
    let ratio = plan.ratio(judge, one_keccak());
    Ok(Goal::at_most("redemption under five caveats, in keccak256 calls", ratio, 20.0))
}

struct TenCalls;

impl Counters for TenCalls {
    fn count(&self, _: &CounterKey) -> Option<U256> {
        Some(U256::from(10))
    }
}

/// A call with 100 kB of data, as it arrives in pieces of 512 bytes. The data is hashed twice: with the operation's call data, and
/// by itself for the display.
fn review(plan: Plan) -> anyhow::Result<Goal> {
    let data = vec![7; 100_000];
    let call_data = Execute(Call { to: Address::repeat_byte(9), value: U256::ZERO, data: &data }).to_vec();
    let domain = Domain { entry_point: EntryPointVersion::V0_6.address(), chain_id: 1 };
    let head = OperationHead::V0_6(UserOperation::default());
    let mut state: ReviewState<'_, _> = ReviewState::new(TrustedContext::CANONICAL, Text(String::new()));
    let mut review = || {
        state.display().0.clear();
        state.review(domain, &head)?.calls().pieces(black_box(&call_data).chunks(512))?.finish()
    };
    review()?;
    let ratio = plan.ratio(review, || keccak256(black_box(&call_data)));
    Ok(Goal::at_most("review of 100 kB of call data, in its keccak256", ratio, 2.0))
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
