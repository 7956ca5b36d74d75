//! The ledgers of the keys that operations are being signed with: in memory as they are on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use quorate_ledger::{
    AttemptId, Barrier, ChargeError, JudgedPage, KeyId, KeyLedger, Limits, MissingRequest, Operation, Page,
    PageError, PageOutline, PageRequest, Reading, SettleError, SigningRun, Timestamp,
};
use quorate_protocol::NodeIndex;
use tokio::runtime::Handle;

use crate::storage::{Storage, StorageError, Write};

/// The keys' ledgers, loaded when they are needed.
pub(crate) struct Ledgers {
    storage: Arc<Storage>,
    loaded: Mutex<HashMap<KeyId, Slot>>,
    /// How many bytes of signed requests are kept of a key.
    most_bytes: u64,
}

/// None: to be loaded, since it is not known what is on disk.
type Slot = Arc<tokio::sync::Mutex<Option<KeyLedger>>>;

/// How many ledgers are kept in memory if they are not used.
const MOST_LOADED: usize = 1024;

/// An operation that is charged durably, until it is kept or withdrawn. One that is dropped is withdrawn.
#[must_use]
pub(crate) struct Hold {
    ledgers: Arc<Ledgers>,
    attempt: Option<AttemptId>,
}

/// Why a ledger could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error(transparent)]
    Charge(#[from] ChargeError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    MissingRequest(#[from] MissingRequest),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Ledgers {
    pub(crate) fn new(storage: Arc<Storage>, most_bytes: u64) -> Self {
        Self { storage, loaded: Mutex::default(), most_bytes }
    }

    /// Charges an operation at a time, in seconds since 1970, and writes it durably; then the hello may leave.
    pub(crate) async fn charge(
        self: &Arc<Self>,
        key: KeyId,
        operation: Operation,
        limits: &Limits,
        now: u64,
        peers: impl IntoIterator<Item = NodeIndex>,
    ) -> Result<(Barrier, Hold), LedgerError> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        let ledger = self.load(&mut slot, key).await?;
        let pending = ledger.charge(operation, limits, Timestamp::new(now))?;
        let charged = match self.storage.save_ledger(key, pending.changes(), Write::Charge).await {
            Ok(()) => pending.commit(),
            Err(error) => {
                // Perhaps it was written.
                drop(pending);
                *slot = None;
                return Err(error.into());
            }
        };
        let hold = Hold { ledgers: self.clone(), attempt: charged.attempt() };
        Ok((Barrier::new(charged, peers, ledger), hold))
    }

    /// The page that another signer asks for, and what it has to ask for next; none if it has all.
    pub(crate) async fn page(
        &self,
        key: KeyId,
        run: &SigningRun,
        request: PageRequest,
    ) -> Result<(Page, Option<PageRequest>), LedgerError> {
        let outline = {
            let slot = self.slot(key);
            let mut slot = slot.lock().await;
            self.load(&mut slot, key).await?.signing_page(run, request)
        };
        let next = outline.next_request();
        Ok((self.fill(key, outline).await?, next))
    }

    /// The page that a restored node asks for, outside a run.
    pub(crate) async fn catch_up_page(&self, key: KeyId, request: PageRequest) -> Result<Page, LedgerError> {
        let outline = {
            let slot = self.slot(key);
            let mut slot = slot.lock().await;
            self.load(&mut slot, key).await?.catch_up_page(request)
        };
        self.fill(key, outline).await
    }

    async fn fill(&self, key: KeyId, outline: PageOutline) -> Result<Page, LedgerError> {
        let mut requests: BTreeMap<_, _> = self.storage.ledger_requests(key, outline.places()).await?;
        Ok(outline.fill(|place| requests.remove(&place))?)
    }

    /// Begins to read another node's ledger of a key, outside a run.
    pub(crate) async fn catch_up(&self, key: KeyId, peer: NodeIndex) -> Result<Reading, LedgerError> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        Ok(self.load(&mut slot, key).await?.catch_up(peer))
    }

    /// Takes over a page that was read outside a run, durably.
    pub(crate) async fn merge_catch_up(
        &self,
        key: KeyId,
        reading: &mut Reading,
        page: JudgedPage,
        now: u64,
    ) -> Result<(), LedgerError> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        let ledger = self.load(&mut slot, key).await?;
        ledger.merge_catch_up(reading, page, Timestamp::new(now))?;
        let pending = ledger.flush().map_err(ChargeError::from)?;
        match self.storage.save_ledger(key, pending.changes(), Write::Charge).await {
            Ok(()) => pending.commit(),
            Err(error) => {
                drop(pending);
                *slot = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Takes over another signer's page.
    pub(crate) async fn merge(
        &self,
        key: KeyId,
        run: &mut SigningRun,
        page: JudgedPage,
        now: u64,
    ) -> Result<(), LedgerError> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        Ok(self.load(&mut slot, key).await?.merge(run, page, Timestamp::new(now))?)
    }

    /// Keeps a charged operation for good, if there is room for it under every limit; then the rounds may begin.
    pub(crate) async fn settle(
        &self,
        key: KeyId,
        run: SigningRun,
        limits: &Limits,
    ) -> Result<(), LedgerError> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        let _approved = self.load(&mut slot, key).await?.settle(run, limits)?;
        Ok(())
    }

    async fn withdraw(&self, attempt: AttemptId) -> Result<(), LedgerError> {
        let key = attempt.key();
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        let Some(pending) = self.load(&mut slot, key).await?.withdraw(attempt).map_err(ChargeError::from)?
        else {
            return Ok(());
        };
        match self.storage.save_ledger(key, pending.changes(), Write::Withdrawal).await {
            Ok(()) => pending.commit(),
            Err(error) => {
                // What is on disk counts: a charge too much, never one too few.
                drop(pending);
                *slot = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn slot(&self, key: KeyId) -> Slot {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.len() >= MOST_LOADED && !loaded.contains_key(&key) {
            loaded.retain(|_, slot| is_in_use(slot));
        }
        loaded.entry(key).or_default().clone()
    }

    async fn load<'s>(
        &self,
        slot: &'s mut Option<KeyLedger>,
        key: KeyId,
    ) -> Result<&'s mut KeyLedger, StorageError> {
        let ledger = match slot.take() {
            Some(ledger) => ledger,
            None => self.storage.load_ledger(key).await?.with_most_bytes(self.most_bytes),
        };
        Ok(slot.insert(ledger))
    }
}

/// Whether somebody works with a ledger, or it knows what the disk does not: which attempts are live.
fn is_in_use(slot: &Slot) -> bool {
    Arc::strong_count(slot) > 1
        || slot
            .try_lock()
            .is_ok_and(|ledger| ledger.as_ref().is_some_and(|ledger| ledger.live_attempts().next().is_some()))
}

impl Hold {
    /// Leaves the charge as it is: the operation is settled.
    pub(crate) fn keep(mut self) {
        self.attempt = None;
    }

    /// Takes the charge back: the signing rounds do not begin.
    pub(crate) async fn withdraw(mut self) -> Result<(), LedgerError> {
        match self.attempt.take() {
            Some(attempt) => self.ledgers.withdraw(attempt).await,
            None => Ok(()),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(attempt) = self.attempt.take() else { return };
        let ledgers = self.ledgers.clone();
        // Without a runtime the node is going down, and what is on disk counts when it comes up.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = ledgers.withdraw(attempt).await {
                    tracing::error!(%attempt, %error, "a charge could not be taken back; it counts");
                }
            });
        }
    }
}
