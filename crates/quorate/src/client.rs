use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, U256};
use quorate_bundler::{Bundler, Fees, GasEstimate};
use quorate_contracts::{Deployment, account};
use quorate_core::UserOperation;
use quorate_network::SigningNetwork;
use quorate_signer::SessionSigner;
use quorate_store::{MemoryStore, Store};
use quorate_transport::{HttpTransport, Transport};
use url::Url;

use crate::chain::Chain;
use crate::{Error, Options, PendingOperation, Session, SessionRecord, SmartAccount};

/// A chain and a bundler: where accounts live and operations go.
#[derive(Clone, Debug)]
pub struct Quorate {
    pub(crate) chain: Chain,
    pub(crate) bundler: Bundler,
    pub(crate) deployment: Deployment,
    chain_id: u64,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) network: Option<SigningNetwork>,
    /// Blocks on top of one before what it says counts.
    pub(crate) confirmations: u64,
    /// The newest nonce stream given out.
    streams: Arc<AtomicU64>,
}

impl Quorate {
    /// Connects to a chain's node and a bundler over HTTP, with the contracts at their canonical addresses.
    ///
    /// # Errors
    /// A URL that is not HTTP, or a node that does not say which chain it serves.
    pub async fn connect(node: Url, bundler: Url) -> Result<Self, Error> {
        let node = HttpTransport::builder(node).build()?;
        let bundler = HttpTransport::builder(bundler).build()?;
        Self::connect_by(Deployment::canonical(), Arc::new(node), Arc::new(bundler)).await
    }

    /// The same by transports with options of their own, and for contracts at other addresses.
    ///
    /// # Errors
    /// The node does not say which chain it serves.
    pub async fn connect_by(
        deployment: Deployment,
        node: Arc<dyn Transport>,
        bundler: Arc<dyn Transport>,
    ) -> Result<Self, Error> {
        let chain = Chain::new(node, deployment);
        let chain_id = chain.id().await?;
        Ok(Self {
            chain,
            bundler: Bundler::new(bundler),
            deployment,
            chain_id,
            store: Arc::new(MemoryStore::new()),
            network: None,
            confirmations: 0,
            streams: Arc::default(),
        })
    }

    /// Keeps sessions in this store. Without one they are kept in memory, and end with the client and its clones.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
    }

    /// Signs with this network for stored sessions whose keys it holds.
    #[must_use]
    pub fn with_network(mut self, network: SigningNetwork) -> Self {
        self.network = Some(network);
        self
    }

    /// Calls a session active when there are so many blocks on top of the one that it is in; 0 unless set. A reorganised
    /// block makes it pending again.
    #[must_use]
    pub const fn with_confirmations(mut self, blocks: u64) -> Self {
        self.confirmations = blocks;
        self
    }

    /// Where sessions are kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The chain's id, as its node says.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Where the contracts are.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// An owner's account; it need not exist yet. One owner may have several, by `index`.
    pub fn account(&self, owner: Address, index: u64) -> SmartAccount {
        let index = U256::from(index);
        let address = account::address(&self.deployment, owner, index);
        SmartAccount { client: self.clone(), owner, creator: owner, index, address }
    }

    /// A session that was granted, to be used with the signer of its key.
    pub fn session(&self, record: impl Into<SessionRecord>, signer: Arc<dyn SessionSigner>) -> Session {
        Session::new(self.clone(), record.into(), signer)
    }

    /// An operation that was sent, here or elsewhere, to be waited for.
    pub fn pending(&self, user_op_hash: alloy_primitives::B256) -> PendingOperation {
        PendingOperation::new(self.bundler.clone(), user_op_hash)
    }

    /// The nonce that the options name, or the next one of their stream or of `stream`.
    pub(crate) async fn nonce(
        &self,
        account: Address,
        stream: u64,
        options: &Options,
    ) -> Result<U256, Error> {
        match options.nonce() {
            Some(nonce) => Ok(nonce),
            None => self.chain.nonce(account, options.nonce_key().unwrap_or(stream)).await,
        }
    }

    /// Fills in fees and gas, the gas by an estimate under a signature of the right form and length.
    pub(crate) async fn size(
        &self,
        mut operation: UserOperation<Vec<u8>>,
        dummy_signature: Vec<u8>,
        options: &Options,
    ) -> Result<UserOperation<Vec<u8>>, Error> {
        operation = self.with_fees(operation).await?;
        let dummy = operation.clone().sign(dummy_signature);
        let gas = self.bundler.estimate_user_operation_gas(&dummy, self.deployment.entry_point).await?;
        Ok(options.raise(with_gas(operation, gas)))
    }

    /// Fills in fees, and gas that the caller knows.
    pub(crate) async fn size_as(
        &self,
        operation: UserOperation<Vec<u8>>,
        gas: GasEstimate,
    ) -> Result<UserOperation<Vec<u8>>, Error> {
        Ok(with_gas(self.with_fees(operation).await?, gas))
    }

    async fn with_fees(
        &self,
        mut operation: UserOperation<Vec<u8>>,
    ) -> Result<UserOperation<Vec<u8>>, Error> {
        let fees = self.fees().await?;
        operation.max_fee_per_gas = fees.max_fee_per_gas;
        operation.max_priority_fee_per_gas = fees.max_priority_fee_per_gas;
        Ok(operation)
    }

    pub(crate) async fn send(
        &self,
        operation: UserOperation<Vec<u8>>,
        signature: Vec<u8>,
    ) -> Result<PendingOperation, Error> {
        let signed = operation.sign(signature);
        let hash =
            self.bundler.send_user_operation(&signed, self.deployment.entry_point, self.chain_id).await?;
        Ok(self.pending(hash))
    }

    /// A nonce stream of its own for each use of a session, so that uses run in parallel: the milliseconds since
    /// 1970, or the next number where two uses fall into one.
    pub(crate) fn new_nonce_stream(&self) -> u64 {
        let now = u64::try_from(now().as_millis()).unwrap_or(u64::MAX);
        let next = |newest: u64| Some(now.max(newest + 1));
        let newest = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        now.max(newest.unwrap_or_default() + 1)
    }

    /// The bundler's fees, or where it has no method for them the node's gas price.
    async fn fees(&self) -> Result<Fees, Error> {
        match self.bundler.gas_price().await {
            Ok(fees) => Ok(fees),
            Err(quorate_bundler::BundlerError::Rejected { .. }) => {
                let price = self.chain.gas_price().await?;
                Ok(Fees { max_fee_per_gas: price, max_priority_fee_per_gas: price })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn with_gas(mut operation: UserOperation<Vec<u8>>, gas: GasEstimate) -> UserOperation<Vec<u8>> {
    operation.pre_verification_gas = gas.pre_verification_gas;
    operation.verification_gas_limit = gas.verification_gas_limit;
    operation.call_gas_limit = gas.call_gas_limit;
    operation
}

/// A blank operation of an account.
pub(crate) fn draft(sender: Address, nonce: U256, call_data: Vec<u8>) -> UserOperation<Vec<u8>> {
    UserOperation {
        sender,
        nonce,
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::ZERO,
        verification_gas_limit: U256::ZERO,
        pre_verification_gas: U256::ZERO,
        max_fee_per_gas: U256::ZERO,
        max_priority_fee_per_gas: U256::ZERO,
        paymaster_and_data: Vec::new(),
    }
}
