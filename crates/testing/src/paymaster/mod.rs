//! The chain's paymaster services.

mod biconomy;
pub(crate) mod contract;
mod erc7677;
mod fault;
mod service;

use std::sync::Mutex;

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use quorate_transport::{Repeat, RpcError, Transport, TransportError};
use serde_json::Value;

pub use fault::PaymasterFault;

use self::service::Service;
use crate::{
    chain::ScriptedChain,
    fault::{Endpoint, Fault, Script, faults_on_demand, lock},
    mempool::error,
    state::State,
};

/// A paymaster's service of a [`ScriptedChain`].
///
/// It answers in two dialects: `pm_sponsorUserOperation` and `pm_getFeeQuoteOrData` as Biconomy's service, and
/// `pm_getPaymasterStubData` and `pm_getPaymasterData` as ERC-7677 has them for EntryPoint v0.6. It sponsors whatever
/// it is asked to, and takes every ERC-20 token of the chain at one rate.
///
/// Its two contracts are at Biconomy's addresses and are there once [`ScriptedChain::paymaster`] was called, each with
/// a deposit of 100 ether. They take operations exactly as the service signed them, gas and fees included. The one for
/// tokens collects after the calls, by the allowance that the account gave it; where that fails, the calls are
/// undone, and the account owes the tokens and is refused from then on. The balance of a paymaster id in the
/// verifying contract, and the gas that a paymaster uses, are not modelled, and signatures are no ECDSA ones.
///
/// ```
/// use alloy_primitives::{Address, U256};
/// use quorate_testing::{PaymasterFault, ScriptedChain, ScriptedPaymaster};
/// use quorate_transport::{TransportError, TransportExt};
/// use serde_json::{Value, json};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), TransportError> {
/// let chain = ScriptedChain::new();
/// let paymaster = chain.paymaster();
/// let operation = json!({
///     "sender": Address::repeat_byte(1),
///     "nonce": "0x0",
///     "initCode": "0x",
///     "callData": "0x",
///     "maxFeePerGas": "0x77359400",
///     "maxPriorityFeePerGas": "0x3b9aca00",
/// });
/// let request = (operation, chain.deployment().entry_point, U256::from(chain.chain_id()), json!({}));
/// let answer: Value = paymaster.call("pm_getPaymasterData", request.clone()).await?;
/// let data = answer["paymasterAndData"].as_str().unwrap_or_default().to_lowercase();
/// assert!(data.starts_with(&format!("{:#x}", ScriptedPaymaster::VERIFYING_PAYMASTER)));
///
/// paymaster.fault_next(PaymasterFault::Refuse("no budget left".to_owned()));
/// let refused = paymaster.call::<Value>("pm_getPaymasterData", request).await;
/// assert!(refused.is_err_and(|error| error.to_string().contains("no budget left")));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ScriptedPaymaster {
    chain: ScriptedChain,
    index: usize,
    script: Script,
    service: Mutex<Service>,
}

impl ScriptedPaymaster {
    /// The contract of sponsored operations, Biconomy's `VerifyingSingletonPaymaster` 1.1.0.
    pub const VERIFYING_PAYMASTER: Address = contract::VERIFYING;
    /// The contract of operations that are paid in tokens; it is the spender that needs the allowance.
    pub const TOKEN_PAYMASTER: Address = contract::TOKEN;

    pub(crate) fn new(chain: ScriptedChain, index: usize) -> Self {
        Self { chain, index, script: Script::default(), service: Mutex::default() }
    }

    /// What it is called in [`ScriptedChain::requests`].
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint::Paymaster(self.index)
    }

    faults_on_demand!("the service is down");

    /// Makes the service err in each answer from now on, or no longer.
    pub fn set_fault(&self, fault: Option<PaymasterFault>) {
        lock(&self.service).fault = fault;
    }

    /// Makes the service err once: in the next data that it signs, or for [`PaymasterFault::Refuse`] at the next
    /// request. Several come one after another.
    pub fn fault_next(&self, fault: PaymasterFault) {
        lock(&self.service).once.push_back(fault);
    }

    /// Takes all faults and the hook away.
    pub fn clear_faults(&self) {
        self.script.clear();
        let mut service = lock(&self.service);
        service.fault = None;
        service.once.clear();
    }

    /// The gas that the service's own estimates name: before verification, verification and call. Added for
    /// verification are 150 000 where the account is deployed, and 40 000 for what the paymaster does after the call,
    /// 80 000 where that takes tokens.
    pub fn set_gas(&self, pre_verification: u64, verification: u64, call: u64) {
        lock(&self.service).gas = [pre_verification, verification, call];
    }

    /// What tokens cost: the smallest units of any token for 10^18 wei. At first a token is worth 1/2000 ether.
    pub fn set_tokens_per_ether(&self, units: U256) {
        lock(&self.service).tokens_per_ether = units;
    }

    /// For how many seconds data is good unless the request says; 300 at first.
    pub fn set_lifetime(&self, seconds: u64) {
        lock(&self.service).lifetime = seconds;
    }

    fn answer(&self, state: &State, method: &str, params: &Value) -> Result<Value, RpcError> {
        let mut service = lock(&self.service);
        service.refuse()?;
        match method {
            "pm_sponsorUserOperation" => biconomy::sponsor(&mut service, state, params),
            "pm_getFeeQuoteOrData" => biconomy::quote_or_data(&mut service, state, params),
            "pm_getPaymasterStubData" => erc7677::stub_data(&service, state, params),
            "pm_getPaymasterData" => erc7677::data(&mut service, state, params),
            _ => Err(error(-32601, &format!("there is no method {method}"))),
        }
    }
}

#[async_trait]
impl Transport for ScriptedPaymaster {
    async fn request(&self, method: &str, params: Value, _repeat: Repeat) -> Result<Value, TransportError> {
        let act = |state: &mut State| self.answer(state, method, &params);
        self.chain.respond(self.endpoint(), &self.script, method, &params, act).await
    }
}
