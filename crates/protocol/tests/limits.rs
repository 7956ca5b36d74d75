//! What an operation adds to the totals that a key's limits bound.

#![allow(clippy::unwrap_used, reason = "an operation that should be counted and is not has failed")]

use alloy_primitives::{Address, U256};
use quorate_core::{AccountCall, Call, Encode as _, Execute, UserOperation};
use quorate_protocol::{Limits, MalformedPaymaster, PaymasterRule, Uncountable};

/// An operation with 10 gas for the call, 100 for verification and 1000 before it, at 1 wei.
fn paid_by(paymaster_and_data: &[u8]) -> UserOperation<Vec<u8>> {
    UserOperation {
        sender: Address::repeat_byte(0xaa),
        nonce: U256::ZERO,
        init_code: Vec::new(),
        call_data: Execute(Call { to: Address::repeat_byte(0x0f), value: U256::ZERO, data: &[] }).to_vec(),
        call_gas_limit: U256::from(10),
        verification_gas_limit: U256::from(100),
        pre_verification_gas: U256::from(1000),
        max_fee_per_gas: U256::ONE,
        max_priority_fee_per_gas: U256::ONE,
        paymaster_and_data: paymaster_and_data.to_vec(),
    }
}

/// The gas cost that is counted for an operation paid for like this, under that rule.
fn gas_cost(paymaster: PaymasterRule, paymaster_and_data: &[u8]) -> Result<u64, Uncountable> {
    let limits = Limits { gas_cost: Some(U256::MAX), paymaster, ..Limits::default() };
    let operation = paid_by(paymaster_and_data);
    let calls = AccountCall::decode(&operation.call_data).unwrap();
    limits.amounts(&operation, &calls).map(|amounts| amounts[0].to())
}

#[test]
fn a_paymaster_is_what_the_entry_point_takes_for_one() {
    let last_byte = [[0; 19].as_slice(), &[1]].concat();
    let zero_with_data = [[0; 20].as_slice(), &[0x77; 32]].concat();
    let paymaster = Address::from_slice(&last_byte);
    let (none, three) = (Ok(1110), Ok(1310));
    let required = Err(Uncountable::PaymasterRequired);
    let forbidden = Err(Uncountable::PaymasterForbidden { paymaster });

    for (paymaster_and_data, any, when_required, when_forbidden) in [
        (&[][..], none, required, none),
        (&[0; 20], none, required, none),
        (&zero_with_data, none, required, none),
        (&last_byte, three, three, forbidden),
    ] {
        assert_eq!(gas_cost(PaymasterRule::Any, paymaster_and_data), any);
        assert_eq!(gas_cost(PaymasterRule::Required, paymaster_and_data), when_required);
        assert_eq!(gas_cost(PaymasterRule::Forbidden, paymaster_and_data), when_forbidden);
    }
}

#[test]
fn a_paymaster_of_fewer_than_20_bytes_is_refused_whatever_the_rule() {
    for len in 1..20 {
        for rule in [PaymasterRule::Any, PaymasterRule::Required, PaymasterRule::Forbidden] {
            for byte in [0, 0x77] {
                let refused = gas_cost(rule, &vec![byte; len]).unwrap_err();
                assert_eq!(refused, Uncountable::MalformedPaymaster(MalformedPaymaster { len }));
            }
        }
    }
}
