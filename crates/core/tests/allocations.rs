//! That nothing of the public interface allocates, counted by the allocator.

// An allocator is the one thing that cannot be counted from safe code.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fmt::{self, Write},
    hint::black_box,
};

use quorate_core::*;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// Safety: everything is the system allocator's; counting touches a thread-local that needs neither allocation nor
// destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_allocates() {
    let counted = allocations_of(|| drop(black_box(Box::new(1))));
    assert_eq!(counted, 1, "the allocator is not counting");

    assert_eq!(allocations_of(policies), 0, "policies");
    assert_eq!(allocations_of(session_key_data), 0, "session key data");
    assert_eq!(allocations_of(trees), 0, "trees");
    assert_eq!(allocations_of(user_operations), 0, "user operations");
    assert_eq!(allocations_of(calls), 0, "calls");
    assert_eq!(allocations_of(signatures), 0, "signatures");
    assert_eq!(allocations_of(evaluation), 0, "evaluation");
    assert_eq!(allocations_of(reviews), 0, "reviews");
    #[cfg(feature = "delegation")]
    assert_eq!(allocations_of(delegations), 0, "delegations");
    assert_eq!(allocations_of(errors), 0, "errors");
}

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn policies() {
    for text in
        ["0x40d097c3", "safeMint(address)", "function f((uint a, bool[2])[] memory b) view returns (int)"]
    {
        let selector = FunctionSelector::parse(text).expect("a function");
        black_box((
            selector.as_bytes(),
            FunctionSelector::new([0; 4]),
            text.parse::<FunctionSelector>().is_ok(),
        ));
        print(selector);
    }
    for text in ["0x1234", "115792089237316195423570985008687907853269984665640564039457584007913129639935"] {
        let value = text.parse::<ReferenceValue>().expect("a value");
        black_box((value.word(), value.to_uint()));
        print(value);
    }
    black_box(ReferenceValue::try_from_slice(&[1, 2, 3]).is_ok());
    black_box([
        ReferenceValue::from(true),
        ReferenceValue::from(1_u64),
        ReferenceValue::from(U256::MAX),
        ReferenceValue::from(B256::ZERO),
        ReferenceValue::from(Address::ZERO),
    ]);
    let policy = policy();
    black_box((policy.contract(), policy.selector(), policy.value_limit(), policy.rules(), policy.epoch()));
    black_box((policy.epoch().contains(1), policy.clone() == policy, Policy::<16>::MAX_RULES));
    for rule in policy.rules() {
        print(rule.condition());
        black_box((rule.offset(), rule.reference(), rule.condition().holds(U256::ZERO, U256::ZERO)));
    }
    policy.lint(&quorate_core::LintContext::default(), &mut |lint| print(lint));
}

fn session_key_data() {
    let (data, policy) = (key_data(), policy());
    black_box(SessionKeyData::new(KEY, &policy).encoded_len());
    let parsed = ParsedSessionKeyData::parse(&data).expect("session key data");
    black_box((parsed.session_key(), parsed.contract(), parsed.selector(), parsed.value_limit()));
    black_box((parsed.rule_count(), parsed.rules().count()));
    black_box(parsed.to_policy::<4>(policy.epoch()).is_ok());
    let leaf = leaf(&data);
    black_box((leaf.hash(), leaf.encoded_len()));
    leaf.write_to(&mut SliceSink::new(&mut [0; 512])).expect("room");
}

fn trees() {
    let leaves: [B256; 21] = std::array::from_fn(|n| B256::with_last_byte(u8::try_from(n).unwrap_or(0)));
    let root = merkle::root(&leaves).expect("leaves");
    for leaf in leaves {
        let proof = merkle::Proof::of(&leaves, leaf).expect("a leaf");
        assert!(merkle::verify(root, leaf, proof.siblings()) && proof.root() == root);
    }
    let mut scratch = [B256::ZERO; merkle::TreeRef::node_count(21)];
    let tree = merkle::TreeRef::new(&leaves, &mut scratch).expect("room");
    assert!(tree.root() == root && tree.siblings(20).is_some_and(|siblings| siblings.count() == 2));
}

fn user_operations() {
    let operation = UserOperation::<&[u8]> { call_data: &[1; 100], ..Default::default() };
    let hash = operation.as_slices().hash(KEY, 1);
    black_box((signing_hash(hash), operation.hash(KEY, 1), operation.sign(&[])));
    black_box((operation.initialization().is_ok(), operation.paymaster().is_ok()));

    let packed = PackedUserOperation::<&[u8]> {
        init_code: &[0x77, 0x02],
        paymaster_and_data: &[1; 60],
        ..Default::default()
    };
    black_box(packed.hash_v0_7(KEY, 1));
    for version in [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        let unpacked = match packed.unpack(version, Some(KEY)) {
            Ok(unpacked) => unpacked,
            Err(error) => {
                print(error);
                continue;
            }
        };
        let hash = packed.hash_v0_8(KEY, 1, Some(KEY));
        assert!(hash == Ok(unpacked.hash_v0_8(KEY, 1)) && unpacked.hash_v0_7(KEY, 1).is_err());
        assert_eq!(packed.hash_v0_9(KEY, 1, Some(KEY)), unpacked.hash_v0_9(KEY, 1));
    }
}

fn calls() {
    let call = Call { to: CONTRACT, value: U256::from(1), data: &[1; 37] };
    let single = encode(&Execute(call));
    assert!(AccountCall::decode(&single).expect("a call").calls().eq([call]));
    let batch = encode(&ExecuteBatch(&[call, call, call]));
    assert_eq!(AccountCall::decode(&batch).expect("calls").calls().count(), 3);
    black_box(AccountCall::decode(&batch[1..]).is_err());
}

fn signatures() {
    let data = key_data();
    let signature = SessionSignature {
        epoch: SessionEpoch::UNLIMITED,
        validation_module: CONTRACT,
        session_key_data: &data,
        proof: &[B256::ZERO; 3],
        signature: &DUMMY_SESSION_SIGNATURE,
    };
    let enclosed = encode(&ModuleSignature { module_signature: signature, module: KEY });
    let inner = encode(&signature);
    let from_bytes = encode(&ModuleSignature { module_signature: &inner[..], module: KEY });
    assert_eq!(enclosed, from_bytes);
    let mut buffer = [0; 2048];
    let mut sink = SliceSink::new(&mut buffer);
    signature.write_to(&mut sink).expect("room");
    assert_eq!(sink.written(), &inner[..]);
    assert_eq!(sink.into_written(), &inner[..]);
    let mut hasher = Keccak256::new();
    signature.write_to(&mut hasher).expect("a hasher is never full");
    black_box(hasher.finalize());

    let dummy = MultichainSignature::dummy(SessionEpoch::UNLIMITED, 3);
    let enclosed = encode(&ModuleSignature { module_signature: dummy, module: KEY });
    let read = ModuleSignature::parse(&enclosed).expect("a signature");
    let read = MultichainSignature::parse(read.module_signature).expect("a signature for several operations");
    assert!(!read.verify(B256::ZERO));
}

fn evaluation() {
    let data = key_data();
    let mut inner = [0; 68];
    inner[..4].copy_from_slice(policy().selector().as_bytes());
    for (to, value, last) in [(CONTRACT, 0, 7), (CONTRACT, 0, 8), (CONTRACT, 9, 7), (KEY, 0, 7)] {
        inner[35] = last;
        let call = encode(&Execute(Call { to, value: U256::from(value), data: &inner }));
        match evaluate(&data, &call) {
            Ok(key) => assert_eq!(key, KEY),
            Err(refusal) => {
                black_box(refusal.revert_reason());
                print(refusal);
            }
        }
    }
    if let Err(refusal) = evaluate(&data[..3], &[]) {
        print(refusal);
    }
}

fn errors() {
    print(FunctionSelector::parse("f(").expect_err("cut off"));
    print(FunctionSelector::parse("0x1").expect_err("short"));
    print("x".parse::<ReferenceValue>().expect_err("no digit"));
    print(Condition::try_from(6).expect_err("unknown"));
    print(SessionEpoch::new(u64::MAX, 0).expect_err("too late"));
    print(policy().with_value_limit_wei(U256::MAX).expect_err("too much"));
    print(merkle::root(&[]).expect_err("no leaves"));
    print(merkle::Proof::of(&[B256::ZERO], KEY.into_word()).expect_err("not there"));
    print(AccountCall::decode(&[]).expect_err("nothing"));
    print(SliceSink::new(&mut []).put(&[1]).expect_err("full"));
    print(MultichainSignature::parse(&[]).expect_err("nothing"));
}

const CONTRACT: Address = Address::repeat_byte(0x11);
const KEY: Address = Address::repeat_byte(0x22);

/// With an end before its start and an odd offset, so that there are mistakes to name.
fn policy() -> Policy<4> {
    Policy::empty(CONTRACT, FunctionSelector::parse("mint(address,uint256)").expect("a function"))
        .with_value_limit_wei(U256::from(5))
        .and_then(|policy| policy.with_rule(Rule::new(0, Condition::Equal, 7_u64)))
        .and_then(|policy| policy.with_rule(Rule::new(31, Condition::GreaterThan, 1_u64)))
        .and_then(|policy| Ok(policy.with_epoch(SessionEpoch::new(9, 8)?)))
        .expect("a policy")
        .with_value_limit(5)
}

fn key_data() -> heapless::Vec<u8, 2048> {
    encode(&SessionKeyData::new(KEY, &policy()))
}

fn leaf(session_key_data: &[u8]) -> SessionLeaf<'_> {
    SessionLeaf { epoch: SessionEpoch::UNLIMITED, validation_module: CONTRACT, session_key_data }
}

fn encode(encoder: &impl Encode) -> heapless::Vec<u8, 2048> {
    let mut buffer = heapless::Vec::new();
    encoder.write_to(&mut buffer).expect("room");
    buffer
}

/// Formats without keeping what is formatted.
fn print(something: impl fmt::Display + fmt::Debug) {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            black_box(text);
            Ok(())
        }
    }
    write!(Nowhere, "{something} {something:?}").expect("nowhere has room");
}

/// A screen that shows nothing.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        black_box(text);
        Ok(())
    }
}

impl Show for Nowhere {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        write!(self, "{item}").map_err(NotShown::from)
    }
}

/// Contexts, calls of a manager, and verdicts of every kind.
#[cfg(feature = "delegation")]
fn delegations() {
    use quorate_core::delegation::*;

    let limit = U256::from(1).to_be_bytes::<32>();
    for enforcer in Enforcer::ALL {
        let caveats = [Caveat { enforcer: enforcer.address_v1_3_0(), terms: &limit }];
        let delegation = Delegation {
            delegate: KEY,
            delegator: CONTRACT,
            authority: ROOT_AUTHORITY,
            caveats: Caveats::from(&caveats[..]),
            salt: U256::ZERO,
            signature: &[1; 65],
        };
        let mut context = heapless::Vec::<u8, 1024>::new();
        Delegations(&[delegation]).write_to(&mut context).expect("room");
        let context = Context::parse(&context).expect("a context");
        black_box((delegation.signing_digest(1, MANAGER_V1_3_0), context.delegations().count()));
        let mut execution = heapless::Vec::<u8, 128>::new();
        SingleExecution(Call { to: KEY, value: U256::ZERO, data: &[1; 68] })
            .write_to(&mut execution)
            .expect("room");
        let mut call_data = heapless::Vec::<u8, 2048>::new();
        Redeem { context, mode: Mode::SINGLE, execution: &execution }.write_to(&mut call_data).expect("room");
        let Ok(DelegationCall::Redeem(redeem)) = DelegationCall::decode(&call_data) else { continue };
        let redemption =
            Redemption::new(redeem.context, redeem.mode, redeem.execution, KEY).expect("a chain");
        match redemption.evaluate(&Enforcers::V1_3_0, &State { time: 1, block: None, counters: &Unknown }) {
            Verdict::Allowed => {}
            Verdict::Forbidden(forbidden) => print(forbidden),
            Verdict::NotJudged(not_judged) => print(not_judged),
        }
    }
    if let Err(error) = DelegationCall::decode(&[1; 100]) {
        print(error);
    }
}

/// A grant, and a call with 100 kB of data that comes in pieces.
fn reviews() {
    let (manager, module) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let contracts = [
        TrustedContract { address: manager, role: ContractRole::SessionKeyManager },
        TrustedContract { address: module, role: ContractRole::AbiSessionValidationModule },
    ];
    let functions = [KnownFunction::parse("transfer(address to, uint256 amount)").unwrap()];
    let trusted = TrustedContext { contracts: &contracts, functions: &functions };
    let target = Domain { entry_point: Address::repeat_byte(3), chain_id: 1 };
    let policy = Policy::new(Address::repeat_byte(4), "transfer(address,uint256)".parse().unwrap())
        .with_rule(Rule::new(32, Condition::LessThan, 1_000_000_u64))
        .unwrap()
        .with_epoch(SessionEpoch::new(1_700_000_000, 1_900_000_000).unwrap());
    let mut session_key_data = heapless::Vec::<u8, 128>::new();
    SessionKeyData::new(Address::repeat_byte(5), &policy).write_to(&mut session_key_data).unwrap();
    let leaf =
        SessionLeaf { epoch: policy.epoch(), validation_module: module, session_key_data: &session_key_data };

    let mut set_root = [0; 36];
    set_root[..4].copy_from_slice(&[0x7c, 0xb6, 0x47, 0x59]);
    set_root[4..].copy_from_slice(leaf.hash().as_slice());
    let mut call_data = heapless::Vec::<u8, 256>::new();
    Execute(Call { to: manager, value: U256::from(7), data: &set_root }).write_to(&mut call_data).unwrap();
    let head = OperationHead::V0_6(UserOperation::default());
    let mut state: ReviewState<'_, _> = ReviewState::new(trusted, Nowhere);
    let shown = state.review(target, &head).unwrap().session(&leaf).unwrap();
    black_box(shown.calls().piece(&call_data).unwrap().finish().unwrap());

    let head = OperationHead::V0_9(UnpackedUserOperation::default());
    let mut calls = state.review(target, &head).unwrap().calls();
    const LEN: usize = 100_000;
    let (words, _) = call_data.as_chunks_mut::<4>();
    words[0] = [0xb6, 0x1d, 0x27, 0xf6];
    let mut start = [0; 4 + 4 * 32];
    start.copy_from_slice(&call_data[..4 + 4 * 32]);
    start[4 + 12..4 + 32].fill(9);
    start[4 + 3 * 32..].copy_from_slice(&U256::from(LEN).to_be_bytes::<32>());
    calls = calls.piece(&start).unwrap();
    for _ in 0..LEN / 1000 {
        calls = calls.piece(&[7; 1000]).unwrap();
    }
    black_box(calls.finish().unwrap());

    let mut review: MultichainReview<'_, _> = MultichainReview::new(trusted, Nowhere);
    let mut call_data = heapless::Vec::<u8, 256>::new();
    Execute(Call { to: module, value: U256::from(7), data: &[] }).write_to(&mut call_data).unwrap();
    for chain_id in [1, 2, 3] {
        review.begin(Domain { chain_id, ..target }, &head, SessionEpoch::UNLIMITED).unwrap();
        review.call_data(&call_data).unwrap();
        review.end().unwrap();
    }
    black_box(review.finish().unwrap());
}
