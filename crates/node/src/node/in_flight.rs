//! The tasks under way on one connection, and where their relayed messages go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_protocol::NodeIndex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::observe::Occasionally;
use crate::wire::TaskId;

/// How many tasks a node works on at once; the gateway is told that it is busy beyond that.
const MOST_TASKS: usize = 256;

/// How many bytes of relayed messages may wait to be read, in all.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How many messages may wait for one task: several of each of the most participants that a network has.
const MOST_MESSAGES: usize = 1024;

static NO_ROOM: Occasionally = Occasionally::new();

/// The tasks under way on one connection.
pub(crate) struct InFlight {
    inboxes: Mutex<Inboxes>,
    bytes: Arc<Semaphore>,
    idle: Notify,
}

#[derive(Default)]
struct Inboxes {
    by_task: HashMap<TaskId, mpsc::Sender<Relayed>>,
    is_closing: bool,
}

struct Relayed {
    from: NodeIndex,
    payload: Vec<u8>,
    _bytes: OwnedSemaphorePermit,
}

/// What the relay hands a task: the sender as the gateway claims it, and the bytes.
pub(crate) struct Inbox(mpsc::Receiver<Relayed>);

/// Why a task is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// There are as many as a node works on at once.
    Busy,
    /// The node is stopping.
    Stopping,
    /// It is under way already.
    Twice,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { inboxes: Mutex::default(), bytes: Arc::new(Semaphore::new(MOST_BYTES)), idle: Notify::new() }
    }
}

impl InFlight {
    /// Begins a task; its messages come to the inbox until it ends.
    pub(crate) fn begin(&self, task: TaskId) -> Result<Inbox, NotBegun> {
        let mut inboxes = self.lock();
        if inboxes.is_closing {
            return Err(NotBegun::Stopping);
        }
        if inboxes.by_task.contains_key(&task) {
            return Err(NotBegun::Twice);
        }
        if inboxes.by_task.len() >= MOST_TASKS {
            return Err(NotBegun::Busy);
        }
        let (sender, receiver) = mpsc::channel(MOST_MESSAGES);
        inboxes.by_task.insert(task, sender);
        Ok(Inbox(receiver))
    }

    /// Hands a task a message. One for which there is no room ends the task: a run without it would come to nothing. Whether
    /// there was room, or no such task.
    pub(crate) fn deliver(&self, task: TaskId, from: NodeIndex, payload: Vec<u8>) -> bool {
        let mut inboxes = self.lock();
        let Some(inbox) = inboxes.by_task.get(&task) else { return true };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let is_delivered = self.bytes.clone().try_acquire_many_owned(length).is_ok_and(|bytes| {
            let relayed = Relayed { from, payload, _bytes: bytes };
            !matches!(inbox.try_send(relayed), Err(mpsc::error::TrySendError::Full(_)))
        });
        if !is_delivered {
            if let Some(times) = NO_ROOM.count() {
                tracing::warn!(task, times, "more messages wait than there is room for; the task ends");
            }
            inboxes.by_task.remove(&task);
        }
        is_delivered
    }

    /// Closes a task's inbox, which ends a run that still waits for messages.
    pub(crate) fn end(&self, task: TaskId) {
        self.lock().by_task.remove(&task);
        self.idle.notify_waiters();
    }

    /// Closes all inboxes.
    pub(crate) fn end_all(&self) {
        self.lock().by_task.clear();
        self.idle.notify_waiters();
    }

    /// Begins nothing more, and waits until nothing is under way.
    pub(crate) async fn drain(&self) {
        self.lock().is_closing = true;
        loop {
            let changed = self.idle.notified();
            if self.lock().by_task.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// The next message; none once the task has ended.
    pub(crate) async fn recv(&mut self) -> Option<(NodeIndex, Vec<u8>)> {
        self.0.recv().await.map(|relayed| (relayed.from, relayed.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(index: u8) -> NodeIndex {
        NodeIndex::new(index).unwrap()
    }

    #[tokio::test]
    async fn a_task_is_begun_once_and_at_most_so_many_are() {
        let tasks = InFlight::default();
        let _first = tasks.begin(0).unwrap();
        assert_eq!(tasks.begin(0).err(), Some(NotBegun::Twice));
        let _others: Vec<_> = (1..256).map(|task| tasks.begin(task).unwrap()).collect();
        assert_eq!(tasks.begin(256).err(), Some(NotBegun::Busy));
        tasks.end(7);
        assert!(tasks.begin(256).is_ok());
    }

    #[tokio::test]
    async fn more_bytes_than_there_is_room_for_end_the_task_and_no_other() {
        let tasks = InFlight::default();
        let (mut flooded, mut other) = (tasks.begin(1).unwrap(), tasks.begin(2).unwrap());
        tasks.deliver(2, node(1), vec![2]);
        for _ in 0..=64 {
            tasks.deliver(1, node(1), vec![1; 1024 * 1024]);
        }
        let mut delivered = 0;
        while flooded.recv().await.is_some() {
            delivered += 1;
        }
        assert_eq!(delivered, 63, "beside the other task's byte");
        assert_eq!(other.recv().await, Some((node(1), vec![2])));
        tasks.deliver(2, node(1), vec![3; 1024 * 1024]);
        assert_eq!(
            other.recv().await.map(|(_, payload)| payload.len()),
            Some(1024 * 1024),
            "there is room again"
        );
    }
}
