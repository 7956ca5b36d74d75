//! What the page shows, and what it may answer: decisions without I/O.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, Signature};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::answer::verify;
use crate::error::{AnswerError, ApprovalError};
use crate::tabs::Tabs;
use crate::{Chain, Outcome, Review};

pub(crate) type Answer = Result<Signature, ApprovalError>;

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

/// What a wallet is to sign.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "method", content = "payload")]
pub(crate) enum Payload {
    #[serde(rename = "personal_sign")]
    Message(Bytes),
    #[serde(rename = "eth_signTypedData_v4")]
    TypedData(Value),
}

#[derive(Debug)]
struct Request {
    number: u32,
    payload: Payload,
    digest: B256,
    review: Review,
    until: Instant,
    answer: oneshot::Sender<Answer>,
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

    /// Asks the page for a signature.
    ///
    /// # Errors
    /// [`ApprovalError::Unreviewed`]: nothing is signed that is not shown.
    pub(crate) fn ask(
        &mut self,
        payload: Payload,
        digest: B256,
        now: Instant,
        patience: Duration,
    ) -> Result<oneshot::Receiver<Answer>, ApprovalError> {
        let review = self.reviews.get(&digest).cloned().ok_or(ApprovalError::Unreviewed { digest })?;
        let (answer, answered) = oneshot::channel();
        self.asked += 1;
        let until = now + patience;
        self.request = Some(Request { number: self.asked, payload, digest, review, until, answer });
        self.version += 1;
        Ok(answered)
    }

    /// Asks no longer.
    pub(crate) fn withdraw(&mut self) {
        if self.request.take().is_some() {
            self.version += 1;
        }
    }

    /// The page gives a wallet's signature.
    pub(crate) fn sign(&mut self, tab: &str, number: u32, signature: &[u8]) -> Result<(), AnswerError> {
        let owner = self.owner;
        let digest = self.asked_of(tab, number)?.digest;
        let signature = verify(owner, digest, signature)?;
        self.answer(Ok(signature));
        Ok(())
    }

    /// The owner says no.
    pub(crate) fn reject(&mut self, tab: &str, number: u32) -> Result<(), AnswerError> {
        self.asked_of(tab, number)?;
        self.outcome = Some(Outcome::Rejected);
        self.answer(Err(ApprovalError::Rejected));
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

    fn answer(&mut self, answer: Answer) {
        if let Some(request) = self.request.take() {
            // Who asked may have gone on without an answer.
            let _ = request.answer.send(answer);
        }
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use alloy_signer::SignerSync as _;
    use alloy_signer_local::PrivateKeySigner;

    use super::*;

    const DIGEST: B256 = B256::repeat_byte(7);

    struct Asked {
        owner: PrivateKeySigner,
        state: State,
        answered: oneshot::Receiver<Answer>,
    }

    fn asked() -> Asked {
        let owner = PrivateKeySigner::random();
        let mut state = State::new(owner.address(), Chain::new(1, "here", None));
        state.review(DIGEST, Review::new("Grant a session"));
        let payload = Payload::Message(DIGEST.into());
        let answered = state.ask(payload, DIGEST, Instant::now(), Duration::from_secs(60)).unwrap();
        assert!(state.tabs.arrive("one", Instant::now()));
        Asked { owner, state, answered }
    }

    #[test]
    fn a_signature_is_taken_once_and_from_the_tab_that_signs() {
        let Asked { owner, mut state, mut answered } = asked();
        let signature = owner.sign_hash_sync(&DIGEST).unwrap();
        let bytes = signature.as_bytes();
        assert_eq!(state.sign("two", 1, &bytes), Err(AnswerError::OtherTab));
        assert_eq!(state.sign("one", 2, &bytes), Err(AnswerError::NotAsked));
        assert!(matches!(state.sign("one", 1, &[0; 65]), Err(AnswerError::NoSignature { .. })));
        assert!(answered.try_recv().is_err(), "a wrong answer is none");
        assert_eq!(state.sign("one", 1, &bytes), Ok(()));
        assert_eq!(answered.try_recv().unwrap().unwrap(), signature);
        assert_eq!(state.sign("one", 1, &bytes), Err(AnswerError::NotAsked));
    }

    #[test]
    fn a_rejection_is_the_end_and_stays_it() {
        let Asked { mut state, mut answered, .. } = asked();
        assert_eq!(state.reject("two", 1), Err(AnswerError::OtherTab));
        assert_eq!(state.reject("one", 1), Ok(()));
        assert!(matches!(answered.try_recv().unwrap(), Err(ApprovalError::Rejected)));
        state.finish(Outcome::Failed { reason: "the command failed".into() });
        assert_eq!(state.outcome, Some(Outcome::Rejected));
    }

    #[test]
    fn what_was_not_reviewed_is_not_asked_for() {
        let Asked { mut state, .. } = asked();
        let other = B256::repeat_byte(8);
        let payload = Payload::Message(other.into());
        let error = state.ask(payload, other, Instant::now(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, ApprovalError::Unreviewed { digest } if digest == other));
    }

    #[test]
    fn only_the_tab_that_signs_is_shown_what_to_sign() {
        let Asked { state, .. } = asked();
        assert!(state.view(true, Instant::now()).request.is_some());
        assert!(state.view(false, Instant::now()).request.is_none());
    }

    #[test]
    fn the_end_is_shown_when_the_tab_that_signs_says_so() {
        let Asked { mut state, .. } = asked();
        state.finish(Outcome::Landed { transaction: DIGEST });
        state.note_shown("two", state.version());
        state.note_shown("one", state.version() - 1);
        assert!(!state.end_is_shown());
        state.note_shown("one", state.version());
        assert!(state.end_is_shown());
    }
}
