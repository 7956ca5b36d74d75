//! The review, as the test asks for it.

use quorate_core::{
    Domain, Item, KnownFunction, Leaf, NotShown, OperationHead, ReviewError, ReviewState, Show,
    TrustedContext, UserOperation, known_functions,
};

use super::chain::{AT, CHAIN_ID};

/// What the core says of an operation.
#[derive(Debug)]
pub(crate) struct Reviewed {
    /// Why nothing may be signed.
    pub(crate) refused: Option<String>,
    /// What is shown; the warnings among them say so.
    pub(crate) lines: Vec<String>,
}

impl Show for Reviewed {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        self.lines.push(item.to_string());
        Ok(())
    }
}

/// The functions whose names the reviewer knows.
const FUNCTIONS: &[KnownFunction<'static>] = known_functions![
    "approve(address spender, uint256 amount)",
    "increaseAllowance(address spender, uint256 addedValue)",
    "transfer(address to, uint256 amount)",
];

/// Reviews an operation of entry point v0.6, given the sessions that it is said to grant. The hash to sign must be the
/// operation's.
pub(crate) fn review(operation: &UserOperation<Vec<u8>>, sessions: &[Leaf]) -> Reviewed {
    let domain = Domain { entry_point: AT.entry_point, chain_id: CHAIN_ID };
    let head = OperationHead::V0_6(operation.without_call_data());
    let trusted = TrustedContext { functions: FUNCTIONS, ..TrustedContext::CANONICAL };
    let mut shown = Reviewed { refused: None, lines: Vec::new() };
    let mut state: ReviewState<'_, _> = ReviewState::new(trusted, &mut shown);
    let reviewed = (|| -> Result<_, ReviewError> {
        state.begin(domain, &head)?;
        sessions.iter().try_for_each(|session| state.session(&session.borrow()))?;
        operation.call_data.chunks(61).try_for_each(|piece| state.call_data(piece))?;
        state.finish()
    })();
    if let Ok(hash) = reviewed {
        assert_eq!(hash, operation.hash(domain.entry_point, domain.chain_id));
    }
    shown.refused = reviewed.err().map(|error| error.to_string());
    shown
}
