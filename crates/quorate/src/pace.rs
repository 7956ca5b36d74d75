//! How often a wait looks.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// The rhythm of all waits of a client.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Requests a second; none where there is no bound.
    budget: Option<u32>,
    block_time: OnceLock<Duration>,
    /// When the next request may leave. Who holds it is the one who asks.
    next: Mutex<Instant>,
}

/// Between two looks: never more, whatever the chain's block time.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const SHORTEST_FLOOR: Duration = Duration::from_millis(10);
/// Where requests are not counted, as on the machine of the chain itself.
const LOCAL_FLOOR: Duration = Duration::from_millis(4);
const LONGEST_FLOOR: Duration = Duration::from_millis(500);

impl Pace {
    /// For endpoints of which nothing is known: 10 requests a second.
    pub(crate) fn remote() -> Self {
        Self { budget: Some(10), block_time: OnceLock::new(), next: Mutex::new(Instant::now()) }
    }

    pub(crate) fn with_budget(&self, budget: Option<u32>) -> Self {
        Self { budget, block_time: self.block_time.clone(), next: Mutex::new(Instant::now()) }
    }

    pub(crate) fn with_block_time(&self, time: Duration) -> Self {
        Self { budget: self.budget, block_time: time.into(), next: Mutex::new(Instant::now()) }
    }

    /// Whether the chain's block time has to be read first.
    pub(crate) fn wants_block_time(&self) -> bool {
        self.budget.is_some() && self.block_time.get().is_none()
    }

    pub(crate) fn learn_block_time(&self, time: Duration) {
        let _ = self.block_time.set(time);
    }

    /// How long to wait for the next look, after so long a wait in all.
    pub(crate) fn pause(&self, waited: Duration) -> Duration {
        let block_time = self.block_time.get().copied().unwrap_or_default();
        pause(waited, block_time, if self.budget.is_some() { SHORTEST_FLOOR } else { LOCAL_FLOOR })
    }

    /// Waits until `requests` may be sent; none other are while the turn is held.
    pub(crate) async fn turn(&self, requests: u32) -> Option<MutexGuard<'_, Instant>> {
        let budget = self.budget?;
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + Duration::from_secs(1) * requests / budget.max(1);
        Some(next)
    }
}

/// A tenth of the time already waited, and no less than a twentieth of the time between two blocks.
fn pause(waited: Duration, block_time: Duration, shortest: Duration) -> Duration {
    let floor = (block_time / 20).clamp(shortest, LONGEST_FLOOR);
    (waited / 10).clamp(floor, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_frequent_at_first_and_rare_later() {
        let after = |waited, block_time| {
            pause(Duration::from_millis(waited), Duration::from_millis(block_time), SHORTEST_FLOOR)
        };
        assert_eq!(after(0, 0).as_millis(), 10);
        assert_eq!(after(1_000, 0).as_millis(), 100);
        assert_eq!(after(60_000, 0).as_millis(), 2_000);
        assert_eq!(after(0, 2_000).as_millis(), 100, "a twentieth of the block time");
        assert_eq!(after(0, 12_000).as_millis(), 500);
        assert_eq!(after(60_000, 120_000).as_millis(), 2_000);
        // In the first 20 seconds of a fast chain, and for ever after one in 2 s.
        let (mut waited, mut looks) = (Duration::ZERO, 0);
        while waited < Duration::from_secs(20) {
            waited += pause(waited, Duration::ZERO, SHORTEST_FLOOR);
            looks += 1;
        }
        assert!((50..80).contains(&looks), "{looks}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_waits_of_a_client_share_its_budget() {
        let pace = std::sync::Arc::new(Pace::remote());
        let start = Instant::now();
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let pace = std::sync::Arc::clone(&pace);
                tokio::spawn(async move { drop(pace.turn(1).await) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(1_900), "{:?}", start.elapsed());
        assert!(Pace::remote().with_budget(None).turn(1).await.is_none());
    }
}
