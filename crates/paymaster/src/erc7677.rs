use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U64, U256};
use async_trait::async_trait;
use quorate_transport::{Transport, TransportExt as _};
use serde::Deserialize;
use serde_json::{Map, Value, json};

mod v0_7;

pub use v0_7::PackedStub;

use crate::{GasLimits, Paymaster, PaymasterData, PaymasterError, PaymasterRequest, Payment, Stub};

/// A paymaster service by the standard's methods `pm_getPaymasterStubData` and `pm_getPaymasterData`.
///
/// For payment in a token the context's `token` names it, as is usual; the standard knows no quotes.
///
/// Source: [ERC-7677](https://eips.ethereum.org/EIPS/eip-7677).
#[derive(Clone, Debug)]
pub struct Erc7677 {
    transport: Arc<dyn Transport>,
    paymaster: Address,
    token_paymaster: Option<Address>,
    context: Map<String, Value>,
    post_op_gas: U256,
}

/// What paymasters were seen to do after the call, in gas.
const POST_OP_GAS: u64 = 80_000;

impl Erc7677 {
    /// The service at the other end of a transport, whose contract is `paymaster`. Data of another one is refused.
    pub fn new(transport: Arc<dyn Transport>, paymaster: Address) -> Self {
        Self {
            transport,
            paymaster,
            token_paymaster: None,
            context: Map::new(),
            post_op_gas: U256::from(POST_OP_GAS),
        }
    }

    /// The contract for operations that are paid in tokens, where it is another one.
    #[must_use]
    pub const fn with_token_paymaster(mut self, contract: Address) -> Self {
        self.token_paymaster = Some(contract);
        self
    }

    /// Adds to what the service is told with each request, such as `sponsorshipPolicyId`.
    #[must_use]
    pub fn with_context(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.context.insert(name.into(), value.into());
        self
    }

    /// What the contract needs after the call, in gas; 80 000 unless set.
    #[must_use]
    pub fn with_post_op_gas(mut self, gas: u64) -> Self {
        self.post_op_gas = U256::from(gas);
        self
    }

    async fn ask(&self, method: &str, request: &PaymasterRequest<'_>) -> Result<Answer, PaymasterError> {
        let mut context = self.context.clone();
        if let Payment::Token(token) = request.payment {
            context.insert("token".to_owned(), json!(token));
        }
        let chain_id = U64::from(request.chain_id);
        let params = (wire_operation(request), request.entry_point, chain_id, context);
        let wire: Wire = self.transport.call(method, params).await?;
        let v0_7 = [
            ("paymaster", wire.paymaster.is_some()),
            ("paymasterData", wire.paymaster_data.is_some()),
            ("paymasterVerificationGasLimit", wire.paymaster_verification_gas_limit.is_some()),
            ("paymasterPostOpGasLimit", wire.paymaster_post_op_gas_limit.is_some()),
        ];
        if let Some((field, _)) = v0_7.into_iter().find(|(_, is_there)| *is_there) {
            return Err(PaymasterError::OtherVersion { field });
        }
        let data = PaymasterData::new(wire.paymaster_and_data.unwrap_or_default().to_vec())?;
        data.check(&[self.contract(request.payment)], request.payment)?;
        Ok(Answer { data, gas: wire.gas, is_final: wire.is_final })
    }

    fn contract(&self, payment: Payment) -> Address {
        match payment {
            Payment::Sponsored => self.paymaster,
            Payment::Token(_) => self.token_paymaster.unwrap_or(self.paymaster),
        }
    }
}

struct Answer {
    data: PaymasterData,
    gas: GasLimits,
    is_final: bool,
}

#[async_trait]
impl Paymaster for Erc7677 {
    async fn stub(&self, request: &PaymasterRequest<'_>) -> Result<Stub, PaymasterError> {
        let Answer { data, gas, is_final } = self.ask("pm_getPaymasterStubData", request).await?;
        Ok(Stub { data, gas, is_final, post_op_gas: self.post_op_gas })
    }

    async fn data(&self, request: &PaymasterRequest<'_>) -> Result<PaymasterData, PaymasterError> {
        Ok(self.ask("pm_getPaymasterData", request).await?.data)
    }

    fn token_paymaster(&self) -> Option<Address> {
        Some(self.contract(Payment::Token(Address::ZERO)))
    }
}

/// The operation without signature and paymaster; gas that is not known is zero.
fn wire_operation(request: &PaymasterRequest<'_>) -> Value {
    let operation = request.operation;
    json!({
        "sender": operation.sender,
        "nonce": operation.nonce,
        "initCode": Bytes::copy_from_slice(&operation.init_code),
        "callData": Bytes::copy_from_slice(&operation.call_data),
        "callGasLimit": operation.call_gas_limit,
        "verificationGasLimit": operation.verification_gas_limit,
        "preVerificationGas": operation.pre_verification_gas,
        "maxFeePerGas": operation.max_fee_per_gas,
        "maxPriorityFeePerGas": operation.max_priority_fee_per_gas,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    paymaster_and_data: Option<Bytes>,
    #[serde(default)]
    is_final: bool,
    #[serde(flatten)]
    gas: GasLimits,
    paymaster: Option<Value>,
    paymaster_data: Option<Value>,
    paymaster_verification_gas_limit: Option<Value>,
    paymaster_post_op_gas_limit: Option<Value>,
}
