//! Two devices of one owner on one chain, and what the steps do with them.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use quorate::quorate_store::{MemoryStore, Operation, Store as _};
use quorate::testing::{Crash, Execution, Orphaned, ScriptedBundler, ScriptedChain, ScriptedNode};
use quorate::{
    Asset, Call, Calls, Draft, Error, FunctionSelector, LocalSessionKey, OwnerDraft, OwnerIntent,
    PendingOperation, Policy, Quorate, Resumed, SessionCalls, SessionEpoch, SessionGrant, SessionId,
    SmartAccount, TreeUpdate, Withdrawal,
};
use quorate_contracts::calls::set_merkle_root;
use quorate_signer::sign_as_owner;

use super::recorder::{ModelStore, Recorder, Shared, WriteFault, lock, watch};
use super::steps::{ForeignRoot, On, Step};

pub(crate) const GAME: Address = Address::repeat_byte(0x6a);
const FRIEND: Address = Address::repeat_byte(0xfe);

pub(crate) struct World {
    pub(crate) chain: ScriptedChain,
    pub(crate) owner: PrivateKeySigner,
    pub(crate) devices: [Device; 2],
    pub(crate) shared: Shared,
    pub(crate) intents: Vec<Intent>,
    keys: u8,
}

pub(crate) struct Device {
    node: Arc<ScriptedNode>,
    pub(crate) bundler: Arc<ScriptedBundler>,
    pub(crate) store: Arc<ModelStore>,
    pub(crate) account: SmartAccount,
    lag: u64,
    /// What ended in an error and may be done once more.
    retry: Option<Retry>,
    /// The last call of a session that was taken: which intent, by which session, in which operation.
    taken: Option<(usize, SessionId, B256)>,
    waits: Option<PendingOperation>,
}

/// A call that is to be made so many times at most.
#[derive(Debug)]
pub(crate) struct Intent {
    to: Address,
    value: U256,
    data: Vec<u8>,
    times: usize,
}

impl Intent {
    fn call(&self) -> Call {
        Call::raw(self.to, self.data.clone()).value(self.value)
    }

    fn is_of(&self, execution: &Execution) -> bool {
        (execution.to, execution.value, execution.data.as_ref())
            == (self.to, self.value, self.data.as_slice())
    }
}

#[derive(Clone)]
enum Retry {
    Call { session: SessionId, intent: usize },
    CallDraft(SessionId, Box<Draft<SessionCalls>>),
    Withdraw { intent: usize },
    Calls(Draft<Calls>),
    Grant(Box<Draft<SessionGrant>>),
    Update(Draft<TreeUpdate>),
}

/// What a call of the product's came to; none where its process was killed.
pub(crate) type Outcome<T> = Option<Result<T, Error>>;

async fn in_process<T: Send + 'static>(
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Outcome<T> {
    match tokio::spawn(call).await {
        Ok(outcome) => Some(outcome),
        Err(error) => match error.into_panic() {
            panic if panic.is::<Crash>() => None,
            panic => std::panic::resume_unwind(panic),
        },
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let chain = ScriptedChain::new();
        let owner = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap();
        let shared: Shared = Arc::new(Mutex::new(Recorder::default()));
        let device = async |device| {
            let (node, bundler) = (chain.node(), chain.bundler());
            let store = ModelStore { device, inner: MemoryStore::new(), shared: Arc::clone(&shared) };
            let store = Arc::new(store);
            let account = connect(&chain, &node, &bundler, &store, owner.address()).await;
            Device { node, bundler, store, account, lag: 0, retry: None, taken: None, waits: None }
        };
        let devices = [device(0).await, device(1).await];
        let account = devices[0].account.address();
        chain.fund(account, U256::from(10).pow(U256::from(20)));
        watch(&shared, &chain, account);
        lock(&shared).know(&[]);
        Self { chain, owner, devices, shared, intents: Vec::new(), keys: 0 }
    }

    /// The steps' own states are boxed: all of them together are more than a test's stack has.
    pub(crate) async fn step(&mut self, step: Step) {
        match step {
            Step::Grant { on, policies, ends, by_draft } => {
                let ends = if ends == 0 { 0 } else { self.chain.now() + ends };
                let epoch = SessionEpoch::new(0, ends).unwrap();
                let policies: Vec<Policy> = (0..policies)
                    .map(|policy| Policy::new(GAME, selector(policy)).with_epoch(epoch))
                    .collect();
                let key = self.key();
                let (account, owner) = (self.account(on), self.owner.clone());
                let grant = account.grant(policies).unwrap();
                if by_draft {
                    let draft = self.call(on, async move { account.prepare(grant, &key).await }).await;
                    if let Some(Ok(draft)) = draft {
                        Box::pin(self.submit(on, draft, |draft| Retry::Grant(Box::new(draft)))).await;
                    }
                } else {
                    let sent = self.call(on, async move { account.send(grant, &key, &owner).await }).await;
                    self.devices[on].waits =
                        sent.and_then(Result::ok).map(|pending| pending.operation().clone());
                }
            }
            Step::Revoke { on, session } => {
                let Some(id) = self.session(on, session).await else { return };
                self.ask_to_end(on, &id).await;
                let account = self.account(on);
                let draft = self.call(on, async move { account.prepare_revocation([id]).await }).await;
                if let Some(Ok(draft)) = draft {
                    Box::pin(self.submit(on, draft, Retry::Update)).await;
                }
            }
            Step::RevokeAll { on } => {
                self.ask_to_end_all();
                let (account, owner) = (self.account(on), self.owner.clone());
                self.call(on, async move { account.revoke_all(&owner).await }).await;
            }
            Step::ReplaceKey { on, session } => {
                let Some(id) = self.session(on, session).await else { return };
                self.ask_to_end(on, &id).await;
                let (account, key) = (self.account(on), self.key());
                let draft =
                    self.call(on, async move { account.prepare_key_replacement(&id, &key).await }).await;
                if let Some(Ok(draft)) = draft {
                    Box::pin(self.submit(on, draft, |draft| Retry::Grant(Box::new(draft)))).await;
                }
            }
            Step::Use { on, session, policy, by_draft } => {
                let Some(id) = self.session(on, session).await else { return };
                let policy = policy % self.leaves(on, &id).await.len();
                let intent = self.session_intent(policy);
                if by_draft {
                    let (account, session) = (self.account(on), id.clone());
                    let owned = (self.intents[intent].to, self.intents[intent].data.clone());
                    let draft = self.call(on, async move {
                        let call = Call::raw(owned.0, owned.1);
                        account.session(&session).await?.prepare(call).await
                    });
                    if let Some(Ok(draft)) = draft.await {
                        Box::pin(self.retry(on, Retry::CallDraft(id, Box::new(draft)))).await;
                    }
                } else {
                    self.devices[on].retry = None;
                    Box::pin(self.send(on, id, intent)).await;
                }
            }
            Step::UseAgain { on } => {
                let Some((intent, session, first)) = self.devices[on].taken.take() else { return };
                self.intents[intent].times += 1;
                self.devices[on].retry = None;
                let second = Box::pin(self.send(on, session, intent)).await;
                if second == Some(first) {
                    let violation =
                        format!("a call that was meant a second time is operation {first} of the first");
                    lock(&self.shared).violations.push(violation);
                }
            }
            Step::Withdraw { on, by_draft } => {
                let intent = self.owner_s_intent();
                if by_draft {
                    let (account, value) = (self.account(on), self.intents[intent].value);
                    let draft = self.call(on, async move {
                        account.prepare_calls(&[Call::transfer(FRIEND, value)]).await
                    });
                    if let Some(Ok(draft)) = draft.await {
                        Box::pin(self.submit(on, draft, Retry::Calls)).await;
                    }
                } else {
                    self.withdraw(on, intent).await;
                }
            }
            Step::Retry { on } => {
                if let Some(retry) = self.devices[on].retry.take() {
                    Box::pin(self.retry(on, retry)).await;
                }
            }
            Step::Resume { on } => {
                self.resume(on).await;
            }
            Step::List { on } => {
                let account = self.account(on);
                self.call(on, async move { account.sessions().await }).await;
            }
            Step::Wait { on } => {
                let Some(pending) = self.devices[on].waits.take() else { return };
                let pending = pending.with_deadline(Duration::from_secs(1));
                self.call(on, async move { pending.wait().await }).await;
            }
            Step::Rebuild { on, operation } => {
                let Some(operation) = self.operation(on, operation).await else { return };
                self.rebuild(on, operation.user_op_hash).await;
            }
            Step::Cancel { on, operation } => {
                let Some(operation) = self.operation(on, operation).await else { return };
                self.cancel(on, operation.user_op_hash).await;
            }
            Step::Abandon { on, operation } => {
                let Some(operation) = self.operation(on, operation).await else { return };
                let hash = operation.user_op_hash;
                // Who gives it up does not do it again.
                self.devices[on].retry = None;
                let account = self.account(on);
                self.call(on, async move { account.abandon(hash).await }).await;
            }
            Step::Forget { on, session } => {
                let Some(id) = self.session(on, session).await else { return };
                let account = self.account(on);
                self.call(on, async move { account.forget(&id).await }).await;
            }
            Step::ForgetEnded { on } => {
                let account = self.account(on);
                self.call(on, async move { account.forget_ended().await }).await;
            }
            Step::Import { on } => {
                self.import(on).await;
            }
            Step::Restart { on } => self.restart(on).await,
            Step::Mine { blocks } => {
                for _ in 0..blocks {
                    self.chain.mine();
                }
            }
            Step::Automine { automine } => self.chain.set_automine(automine),
            Step::DropAll { on } => self.devices[on].bundler.drop_all(),
            Step::Hold { on, hold } => self.devices[on].bundler.hold_all(hold),
            Step::Reorganise { depth, lost } => {
                // What became of a call is open again.
                self.devices.iter_mut().for_each(|device| device.taken = None);
                self.chain.reorganise(depth, if lost { Orphaned::Lost } else { Orphaned::BackToMempool });
            }
            Step::Lag { on, blocks } => {
                self.devices[on].lag = blocks;
                self.devices[on].node.set_lag(blocks);
            }
            Step::CatchUp => self.catch_up(),
            Step::BaseFee { gwei } => {
                self.chain.set_base_fee(U256::from(gwei) * U256::from(1_000_000_000_u64));
            }
            Step::Advance { seconds } => self.chain.advance(seconds),
            Step::Foreign { root } => self.set_foreign_root(root),
            Step::FaultAfter { requests, fault, acted } => {
                lock(&self.shared).request_fault = Some((requests, fault.fault(acted)));
            }
            Step::FaultOnSend { fault, acted } => {
                lock(&self.shared).send_fault = Some(fault.fault(acted));
            }
            Step::CrashAfterRequests { requests, acted } => {
                let fault = quorate::testing::Fault::Crash;
                let fault = if acted { fault.after_acting() } else { fault };
                lock(&self.shared).request_fault = Some((requests, fault));
            }
            Step::CrashAfterWrites { writes, written } => {
                lock(&self.shared).write_fault = Some((writes, WriteFault::Crash { written }));
            }
            Step::WriteFails { writes } => lock(&self.shared).write_fault = Some((writes, WriteFault::Fails)),
        }
    }

    /// Everything that is wrong with the surroundings ends.
    pub(crate) fn calm(&mut self) {
        lock(&self.shared).calm();
        self.catch_up();
        self.chain.set_automine(false);
        for device in &self.devices {
            device.bundler.hold_all(false);
        }
        // A session that ends in seconds is not worth a bundler's while: it has ended.
        self.chain.advance(100);
        self.chain.mine();
    }

    fn catch_up(&mut self) {
        for device in &mut self.devices {
            device.lag = 0;
            device.node.set_lag(0);
        }
    }

    pub(crate) fn account(&self, on: On) -> SmartAccount {
        self.devices[on].account.clone()
    }

    pub(crate) fn root(&self) -> B256 {
        self.chain.root(self.devices[0].account.address())
    }

    /// Calls the product in a process that may be killed, and then starts it again.
    pub(crate) async fn call<T: Send + 'static>(
        &mut self,
        on: On,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Outcome<T> {
        lock(&self.shared).is_behind = self.devices[on].lag > 0;
        let outcome = in_process(call).await;
        if outcome.is_none() {
            self.restart(on).await;
        }
        outcome
    }

    /// The application knows what it wrote down, which are drafts.
    async fn restart(&mut self, on: On) {
        lock(&self.shared).is_calm = true;
        let device = &mut self.devices[on];
        device.account =
            connect(&self.chain, &device.node, &device.bundler, &device.store, self.owner.address()).await;
        device.retry =
            device.retry.take().filter(|retry| !matches!(retry, Retry::Call { .. } | Retry::Withdraw { .. }));
        (device.taken, device.waits) = (None, None);
        lock(&self.shared).is_calm = false;
    }

    fn key(&mut self) -> LocalSessionKey {
        self.keys += 1;
        LocalSessionKey::from_bytes(&[self.keys; 32]).unwrap()
    }

    pub(crate) fn session_intent(&mut self, policy: usize) -> usize {
        let number = self.intents.len();
        let data = [selector(policy).as_bytes().as_slice(), &U256::from(number).to_be_bytes::<32>()].concat();
        self.intents.push(Intent { to: GAME, value: U256::ZERO, data, times: 1 });
        number
    }

    fn owner_s_intent(&mut self) -> usize {
        let number = self.intents.len();
        self.intents.push(Intent {
            to: FRIEND,
            value: U256::from(1_000 + number),
            data: Vec::new(),
            times: 1,
        });
        number
    }

    pub(crate) fn executions(&self, intent: usize) -> usize {
        self.chain.executions().iter().filter(|execution| self.intents[intent].is_of(execution)).count()
    }

    pub(crate) fn repeated(&self) -> Vec<String> {
        let intents = self
            .intents
            .iter()
            .enumerate()
            .filter(|(number, intent)| self.executions(*number) > intent.times);
        intents
            .map(|(number, intent)| format!("executed {} times: {intent:?}", self.executions(number)))
            .collect()
    }

    async fn session(&self, on: On, place: usize) -> Option<SessionId> {
        let device = &self.devices[on];
        let sessions = device.store.sessions(device.account.id()).await.unwrap();
        let place = place.checked_rem(sessions.len())?;
        sessions.into_iter().rev().nth(place).map(|session| session.id)
    }

    pub(crate) async fn operations(&self, on: On) -> Vec<Operation> {
        let device = &self.devices[on];
        device.store.operations(device.account.id()).await.unwrap()
    }

    async fn operation(&self, on: On, place: usize) -> Option<Operation> {
        let operations = self.operations(on).await;
        let place = place.checked_rem(operations.len())?;
        operations.into_iter().rev().nth(place)
    }

    async fn leaves(&self, on: On, id: &SessionId) -> Vec<B256> {
        let device = &self.devices[on];
        let session = device.store.session(device.account.id(), id).await.unwrap();
        session.leaves.iter().map(quorate::Leaf::hash).collect()
    }

    async fn ask_to_end(&self, on: On, id: &SessionId) {
        let leaves = self.leaves(on, id).await;
        lock(&self.shared).asked_to_end.extend(leaves);
    }

    fn ask_to_end_all(&self) {
        let mut recorder = lock(&self.shared);
        let all: Vec<B256> = recorder.trees.values().flatten().copied().collect();
        recorder.asked_to_end.extend(all);
    }

    /// A session's call as an application makes it, which does it again where it ends in an error.
    async fn send(&mut self, on: On, session: SessionId, intent: usize) -> Option<B256> {
        let (account, id) = (self.account(on), session.clone());
        let owned = (self.intents[intent].to, self.intents[intent].data.clone());
        let sent = self.call(on, async move {
            let call = Call::raw(owned.0, owned.1);
            account.session(&id).await?.send(call).await
        });
        match sent.await? {
            Ok(pending) => {
                let hash = pending.user_op_hash();
                self.devices[on].taken = Some((intent, session, hash));
                self.devices[on].waits = Some(pending);
                Some(hash)
            }
            Err(_) => {
                self.devices[on].retry = Some(Retry::Call { session, intent });
                None
            }
        }
    }

    async fn withdraw(&mut self, on: On, intent: usize) {
        let (account, owner, value) = (self.account(on), self.owner.clone(), self.intents[intent].value);
        let withdrawal = [Withdrawal::of(Asset::Native, value)];
        let sent = self.call(on, async move { account.withdraw(&withdrawal, FRIEND, &owner).await });
        match sent.await {
            Some(Ok(pending)) => self.devices[on].waits = Some(pending),
            Some(Err(_)) => {
                self.devices[on].retry = Some(Retry::Withdraw { intent });
            }
            None => {}
        }
    }

    async fn retry(&mut self, on: On, retry: Retry) {
        match retry {
            Retry::Call { session, intent, .. } => drop(self.send(on, session, intent).await),
            Retry::Withdraw { intent, .. } => self.withdraw(on, intent).await,
            Retry::CallDraft(session, draft) => {
                self.devices[on].retry = Some(Retry::CallDraft(session.clone(), draft.clone()));
                let account = self.account(on);
                let sent =
                    self.call(on, async move { account.session(&session).await?.submit(*draft).await }).await;
                if let Some(Ok(_)) = sent {
                    self.devices[on].retry = None;
                }
            }
            Retry::Calls(draft) => self.submit(on, draft, Retry::Calls).await,
            Retry::Grant(draft) => self.submit(on, *draft, |draft| Retry::Grant(Box::new(draft))).await,
            Retry::Update(draft) => self.submit(on, draft, Retry::Update).await,
        }
    }

    async fn submit<T>(&mut self, on: On, draft: Draft<T>, retry: impl Fn(Draft<T>) -> Retry)
    where
        T: OwnerIntent + 'static,
        T::Pending: Send + 'static,
    {
        let signature = sign_as_owner(&self.owner, draft.user_op_hash()).await.unwrap();
        self.devices[on].retry = Some(retry(draft.clone()));
        let account = self.account(on);
        let sent = self.call(on, async move { account.submit(draft, &signature).await }).await;
        if let Some(Ok(_)) = sent {
            self.devices[on].retry = None;
        }
    }

    /// Goes on with what is under way. Who is told of an operation does not repeat its call as if it had failed.
    pub(crate) async fn resume(&mut self, on: On) -> Outcome<Vec<(B256, bool)>> {
        let account = self.account(on);
        self.devices[on].taken = None;
        let resumed = match self.call(on, async move { account.resume().await }).await? {
            Ok(resumed) => resumed,
            Err(error) => return Some(Err(error)),
        };
        let mut hashes = Vec::new();
        for interrupted in resumed {
            let hash = interrupted.user_op_hash;
            let is_over =
                matches!(interrupted.outcome, Resumed::Pending(_) | Resumed::Settled(_) | Resumed::Dead);
            hashes.push((hash, is_over));
        }
        Some(Ok(hashes))
    }

    pub(crate) async fn rebuild(&mut self, on: On, hash: B256) -> Outcome<()> {
        let account = self.account(on);
        match self.call(on, async move { account.rebuild(hash).await }).await? {
            Ok(OwnerDraft::Calls(draft)) => self.submit(on, draft, Retry::Calls).await,
            Ok(OwnerDraft::TreeUpdate(draft)) => self.submit(on, draft, Retry::Update).await,
            Ok(OwnerDraft::SessionGrant(draft)) => {
                self.submit(on, *draft, |draft| Retry::Grant(Box::new(draft))).await;
            }
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(()))
    }

    pub(crate) async fn cancel(&mut self, on: On, hash: B256) -> Outcome<()> {
        let (account, owner) = (self.account(on), self.owner.clone());
        self.call(on, async move { account.cancel(hash, &owner).await.map(drop) }).await
    }

    /// The device takes in the leaves of the present tree that the other one has.
    pub(crate) async fn import(&mut self, on: On) -> Outcome<()> {
        let (from, to) = (self.account(1 - on), self.account(on));
        let leaves = match self.call(1 - on, async move { from.export_leaves().await }).await? {
            Ok(leaves) => leaves,
            Err(error) => return Some(Err(error)),
        };
        self.call(on, async move { to.import_leaves(leaves).await }).await
    }

    /// Waits for all that is over, as whoever made it would.
    pub(crate) async fn acknowledge(&mut self, on: On) -> Outcome<()> {
        let account = self.account(on);
        self.call(on, async move {
            for interrupted in account.resume().await? {
                if let Resumed::Pending(pending) | Resumed::Settled(pending) = interrupted.outcome {
                    // That another operation took its place, or that it reverted, is an end too.
                    let _ = pending.wait().await;
                }
            }
            Ok(())
        })
        .await
    }

    fn set_foreign_root(&mut self, root: ForeignRoot) {
        let account = self.devices[0].account.address();
        if !self.chain.is_deployed(account) {
            return;
        }
        let leaves = match root {
            ForeignRoot::Strange => vec![B256::repeat_byte(0x5a)],
            ForeignRoot::Zero => Vec::new(),
            ForeignRoot::WithoutFirst => {
                let recorder = lock(&self.shared);
                let present = recorder.trees.get(&self.root()).cloned().unwrap_or_default();
                present.into_iter().skip(1).collect()
            }
        };
        let root = lock(&self.shared).know(&leaves);
        let call = set_merkle_root(self.chain.deployment().session_key_manager, root);
        self.chain.execute_directly(account, &[call.as_call()]);
    }

    /// One more call by a session, awaited: whether it was executed once.
    pub(crate) async fn works(&mut self, on: On, id: SessionId, policy: usize) -> Result<(), String> {
        let intent = self.session_intent(policy);
        let account = self.account(on);
        let data = self.intents[intent].data.clone();
        let outcome = self.call(on, async move {
            let call = Call::raw(GAME, data);
            account.session(&id).await?.send(call).await?.wait().await
        });
        match outcome.await {
            Some(Ok(_)) if self.executions(intent) == 1 => Ok(()),
            Some(Ok(_)) => {
                Err(format!("executed {} times: {:?}", self.executions(intent), self.intents[intent].call()))
            }
            // Its draft was sent after the session was forgotten, and with it the key.
            Some(Err(quorate::Error::ExternalKey { .. })) => Ok(()),
            outcome => Err(format!("device {on} cannot use a session: {outcome:?}")),
        }
    }
}

pub(crate) fn selector(policy: usize) -> FunctionSelector {
    FunctionSelector::new([1, 2, 3, u8::try_from(policy).unwrap()])
}

async fn connect(
    chain: &ScriptedChain,
    node: &Arc<ScriptedNode>,
    bundler: &Arc<ScriptedBundler>,
    store: &Arc<ModelStore>,
    owner: Address,
) -> SmartAccount {
    let client = Quorate::connect_by(chain.deployment(), node.clone(), bundler.clone()).await.unwrap();
    let store: Arc<ModelStore> = Arc::clone(store);
    client.with_store(store).with_unlimited_requests().account(owner, 0)
}
