//! A session's use, for which all of the call has to be there.

use quorate_core::{B256, ReviewState, SessionLeaf, Show};

use crate::{
    frame::{MAX_FRAME, Numbered, ToDevice, read_message},
    refusal::Refusal,
};

/// The most bytes of call data that are checked against a session.
pub const MAX_USE_CALL_DATA: usize = 2048;

/// The operation that uses a session, until the session comes.
pub(crate) struct UseBuffers {
    /// The frame that began it.
    frame: heapless::Vec<u8, MAX_FRAME>,
    call_data: heapless::Vec<u8, MAX_USE_CALL_DATA>,
}

impl UseBuffers {
    pub(crate) const fn new() -> Self {
        Self { frame: heapless::Vec::new(), call_data: heapless::Vec::new() }
    }

    /// Keeps the frame that begins a use.
    pub(crate) fn begin(&mut self, frame: &[u8]) -> bool {
        self.frame.clear();
        self.call_data.clear();
        self.frame.extend_from_slice(frame).is_ok()
    }

    pub(crate) fn call_data(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.call_data.extend_from_slice(piece).map_err(|_| Refusal::CallTooLong { limit: MAX_USE_CALL_DATA })
    }

    /// Shows the use, and gives the operation's hash.
    #[inline(never)]
    pub(crate) fn review<S: Show, const CALLS: usize>(
        &self,
        review: &mut ReviewState<'_, S, CALLS>,
        leaf: &SessionLeaf<'_>,
    ) -> Result<B256, Refusal> {
        let Some(Numbered { message: ToDevice::Use(operation), .. }) = read_message(&self.frame) else {
            return Err(Refusal::Unexpected);
        };
        Ok(review.session_use(operation.domain(), &operation.head, &self.call_data, leaf)?)
    }
}
