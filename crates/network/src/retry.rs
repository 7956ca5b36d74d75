//! When a signature is asked for again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::NetworkError;

/// Who is told of each error after which a call is made again.
#[derive(Clone)]
pub(crate) struct RetryListener(pub(crate) Arc<dyn Fn(&NetworkError) + Send + Sync>);

impl fmt::Debug for RetryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryListener")
    }
}

/// Pauses that double up to a longest one.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
}

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

impl Default for Pauses {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Pauses {
    /// The next pause: between a half and the whole of it, so that clients which lost the same gateway come back one after
    /// the other.
    pub(crate) fn draw(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::default();
        for whole in [50, 100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let pause = pauses.draw();
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        }
    }
}
