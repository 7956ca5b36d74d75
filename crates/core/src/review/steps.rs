//! The steps of a review, with what is kept between them.

use alloy_primitives::{Address, B256, Keccak256};

use super::{
    call_stream::CallStream,
    calls::Calls,
    error::ReviewError,
    head::{Domain, OperationHead, show_head},
    item::Value,
    items::Items,
    label::Label,
    sessions::{Lints, SessionView},
    state::{OnUnreadable, SignedRoot},
};
use crate::{
    keccak::digest,
    lint::severity::Severity,
    operation::hashed_head::HashedHead,
    session::{
        erc20::evaluate_erc20,
        evaluate::evaluate,
        leaf::SessionLeaf,
        merkle::{self, RootBuilder},
    },
    trusted::{ContractRole, TrustedContext},
};

/// A review but for its display.
pub(super) struct Steps<'a, const CALLS: usize> {
    trusted: TrustedContext<'a>,
    pub(super) on_unreadable: OnUnreadable,
    pub(super) lints: Option<Lints<'a>>,
    pub(super) stage: Stage,
    pub(super) domain: Domain,
    /// There once a review has begun.
    head: Option<HashedHead>,
    hasher: Keccak256,
    stream: CallStream<CALLS>,
    is_blind: bool,
    calls: Calls,
    pub(super) sessions: usize,
    root: RootBuilder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was begun, or what was begun is refused or finished.
    Idle,
    Sessions,
    CallData,
}

impl<'a, const CALLS: usize> Steps<'a, CALLS> {
    pub(super) fn new(trusted: TrustedContext<'a>) -> Self {
        Self {
            trusted,
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

    pub(super) fn begin(
        &mut self,
        items: &mut Items<'_>,
        domain: Domain,
        head: &OperationHead<'_>,
    ) -> Result<(), ReviewError> {
        self.stage = Stage::Sessions;
        self.domain = domain;
        self.hasher = Keccak256::new();
        self.stream.clear();
        self.is_blind = false;
        self.calls = Calls::new(head.sender(), domain.entry_point);
        self.sessions = 0;
        self.root.clear();
        show_head(items, &self.trusted, domain, head)?;
        self.head = Some(head.hashed()?);
        Ok(())
    }

    pub(super) fn session(
        &mut self,
        items: &mut Items<'_>,
        leaf: &SessionLeaf<'_>,
    ) -> Result<(), ReviewError> {
        let number = self.next_session(items)?;
        self.session_view(number, self.lints).show(items, leaf)?;
        self.add_leaf(leaf.hash())
    }

    pub(super) fn kept_session(
        &mut self,
        items: &mut Items<'_>,
        leaf: &B256,
        proof: &[B256],
        signed: &SignedRoot,
    ) -> Result<(), ReviewError> {
        let session = self.next_session(items)?;
        let is_other = self.calls.roots.kept_in.is_some_and(|manager| manager != signed.manager);
        if is_other || proof.len() > merkle::DEPTH || !merkle::verify(signed.root, *leaf, proof) {
            return Err(ReviewError::NotKept { session });
        }
        self.calls.roots.kept_in = Some(signed.manager);
        items.with_severity(Severity::Danger).hash(Label::KeptSession, leaf);
        self.add_leaf(*leaf)
    }

    /// The use of a session, as an alternative to granting some.
    pub(super) fn session_use(
        &mut self,
        items: &mut Items<'_>,
        call_data: &[u8],
        leaf: &SessionLeaf<'_>,
    ) -> Result<(), ReviewError> {
        items.label(Label::Use);
        self.session_view(1, None).show(items, leaf)?;
        match self.trusted.role(leaf.validation_module) {
            Some(ContractRole::Erc20SessionValidationModule) => {
                evaluate_erc20(leaf.session_key_data, call_data).map_err(ReviewError::Erc20Forbidden)?
            }
            _ => evaluate(leaf.session_key_data, call_data).map_err(ReviewError::Forbidden)?,
        };
        Ok(())
    }

    pub(super) fn call_data(&mut self, items: &mut Items<'_>, piece: &[u8]) -> Result<(), ReviewError> {
        self.expect_begun("call data")?;
        self.stage = Stage::CallData;
        let Self { stream, hasher, calls, trusted, .. } = self;
        if self.is_blind {
            hasher.update(piece);
            return Ok(());
        }
        let read = stream.push(piece, hasher, &mut |event| calls.take(items, trusted, event));
        self.or_blind(items, read)
    }

    pub(super) fn finish(&mut self, items: &mut Items<'_>) -> Result<B256, ReviewError> {
        self.expect_begun("the end")?;
        self.stage = Stage::Idle;
        self.end_calls(items)?;
        let times = self.calls.roots.times;
        if times > 1 || (self.calls.roots.shown.is_some() && times != 1) {
            return Err(ReviewError::NotOneRoot { times });
        }
        let head = self.head.as_mut().ok_or(BEGIN_FIRST)?;
        let call_data = digest(&self.hasher);
        let hash = head.finish(&call_data, self.domain.entry_point, self.domain.chain_id);
        items.hash(Label::Hash, &hash);
        Ok(hash)
    }

    fn end_calls(&mut self, items: &mut Items<'_>) -> Result<(), ReviewError> {
        if self.is_blind {
            return Ok(());
        }
        // Entry points do not call an account without call data.
        if self.stream.has_begun() {
            let read = self.stream.finish();
            self.or_blind(items, read)?;
        }
        if self.stream.is_without_calls() {
            items.label(Label::NoCalls);
        }
        Ok(())
    }

    /// Shows the place of the next session, and gives it.
    fn next_session(&mut self, items: &mut Items<'_>) -> Result<usize, ReviewError> {
        match self.stage {
            Stage::Sessions => {}
            Stage::CallData => {
                return Err(ReviewError::OutOfOrder { given: "a session", expected: "more call data" });
            }
            Stage::Idle => return Err(BEGIN_FIRST),
        }
        self.sessions += 1;
        items.put(Label::Session, Value::Place { number: self.sessions, of: None });
        Ok(self.sessions)
    }

    const fn session_view(&self, number: usize, lints: Option<Lints<'a>>) -> SessionView<'a> {
        SessionView { trusted: self.trusted, account: self.calls.account, number, lints }
    }

    fn add_leaf(&mut self, leaf: B256) -> Result<(), ReviewError> {
        self.root.push(leaf)?;
        self.calls.roots.shown = self.root.root();
        Ok(())
    }

    fn expect_begun(&self, given: &'static str) -> Result<(), ReviewError> {
        match self.stage {
            Stage::Idle => Err(ReviewError::OutOfOrder { given, expected: "a new operation" }),
            Stage::Sessions | Stage::CallData => Ok(()),
        }
    }

    /// Goes on without reading where that is wanted, and where no sessions depend on it.
    fn or_blind(&mut self, items: &mut Items<'_>, read: Result<(), ReviewError>) -> Result<(), ReviewError> {
        match read {
            Err(
                error @ (ReviewError::Unreadable { .. }
                | ReviewError::Ends { .. }
                | ReviewError::TooManyCalls { .. }),
            ) if self.on_unreadable == OnUnreadable::Show && self.calls.roots.shown.is_none() => {
                self.is_blind = true;
                items.with_severity(Severity::Danger).put(Label::Unreadable, Value::Reason(&error));
                Ok(())
            }
            read => read,
        }
    }
}

const BEGIN_FIRST: ReviewError = ReviewError::OutOfOrder { given: "a step", expected: "a new operation" };
