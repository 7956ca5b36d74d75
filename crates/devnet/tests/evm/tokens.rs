//! [`evaluate_erc20`] against the ERC-20 session validation module.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use proptest::prelude::*;
use proptest::sample::Index;
use quorate_core::{
    Call, Encode, Erc20Policy, Erc20SessionKeyData, Execute, ExecuteBatch, SessionEpoch, evaluate_erc20,
    signing_hash,
};

use crate::abi::{SessionValidationModule::validateSessionUserOpCall, UserOperation};
use crate::machine::{Hex, Machine, Refused};
use crate::{contracts, for_all, session_signer};

const MODULE: Address = Address::repeat_byte(0x3a);
const TOKEN: Address = Address::repeat_byte(0x3b);
const RECIPIENT: Address = Address::repeat_byte(0x3c);
const USER_OP_HASH: B256 = B256::repeat_byte(0x3d);

const CASES: u32 = 20_000;
const OF_EACH: u32 = 50;
const KINDS: [&str; 8] = [
    "allowed",
    "allowed to another key",
    "silently",
    "ERC20SV Invalid Selector",
    "ERC20SV Wrong Token",
    "ERC20SV Non Zero Value",
    "ERC20SV Wrong Recipient",
    "ERC20SV Max Amount Exceeded",
];

#[test]
fn the_token_evaluator_answers_as_the_module() {
    let mut machine = Machine::new();
    machine.place(MODULE, &contracts().erc20_module, &[]);
    let machine = RefCell::new(machine);
    let tally = RefCell::new(BTreeMap::<String, u32>::new());
    let signer = session_signer();
    let signature = Bytes::from(signer.sign_hash_sync(&signing_hash(USER_OP_HASH)).unwrap().as_bytes());
    for_all(CASES, &case(), |(data, call_data)| {
        let question = validateSessionUserOpCall {
            userOp: UserOperation { callData: call_data.0.clone().into(), ..UserOperation::default() },
            userOpHash: USER_OP_HASH,
            sessionKeyData: data.0.clone().into(),
            sessionKeySignature: signature.clone(),
        };
        let answer = machine.borrow_mut().ask(MODULE, &question);
        let verdict = evaluate_erc20(&data.0, &call_data.0);
        let expected = match verdict {
            Ok(key) => Ok(key == signer.address()),
            Err(refusal) => Err(refusal.revert_reason()),
        };
        prop_assert_eq!(expected, answer.as_ref().copied().map_err(reason), "core: {:?}", verdict);
        let kind = match expected {
            Ok(true) => "allowed",
            Ok(false) => "allowed to another key",
            Err(reason) => reason.unwrap_or("silently"),
        };
        *tally.borrow_mut().entry(kind.to_owned()).or_default() += 1;
        Ok(())
    });
    let tally = tally.into_inner();
    for kind in KINDS {
        assert!(tally.get(kind).is_some_and(|seen| *seen >= OF_EACH), "too few of {kind}: {tally:#?}");
    }
}

/// A panic, as of a length that memory cannot hold, says as little as a bare revert.
fn reason(refused: &Refused) -> Option<&str> {
    const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
    match refused {
        Refused::With(output) if output.starts_with(&PANIC) => None,
        refused => refused.reason(),
    }
}

/// Session key data and call data, each mostly sound.
fn case() -> impl Strategy<Value = (Hex, Hex)> {
    let limit = prop_oneof![Just(U256::from(100)), Just(U256::MAX), Just(U256::ZERO)];
    let key = prop_oneof![9 => Just(session_signer().address()), 1 => Just(Address::repeat_byte(9))];
    let amount = prop_oneof![4 => 0..=100_u64, 2 => 100..=102_u64, 1 => any::<u64>()];
    let rarely = || prop::bool::weighted(0.06);
    let change = || prop::option::weighted(0.15, change());
    let parts = (key, limit, amount, [rarely(), rarely(), rarely(), rarely()], 60..72_usize);
    (parts, rarely(), change(), change()).prop_map(
        |((key, limit, amount, [token, to, value, batch], cut), short, of_data, of_call)| {
            let policy = Erc20Policy {
                token: TOKEN,
                recipient: RECIPIENT,
                max_amount: limit,
                epoch: SessionEpoch::UNLIMITED,
            };
            let mut data = Erc20SessionKeyData::new(key, policy).to_vec();
            let other = Address::repeat_byte(7);
            let mut inner = vec![0xa9, 0x05, 0x9c, 0xbb];
            inner.extend(if to { other } else { RECIPIENT }.into_word());
            inner.extend(U256::from(amount).to_be_bytes::<32>());
            if short {
                inner.truncate(cut);
            }
            let call = Call {
                to: if token { other } else { TOKEN },
                value: U256::from(u8::from(value)),
                data: &inner,
            };
            let mut call_data = if batch { ExecuteBatch(&[call]).to_vec() } else { Execute(call).to_vec() };
            for (bytes, change) in [(&mut data, of_data), (&mut call_data, of_call)] {
                if let Some(change) = change {
                    change.apply(bytes);
                }
            }
            (Hex(data), Hex(call_data))
        },
    )
}

/// What a stranger may do to bytes.
#[derive(Debug, Clone)]
enum Change {
    Truncate(Index),
    Append(Vec<u8>),
    Flip(Index, u8),
    /// A small number in place of a word, after a selector or not.
    Word(Index, bool, u16),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Self::Append(more) => bytes.extend(more),
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Self::Word(at, after_selector, number) => {
                let at = at.index(bytes.len() / 32) * 32 + if *after_selector { 4 } else { 0 };
                if let Some(word) = bytes.get_mut(at..at + 32) {
                    word.copy_from_slice(&U256::from(*number).to_be_bytes::<32>());
                }
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<Index>().prop_map(Change::Truncate),
        prop::collection::vec(any::<u8>(), 1..70).prop_map(Change::Append),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), any::<bool>(), 0..300_u16).prop_map(|(at, after, to)| Change::Word(at, after, to)),
    ]
}
