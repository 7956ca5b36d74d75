//! How far the clocks of others are from this one's.
//!
//! Gateway and nodes ping each other every ten seconds and say in the ping what time it is. The way counts too, so a
//! difference means something beyond seconds only. Nobody's word is believed: the difference is shown, and that is all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Occasionally;
use crate::clock;

/// The last difference to each of the others, in milliseconds.
#[derive(Debug)]
pub(crate) struct Clocks<Other> {
    differences: Mutex<BTreeMap<Other, i64>>,
    skewed: Occasionally,
}

/// From which difference on clocks count as different, in seconds.
pub(crate) const SKEW: f64 = 5.0;

impl<Other> Default for Clocks<Other> {
    fn default() -> Self {
        Self { differences: Mutex::default(), skewed: Occasionally::new() }
    }
}

impl<Other: Ord + Copy + std::fmt::Display> Clocks<Other> {
    /// Notes what time it was somewhere else just now, in milliseconds since 1970.
    pub(crate) fn note(&self, other: Other, sent_at: u64) {
        let difference =
            i64::try_from(sent_at).unwrap_or(i64::MAX).saturating_sub(clock::millis().cast_signed());
        self.lock().insert(other, difference);
        let seconds = in_seconds(difference);
        if seconds.abs() > SKEW
            && let Some(times) = self.skewed.count()
        {
            tracing::warn!(of = %other, seconds, times, "another clock differs from this one: windows and expiries move by it");
        }
    }

    /// Forgets one that has gone.
    pub(crate) fn forget(&self, other: Other) {
        self.lock().remove(&other);
    }

    /// How far each of the others is ahead of this clock, in seconds; negative where it is behind.
    pub(crate) fn differences(&self) -> BTreeMap<Other, f64> {
        self.lock().iter().map(|(other, difference)| (*other, in_seconds(*difference))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Other, i64>> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a ping carries: milliseconds since 1970.
pub(crate) fn ping() -> [u8; 8] {
    clock::millis().to_be_bytes()
}

/// When a ping was sent, if it says.
pub(crate) fn sent_at(ping: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(ping.try_into().ok()?)).filter(|millis| *millis <= FARTHEST)
}

/// The end of the year 9999, in milliseconds since 1970.
const FARTHEST: u64 = 253_402_300_800_000;

/// Times before the year 9999 are exact to the millisecond.
#[allow(clippy::cast_precision_loss, reason = "52 bits hold every difference that is kept")]
fn in_seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_by_what_its_pings_say() {
        let clocks = Clocks::<u8>::default();
        let here = sent_at(&ping()).unwrap();
        clocks.note(1, here);
        clocks.note(2, here + 60_000);
        clocks.note(3, here - 60_000);
        let differences = clocks.differences();
        assert!(
            differences[&1].abs() < 5.0 && differences[&2] > 50.0 && differences[&3] < -50.0,
            "{differences:?}"
        );
        clocks.forget(2);
        assert!(!clocks.differences().contains_key(&2));
    }

    #[test]
    fn a_ping_that_says_no_time_is_no_clock() {
        assert_eq!(sent_at(&[]), None);
        assert_eq!(sent_at(&[255; 8]), None);
        assert_eq!(sent_at(b"hello"), None);
    }
}
