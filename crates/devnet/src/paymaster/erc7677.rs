use alloy_primitives::{Address, U256};
use quorate_core::{EntryPointVersion, PackedUserOperation, UnpackedUserOperation};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::RequestError;
use super::operation::Operation;
use super::sponsor::{DEFAULT_LIFETIME, Payment, Sponsor};
use crate::place::ENTRY_POINT;

/// What ERC-7677 leaves to the service: a token, or nothing for an operation that is sponsored.
#[derive(Default, Deserialize)]
struct Context {
    token: Option<Address>,
}

/// What the paymaster of EntryPoint v0.7 does after the call: nothing.
const POST_OP_GAS_V0_7: u64 = 0;

/// Answers `pm_getPaymasterStubData`.
pub(crate) fn stub_data(sponsor: &Sponsor, params: Value) -> Result<Value, RequestError> {
    if is_of_v0_7(&params) {
        read_v0_7(sponsor, "pm_getPaymasterStubData", params)?;
        return Ok(json!({
            "paymaster": sponsor.contracts().verifying_paymaster_v0_7,
            "paymasterData": sponsor.stub_v0_7(),
            "paymasterPostOpGasLimit": U256::from(POST_OP_GAS_V0_7),
            "isFinal": false,
        }));
    }
    let (_, payment) = read(sponsor, "pm_getPaymasterStubData", params)?;
    Ok(json!({ "paymasterAndData": sponsor.stub(payment), "isFinal": false }))
}

/// Answers `pm_getPaymasterData`.
pub(crate) async fn data(sponsor: &Sponsor, params: Value) -> Result<Value, RequestError> {
    if is_of_v0_7(&params) {
        let operation = read_v0_7(sponsor, "pm_getPaymasterData", params)?;
        let (paymaster, data) = sponsor.sign_v0_7(&operation).await?;
        return Ok(json!({ "paymaster": paymaster, "paymasterData": data }));
    }
    let (operation, payment) = read(sponsor, "pm_getPaymasterData", params)?;
    let data = sponsor.sign(&operation, payment, DEFAULT_LIFETIME).await?;
    Ok(json!({ "paymasterAndData": data }))
}

fn read(
    sponsor: &Sponsor,
    method: &'static str,
    params: Value,
) -> Result<(Operation, Payment), RequestError> {
    let (operation, entry_point, chain_id, context): (Operation, Address, U256, Option<Context>) =
        serde_json::from_value(params).map_err(|source| RequestError::Params { method, source })?;
    if entry_point != ENTRY_POINT {
        return Err(RequestError::UnsupportedEntryPoint { actual: entry_point, expected: ENTRY_POINT });
    }
    check_chain(sponsor, chain_id)?;
    let payment = match context.unwrap_or_default().token {
        Some(token) => Payment::Token(sponsor.token(token)?),
        None => Payment::Sponsored,
    };
    Ok((operation, payment))
}

fn is_of_v0_7(params: &Value) -> bool {
    let entry_point = params.get(1).and_then(Value::as_str).and_then(|text| text.parse().ok());
    entry_point == Some(EntryPointVersion::V0_7.address())
}

/// Everything that is asked for at EntryPoint v0.7 is sponsored.
fn read_v0_7(
    sponsor: &Sponsor,
    method: &'static str,
    params: Value,
) -> Result<PackedUserOperation<Vec<u8>>, RequestError> {
    let (operation, _, chain_id, _): (UnpackedUserOperation<Vec<u8>>, Address, U256, Value) =
        serde_json::from_value(params).map_err(|source| RequestError::Params { method, source })?;
    check_chain(sponsor, chain_id)?;
    Ok(operation.pack())
}

fn check_chain(sponsor: &Sponsor, chain_id: U256) -> Result<(), RequestError> {
    let expected = sponsor.chain_id();
    if chain_id == U256::from(expected) {
        Ok(())
    } else {
        Err(RequestError::UnsupportedChain { actual: chain_id.to_string(), expected })
    }
}
