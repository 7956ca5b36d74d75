//! What the page shows, and what it may answer: decisions without I/O.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::answer::Answer;
use crate::error::{AnswerError, ApprovalError};
use crate::tabs::Tabs;
use crate::{Chain, Outcome, Review};

/// Everything that a reload of the page has to find again.
#[derive(Debug)]
pub(crate) struct State {
    owner: Address,
    chain: Chain,
    /// What is known of what may come to be signed, by its digest.
    reviews: HashMap<B256, Review>,
    asked: u32,
    request: Option<Request>,
    steps: Vec<String>,
    outcome: Option<Outcome>,
    pub(crate) tabs: Tabs,
    /// It grows with each change.
    version: u64,
    /// The version that the signing tab has shown.
    shown: u64,
}

/// What a wallet is to do: a method, and what it is for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "method", content = "payload")]
pub(crate) enum Payload {
    #[serde(rename = "personal_sign")]
    Message(Bytes),
    #[serde(rename = "eth_signTypedData_v4")]
    TypedData(Value),
    /// The method's parameters (ERC-7715).
    #[serde(rename = "wallet_requestExecutionPermissions")]
    Permissions(Value),
}

#[derive(Debug)]
struct Request {
    number: u32,
    payload: Payload,
    review: Review,
    until: Instant,
    offers: mpsc::Sender<Offer>,
}

/// What the page offers as the answer. Who asked says whether it is one, and the page is told.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) answer: Answer,
    pub(crate) verdict: oneshot::Sender<Result<(), AnswerError>>,
}

/// A request of the page, as who asked it has it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) number: u32,
    /// They end with the request.
    pub(crate) offers: mpsc::Receiver<Offer>,
}

/// What a tab is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View<'a> {
    version: u64,
    /// With its checksum.
    owner: String,
    chain: &'a Chain,
    /// Whether this tab is the one to sign in.
    leads: bool,
    request: Option<RequestView<'a>>,
    steps: &'a [String],
    outcome: Option<&'a Outcome>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestView<'a> {
    number: u32,
    #[serde(flatten)]
    payload: &'a Payload,
    review: &'a Review,
    seconds_left: u64,
}

impl State {
    pub(crate) fn new(owner: Address, chain: Chain) -> Self {
        Self {
            owner,
            chain,
            reviews: HashMap::new(),
            asked: 0,
            request: None,
            steps: Vec::new(),
            outcome: None,
            tabs: Tabs::default(),
            version: 1,
            shown: 0,
        }
    }

    pub(crate) const fn owner(&self) -> Address {
        self.owner
    }

    pub(crate) const fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Notes what a digest stands for.
    pub(crate) fn review(&mut self, digest: B256, review: Review) {
        self.reviews.insert(digest, review);
    }

    /// What a digest stands for.
    ///
    /// # Errors
    /// [`ApprovalError::Unreviewed`]: nothing is signed that is not shown.
    pub(crate) fn reviewed(&self, digest: B256) -> Result<Review, ApprovalError> {
        self.reviews.get(&digest).cloned().ok_or(ApprovalError::Unreviewed { digest })
    }

    /// Asks the page, in place of what was asked before.
    pub(crate) fn ask(
        &mut self,
        payload: Payload,
        review: Review,
        now: Instant,
        patience: Duration,
    ) -> Pending {
        // One is judged before the next is looked at.
        let (sender, offers) = mpsc::channel(1);
        self.asked += 1;
        let (number, until) = (self.asked, now + patience);
        self.request = Some(Request { number, payload, review, until, offers: sender });
        self.version += 1;
        Pending { number, offers }
    }

    /// Asks no longer.
    pub(crate) fn withdraw(&mut self) {
        if self.request.take().is_some() {
            self.version += 1;
        }
    }

    /// Where a tab's answer to a request goes.
    pub(crate) fn offers(&self, tab: &str, number: u32) -> Result<mpsc::Sender<Offer>, AnswerError> {
        self.asked_of(tab, number).map(|request| request.offers.clone())
    }

    /// A request has its answer, unless it has ended meanwhile.
    pub(crate) fn conclude(&mut self, number: u32) -> Result<(), AnswerError> {
        self.request.take_if(|request| request.number == number).ok_or(AnswerError::NotAsked)?;
        self.version += 1;
        Ok(())
    }

    /// The owner says no.
    pub(crate) fn reject(&mut self, tab: &str, number: u32) -> Result<(), AnswerError> {
        self.asked_of(tab, number)?;
        self.withdraw();
        self.finish(Outcome::Rejected);
        Ok(())
    }

    /// The program begins something, which ends what it did before.
    pub(crate) fn step(&mut self, what: String) {
        self.steps.push(what);
        self.version += 1;
    }

    /// How it ended; the first end stays.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.request = None;
            self.outcome = Some(outcome);
            self.version += 1;
        }
    }

    /// The signing tab has shown this version.
    pub(crate) fn note_shown(&mut self, tab: &str, version: u64) {
        if self.tabs.leads(tab) {
            self.shown = self.shown.max(version);
        }
    }

    /// Whether the signing tab has shown how it ended.
    pub(crate) const fn end_is_shown(&self) -> bool {
        self.outcome.is_some() && self.shown >= self.version
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// What a tab is to show. A request is shown in the one that signs.
    pub(crate) fn view(&self, leads: bool, now: Instant) -> View<'_> {
        let request = self.request.as_ref().filter(|_| leads).map(|request| RequestView {
            number: request.number,
            payload: &request.payload,
            review: &request.review,
            seconds_left: request.until.saturating_duration_since(now).as_secs(),
        });
        View {
            version: self.version,
            owner: self.owner.to_string(),
            chain: &self.chain,
            leads,
            request,
            steps: &self.steps,
            outcome: self.outcome.as_ref(),
        }
    }

    fn asked_of(&self, tab: &str, number: u32) -> Result<&Request, AnswerError> {
        if !self.tabs.leads(tab) {
            return Err(AnswerError::OtherTab);
        }
        self.request.as_ref().filter(|request| request.number == number).ok_or(AnswerError::NotAsked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: B256 = B256::repeat_byte(7);

    fn asked() -> (State, Pending) {
        let mut state = State::new(Address::ZERO, Chain::new(1, "here", None));
        let payload = Payload::Message(DIGEST.into());
        let pending =
            state.ask(payload, Review::new("Grant a session"), Instant::now(), Duration::from_secs(60));
        assert!(state.tabs.arrive("one", Instant::now()));
        (state, pending)
    }

    #[test]
    fn an_answer_is_taken_once_and_from_the_tab_that_signs() {
        let (mut state, pending) = asked();
        let error_of = |state: &State, tab, number| state.offers(tab, number).err();
        assert_eq!(error_of(&state, "two", 1), Some(AnswerError::OtherTab));
        assert_eq!(error_of(&state, "one", 2), Some(AnswerError::NotAsked));
        // What was offered changes nothing before it is judged.
        assert_eq!(error_of(&state, "one", 1), None);
        assert_eq!(state.conclude(2), Err(AnswerError::NotAsked));
        assert!(state.request.is_some());
        assert_eq!(state.conclude(pending.number), Ok(()));
        assert_eq!(error_of(&state, "one", 1), Some(AnswerError::NotAsked));
        assert_eq!(state.conclude(pending.number), Err(AnswerError::NotAsked));
    }

    #[test]
    fn a_rejection_is_the_end_and_stays_it() {
        let (mut state, mut pending) = asked();
        assert_eq!(state.reject("two", 1), Err(AnswerError::OtherTab));
        assert!(matches!(pending.offers.try_recv(), Err(mpsc::error::TryRecvError::Empty)));
        assert_eq!(state.reject("one", 1), Ok(()));
        assert!(matches!(pending.offers.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        // What was being judged comes too late.
        assert_eq!(state.conclude(pending.number), Err(AnswerError::NotAsked));
        state.finish(Outcome::Failed { reason: "the command failed".into() });
        assert_eq!(state.outcome, Some(Outcome::Rejected));
    }

    #[test]
    fn what_was_not_reviewed_is_not_asked_for() {
        let (mut state, _) = asked();
        state.review(DIGEST, Review::new("Grant a session"));
        assert_eq!(state.reviewed(DIGEST).unwrap().title(), "Grant a session");
        let other = B256::repeat_byte(8);
        let error = state.reviewed(other).unwrap_err();
        assert!(matches!(error, ApprovalError::Unreviewed { digest } if digest == other));
    }

    #[test]
    fn only_the_tab_that_signs_is_shown_what_to_sign() {
        let (state, _) = asked();
        assert!(state.view(true, Instant::now()).request.is_some());
        assert!(state.view(false, Instant::now()).request.is_none());
    }

    #[test]
    fn the_end_is_shown_when_the_tab_that_signs_says_so() {
        let (mut state, _) = asked();
        state.finish(Outcome::Landed { transaction: DIGEST });
        state.note_shown("two", state.version());
        state.note_shown("one", state.version() - 1);
        assert!(!state.end_is_shown());
        state.note_shown("one", state.version());
        assert!(state.end_is_shown());
    }
}
