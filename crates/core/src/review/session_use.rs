//! The use of a session, by the key that it is for.

use alloy_primitives::B256;

use super::{
    error::ReviewError,
    head::{Domain, OperationHead},
    item::{Item, Show, Value},
    label::Label,
    sessions::SessionView,
    state::ReviewState,
};
use crate::{
    session::{erc20::evaluate_erc20, evaluate::evaluate, leaf::SessionLeaf},
    trusted::ContractRole,
};

impl<S: Show, const CALLS: usize> ReviewState<'_, S, CALLS> {
    /// Reviews the use of a session: shows the operation, what the session allows, and the call, and refuses what the
    /// session forbids. Gives the operation's hash.
    ///
    /// Rules look at any word of the call's data, so that all of it has to be there.
    ///
    /// # Errors
    /// As the other steps, and [`ReviewError::Forbidden`] or [`ReviewError::Erc20Forbidden`].
    pub fn session_use(
        &mut self,
        domain: Domain,
        head: &OperationHead<'_>,
        call_data: &[u8],
        leaf: &SessionLeaf<'_>,
    ) -> Result<B256, ReviewError> {
        self.begin(domain, head)?;
        let allowed = self.show_use(head, call_data, leaf);
        self.end_if_refused(allowed)?;
        self.call_data(call_data)?;
        self.finish()
    }

    fn show_use(
        &mut self,
        head: &OperationHead<'_>,
        call_data: &[u8],
        leaf: &SessionLeaf<'_>,
    ) -> Result<(), ReviewError> {
        let (trusted, show) = self.parts();
        show.show(&Item::new(Label::Use, Value::None))?;
        SessionView { trusted: *trusted, account: head.sender(), number: 1, lints: None }.show(show, leaf)?;
        match trusted.role(leaf.validation_module) {
            Some(ContractRole::Erc20SessionValidationModule) => {
                evaluate_erc20(leaf.session_key_data, call_data).map_err(ReviewError::Erc20Forbidden)?
            }
            _ => evaluate(leaf.session_key_data, call_data).map_err(ReviewError::Forbidden)?,
        };
        Ok(())
    }
}
