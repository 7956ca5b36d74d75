//! Biconomy's methods.

use alloy_primitives::{Address, U256};
use quorate_transport::RpcError;
use serde_json::{Value, json};

use super::{
    contract::TOKEN,
    service::{Payment, Service, end},
};
use crate::{
    mempool::invalid_fields,
    operation::{self, Operation},
    state::State,
};

/// A quote in percent of what the operation costs as it is, since the approval may not be in it yet.
const QUOTE_PERCENT: u64 = 120;

/// Answers `pm_sponsorUserOperation`.
pub(crate) fn sponsor(service: &mut Service, state: &State, params: &Value) -> Result<Value, RpcError> {
    let (operation, options) = read(params)?;
    let payment = if options.in_tokens() {
        Service::in_token(state, address(&options.0["tokenInfo"]["feeTokenAddress"]))?
    } else {
        Payment::Sponsored
    };
    signed(service, state, operation, payment, options)
}

/// Answers `pm_getFeeQuoteOrData`.
pub(crate) fn quote_or_data(service: &mut Service, state: &State, params: &Value) -> Result<Value, RpcError> {
    let (mut operation, options) = read(params)?;
    if !options.in_tokens() {
        let mut data = signed(service, state, operation, Payment::Sponsored, options)?;
        data["mode"] = json!("SPONSORED");
        return Ok(data);
    }
    let wanted = &options.0["tokenInfo"];
    let list: Vec<Address> =
        wanted["tokenList"].as_array().into_iter().flatten().filter_map(address).collect();
    let preferred = address(&wanted["preferredToken"]);
    let supported = &state.rules.tokens;
    let is_wanted =
        |token: &&Address| list.is_empty() || list.contains(token) || preferred.as_ref() == Some(token);
    let mut tokens: Vec<Address> = supported.iter().filter(is_wanted).copied().collect();
    tokens.sort_by_key(|token| Some(*token) != preferred);
    if let Some(first) = tokens.first().filter(|_| options.calculates_gas()) {
        operation = service.with_estimated_gas(state, operation, Payment::Token(*first))?;
    }
    let units = service.max_charge(&operation).saturating_mul(U256::from(QUOTE_PERCENT));
    let max_gas_fee = whole_tokens(units.div_ceil(U256::from(100)));
    let valid_until = end(state.next_timestamp(), options.lifetime(service));
    let quote = |token: &Address| {
        json!({
            "symbol": "TKN",
            "decimal": 18,
            "tokenAddress": token,
            "maxGasFee": max_gas_fee,
            "maxGasFeeUSD": max_gas_fee,
            "exchangeRate": service.tokens_per_ether.to_string(),
            "premiumPercentage": "0",
            "validUntil": valid_until,
            "logoUrl": "",
        })
    };
    Ok(json!({
        "mode": "ERC20",
        "paymasterAddress": TOKEN,
        "feeQuotes": tokens.iter().map(quote).collect::<Vec<_>>(),
        "unsupportedTokens": list.iter().filter(|token| !supported.contains(*token)).collect::<Vec<_>>(),
    }))
}

/// The second parameter of either method. What else is in it changes nothing.
#[derive(Clone, Copy)]
struct Options<'a>(&'a Value);

impl Options<'_> {
    fn in_tokens(self) -> bool {
        self.0["mode"] == "ERC20"
    }

    fn calculates_gas(self) -> bool {
        self.0["calculateGasLimits"].as_bool().unwrap_or(true)
    }

    fn lifetime(self, service: &Service) -> u64 {
        self.0["expiryDuration"].as_u64().unwrap_or(service.lifetime)
    }
}

fn read(params: &Value) -> Result<(Operation, Options<'_>), RpcError> {
    let operation = operation::read_unsigned(params.get(0).unwrap_or(&Value::Null))
        .map_err(|reason| invalid_fields(&format!("Validation error: {reason} at \"params[0]\"")))?;
    Ok((operation, Options(params.get(1).unwrap_or(&Value::Null))))
}

/// Signs, after an estimate if that is wanted, and answers with the gas limits.
fn signed(
    service: &mut Service,
    state: &State,
    mut operation: Operation,
    payment: Payment,
    options: Options<'_>,
) -> Result<Value, RpcError> {
    if options.calculates_gas() {
        operation = service.with_estimated_gas(state, operation, payment)?;
    }
    let (data, factor) = service.sign(state, &operation, payment, options.lifetime(service))?;
    let limit = |gas: U256| gas.saturating_mul(U256::from(factor));
    let op = &operation.operation;
    let verification = limit(op.verification_gas_limit);
    // The original mixes text and numbers as well.
    Ok(json!({
        "paymasterAndData": data,
        "preVerificationGas": limit(op.pre_verification_gas).to_string(),
        "verificationGasLimit": u64::try_from(verification)
            .map_or_else(|_| json!(verification.to_string()), |gas| json!(gas)),
        "callGasLimit": limit(op.call_gas_limit).to_string(),
    }))
}

/// An address, or none where the text is empty, as some clients have it.
fn address(value: &Value) -> Option<Address> {
    value.as_str()?.parse().ok()
}

/// Whole tokens of 18 decimals as a JSON number, which is no exact amount: rounded up to six decimals.
fn whole_tokens(units: U256) -> f64 {
    let millionths = units.div_ceil(U256::from(1_000_000_000_000_u64));
    f64::from(millionths) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_never_below_the_amount() {
        for (units, text) in [
            (1_u64, "1e-6"),
            (1_000_000_000_000, "1e-6"),
            (1_000_000_000_001, "2e-6"),
            (1_234_567_000_000_000_000, "1.234567"),
        ] {
            assert_eq!(json!(whole_tokens(U256::from(units))).to_string(), text);
        }
    }
}
