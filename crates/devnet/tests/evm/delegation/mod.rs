//! Delegations against the framework's own contracts: each enforcer's verdict, reason and counters, and whole chains of
//! delegations through the manager.

mod abi;
mod cases;
mod chain;
mod enforcers;
mod ledger;
mod manager;

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{Panic, PanicKind, SolError};
use quorate_core::delegation::{Enforcer, Forbidden, Reason};
use revm::bytecode::Bytecode;

use crate::machine::{Machine, Refused};

const MANAGER: Address = Address::repeat_byte(0xd1);
const OWNER_OF_MANAGER: Address = Address::repeat_byte(0xd2);
/// Answers every question with 1.
const TOKEN_APPROVED: Address = Address::repeat_byte(0xd3);
/// Answers every question with 0.
const TOKEN_NOT_APPROVED: Address = Address::repeat_byte(0xd4);

/// Cases of each of the two tests, a hundred thousand by `QUORATE_DELEGATION_CASES=100000`.
fn number_of_cases(usually: u32) -> u32 {
    std::env::var("QUORATE_DELEGATION_CASES").map_or(usually, |number| number.parse().unwrap())
}

/// The framework, deployed at addresses of our own.
struct Framework {
    machine: Machine,
    deployed: Vec<(Address, Enforcer)>,
}

impl Framework {
    fn new(contracts: &BTreeMap<String, Bytes>) -> Self {
        let mut machine = Machine::new();
        machine.place(MANAGER, &contracts["DelegationManager"], &[OWNER_OF_MANAGER.into_word()]);
        let deployed: Vec<_> =
            (0xe0..).map(Address::repeat_byte).zip(Enforcer::ALL.iter().copied()).collect();
        for (address, enforcer) in &deployed {
            machine.place(*address, &contracts[&enforcer.to_string()], &[]);
        }
        for (token, answer) in [(TOKEN_APPROVED, 1), (TOKEN_NOT_APPROVED, 0)] {
            machine.set_code(token, Bytecode::new_raw(constant(answer)));
        }
        Self { machine, deployed }
    }

    fn address_of(&self, enforcer: Enforcer) -> Address {
        self.deployed.iter().find(|(_, deployed)| *deployed == enforcer).unwrap().0
    }
}

/// `PUSH1 answer PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN`.
fn constant(answer: u8) -> Bytes {
    vec![0x60, answer, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3].into()
}

/// What a contract says as it refuses, in words.
fn said(refused: &Refused) -> String {
    let overflow = Panic::from(PanicKind::UnderOverflow).abi_encode();
    match refused {
        Refused::Because(reason) => reason.clone(),
        Refused::Silently => SILENTLY.to_owned(),
        Refused::With(data) if data[..] == overflow => PANIC.to_owned(),
        other => format!("{other:?}"),
    }
}

const PANIC: &str = "Panic(0x11)";
const SILENTLY: &str = "no data";

/// What the core says that the contract says.
fn foretold(forbidden: &Forbidden) -> String {
    match (forbidden.revert_text(), forbidden.reason) {
        (Some(text), _) => text.to_string(),
        (None, Reason::Overflow) => PANIC.to_owned(),
        (None, Reason::TooShort) => SILENTLY.to_owned(),
        (None, other) => panic!("{other:?} has no text"),
    }
}
