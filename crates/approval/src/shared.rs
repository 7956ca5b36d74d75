use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::error::{AnswerError, ApprovalError};
use crate::state::{Offer, Payload, Pending, State};
use crate::{Outcome, Presence, Review};

/// The state between the program, which asks, and the page, which answers.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The state's version.
    version: watch::Sender<u64>,
    presence: watch::Sender<Presence>,
    /// One thing is asked after the other.
    turn: tokio::sync::Mutex<()>,
    /// The server ends.
    pub(crate) closing: CancellationToken,
}

/// How long an answer of the owner's is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(pub(crate) Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(600))
    }
}

/// How long the page is given to show how it ended.
const LAST_WORD: Duration = Duration::from_secs(3);

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        let version = watch::Sender::new(state.version());
        let presence = watch::Sender::new(Presence::Awaited);
        let turn = tokio::sync::Mutex::new(());
        Self { state: Mutex::new(state), version, presence, turn, closing: CancellationToken::new() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and has it told to the page.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let version = state.version();
        drop(state);
        self.version.send_if_modified(|told| std::mem::replace(told, version) != version);
        changed
    }

    pub(crate) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }

    pub(crate) fn note_presence(&self) {
        let is_open = self.state().tabs.is_open(Instant::now());
        self.presence.send_if_modified(|told| {
            let now = match (*told, is_open) {
                (_, true) => Presence::Open,
                (Presence::Awaited, false) => Presence::Awaited,
                (_, false) => Presence::Closed,
            };
            std::mem::replace(told, now) != now
        });
    }

    /// Asks the page, and waits for an answer that `judge` takes. The page is told of what it does not take, and asked still.
    pub(crate) async fn ask<T>(
        &self,
        payload: Payload,
        review: Review,
        patience: Patience,
        mut judge: impl FnMut(&Answer) -> Result<T, AnswerError>,
    ) -> Result<T, ApprovalError> {
        let _turn = self.turn.lock().await;
        let now = Instant::now();
        let Pending { number, mut offers } = self.change(|state| state.ask(payload, review, now, patience.0));
        let _withdrawn = Withdrawn(self);
        let taken = async {
            while let Some(Offer { answer, verdict }) = offers.recv().await {
                // The state is not locked while it is judged, which is foreign code for grants.
                let judged = judge(&answer);
                let judged =
                    judged.and_then(|taken| self.change(|state| state.conclude(number)).map(|()| taken));
                let (told, taken) = match judged {
                    Ok(taken) => (Ok(()), Some(taken)),
                    Err(error) => (Err(error), None),
                };
                // The tab may be gone.
                let _ = verdict.send(told);
                if let Some(taken) = taken {
                    return Ok(taken);
                }
            }
            // The request was put aside by an end.
            Err(ApprovalError::Rejected)
        };
        let late = |_| Err(ApprovalError::Deadline { waited: patience.0 });
        tokio::time::timeout(patience.0, taken).await.unwrap_or_else(late)
    }

    /// A tab's answer; says why where it is none.
    pub(crate) async fn answer(&self, tab: &str, number: u32, answer: Answer) -> Result<(), AnswerError> {
        let offers = self.state().offers(tab, number)?;
        let (verdict, told) = oneshot::channel();
        offers.send(Offer { answer, verdict }).await.map_err(|_| AnswerError::NotAsked)?;
        told.await.unwrap_or(Err(AnswerError::NotAsked))
    }

    /// Tells the page how it ended, and waits a moment for it to show that.
    pub(crate) async fn finish(&self, outcome: Outcome) {
        let mut version = self.version();
        self.change(|state| state.finish(outcome));
        let shown = async {
            while !self.state().end_is_shown() && *self.presence.borrow() == Presence::Open {
                if version.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORD, shown).await;
    }

    /// Notes what the signing tab has shown, and wakes who waits for it.
    pub(crate) fn note_shown(&self, tab: &str, version: u64) {
        let mut state = self.state();
        state.note_shown(tab, version);
        let is_end = state.end_is_shown();
        drop(state);
        if is_end {
            self.version.send_modify(|_| ());
        }
    }
}

/// Withdraws a request whose answer nobody waits for any more.
struct Withdrawn<'a>(&'a Shared);

impl Drop for Withdrawn<'_> {
    fn drop(&mut self) {
        self.0.change(State::withdraw);
    }
}
