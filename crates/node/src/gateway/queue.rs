//! Frames that wait for a node's socket, bounded in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// The bytes that may wait for one node.
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The end at which frames are put in.
pub(super) struct Sender {
    frames: mpsc::UnboundedSender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

/// The end at which they are taken out.
pub(super) struct Receiver {
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

/// The queue has no room for the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// An empty queue.
pub(super) fn queue() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let bytes = Arc::new(AtomicUsize::new(0));
    (Sender { frames: sender, bytes: Arc::clone(&bytes) }, Receiver { frames: receiver, bytes })
}

impl Sender {
    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Puts a frame in, if there is room. Callers take turns.
    pub(super) fn push(&self, frame: Vec<u8>) -> Result<(), Full> {
        let len = frame.len();
        if self.bytes.load(Ordering::Relaxed) + len > MOST_BYTES {
            return Err(Full);
        }
        self.bytes.fetch_add(len, Ordering::Relaxed);
        // A queue that nobody reads belongs to a connection that has just ended, which its tasks are told.
        let _ = self.frames.send(frame);
        Ok(())
    }
}

impl Receiver {
    /// The next frame; none once the other end is gone.
    pub(super) async fn pop(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.recv().await?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_holds_eight_mebibytes_and_has_room_again_for_what_was_read() {
        let (sender, mut receiver) = queue();
        let half = || vec![7; MOST_BYTES / 2];
        assert_eq!(sender.push(half()), Ok(()));
        assert_eq!(sender.push(half()), Ok(()));
        assert_eq!(sender.push(vec![0]), Err(Full));
        assert_eq!(receiver.pop().await, Some(half()));
        assert_eq!(sender.push(vec![0]), Ok(()));
    }
}
