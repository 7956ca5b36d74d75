//! The use of a session, by the key that it is for.

use alloy_primitives::B256;

use super::{
    error::ReviewError,
    head::{Domain, OperationHead},
    item::Show,
    state::ReviewState,
};
use crate::session::leaf::SessionLeaf;

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
        self.step(&mut |steps, items| steps.session_use(items, call_data, leaf))?;
        self.call_data(call_data)?;
        self.finish()
    }
}
