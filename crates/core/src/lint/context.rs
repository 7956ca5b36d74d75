//! What findings depend on besides the session.

use alloy_primitives::Address;

use crate::{policy::condition::Condition, trusted::TrustedContext};

/// What a lint knows besides the session itself.
///
/// ```
/// use quorate_core::{LintContext, TrustedContext, known_functions};
///
/// let functions = known_functions!["transfer(address to, uint256 amount)"];
/// let context = LintContext {
///     now: Some(1_900_000_000),
///     trusted: TrustedContext { functions, ..TrustedContext::CANONICAL },
///     ..LintContext::default()
/// };
/// assert_eq!(context.account, None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LintContext<'a> {
    /// The time in seconds since 1970, where there is a clock.
    pub now: Option<u64>,
    /// The account that the session is for, where it is known.
    pub account: Option<Address>,
    /// The contracts that control accounts, and signatures of functions, from which the types of arguments are known.
    pub trusted: TrustedContext<'a>,
    /// The conditions that a probe found the chain's session validation module not to enforce. A rule with one of them
    /// counts as none.
    pub unenforced: &'a [Condition],
}

/// No clock, no account, the contracts as their makers deployed them, and all conditions enforced.
impl Default for LintContext<'_> {
    fn default() -> Self {
        Self { now: None, account: None, trusted: TrustedContext::CANONICAL, unenforced: &[] }
    }
}
