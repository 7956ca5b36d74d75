//! The review, as the test asks for it.

use quorate_core::{Domain, Known, Leaf, OperationHead, Review, ReviewError, UserOperation};

use super::chain::{AT, CHAIN_ID};

/// What the core says of an operation.
#[derive(Debug)]
pub(crate) struct Reviewed {
    /// Why nothing may be signed.
    pub(crate) refused: Option<String>,
    /// What is shown; the warnings among them say so.
    pub(crate) lines: Vec<String>,
}

/// The functions whose names the reviewer knows.
const FUNCTIONS: [&str; 3] = [
    "approve(address spender, uint256 amount)",
    "increaseAllowance(address spender, uint256 addedValue)",
    "transfer(address to, uint256 amount)",
];

/// Reviews an operation of entry point v0.6, given the sessions that it is said to grant. The hash to sign must be the
/// operation's.
pub(crate) fn review(operation: &UserOperation<Vec<u8>>, sessions: &[Leaf]) -> Reviewed {
    let domain = Domain { entry_point: AT.entry_point, chain_id: CHAIN_ID };
    let mut shown = String::new();
    let reviewed = (|| -> Result<_, ReviewError> {
        let head = OperationHead::V0_6(operation.without_call_data());
        let mut review: Review<'_, _> = Review::begin(known(), domain, head, &mut shown);
        for session in sessions {
            review.session(&session.borrow())?;
        }
        for piece in operation.call_data.chunks(61) {
            review.call_data(piece)?;
        }
        review.finish()
    })();
    if let Ok(hash) = reviewed {
        assert_eq!(hash, operation.hash(domain.entry_point, domain.chain_id));
    }
    Reviewed {
        refused: reviewed.err().map(|error| error.to_string()),
        lines: shown.lines().map(str::to_owned).collect(),
    }
}

fn known() -> Known<'static> {
    Known {
        session_key_manager: AT.session_key_manager,
        abi_session_validation_module: AT.abi_session_validation_module,
        functions: &FUNCTIONS,
    }
}
