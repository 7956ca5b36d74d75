//! The state of a review, and its steps in their order.

use core::fmt;

use alloy_primitives::{Address, B256, Keccak256};

use super::{
    call_stream::CallStream,
    calls::Calls,
    error::ReviewError,
    head::{Domain, OperationHead, show_head},
    item::{Item, Show, Value},
    label::Label,
    sessions::{Lints, SessionView},
};
use crate::{
    lint::severity::Severity,
    operation::{hashed_head::HashedHead, v0_6::Digest},
    policy::condition::Condition,
    session::{
        leaf::SessionLeaf,
        merkle::{self, RootBuilder},
    },
    trusted::TrustedContext,
};

/// What to do with call data that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Refuse the operation.
    #[default]
    Refuse,
    /// Say so, and leave the decision to whoever reads it. A grant is refused all the same.
    Show,
}

/// A review, in the caller's storage: some 3 KiB with its room for `CALLS` calls, whatever the number of sessions and the
/// length of the call data.
///
/// [`review`](Self::review) begins one, and leads through the steps by their types. Where types cannot lead, the steps are
/// here, and their order is checked: [`begin`](Self::begin), each [`session`](Self::session) of a grant, the
/// [`call_data`](Self::call_data) in pieces, [`finish`](Self::finish). A step that fails ends the review: nothing gives a
/// hash then but a new one, which `begin` starts at any time.
pub struct ReviewState<'a, S, const CALLS: usize = 8> {
    trusted: TrustedContext<'a>,
    show: S,
    on_unreadable: OnUnreadable,
    lints: Option<Lints<'a>>,
    stage: Stage,
    domain: Domain,
    /// There once a review has begun.
    head: Option<HashedHead>,
    hasher: Keccak256,
    stream: CallStream<CALLS>,
    is_blind: bool,
    calls: Calls,
    sessions: usize,
    root: RootBuilder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was begun, or what was begun is refused or finished.
    Idle,
    Sessions,
    CallData,
}

impl<'a, S: Show, const CALLS: usize> ReviewState<'a, S, CALLS> {
    /// No review yet.
    pub fn new(trusted: TrustedContext<'a>, show: S) -> Self {
        Self {
            trusted,
            show,
            on_unreadable: OnUnreadable::Refuse,
            lints: None,
            stage: Stage::Idle,
            domain: Domain { entry_point: Address::ZERO, chain_id: 0 },
            head: None,
            hasher: Keccak256::new(),
            stream: CallStream::new(),
            is_blind: false,
            calls: Calls::new(Address::ZERO, Address::ZERO),
            sessions: 0,
            root: RootBuilder::new(),
        }
    }

    /// Says what to do with call data that cannot be read; it is refused unless something else is said.
    #[must_use]
    pub const fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.on_unreadable = on_unreadable;
        self
    }

    /// Has what most owners would not allow said of each session ([`Lint`](crate::Lint)), also what needs more than the
    /// session: `now`, in seconds since 1970, where there is a clock, and the conditions that a probe found the chain's module
    /// not to enforce.
    #[must_use]
    pub const fn with_lints(mut self, now: Option<u64>, unenforced: &'a [Condition]) -> Self {
        self.lints = Some(Lints::new(now, unenforced));
        self
    }

    /// Begins a review, and leads through its steps.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn review(
        &mut self,
        domain: Domain,
        head: &OperationHead<'_>,
    ) -> Result<Sessions<'_, 'a, S, CALLS>, ReviewError> {
        self.begin(domain, head)?;
        Ok(Sessions(self))
    }

    /// Begins a review, whatever was there before: shows who acts, and who pays how much.
    ///
    /// # Errors
    /// What the entry point would not take; an item that is not shown.
    #[inline(never)]
    pub fn begin(&mut self, domain: Domain, head: &OperationHead<'_>) -> Result<(), ReviewError> {
        self.stage = Stage::Sessions;
        self.domain = domain;
        self.hasher = Keccak256::new();
        self.stream.clear();
        self.is_blind = false;
        self.calls = Calls::new(head.sender(), domain.entry_point);
        self.sessions = 0;
        self.root.clear();
        let hashed = show_head(&mut self.show, &self.trusted, domain, head).and_then(|()| Ok(head.hashed()?));
        self.head = self.end_if_refused(hashed).map(Some)?;
        Ok(())
    }

    /// Shows the next session that the account is to have. They come before the call data: all of them, in the order of
    /// their tree, and none for an operation that grants nothing.
    ///
    /// # Errors
    /// A session that cannot be shown.
    #[inline(never)]
    pub fn session(&mut self, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        let taken = self.next_session().and_then(|number| {
            let view =
                SessionView { trusted: self.trusted, account: self.calls.account, number, lints: self.lints };
            view.show(&mut self.show, leaf)?;
            self.add_leaf(leaf.hash())
        });
        self.end_if_refused(taken)
    }

    /// Shows a session that nobody here can read, and that the account keeps: it stands under the last root that this
    /// device signed for this account, chain and session key manager, which `signed` is.
    ///
    /// A root that somebody else gives proves nothing: any leaf has a proof under a root made for it.
    ///
    /// # Errors
    /// A leaf that is not under that root.
    #[inline(never)]
    pub fn kept_session(
        &mut self,
        leaf: B256,
        proof: &[B256],
        signed: SignedRoot,
    ) -> Result<(), ReviewError> {
        let taken = self.next_session().and_then(|session| {
            let is_other = self.calls.kept_in.is_some_and(|manager| manager != signed.manager);
            if is_other || proof.len() > merkle::DEPTH || !merkle::verify(signed.root, leaf, proof) {
                return Err(ReviewError::NotKept { session });
            }
            self.calls.kept_in = Some(signed.manager);
            let kept = Item::new(Label::KeptSession, Value::Hash(leaf)).with_severity(Severity::Danger);
            self.show.show(&kept)?;
            self.add_leaf(leaf)
        });
        self.end_if_refused(taken)
    }

    /// Takes the next piece of the call data, and shows the calls that are whole.
    ///
    /// # Errors
    /// Call data that cannot be read, a call that can change who controls the account and is not read whole, or a root that
    /// is not that of the sessions shown.
    #[inline(never)]
    pub fn call_data(&mut self, piece: &[u8]) -> Result<(), ReviewError> {
        let taken = self.expect_begun("call data").and_then(|()| {
            self.stage = Stage::CallData;
            let Self { stream, hasher, calls, show, trusted, .. } = self;
            if self.is_blind {
                hasher.update(piece);
                return Ok(());
            }
            let read = stream.push(piece, hasher, &mut |event| calls.take(show, trusted, event));
            self.or_blind(read)
        });
        self.end_if_refused(taken)
    }

    /// Ends the review, and gives the operation's hash: what is signed if the items are approved.
    ///
    /// # Errors
    /// Call data that ends within a call, or sessions that are not granted.
    #[inline(never)]
    pub fn finish(&mut self) -> Result<B256, ReviewError> {
        let hash = self.expect_begun("the end").and_then(|()| {
            self.end_calls()?;
            let times = self.calls.roots_set;
            if times > 1 || (self.calls.shown_root.is_some() && times != 1) {
                return Err(ReviewError::NotOneRoot { times });
            }
            let head = self.head.ok_or(BEGIN_FIRST)?;
            let digest = Digest(core::mem::take(&mut self.hasher).finalize());
            let hash = head.finish(digest, self.domain.entry_point, self.domain.chain_id);
            self.show.show(&Item::new(Label::Hash, Value::Hash(hash)))?;
            Ok(hash)
        });
        let hash = self.end_if_refused(hash);
        self.stage = Stage::Idle;
        hash
    }

    /// Where the items go.
    pub const fn display(&mut self) -> &mut S {
        &mut self.show
    }

    pub(super) fn parts(&mut self) -> (&TrustedContext<'a>, &mut S) {
        (&self.trusted, &mut self.show)
    }

    fn end_calls(&mut self) -> Result<(), ReviewError> {
        if self.is_blind {
            return Ok(());
        }
        if !self.stream.has_begun() {
            // Entry points do not call an account without call data.
            return Ok(self.show.show(&Item::new(Label::NoCalls, Value::None))?);
        }
        let read = self.stream.finish();
        self.or_blind(read)?;
        if self.stream.is_without_calls() {
            self.show.show(&Item::new(Label::NoCalls, Value::None))?;
        }
        Ok(())
    }

    /// Shows the place of the next session, and gives it.
    fn next_session(&mut self) -> Result<usize, ReviewError> {
        match self.stage {
            Stage::Sessions => {}
            Stage::CallData => {
                return Err(ReviewError::OutOfOrder { given: "a session", expected: "more call data" });
            }
            Stage::Idle => return Err(BEGIN_FIRST),
        }
        self.sessions += 1;
        let number = self.sessions;
        self.show.show(&Item::new(Label::Session, Value::Place { number, of: None }))?;
        Ok(number)
    }

    fn add_leaf(&mut self, leaf: B256) -> Result<(), ReviewError> {
        self.root.push(leaf)?;
        self.calls.shown_root = self.root.root();
        Ok(())
    }

    fn expect_begun(&self, given: &'static str) -> Result<(), ReviewError> {
        match self.stage {
            Stage::Idle => Err(ReviewError::OutOfOrder { given, expected: "a new operation" }),
            Stage::Sessions | Stage::CallData => Ok(()),
        }
    }

    /// Goes on without reading where that is wanted, and where no sessions depend on it.
    fn or_blind(&mut self, read: Result<(), ReviewError>) -> Result<(), ReviewError> {
        match read {
            Err(
                error @ (ReviewError::Unreadable { .. }
                | ReviewError::Ends { .. }
                | ReviewError::TooManyCalls { .. }),
            ) if self.on_unreadable == OnUnreadable::Show && self.calls.shown_root.is_none() => {
                self.is_blind = true;
                let item = Item::new(Label::Unreadable, Value::Reason(&error));
                Ok(self.show.show(&item.with_severity(Severity::Danger))?)
            }
            read => read,
        }
    }

    /// Shows a refusal, after which nothing gives a hash.
    pub(super) fn end_if_refused<T>(&mut self, step: Result<T, ReviewError>) -> Result<T, ReviewError> {
        if let Err(error) = &step {
            self.stage = Stage::Idle;
            let item = Item::new(Label::Refused, Value::Reason(error)).with_severity(Severity::Refused);
            // A display that is gone shows no refusal either; the caller has it.
            let _ = self.show.show(&item);
        }
        step
    }
}

const BEGIN_FIRST: ReviewError = ReviewError::OutOfOrder { given: "a step", expected: "a new operation" };

/// The last root that this device itself signed, of one account on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedRoot {
    /// The session key manager.
    pub manager: Address,
    /// The root.
    pub root: B256,
}

impl<S, const CALLS: usize> fmt::Debug for ReviewState<'_, S, CALLS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReviewState")
            .field("stage", &self.stage)
            .field("domain", &self.domain)
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

/// A review whose operation was shown: sessions may come, then the call data.
#[derive(Debug)]
pub struct Sessions<'r, 'a, S, const CALLS: usize = 8>(&'r mut ReviewState<'a, S, CALLS>);

/// A review whose sessions were shown: the call data comes in pieces.
#[derive(Debug)]
pub struct CallData<'r, 'a, S, const CALLS: usize = 8>(&'r mut ReviewState<'a, S, CALLS>);

impl<'r, 'a, S: Show, const CALLS: usize> Sessions<'r, 'a, S, CALLS> {
    /// As [`ReviewState::session`].
    ///
    /// # Errors
    /// A session that cannot be shown.
    pub fn session(self, leaf: &SessionLeaf<'_>) -> Result<Self, ReviewError> {
        self.0.session(leaf)?;
        Ok(self)
    }

    /// As [`ReviewState::kept_session`].
    ///
    /// # Errors
    /// A leaf that is not under that root.
    pub fn kept_session(self, leaf: B256, proof: &[B256], signed: SignedRoot) -> Result<Self, ReviewError> {
        self.0.kept_session(leaf, proof, signed)?;
        Ok(self)
    }

    /// All sessions were shown.
    pub const fn calls(self) -> CallData<'r, 'a, S, CALLS> {
        CallData(self.0)
    }
}

impl<S: Show, const CALLS: usize> CallData<'_, '_, S, CALLS> {
    /// As [`ReviewState::call_data`].
    ///
    /// # Errors
    /// Call data that cannot be read, or grants other sessions.
    pub fn piece(self, piece: &[u8]) -> Result<Self, ReviewError> {
        self.0.call_data(piece)?;
        Ok(self)
    }

    /// As [`piece`](Self::piece), of several.
    ///
    /// # Errors
    /// As [`piece`](Self::piece).
    pub fn pieces<'p>(self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Self, ReviewError> {
        pieces.into_iter().try_fold(self, Self::piece)
    }

    /// As [`ReviewState::finish`].
    ///
    /// # Errors
    /// Call data that ends within a call, or sessions that are not granted.
    pub fn finish(self) -> Result<B256, ReviewError> {
        self.0.finish()
    }
}
