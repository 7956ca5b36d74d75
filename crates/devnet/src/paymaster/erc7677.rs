use alloy_primitives::{Address, U256};
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

/// Answers `pm_getPaymasterStubData`.
pub(crate) fn stub_data(sponsor: &Sponsor, params: Value) -> Result<Value, RequestError> {
    let (_, payment) = read(sponsor, "pm_getPaymasterStubData", params)?;
    Ok(json!({ "paymasterAndData": sponsor.stub(payment), "isFinal": false }))
}

/// Answers `pm_getPaymasterData`.
pub(crate) async fn data(sponsor: &Sponsor, params: Value) -> Result<Value, RequestError> {
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
    if chain_id != U256::from(sponsor.chain_id()) {
        return Err(RequestError::UnsupportedChain {
            actual: chain_id.to_string(),
            expected: sponsor.chain_id(),
        });
    }
    let payment = match context.unwrap_or_default().token {
        Some(token) => Payment::Token(sponsor.token(token)?),
        None => Payment::Sponsored,
    };
    Ok((operation, payment))
}
