//! Operations of every shape, made of an account's calls.

use std::fmt;

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use quorate_contracts::SmartAccount;
use quorate_core::UserOperation;

use super::calls::{Calls, ControlCall};
use super::chain::{ABSENT, ACCOUNT};
use super::fields::{Fields, PaymasterData};
use super::mutation;
use super::sessions::{GRANTS, Grant};
use crate::machine::Hex;

/// An operation, all but what a paymaster signs; and the sessions that its review is given.
pub(crate) struct Case {
    pub(crate) operation: UserOperation<Vec<u8>>,
    pub(crate) paymaster: PaymasterData,
    pub(crate) grant: Option<&'static Grant>,
    text: String,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, paymaster, grant, text } = self;
        let hex = |bytes: &[u8]| Hex(bytes.to_vec());
        writeln!(f, "{text}")?;
        writeln!(f, "  sender           {}", operation.sender)?;
        writeln!(f, "  nonce            {:#x}", operation.nonce)?;
        writeln!(f, "  initCode         {:?}", hex(&operation.init_code))?;
        writeln!(f, "  callData         {:?}", hex(&operation.call_data))?;
        writeln!(
            f,
            "  gas              call {}, verification {}, pre-verification {}, at {} and {} wei",
            operation.call_gas_limit,
            operation.verification_gas_limit,
            operation.pre_verification_gas,
            operation.max_fee_per_gas,
            operation.max_priority_fee_per_gas
        )?;
        writeln!(f, "  paymasterAndData {paymaster:?}")?;
        match grant {
            Some(Grant { root, sessions }) => write!(f, "  shown {} sessions of {root}", sessions.len()),
            None => write!(f, "  shown no sessions"),
        }
    }
}

/// How the calls become call data.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// In `execute_ncC` or `executeBatch_y6U`.
    Execute,
    /// In `execute` or `executeBatch`.
    ExecuteOtherSelector,
    /// In a batch, even if it is but one.
    Batch,
    /// The first call's data is what the account is called with.
    Direct,
    Empty,
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        12 => Just(Shape::Execute),
        4 => Just(Shape::ExecuteOtherSelector),
        4 => Just(Shape::Batch),
        2 => Just(Shape::Direct),
        1 => Just(Shape::Empty),
    ]
}

/// Which sessions the review is given.
#[derive(Debug, Clone, Copy)]
enum Given {
    /// Those of the first root among the calls that is known.
    Matching,
    None,
    Any(usize),
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![14 => Just(Given::Matching), 3 => Just(Given::None), 1 => (0..GRANTS.len()).prop_map(Given::Any)]
}

impl Given {
    fn grant(self, calls: &[ControlCall]) -> Option<&'static Grant> {
        match self {
            Self::Matching => GRANTS.iter().find(|grant| calls.iter().any(|call| call.mentions(grant.root))),
            Self::None => None,
            Self::Any(grant) => GRANTS.get(grant),
        }
    }
}

/// Operations with these calls and fields.
pub(crate) fn operations(calls: Calls, fields: BoxedStrategy<Fields>) -> impl Strategy<Value = Case> {
    (calls, shape(), prop::option::weighted(0.06, mutation::of_call_data()), given(), fields).prop_map(
        |(mut calls, shape, mutation, given, fields)| {
            let sender = if fields.is_absent { *ABSENT } else { *ACCOUNT };
            for call in calls.iter_mut().filter(|call| call.to == *ACCOUNT) {
                call.to = sender;
            }
            let mut call_data = encode(&calls, shape);
            let mut text = format!("{calls:?} as {shape:?}");
            if let Some(mutation) = &mutation {
                mutation.apply(&mut call_data);
                text += &format!(", then {mutation:?}");
            }
            let (grant, paymaster) = (given.grant(&calls), fields.paymaster.clone());
            Case { operation: fields.operation(sender, call_data), paymaster, grant, text }
        },
    )
}

fn encode(calls: &[ControlCall], shape: Shape) -> Vec<u8> {
    match (shape, calls) {
        (Shape::Empty, _) | (_, []) => Vec::new(),
        (Shape::Direct, [call, ..]) => call.data.clone(),
        (Shape::Execute, [call]) => {
            SmartAccount::execute_ncCCall { dest: call.to, value: call.value, func: call.data.clone().into() }
                .abi_encode()
        }
        (Shape::ExecuteOtherSelector, [call]) => {
            SmartAccount::executeCall { dest: call.to, value: call.value, func: call.data.clone().into() }
                .abi_encode()
        }
        (shape, calls) => {
            let dest: Vec<Address> = calls.iter().map(|call| call.to).collect();
            let value: Vec<U256> = calls.iter().map(|call| call.value).collect();
            let func = calls.iter().map(|call| call.data.clone().into()).collect();
            if matches!(shape, Shape::ExecuteOtherSelector) {
                SmartAccount::executeBatchCall { dest, value, func }.abi_encode()
            } else {
                SmartAccount::executeBatch_y6UCall { dest, value, func }.abi_encode()
            }
        }
    }
}
