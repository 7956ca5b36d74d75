//! Who EntryPoint v0.6 has pay for an operation.

use alloy_primitives::Address;

/// Bytes for a paymaster that are too few to name one: the entry point reverts (AA93).
///
/// ```
/// # use quorate_protocol::{Limits, Uncountable};
/// # use quorate_core::{AccountCall, Address, Call, Encode, Execute, U256, UserOperation};
/// # let mut operation = UserOperation {
/// #     sender: Address::ZERO,
/// #     nonce: U256::ZERO,
/// #     init_code: Vec::new(),
/// #     call_data: Execute(Call::default()).to_vec(),
/// #     call_gas_limit: U256::ZERO,
/// #     verification_gas_limit: U256::ZERO,
/// #     pre_verification_gas: U256::ZERO,
/// #     max_fee_per_gas: U256::ZERO,
/// #     max_priority_fee_per_gas: U256::ZERO,
/// #     paymaster_and_data: Vec::new(),
/// # };
/// # let call_data = operation.call_data.clone();
/// # let calls = AccountCall::decode(&call_data)?;
/// operation.paymaster_and_data = vec![7; 19];
/// let refused = Limits::default().amounts(&operation, &calls).unwrap_err();
/// assert!(matches!(refused, Uncountable::MalformedPaymaster(malformed) if malformed.len == 19));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the operation's paymaster data has {len} bytes; it is empty, or an address of 20 bytes and what follows"
)]
pub struct MalformedPaymaster {
    /// The number of bytes of `paymasterAndData`.
    pub len: usize,
}

/// The paymaster that the entry point asks; none where it has the account pay, as it does for the zero address.
pub(crate) fn of(paymaster_and_data: &[u8]) -> Result<Option<Address>, MalformedPaymaster> {
    if paymaster_and_data.is_empty() {
        return Ok(None);
    }
    let malformed = MalformedPaymaster { len: paymaster_and_data.len() };
    let paymaster = Address::from(*paymaster_and_data.first_chunk::<20>().ok_or(malformed)?);
    Ok((!paymaster.is_zero()).then_some(paymaster))
}
