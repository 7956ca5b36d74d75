//! What is found in a session of the ERC-20 session validation module.

use alloy_primitives::Address;

use super::{
    context::LintContext,
    finding::Lint,
    session::{LIMITED_BITS, lint_contract},
    time,
};
use crate::session::erc20::Erc20Policy;

impl Erc20Policy {
    /// Passes on what the policy allows and most owners would not, and what is evidently not what was meant.
    ///
    /// ```
    /// use quorate_core::{Address, Erc20Policy, Lint, LintContext, SessionEpoch, U256};
    ///
    /// let policy = Erc20Policy {
    ///     token: Address::repeat_byte(1),
    ///     recipient: Address::repeat_byte(2),
    ///     max_amount: U256::MAX,
    ///     epoch: SessionEpoch::new(0, 1_900_000_000)?,
    /// };
    /// let mut findings = Vec::new();
    /// policy.lint(&LintContext::default(), &mut |lint| findings.push(lint));
    /// assert_eq!(findings, [Lint::UnlimitedAmount, Lint::AnyTokenFunction]);
    /// # Ok::<(), quorate_core::EncodeError>(())
    /// ```
    pub fn lint(&self, context: &LintContext<'_>, found: &mut dyn FnMut(Lint)) {
        time::lint(self.epoch, context.now, found);
        lint_contract(self.token, context, found);
        if self.recipient == Address::ZERO {
            found(Lint::ZeroRecipient);
        }
        if self.max_amount.bit_len() > LIMITED_BITS {
            found(Lint::UnlimitedAmount);
        }
        found(Lint::AnyTokenFunction);
    }
}
