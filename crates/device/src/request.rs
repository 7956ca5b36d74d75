//! One request after the other, message by message, without a port.

#[cfg(feature = "delegation")]
use quorate_core::DelegationDomain;
use quorate_core::{
    Address, B256, KeyRequest, KeyRequestReview, ReviewState, SignedRoot, TaggedValue, TrustedContext,
    signing_hash,
};

#[cfg(feature = "delegation")]
use crate::delegation::DelegationBuffer;
#[cfg(feature = "use")]
use crate::session_use::UseBuffers;
use crate::{
    frame::{KeyRequestFrame, Numbered, OperationFrame, ToDevice, session_leaf},
    key::{Key, checked_signature},
    memory::{Memory, RootOwner},
    refusal::{OnScreen, Refusal},
    screen::Screen,
    user::{Consent, Decision, Display},
};

/// What was asked for, how far it has come, and what answers it.
pub(crate) struct Requests<'a, K, D, C, M, const CALLS: usize> {
    pub(crate) key: K,
    consent: C,
    memory: M,
    review: ReviewState<'a, Screen<D>, CALLS>,
    key_request: KeyRequestReview<'a, Screen<D>>,
    /// The number of the last request.
    number: u32,
    stage: Stage,
    #[cfg(feature = "use")]
    session_use: UseBuffers,
    #[cfg(feature = "delegation")]
    delegation: DelegationBuffer<'a>,
}

#[derive(Clone, Copy)]
enum Stage {
    Idle,
    Operation {
        account: Address,
        chain_id: u64,
    },
    KeyRequest,
    #[cfg(feature = "use")]
    Use,
    #[cfg(feature = "use")]
    UseShown {
        hash: B256,
    },
    #[cfg(feature = "delegation")]
    Delegation(DelegationDomain),
    Waiting(Approved),
}

/// What is signed once it is approved.
#[derive(Clone, Copy)]
struct Approved {
    digest: B256,
    /// The root that the signature sets.
    root: Option<(RootOwner, B256)>,
}

/// What a message is answered with.
pub(crate) enum Answer {
    Address,
    Ready,
    Waiting(B256),
}

impl<'a, K: Key, D: Display, C: Consent, M: Memory, const CALLS: usize> Requests<'a, K, D, C, M, CALLS> {
    pub(crate) fn new(key: K, display: D, consent: C, memory: M, trusted: TrustedContext<'a>) -> Self {
        let review = ReviewState::new(trusted, Screen::new(display));
        #[cfg(feature = "lint")]
        let review = review.with_lints(None, &[]);
        Self {
            key,
            consent,
            memory,
            review,
            key_request: KeyRequestReview::new(trusted, Screen::without_display()),
            number: 0,
            stage: Stage::Idle,
            #[cfg(feature = "use")]
            session_use: UseBuffers::new(),
            #[cfg(feature = "delegation")]
            delegation: DelegationBuffer::new(trusted),
        }
    }

    /// The number of the last request.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }

    /// Takes the next message. `bytes` is what it was read from.
    pub(crate) fn step(&mut self, frame: &Numbered<ToDevice<'_>>, bytes: &[u8]) -> Result<Answer, Refusal> {
        let Numbered { request, message } = frame;
        match message {
            ToDevice::Address => {
                self.start(*request, Stage::Idle);
                return Ok(Answer::Address);
            }
            ToDevice::Begin(operation) => return self.begin(*request, operation),
            ToDevice::KeyRequest(key_request) => return self.key_request(*request, key_request),
            #[cfg(feature = "use")]
            ToDevice::Use(_) => {
                self.start(*request, Stage::Use);
                self.review.display().take_from(self.key_request.display());
                return if self.session_use.begin(bytes) {
                    Ok(Answer::Ready)
                } else {
                    Err(Refusal::Unexpected)
                };
            }
            #[cfg(feature = "delegation")]
            ToDevice::Delegation { chain_id, manager } => {
                let domain = DelegationDomain { chain_id: *chain_id, manager: manager.into() };
                self.start(*request, Stage::Delegation(domain));
                self.review.display().take_from(self.key_request.display());
                self.delegation.clear();
                return Ok(Answer::Ready);
            }
            #[cfg(not(feature = "delegation"))]
            ToDevice::Delegation { .. } => return Err(Refusal::NoDelegations),
            _ => {}
        }
        #[cfg(not(feature = "use"))]
        let _ = bytes;
        if matches!(self.stage, Stage::Idle) && !matches!(message, ToDevice::Cancel) {
            return Err(Refusal::Unexpected);
        }
        if *request != self.number {
            return Err(Refusal::OtherRequest);
        }
        match (self.stage, message) {
            (_, ToDevice::Cancel) => Err(Refusal::Cancelled),
            (Stage::Operation { account, chain_id }, message) => self.operation(account, chain_id, message),
            (Stage::KeyRequest, ToDevice::Permissions(piece)) => {
                self.key_request.permissions(piece)?;
                Ok(Answer::Ready)
            }
            (Stage::KeyRequest, ToDevice::End) => {
                let digest = self.key_request.finish()?;
                Ok(self.ask(digest, Approved { digest, root: None }))
            }
            #[cfg(feature = "use")]
            (Stage::Use, message) => self.session_use(message),
            #[cfg(feature = "use")]
            (Stage::UseShown { hash }, ToDevice::End) => {
                Ok(self.ask(hash, Approved { digest: signing_hash(hash), root: None }))
            }
            #[cfg(feature = "delegation")]
            (Stage::Delegation(_), ToDevice::Permissions(piece)) => {
                self.delegation.push(piece)?;
                Ok(Answer::Ready)
            }
            #[cfg(feature = "delegation")]
            (Stage::Delegation(domain), ToDevice::End) => {
                let digest = self.delegation.review(domain, self.review.display())?;
                Ok(self.ask(digest, Approved { digest, root: None }))
            }
            _ => Err(Refusal::Unexpected),
        }
    }

    /// Ends the request, and says why on the screen.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        let was_idle = matches!(self.stage, Stage::Idle);
        self.stage = Stage::Idle;
        let screen = self.screen();
        match refusal.on_screen() {
            OnScreen::Leave => {}
            OnScreen::Clear => screen.clear(),
            // Noise between requests is not a person's concern.
            OnScreen::Show if was_idle => {}
            OnScreen::Show => screen.refuse(refusal),
        }
    }

    /// Signs what was shown if it is approved; `None` while nobody has decided.
    pub(crate) fn decide(&mut self) -> Option<Result<[u8; 65], Refusal>> {
        let Stage::Waiting(approved) = self.stage else { return None };
        match self.consent.answer()? {
            Decision::Approve => Some(self.sign(approved)),
            Decision::Reject => Some(Err(Refusal::Rejected)),
        }
    }

    #[inline(never)]
    fn sign(&mut self, approved: Approved) -> Result<[u8; 65], Refusal> {
        let Approved { digest, root } = approved;
        let signature = self.key.sign_prehash(digest.as_slice()).map_err(|_| Refusal::NoSignature)?;
        let signature = checked_signature(&self.key, digest, &signature).ok_or(Refusal::FaultySignature)?;
        if let Some((owner, root)) = root {
            self.memory.record(&owner, root)?;
        }
        self.stage = Stage::Idle;
        self.screen().clear();
        Ok(signature)
    }

    fn start(&mut self, request: u32, stage: Stage) {
        self.number = request;
        self.stage = stage;
        self.screen().clear();
    }

    /// The screen of the review that goes on.
    fn screen(&mut self) -> &mut Screen<D> {
        if self.review.display().has_display() { self.review.display() } else { self.key_request.display() }
    }

    fn begin(&mut self, request: u32, operation: &OperationFrame<'_>) -> Result<Answer, Refusal> {
        let OperationFrame { head, chain_id, .. } = operation;
        self.start(request, Stage::Operation { account: head.sender(), chain_id: *chain_id });
        self.review.display().take_from(self.key_request.display());
        self.review.begin(operation.domain(), head)?;
        Ok(Answer::Ready)
    }

    #[inline(never)]
    fn key_request(&mut self, request: u32, frame: &KeyRequestFrame<'_>) -> Result<Answer, Refusal> {
        self.start(request, Stage::KeyRequest);
        self.key_request.display().take_from(self.review.display());
        let mut metadata = [TaggedValue { tag: 0, value: "" }; crate::frame::MAX_METADATA];
        let given = frame.metadata.iter().flatten();
        let len = given.clone().count();
        for (entry, (tag, value)) in metadata.iter_mut().zip(given) {
            *entry = TaggedValue { tag: *tag, value };
        }
        let request = KeyRequest {
            threshold: frame.threshold,
            nodes: frame.nodes,
            metadata: metadata.get(..len).unwrap_or_default(),
            challenge: frame.challenge,
        };
        self.key_request.begin(&request)?;
        Ok(Answer::Ready)
    }

    fn operation(
        &mut self,
        account: Address,
        chain_id: u64,
        message: &ToDevice<'_>,
    ) -> Result<Answer, Refusal> {
        match *message {
            ToDevice::Session { valid_after, valid_until, validation_module, session_key_data } => {
                let leaf = session_leaf(valid_after, valid_until, validation_module, session_key_data);
                self.review.session(&leaf.ok_or(Refusal::Epoch)?)?;
            }
            ToDevice::KeptSession { leaf, manager, proof } => {
                let owner = RootOwner { account, chain_id, manager: manager.into() };
                self.kept_session(leaf.into(), &owner, proof)?;
            }
            ToDevice::CallData(piece) => self.review.call_data(piece)?,
            ToDevice::End => {
                let hash = self.review.finish()?;
                let root = self.review.display().root();
                let root = root.map(|(manager, root)| (RootOwner { account, chain_id, manager }, root));
                return Ok(self.ask(hash, Approved { digest: signing_hash(hash), root }));
            }
            _ => return Err(Refusal::Unexpected),
        }
        Ok(Answer::Ready)
    }

    #[inline(never)]
    fn kept_session(&mut self, leaf: B256, owner: &RootOwner, proof: &[u8]) -> Result<(), Refusal> {
        // Nothing is under the root of an account without sessions.
        let root = self.memory.last_root(owner).filter(|root| !root.is_zero()).ok_or(Refusal::NotKept)?;
        let (siblings, rest) = proof.as_chunks::<32>();
        let mut proof = [B256::ZERO; LONGEST_PROOF];
        let places = proof.get_mut(..siblings.len()).filter(|_| rest.is_empty()).ok_or(Refusal::NotKept)?;
        places.iter_mut().zip(siblings).for_each(|(place, sibling)| *place = (*sibling).into());
        self.review.kept_session(leaf, places, SignedRoot { manager: owner.manager, root })?;
        Ok(())
    }

    #[cfg(feature = "use")]
    fn session_use(&mut self, message: &ToDevice<'_>) -> Result<Answer, Refusal> {
        match *message {
            ToDevice::CallData(piece) => self.session_use.call_data(piece)?,
            ToDevice::Session { valid_after, valid_until, validation_module, session_key_data } => {
                let leaf = session_leaf(valid_after, valid_until, validation_module, session_key_data);
                let hash = self.session_use.review(&mut self.review, &leaf.ok_or(Refusal::Epoch)?)?;
                self.stage = Stage::UseShown { hash };
            }
            _ => return Err(Refusal::Unexpected),
        }
        Ok(Answer::Ready)
    }

    fn ask(&mut self, hash: B256, approved: Approved) -> Answer {
        self.stage = Stage::Waiting(approved);
        self.consent.ask(hash);
        Answer::Waiting(hash)
    }
}

/// The levels of a tree.
const LONGEST_PROOF: usize = 32;
