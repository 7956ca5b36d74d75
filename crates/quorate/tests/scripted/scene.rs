//! An owner with an account on a scripted chain.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::testing::{Fault, ScriptedBundler, ScriptedChain, ScriptedNode, ScriptedPaymaster};
use quorate::{
    Call, Condition, Draft, Error, FunctionSelector, Granted, LocalSessionKey, MemoryStore, PendingOperation,
    Policy, Quorate, Rule, Session, SessionGrant, SessionId, SmartAccount, Status, Store,
};
use quorate_contracts::Erc721;
use quorate_signer::sign_as_owner;
use serde_json::Value;

pub(crate) const NFT: Address = Address::repeat_byte(0x4e);

pub(crate) fn ether() -> U256 {
    U256::from(10).pow(U256::from(18))
}

/// One chain, and one client of it.
pub(crate) struct Scene {
    pub(crate) chain: ScriptedChain,
    pub(crate) node: Arc<ScriptedNode>,
    pub(crate) bundler: Arc<ScriptedBundler>,
    pub(crate) client: Quorate,
    pub(crate) owner: PrivateKeySigner,
    pub(crate) account: SmartAccount,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(ScriptedChain::new(), Arc::new(MemoryStore::new())).await
    }

    pub(crate) async fn with(chain: ScriptedChain, store: Arc<dyn Store>) -> Self {
        Self::of(chain, store, PrivateKeySigner::random()).await
    }

    pub(crate) async fn of(chain: ScriptedChain, store: Arc<dyn Store>, owner: PrivateKeySigner) -> Self {
        let (node, bundler) = (chain.node(), chain.bundler());
        let client = Quorate::connect_by(chain.deployment(), node.clone(), bundler.clone()).await.unwrap();
        let client = client.with_store(store).with_unlimited_requests();
        let account = client.account(owner.address(), 0);
        chain.fund(account.address(), ether());
        Self { chain, node, bundler, client, owner, account }
    }

    /// The same owner and store in another process.
    pub(crate) async fn restarted(&self) -> Self {
        Self::of(self.chain.clone(), Arc::clone(self.client.store()), self.owner.clone()).await
    }

    /// The same owner with an empty store.
    pub(crate) async fn on_another_device(&self) -> Self {
        Self::of(self.chain.clone(), Arc::new(MemoryStore::new()), self.owner.clone()).await
    }

    pub(crate) fn policy(&self) -> Policy {
        let selector = FunctionSelector::parse("safeMint(address)").unwrap();
        let own = Rule::new(0, Condition::Equal, self.account.address());
        Policy::new(NFT, selector).with_rule(own).unwrap()
    }

    pub(crate) fn mint(&self) -> Vec<u8> {
        Erc721::safeMintCall { to: self.account.address() }.abi_encode()
    }

    /// A grant to a new local key, in the store.
    pub(crate) async fn prepared(&self) -> Draft<SessionGrant> {
        let grant = self.account.grant([self.policy()]).unwrap();
        self.account.prepare(grant, &LocalSessionKey::random()).await.unwrap()
    }

    pub(crate) async fn signed<T>(&self, draft: &Draft<T>) -> [u8; 65] {
        sign_as_owner(&self.owner, draft.user_op_hash()).await.unwrap()
    }

    pub(crate) async fn send_grant(&self) -> Result<quorate::PendingGrant, Error> {
        let grant = self.account.grant([self.policy()]).unwrap();
        self.account.send(grant, &LocalSessionKey::random(), &self.owner).await
    }

    pub(crate) async fn granted(&self) -> Granted {
        self.send_grant().await.unwrap().wait().await.unwrap()
    }

    pub(crate) async fn session(&self) -> Session {
        let granted = self.granted().await;
        self.account.session(granted.id()).await.unwrap()
    }

    pub(crate) async fn statuses(&self) -> Vec<Status> {
        self.account.sessions().await.unwrap().into_iter().map(|session| session.status).collect()
    }

    pub(crate) async fn status(&self, id: &SessionId) -> Status {
        let listed = self.account.sessions().await.unwrap();
        listed.into_iter().find(|session| session.id() == id).unwrap().status
    }

    pub(crate) async fn mint_with(&self, session: &Session) -> Result<PendingOperation, Error> {
        session.send(Call::raw(NFT, self.mint())).await
    }

    /// How often the account's sessions have minted.
    pub(crate) fn minted(&self) -> usize {
        self.chain.executions().iter().filter(|execution| execution.to == NFT).count()
    }

    pub(crate) fn root(&self) -> B256 {
        self.chain.root(self.account.address())
    }

    pub(crate) async fn stored_operations(&self) -> usize {
        self.client.store().operations(self.account.id()).await.unwrap().len()
    }

    /// The hash of an operation that may get on chain or not.
    pub(crate) fn unsettled(error: &Error) -> B256 {
        match error {
            Error::Unsettled { user_op_hash, .. } => *user_op_hash,
            other => panic!("{other}"),
        }
    }
}

/// What one endpoint was asked, with parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(String, Value)>>>);

impl Requests {
    pub(crate) fn to_bundler(bundler: &ScriptedBundler) -> Self {
        let requests = Self::default();
        let noted = requests.clone();
        bundler.on_request(move |method, params| noted.note(method, params));
        requests
    }

    pub(crate) fn to_paymaster(paymaster: &ScriptedPaymaster) -> Self {
        let requests = Self::default();
        let noted = requests.clone();
        paymaster.on_request(move |method, params| noted.note(method, params));
        requests
    }

    fn note(&self, method: &str, params: &Value) -> Option<Fault> {
        self.0.lock().unwrap().push((method.to_owned(), params.clone()));
        None
    }

    /// The parameters of each request of a method.
    pub(crate) fn of(&self, method: &str) -> Vec<Value> {
        let requests = self.0.lock().unwrap();
        requests.iter().filter(|(asked, _)| asked == method).map(|(_, params)| params.clone()).collect()
    }

    /// The operation of the last request of a method.
    pub(crate) fn last(&self, method: &str) -> Value {
        self.of(method).last().unwrap()[0].clone()
    }

    /// The operation that was sent last.
    pub(crate) fn sent(&self) -> Value {
        self.last("eth_sendUserOperation")
    }

    pub(crate) fn sendings(&self) -> usize {
        self.of("eth_sendUserOperation").len()
    }
}

/// A number of a request, whether in hex or in decimal.
pub(crate) fn number(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

/// The paymaster that an operation of a request names.
pub(crate) fn paymaster_of(operation: &Value) -> Option<Address> {
    let data: Bytes = serde_json::from_value(operation["paymasterAndData"].clone()).unwrap();
    data.get(..20).map(Address::from_slice)
}
