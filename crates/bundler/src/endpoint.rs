//! One bundler's methods, as requests and answers.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, B256};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use quorate_transport::{Transport, TransportExt as _, decode_result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    BundlerError, Dialect, FeeAdvice, OperationStatus, SendOutcome, SignedOperation, Simulation,
    StateOverride, UserOperationByHash, UserOperationReceipt, dialect, error, receipt,
    simulation::SendOptions, status, types,
};

/// A bundler behind one transport.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    transport: Arc<dyn Transport>,
    /// What clones found out serves all of them.
    dialect: Arc<OnceLock<Dialect>>,
}

impl Endpoint {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, dialect: Arc::default() }
    }

    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = Arc::new(OnceLock::from(dialect));
    }

    async fn dialect(&self) -> Result<Dialect, BundlerError> {
        match self.dialect.get() {
            Some(dialect) => Ok(*dialect),
            None => Ok(self.discover().await?.0),
        }
    }

    /// Asks for the fees by each method there is at once, and remembers the first dialect that has an answer.
    async fn discover(&self) -> Result<(Dialect, Option<FeeAdvice>), BundlerError> {
        let asked = dialect::WITH_FEES
            .into_iter()
            .map(|dialect| async move { (dialect, self.fees_of(dialect).await) });
        let mut answers: FuturesOrdered<_> = asked.collect();
        let mut found = (Dialect::Standard, None);
        while let Some((dialect, advice)) = answers.next().await {
            if let Some(advice) = advice? {
                found = (dialect, Some(advice));
                break;
            }
        }
        // Where two find out at once, the first word counts for both.
        let _ = self.dialect.set(found.0);
        Ok(found)
    }

    async fn fees_of(&self, dialect: Dialect) -> Result<Option<FeeAdvice>, BundlerError> {
        let Some(method) = dialect.fee_method() else { return Ok(None) };
        let answer = self.transport.call(method, ()).await;
        Ok(dialect::fee_advice(dialect, answer)?)
    }

    pub(crate) async fn fees(&self) -> Result<Option<FeeAdvice>, BundlerError> {
        match self.dialect.get() {
            Some(dialect) => self.fees_of(*dialect).await,
            None => Ok(self.discover().await?.1),
        }
    }

    pub(crate) async fn estimate<O: SignedOperation>(
        &self,
        operation: &O,
        entry_point: Address,
        overrides: Option<&StateOverride>,
    ) -> Result<O::Estimate, BundlerError> {
        const METHOD: &str = "eth_estimateUserOperationGas";
        Ok(match overrides {
            Some(overrides) => self.transport.call(METHOD, (operation, entry_point, overrides)).await?,
            None => self.transport.call(METHOD, (operation, entry_point)).await?,
        })
    }

    /// Sends an operation whose hash is `computed`.
    pub(crate) async fn send(
        &self,
        operation: &impl SignedOperation,
        entry_point: Address,
        computed: B256,
        simulation: Option<Simulation>,
    ) -> Result<B256, BundlerError> {
        const METHOD: &str = "eth_sendUserOperation";
        let options = match simulation {
            Some(simulation_type) => self.takes_options().await?.then_some(SendOptions { simulation_type }),
            None => None,
        };
        let answer = match options {
            Some(options) => self.transport.call_once(METHOD, (operation, entry_point, options)).await,
            None => self.transport.call_once(METHOD, (operation, entry_point)).await,
        };
        match answer.map_err(BundlerError::from) {
            Ok(named) if named == computed => Ok(computed),
            Ok(named) => Err(BundlerError::OtherHash { named, computed }),
            Err(error) if error.send_outcome() == SendOutcome::Taken => Ok(computed),
            Err(error) => Err(error),
        }
    }

    /// Whether a send may have a third parameter; bundlers that know of none refuse the operation.
    async fn takes_options(&self) -> Result<bool, BundlerError> {
        let dialect = self.dialect().await;
        dialect
            .map(|dialect| dialect == Dialect::Biconomy)
            .map_err(|source| BundlerError::UnknownDialect { source: Box::new(source) })
    }

    pub(crate) async fn receipt(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationReceipt>, BundlerError> {
        let fill_in = |answer: &mut Map<String, Value>| receipt::fill_in(answer, user_op_hash);
        let receipt: Option<UserOperationReceipt> =
            self.find("eth_getUserOperationReceipt", user_op_hash, fill_in).await?;
        match receipt {
            Some(receipt) if receipt.user_op_hash != user_op_hash => {
                Err(BundlerError::OtherReceipt { named: receipt.user_op_hash, asked: user_op_hash })
            }
            receipt => Ok(receipt),
        }
    }

    pub(crate) async fn by_hash(
        &self,
        user_op_hash: B256,
    ) -> Result<Option<UserOperationByHash>, BundlerError> {
        self.find("eth_getUserOperationByHash", user_op_hash, |_| {}).await
    }

    /// What the bundler gives for a hash. `{}`, `false` and an empty string are read as the `null` that ERC-4337 has.
    async fn find<T: DeserializeOwned>(
        &self,
        method: &'static str,
        user_op_hash: B256,
        fill_in: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Option<T>, BundlerError> {
        let mut answer: Value = match self.transport.call(method, (user_op_hash,)).await {
            Ok(answer) => answer,
            Err(error) if error::is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match &mut answer {
            Value::Null | Value::Bool(false) => return Ok(None),
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::Object(fields) if fields.is_empty() => return Ok(None),
            Value::Object(fields) => fill_in(fields),
            _ => {}
        }
        Ok(Some(decode_result(method, answer)?))
    }

    /// By the dialect's own method, or where it has none or gives no word that is known, by the standard's.
    pub(crate) async fn status(&self, user_op_hash: B256) -> Result<OperationStatus, BundlerError> {
        let dialect = self.dialect().await?;
        if let Some(method) = dialect.status_method() {
            match self.transport.call::<Value>(method, (user_op_hash,)).await {
                Ok(answer) => {
                    if let Some(status) = status::read(dialect, &answer) {
                        return Ok(status);
                    }
                }
                Err(error) if error::is_not_found(&error) => return Ok(OperationStatus::Unknown),
                Err(error) if error.is_unsupported_method() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(status::of_standard(self.by_hash(user_op_hash).await?.as_ref()))
    }

    pub(crate) async fn supported_entry_points(&self) -> Result<Vec<Address>, BundlerError> {
        Ok(self.transport.call("eth_supportedEntryPoints", ()).await?)
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, BundlerError> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct ChainId(#[serde(deserialize_with = "types::chain_id")] u64);
        let ChainId(id) = self.transport.call("eth_chainId", ()).await?;
        Ok(id)
    }
}
