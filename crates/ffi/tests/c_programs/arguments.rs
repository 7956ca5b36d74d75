//! Operations and sessions as arguments of `tests/c/review.c`.

use quorate_core::{Address, B256, Domain, PackedUserOperation, SessionLeaf, UserOperation};
use quorate_ffi::constants::{QUORATE_V0_6, QUORATE_V0_7};
use serde_json::Value;

/// Digits in hex, which may be none.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// `quorate_operation`'s fields, and the call data.
pub(crate) fn v0_6(domain: Domain, operation: &UserOperation<&[u8]>) -> Vec<String> {
    let number = |number: quorate_core::U256| hex(number.to_be_bytes::<32>());
    let mut arguments = begin(QUORATE_V0_6, domain, operation.sender, operation.nonce, operation.init_code);
    arguments.extend([
        number(operation.call_gas_limit),
        number(operation.verification_gas_limit),
        number(operation.pre_verification_gas),
        number(operation.max_fee_per_gas),
        number(operation.max_priority_fee_per_gas),
        hex(B256::ZERO),
        hex(B256::ZERO),
        hex(operation.paymaster_and_data),
        String::new(),
        hex(operation.call_data),
    ]);
    arguments
}

/// The same of a later entry point, whose version is the `at`th from v0.7 on.
pub(crate) fn packed(
    at: u32,
    domain: Domain,
    operation: &PackedUserOperation<&[u8]>,
    delegate: Option<Address>,
) -> Vec<String> {
    let mut arguments =
        begin(QUORATE_V0_7 + at, domain, operation.sender, operation.nonce, operation.init_code);
    let unused = || hex(B256::ZERO);
    arguments.extend([
        unused(),
        unused(),
        hex(operation.pre_verification_gas.to_be_bytes::<32>()),
        unused(),
        unused(),
        hex(operation.account_gas_limits),
        hex(operation.gas_fees),
        hex(operation.paymaster_and_data),
        delegate.map(hex).unwrap_or_default(),
        hex(operation.call_data),
    ]);
    arguments
}

fn begin(
    version: u32,
    domain: Domain,
    sender: Address,
    nonce: quorate_core::U256,
    init_code: &[u8],
) -> Vec<String> {
    vec![
        version.to_string(),
        hex(domain.entry_point),
        domain.chain_id.to_string(),
        hex(sender),
        hex(nonce.to_be_bytes::<32>()),
        hex(init_code),
    ]
}

pub(crate) fn session(leaf: &SessionLeaf<'_>) -> Vec<String> {
    vec![
        "session".to_owned(),
        leaf.epoch.valid_after().to_string(),
        leaf.epoch.valid_until().to_string(),
        hex(leaf.validation_module),
        hex(leaf.session_key_data),
    ]
}
