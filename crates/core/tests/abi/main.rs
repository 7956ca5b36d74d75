//! Policies by the arguments of a function, and the calls that they allow.

#![allow(missing_docs, reason = "`sol!` writes public items without")]

mod allowed;
mod offsets;
mod refused;

use alloy_sol_types::{SolCall, sol};
use quorate_core::{Address, Call, Encode as _, Execute, Policy, Refusal, SessionKeyData, U256, evaluate};

sol! {
    #![sol(abi)]

    type Price is uint96;
    enum Side { Buy, Sell }
    interface IToken {}

    struct Order { address maker; uint256 amount; }
    struct Leg { address token; uint8 kind; }
    struct Route { Leg[2] legs; bool exact; }
    struct Note { string text; uint256 number; }

    function safeMint(address to);
    function transfer(address to, uint256 amount);
    function fill(Order order, uint256 nonce);
    function setIds(uint256[3] ids, uint8 level);
    function post(bytes data, string memo, uint64 until);
    function tag(bytes4 kind, bytes32 id);
    function adjust(int64 delta);
    function setApprovalForAll(address operator, bool approved);
    function swap(Route route, bytes note, uint128 limit);
    function paint(uint256[2][3] grid, bytes4[2] colours);
    function write(Note note, address to);
    function writeAll(Note[] notes, Order[] orders, string[2] titles, Order order);
    function trade(IToken token, Side side, Price price);
    function callback(function () external f, uint256);
}

const CONTRACT: Address = Address::repeat_byte(0xaa);
const ALICE: Address = Address::repeat_byte(0x0a);
const BOB: Address = Address::repeat_byte(0x0b);

/// What the validation module says to a call of the contract under `policy`.
fn judge(policy: &Policy, call_data: &[u8]) -> Result<(), Refusal> {
    let mut session_key_data = Vec::new();
    SessionKeyData::new(ALICE, policy).write_to(&mut session_key_data).expect("a Vec grows");
    let mut account_call = Vec::new();
    let call = Call { to: CONTRACT, value: U256::ZERO, data: call_data };
    Execute(call).write_to(&mut account_call).expect("a Vec grows");
    evaluate(&session_key_data, &account_call).map(|_| ())
}

/// Asserts that `policy` allows all of the first calls, and that a rule of it refuses all of the others.
fn assert_allows<C: SolCall>(policy: &Policy, allowed: &[C], refused: &[C]) {
    for (at, call) in allowed.iter().enumerate() {
        assert_eq!(judge(policy, &call.abi_encode()), Ok(()), "call {at} of {}", C::SIGNATURE);
    }
    for (at, call) in refused.iter().enumerate() {
        let answer = judge(policy, &call.abi_encode());
        let violated = matches!(answer, Err(Refusal::RuleViolated { .. }));
        assert!(violated, "refused call {at} of {}: {answer:?}", C::SIGNATURE);
    }
}
