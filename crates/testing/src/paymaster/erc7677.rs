//! The standard's methods, for EntryPoint v0.6.

use alloy_primitives::{Address, U256};
use quorate_transport::RpcError;
use serde_json::{Value, json};

use super::service::{Payment, Service};
use crate::{
    mempool::invalid_fields,
    operation::{self, Operation},
    params,
    state::State,
};

/// Answers `pm_getPaymasterStubData`.
pub(crate) fn stub_data(service: &Service, state: &State, params: &Value) -> Result<Value, RpcError> {
    let (_, payment) = read(state, params)?;
    Ok(json!({ "paymasterAndData": service.stub(payment), "isFinal": false }))
}

/// Answers `pm_getPaymasterData`.
pub(crate) fn data(service: &mut Service, state: &State, params: &Value) -> Result<Value, RpcError> {
    let (operation, payment) = read(state, params)?;
    let (data, _) = service.sign(state, &operation, payment, service.lifetime)?;
    Ok(json!({ "paymasterAndData": data }))
}

fn read(state: &State, params: &Value) -> Result<(Operation, Payment), RpcError> {
    let operation = operation::read_unsigned(params.get(0).unwrap_or(&Value::Null))
        .map_err(|reason| invalid_fields(&format!("Validation error: {reason} at \"params[0]\"")))?;
    let entry_point: Address = params::read(params, 1)?;
    let expected = state.rules.deployment.entry_point;
    if entry_point != expected {
        return Err(invalid_fields(&format!("EntryPoint {entry_point} not supported, use {expected}")));
    }
    let chain_id: U256 = params::read(params, 2)?;
    let expected = state.rules.chain_id;
    if chain_id != U256::from(expected) {
        return Err(invalid_fields(&format!(
            "chain {chain_id} not supported, the service is for {expected}"
        )));
    }
    let token = params.get(3).and_then(|context| context.get("token")).filter(|token| !token.is_null());
    let payment = match token {
        Some(token) => Service::in_token(state, serde_json::from_value(token.clone()).ok())?,
        None => Payment::Sponsored,
    };
    Ok((operation, payment))
}
