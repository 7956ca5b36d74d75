//! What time it is: the only place that asks the system.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fail_points;

/// The beginning of 2024: a clock before that was never set.
const EARLIEST: u64 = 1_704_067_200;

/// How far a clock may be set back, in seconds.
const SET_BACK: u64 = 60;

/// A clock that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// It was never set.
    #[error(
        "the system's clock says {now} seconds since 1970, before 2024; set it, since windows and expiries depend on it"
    )]
    Unset {
        /// What it says, in seconds since 1970; 0 for earlier.
        now: u64,
    },
    /// It was set back.
    #[error(
        "the system's clock says {now} seconds since 1970, and the database has something of {newest}; set the clock, \
         since windows and expiries depend on it"
    )]
    Behind {
        /// What it says, in seconds since 1970.
        now: u64,
        /// The newest time in the database, in seconds since 1970.
        newest: u64,
    },
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    since_1970().as_secs()
}

/// Milliseconds since 1970.
pub(crate) fn millis() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ahead = fail_points::clock_ahead();
    let difference = Duration::from_secs(ahead.unsigned_abs());
    if ahead < 0 { now.saturating_sub(difference) } else { now.saturating_add(difference) }
}

/// Refuses a clock that was never set, or is behind what was written by it.
pub(crate) fn check(now: u64, newest: u64) -> Result<(), ClockError> {
    if now < EARLIEST {
        return Err(ClockError::Unset { now });
    }
    if now.saturating_add(SET_BACK) < newest {
        return Err(ClockError::Behind { now, newest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_set_and_not_set_back() {
        assert_eq!(check(EARLIEST - 1, 0), Err(ClockError::Unset { now: EARLIEST - 1 }));
        check(EARLIEST, EARLIEST + SET_BACK).unwrap();
        let newest = EARLIEST + SET_BACK + 1;
        assert_eq!(check(EARLIEST, newest), Err(ClockError::Behind { now: EARLIEST, newest }));
    }
}
