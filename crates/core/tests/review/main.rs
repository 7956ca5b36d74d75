//! What a device shows before it signs.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]
#![allow(clippy::indexing_slicing, reason = "a test that reaches beyond has failed")]

mod attacks;
mod bits;
mod multichain;
mod order;
mod shown;
mod uses;
mod vectors;

use quorate_core::*;

const ACCOUNT: Address = Address::repeat_byte(0xac);
const MANAGER: Address = Address::repeat_byte(0x0e);
const MODULE: Address = Address::repeat_byte(0x0f);
const ERC20_MODULE: Address = Address::repeat_byte(0x20);
const OWNERSHIP_MODULE: Address = Address::repeat_byte(0x01);
const ROUTER: Address = Address::repeat_byte(0x02);
const TOKEN: Address = Address::repeat_byte(0xaa);
const FRIEND: Address = Address::repeat_byte(0xcc);
const KEY: Address = Address::repeat_byte(0xbb);
const ENTRY_POINT: Address = Address::repeat_byte(0xee);
const DOMAIN: Domain = Domain { entry_point: ENTRY_POINT, chain_id: 137 };

const TRUSTED: TrustedContext<'_> = TrustedContext {
    contracts: &[
        contract(MANAGER, ContractRole::SessionKeyManager),
        contract(MODULE, ContractRole::AbiSessionValidationModule),
        contract(ERC20_MODULE, ContractRole::Erc20SessionValidationModule),
        contract(OWNERSHIP_MODULE, ContractRole::OwnershipModule),
        contract(ROUTER, ContractRole::BatchedSessionRouter),
    ],
    functions: known_functions!["safeMint(address to)", "transfer(address to, uint256 amount)"],
};

const fn contract(address: Address, role: ContractRole) -> TrustedContract {
    TrustedContract { address, role }
}

type Bytes = heapless::Vec<u8, 4096>;

fn encode(encoder: &impl Encode) -> Bytes {
    let mut bytes = Bytes::new();
    encoder.write_to(&mut bytes).unwrap();
    bytes
}

fn keccak(bytes: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(bytes);
    hasher.finalize()
}

/// A session that owns its data.
#[derive(Clone)]
struct Session {
    epoch: SessionEpoch,
    module: Address,
    data: Bytes,
}

impl Session {
    fn abi(policy: &Policy) -> Self {
        let data = encode(&SessionKeyData::new(KEY, policy));
        Self { epoch: policy.epoch(), module: MODULE, data }
    }

    fn erc20(policy: Erc20Policy) -> Self {
        let data = encode(&Erc20SessionKeyData::new(KEY, policy));
        Self { epoch: policy.epoch, module: ERC20_MODULE, data }
    }

    fn leaf(&self) -> SessionLeaf<'_> {
        SessionLeaf { epoch: self.epoch, validation_module: self.module, session_key_data: &self.data }
    }
}

fn root(sessions: &[Session]) -> B256 {
    let hashes: Vec<B256> = sessions.iter().map(|session| session.leaf().hash()).collect();
    merkle::root(&hashes).unwrap()
}

/// A mint without rules, transfers of little to a friend for a while, and a token session.
fn sessions() -> Vec<Session> {
    let mint = Policy::new(TOKEN, "safeMint(address)".parse().unwrap());
    let transfer = Policy::new(TOKEN, "transfer(address,uint256)".parse().unwrap())
        .with_rule(Rule::new(0, Condition::Equal, FRIEND))
        .and_then(|policy| policy.with_rule(Rule::new(32, Condition::LessThanOrEqual, 1_000_u64)))
        .and_then(|policy| policy.with_rule(Rule::new(33, Condition::NotEqual, 7_u64)))
        .unwrap()
        .with_value_limit(50_000_000_000_000_000)
        .with_epoch(SessionEpoch::new(1_700_000_000, 1_900_000_000).unwrap());
    let token = Erc20Policy {
        token: TOKEN,
        recipient: FRIEND,
        max_amount: U256::from(1_000),
        epoch: SessionEpoch::new(0, 1_900_000_000).unwrap(),
    };
    vec![Session::abi(&mint), Session::abi(&transfer), Session::erc20(token)]
}

fn with_word(selector: &str, word: B256) -> Vec<u8> {
    let selector = FunctionSelector::parse(selector).unwrap();
    [selector.as_bytes().as_slice(), word.as_slice()].concat()
}

fn set_root(root: B256) -> Vec<u8> {
    with_word("setMerkleRoot(bytes32)", root)
}

fn enable(module: Address) -> Vec<u8> {
    with_word("enableModule(address)", module.into_word())
}

fn call(to: Address, data: &[u8]) -> Call<'_> {
    Call { to, value: U256::ZERO, data }
}

fn single(to: Address, data: &[u8]) -> Bytes {
    encode(&Execute(call(to, data)))
}

fn batch(calls: &[(Address, &[u8])]) -> Bytes {
    let calls: Vec<Call<'_>> = calls.iter().map(|(to, data)| call(*to, data)).collect();
    encode(&ExecuteBatch(&calls))
}

/// The call data that enables the module and grants the sessions.
fn grant() -> Bytes {
    batch(&[(ACCOUNT, &enable(MANAGER)), (MANAGER, &set_root(root(&sessions())))])
}

fn operation(call_data: &[u8]) -> UserOperation<&[u8]> {
    UserOperation {
        sender: ACCOUNT,
        nonce: U256::from(3),
        init_code: &[0xfa; 40],
        call_data,
        call_gas_limit: U256::from(100_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: U256::from(10_000_000_000_u64),
        max_priority_fee_per_gas: U256::from(1),
        paymaster_and_data: &[0xad; 84],
    }
}

/// What a review came to.
#[derive(Debug, PartialEq, Eq)]
struct Reviewed<E = ReviewError> {
    /// What was shown, without the hash, which every change of what is signed changes.
    lines: Vec<String>,
    hash: Result<B256, E>,
}

impl<E> Reviewed<E> {
    fn text(&self) -> String {
        self.lines.join("\n")
    }

    #[track_caller]
    fn assert_shows(&self, line: &str) {
        assert!(self.lines.iter().any(|shown| shown == line), "`{line}` is not in\n{}", self.text());
    }
}

/// Keeps the lines of all items but the hash; a refusal takes the place of what was shown before.
#[derive(Default)]
struct Screen(Vec<String>);

impl Show for Screen {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        let line = item.to_string();
        assert!(!line.contains('\n') && line.len() < 700, "{line}");
        match item {
            Item { severity: Severity::Refused, .. } => self.0 = vec![line],
            Item { label: Label::Hash, .. } => {}
            _ => self.0.push(line),
        }
        Ok(())
    }
}

fn review_head(head: &OperationHead<'_>, call_data: &[u8], sessions: &[Session]) -> Reviewed {
    review_at(DOMAIN, head, call_data, sessions)
}

/// Reviews an operation with its call data in pieces of 40 bytes.
fn review_at(domain: Domain, head: &OperationHead<'_>, call_data: &[u8], sessions: &[Session]) -> Reviewed {
    let mut state: ReviewState<'_, _> = ReviewState::new(TRUSTED, Screen::default());
    let hash = (|| {
        let mut shown = state.review(domain, head)?;
        for session in sessions {
            shown = shown.session(&session.leaf())?;
        }
        call_data.chunks(40).try_fold(shown.calls(), CallData::piece)?.finish()
    })();
    Reviewed { lines: std::mem::take(&mut state.display().0), hash }
}

fn review(operation: UserOperation<&[u8]>, sessions: &[Session]) -> Reviewed {
    review_head(&OperationHead::V0_6(operation.with_call_data(())), operation.call_data, sessions)
}

fn review_calls(call_data: &[u8], sessions: &[Session]) -> Reviewed {
    review(operation(call_data), sessions)
}
