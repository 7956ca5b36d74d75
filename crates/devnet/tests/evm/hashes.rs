//! The hashes of user operations against `getUserOpHash` of every entry point.

use std::cell::{Cell, RefCell};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use quorate_contracts::EntryPoint;
use quorate_core::{
    Encode, EntryPointVersion, HashError, PackedUserOperation, PaymasterSignature, UserOperation,
};
use revm::bytecode::Bytecode;

use crate::abi::{self, EntryPointFromV07};
use crate::machine::{Hex, Machine, Refused};
use crate::{contracts, for_all};

const CASES: u32 = 10_000;
const ENTRY_POINT: Address = Address::repeat_byte(0x9a);

/// The code of an account that is its own.
const CONTRACT: Address = Address::repeat_byte(0x9b);
/// An account that has delegated its code to [`DELEGATE`].
const DELEGATED: Address = Address::repeat_byte(0x9c);
const DELEGATE: Address = Address::repeat_byte(0x9d);

#[test]
fn v0_6() {
    compare(&contracts().entry_point, &operation(), |operation, chain_id| {
        let question = EntryPoint::getUserOpHashCall {
            userOp: EntryPoint::UserOperation {
                sender: operation.sender,
                nonce: operation.nonce,
                initCode: operation.init_code.0.clone().into(),
                callData: operation.call_data.0.clone().into(),
                callGasLimit: operation.call_gas_limit,
                verificationGasLimit: operation.verification_gas_limit,
                preVerificationGas: operation.pre_verification_gas,
                maxFeePerGas: operation.max_fee_per_gas,
                maxPriorityFeePerGas: operation.max_priority_fee_per_gas,
                paymasterAndData: operation.paymaster_and_data.0.clone().into(),
                // No hash covers it.
                signature: operation.call_data.0.clone().into(),
            },
        };
        (Ok(operation.hash(ENTRY_POINT, chain_id)), question)
    });
}

#[test]
fn v0_7() {
    compare(&contracts().entry_point_v0_7, &packed_operation(), |operation, chain_id| {
        let hash = operation.hash_v0_7(ENTRY_POINT, chain_id);
        if let Ok(unpacked) = operation.unpack(EntryPointVersion::V0_7, Some(DELEGATE)) {
            assert_eq!(unpacked.hash_v0_7(ENTRY_POINT, chain_id), Ok(hash));
        }
        (Ok(hash), question(operation))
    });
}

#[test]
fn v0_8() {
    let refused = compare(&contracts().entry_point_v0_8, &packed_operation(), |operation, chain_id| {
        let hash = operation.hash_v0_8(ENTRY_POINT, chain_id, delegate(operation.sender));
        if let (Ok(hash), Ok(unpacked)) =
            (&hash, operation.unpack(EntryPointVersion::V0_8, delegate(operation.sender)))
        {
            assert_eq!(unpacked.hash_v0_8(ENTRY_POINT, chain_id), *hash);
        }
        (hash, question(operation))
    });
    assert!(refused >= 100, "too few accounts without a delegate: {refused}");
}

#[test]
fn v0_9() {
    let refused = compare(&contracts().entry_point_v0_9, &packed_operation(), |operation, chain_id| {
        let hash = operation.hash_v0_9(ENTRY_POINT, chain_id, delegate(operation.sender));
        if let Ok(unpacked) = operation.unpack(EntryPointVersion::V0_9, delegate(operation.sender)) {
            assert_eq!(unpacked.hash_v0_9(ENTRY_POINT, chain_id), hash);
        }
        (hash, question(operation))
    });
    assert!(refused >= 100, "too few operations without a hash: {refused}");
}

/// Compares the core's hash with the contract's answer to a question, and gives how often there is none for both.
#[track_caller]
fn compare<O, C: SolCall<Return = B256>>(
    creation: &Bytes,
    operations: &impl Strategy<Value = O>,
    both: impl Fn(&O, u64) -> (Result<B256, HashError>, C),
) -> u32 {
    let mut machine = Machine::new();
    machine.place(ENTRY_POINT, creation, &[]);
    machine.set_code(CONTRACT, Bytecode::new_raw([0].into()));
    machine.set_code(DELEGATED, Bytecode::new_eip7702(DELEGATE));
    let (machine, refused) = (RefCell::new(machine), Cell::new(0));
    let chain_ids = prop_oneof![Just(1_u64), Just(80_002), any::<u64>()];
    for_all(CASES, &(operations, chain_ids), |(operation, chain_id)| {
        let (hash, question) = both(&operation, chain_id);
        let mut machine = machine.borrow_mut();
        machine.set_chain_id(chain_id);
        match (hash, machine.ask(ENTRY_POINT, &question)) {
            (Ok(hash), answer) => prop_assert_eq!(Ok(hash), answer),
            (Err(_), Err(Refused::Because(_) | Refused::With(_))) => refused.set(refused.get() + 1),
            (Err(error), answer) => prop_assert!(false, "core: {error}, contract: {answer:?}"),
        }
        Ok(())
    });
    refused.get()
}

fn delegate(sender: Address) -> Option<Address> {
    (sender == DELEGATED).then_some(DELEGATE)
}

fn question(operation: &PackedUserOperation<Hex>) -> EntryPointFromV07::getUserOpHashCall {
    let operation = abi::PackedUserOperation {
        sender: operation.sender,
        nonce: operation.nonce,
        initCode: operation.init_code.0.clone().into(),
        callData: operation.call_data.0.clone().into(),
        accountGasLimits: operation.account_gas_limits,
        preVerificationGas: operation.pre_verification_gas,
        gasFees: operation.gas_fees,
        paymasterAndData: operation.paymaster_and_data.0.clone().into(),
        // No hash covers it.
        signature: operation.call_data.0.clone().into(),
    };
    EntryPointFromV07::getUserOpHashCall { userOp: operation }
}

fn operation() -> impl Strategy<Value = UserOperation<Hex>> {
    let head = (address(), number(), bytes(), bytes(), bytes());
    (head, prop::array::uniform5(number())).prop_map(|(head, numbers)| {
        let (sender, nonce, init_code, call_data, paymaster_and_data) = head;
        let [
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas,
            max_fee_per_gas,
            max_priority_fee_per_gas,
        ] = numbers;
        UserOperation {
            sender,
            nonce,
            init_code,
            call_data,
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            paymaster_and_data,
        }
    })
}

fn packed_operation() -> impl Strategy<Value = PackedUserOperation<Hex>> {
    let sender = prop_oneof![2 => address(), 1 => Just(CONTRACT), 2 => Just(DELEGATED)];
    let head = (sender, number(), init_code(), bytes(), paymaster_and_data());
    (head, prop::array::uniform3(number())).prop_map(|(head, numbers)| {
        let (sender, nonce, init_code, call_data, paymaster_and_data) = head;
        let [account_gas_limits, pre_verification_gas, gas_fees] = numbers;
        PackedUserOperation {
            sender,
            nonce,
            init_code,
            call_data,
            account_gas_limits: account_gas_limits.into(),
            pre_verification_gas,
            gas_fees: gas_fees.into(),
            paymaster_and_data,
        }
    })
}

/// Of a factory, or with the marker of EIP-7702, whole, cut, or not quite.
fn init_code() -> impl Strategy<Value = Hex> {
    let marked = (bytes(), 0..60_usize, prop::option::weighted(0.2, 0..20_usize)).prop_map(
        |(Hex(data), len, spoilt)| {
            let mut bytes = [&[0x77, 0x02][..], &[0; 18], &data].concat();
            if let Some(at) = spoilt {
                bytes[at] ^= 1;
            }
            bytes.truncate(len);
            Hex(bytes)
        },
    );
    prop_oneof![1 => Just(Hex(Vec::new())), 2 => bytes(), 3 => marked]
}

/// Of any bytes, with a paymaster's signature at the end, or with what looks like one and is too long.
fn paymaster_and_data() -> impl Strategy<Value = Hex> {
    let signed =
        (bytes(), prop::collection::vec(any::<u8>(), 1..80)).prop_map(|(Hex(mut bytes), signature)| {
            bytes.extend(PaymasterSignature::new(&signature).unwrap().to_vec());
            Hex(bytes)
        });
    let announced = (bytes(), 0..120_u16).prop_map(|(Hex(mut bytes), announced)| {
        bytes.extend(announced.to_be_bytes());
        bytes.extend([0x22, 0xe3, 0x25, 0xa2, 0x97, 0x43, 0x96, 0x56]);
        Hex(bytes)
    });
    prop_oneof![1 => Just(Hex(Vec::new())), 2 => bytes(), 2 => signed, 2 => announced]
}

fn bytes() -> impl Strategy<Value = Hex> {
    prop::collection::vec(any::<u8>(), 0..160).prop_map(Hex)
}

fn number() -> impl Strategy<Value = U256> {
    prop_oneof![
        1 => Just(U256::ZERO),
        1 => Just(U256::MAX),
        2 => any::<u64>().prop_map(U256::from),
        4 => any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}
