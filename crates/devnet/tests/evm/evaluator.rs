//! [`evaluate`] against the ABI session validation module, and against the account where the module looks at what
//! does not belong to the call.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use quorate_core::{AccountCall, Call, ParsedSessionKeyData, Refusal, evaluate, signing_hash};

use crate::abi::{
    SessionValidationModule::{validateSessionParamsCall, validateSessionUserOpCall},
    UserOperation,
};
use crate::cases::{Case, case};
use crate::machine::{Machine, Refused};
use crate::{contracts, for_all, session_signer};

const CASES: u32 = 120_000;
const OF_EACH: u32 = 100;

const MODULE: Address = Address::repeat_byte(0x5a);
const ACCOUNT: Address = Address::repeat_byte(0x5b);
const ENTRY_POINT: Address = Address::repeat_byte(0x5c);
const USER_OP_HASH: B256 = B256::repeat_byte(0x5d);

#[test]
fn the_evaluator_answers_as_the_module() {
    let judge = RefCell::new(Judge::new());
    for_all(CASES, &case(), |case| judge.borrow_mut().compare(&case));

    let tally = judge.into_inner().tally;
    println!("{tally:#?}");
    let compared = tally.values().sum::<u32>() - tally[LEFT_TO_THE_ACCOUNT];
    assert!(compared >= 100_000, "{compared} cases have an answer of the module that binds");
    assert!(tally["allowed"] >= compared / 10, "too few calls are allowed");
    for kind in KINDS {
        assert!(tally.get(kind).is_some_and(|seen| *seen >= OF_EACH), "too few of: {kind}");
    }
}

/// What has to be seen, each often enough.
const KINDS: [&str; 12] = [
    "allowed",
    "allowed to another key",
    "ABISV Not Execute Selector",
    "ABISV Destination Forbidden",
    "ABISV Selector Forbidden",
    "ABISV Permitted Value Exceeded",
    "ABISV Arg Rule Violated",
    "session key data",
    "account's call data",
    "inner call data",
    "word out of bounds",
    LEFT_TO_THE_ACCOUNT,
];

/// Calls whose words the module takes from what surrounds the call data.
const LEFT_TO_THE_ACCOUNT: &str = "left to the account";

/// The contracts, and how often they gave which answer.
struct Judge {
    machine: Machine,
    key: Address,
    signature: Bytes,
    tally: BTreeMap<&'static str, u32>,
}

impl Judge {
    fn new() -> Self {
        let contracts = contracts();
        let mut machine = Machine::new();
        machine.place(MODULE, &contracts.abi_module, &[]);
        machine.place(ACCOUNT, &contracts.smart_account, &[ENTRY_POINT.into_word()]);
        let signer = session_signer();
        let signature = signer.sign_hash_sync(&signing_hash(USER_OP_HASH)).unwrap();
        let signature = Bytes::from(signature.as_bytes());
        Self { machine, key: signer.address(), signature, tally: BTreeMap::new() }
    }

    fn compare(&mut self, case: &Case) -> TestCaseResult {
        let verdict = evaluate(&case.session_key_data.0, &case.call_data.0);
        let answer = self.ask_module(case);
        let expected = match &verdict {
            Ok(key) => Ok(*key == self.key),
            Err(refusal) => Err(refusal.revert_reason()),
        };
        let kind = if expected == answer.as_ref().copied().map_err(Refused::reason) {
            kind(expected, verdict.err())
        } else {
            let outside = matches!(verdict, Err(Refusal::CallDataTooShort { .. }));
            prop_assert!(outside && reaches_outside(case), "core: {verdict:?}, module: {answer:?}");
            // The account decodes strictly, so that the call is never made.
            let account = self.machine.call(ENTRY_POINT, ACCOUNT, case.call_data.0.clone());
            prop_assert_eq!(account, Err(Refused::Silently));
            LEFT_TO_THE_ACCOUNT
        };
        *self.tally.entry(kind).or_default() += 1;

        if let Ok(AccountCall::Single(call)) = AccountCall::decode(&case.call_data.0) {
            self.compare_canonical(case, call)?;
        }
        Ok(())
    }

    /// The module's other function, which is given the call's parts; and the account makes the call.
    fn compare_canonical(&mut self, case: &Case, call: Call<'_>) -> TestCaseResult {
        let parts = validateSessionParamsCall {
            destination: call.to,
            value: call.value,
            data: call.data.to_vec().into(),
            sessionKeyData: case.session_key_data.0.clone().into(),
            callSpecificData: Bytes::new(),
        };
        let answer = self.machine.ask(MODULE, &parts);
        let verdict = evaluate(&case.session_key_data.0, &case.call_data.0);
        prop_assert_eq!(
            verdict.map_err(|refusal| refusal.revert_reason()),
            answer.as_ref().copied().map_err(Refused::reason)
        );
        if call.value < U256::MAX >> 1 {
            let account = self.machine.call(ENTRY_POINT, ACCOUNT, case.call_data.0.clone());
            prop_assert!(account.is_ok(), "the account does not make the call: {account:?}");
        }
        Ok(())
    }

    fn ask_module(&mut self, case: &Case) -> Result<bool, Refused> {
        let operation = UserOperation {
            sender: ACCOUNT,
            callData: case.call_data.0.clone().into(),
            ..UserOperation::default()
        };
        let question = validateSessionUserOpCall {
            userOp: operation,
            userOpHash: USER_OP_HASH,
            sessionKeyData: case.session_key_data.0.clone().into(),
            sessionKeySignature: self.signature.clone(),
        };
        self.machine.ask(MODULE, &question)
    }
}

/// Whether any word that the module reads, if it gets that far, lies outside of the call data.
fn reaches_outside(case: &Case) -> bool {
    let call_data = &case.call_data.0;
    let word = |at: U256| {
        let at = usize::try_from(at).ok()?;
        call_data.get(at..at.checked_add(32)?).map(U256::from_be_slice)
    };
    let selector = U256::from(4);
    let length_at = word(selector + U256::from(64)).map(|pointer| pointer.wrapping_add(selector));
    let Some((at, length)) = length_at.and_then(|at| Some((at, word(at)?))) else { return true };

    let permitted = ParsedSessionKeyData::parse(&case.session_key_data.0).unwrap();
    let rules = permitted.rules().map_while(Result::ok);
    let ends = rules.map(|rule| selector + U256::from(rule.offset) + U256::from(32));
    let furthest = ends.filter(|end| *end <= length).max().unwrap_or(selector);
    at + U256::from(32) + furthest > U256::from(call_data.len())
}

fn kind(verdict: Result<bool, Option<&'static str>>, refusal: Option<Refusal>) -> &'static str {
    match (verdict, refusal) {
        (Ok(true), _) => "allowed",
        (Ok(false), _) => "allowed to another key",
        (Err(Some(reason)), _) => reason,
        (_, Some(Refusal::MalformedSessionKeyData(_))) => "session key data",
        (_, Some(Refusal::CallDataTooShort { .. })) => "account's call data",
        (_, Some(Refusal::InnerCallDataTooShort { .. })) => "inner call data",
        (_, Some(Refusal::WordOutOfBounds { .. })) => "word out of bounds",
        (_, refusal) => panic!("{refusal:?} has no kind"),
    }
}
