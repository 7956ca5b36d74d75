use std::time::Duration;

use alloy_primitives::B256;
use quorate_bundler::{Bundler, UserOperationReceipt};

use crate::Error;

/// A user operation on its way into a block.
///
/// It is known by its hash, so waiting can stop at any time and go on later, or elsewhere.
#[derive(Clone, Debug)]
pub struct PendingOperation {
    bundler: Bundler,
    user_op_hash: B256,
    deadline: Duration,
}

/// Between looks: at first short, then longer, as most operations land at once or late.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl PendingOperation {
    pub(crate) const fn new(bundler: Bundler, user_op_hash: B256) -> Self {
        Self { bundler, user_op_hash, deadline: Duration::from_secs(120) }
    }

    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.user_op_hash
    }

    /// The same with another patience; 120 seconds if nothing else is said.
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Waits until the operation is in a block and its call has gone through.
    ///
    /// # Errors
    /// [`Error::Reverted`] if its call reverted, [`Error::Timeout`] if it is not in a block in time.
    pub async fn wait(&self) -> Result<UserOperationReceipt, Error> {
        let poll = async {
            let mut pause = FIRST_PAUSE;
            loop {
                if let Some(receipt) = self.bundler.user_operation_receipt(self.user_op_hash).await? {
                    return Ok::<_, Error>(receipt);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            }
        };
        let late = |_| Error::Timeout { user_op_hash: self.user_op_hash, after: self.deadline };
        let receipt: UserOperationReceipt =
            tokio::time::timeout(self.deadline, poll).await.map_err(late)??;
        if !receipt.success {
            return Err(Error::Reverted { user_op_hash: self.user_op_hash, reason: receipt.reason });
        }
        Ok(receipt)
    }

    /// Waits like [`wait`](Self::wait), and gives the hash of the transaction that carried the operation.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn wait_for_tx_hash(&self) -> Result<B256, Error> {
        Ok(self.wait().await?.receipt.transaction_hash)
    }
}
