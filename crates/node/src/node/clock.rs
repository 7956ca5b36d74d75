use std::time::{SystemTime, UNIX_EPOCH};

/// The beginning of 2024: a clock before that was never set.
const EARLIEST: u64 = 1_704_067_200;

/// A clock that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system's clock says {now} seconds since 1970, before 2024; set it, since windows and expiries depend on it"
)]
pub struct UnsetClock {
    /// What it says, in seconds since 1970; 0 for earlier.
    pub now: u64,
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Refuses a clock that was never set.
pub(crate) fn check() -> Result<(), UnsetClock> {
    let now = now();
    if now < EARLIEST { Err(UnsetClock { now }) } else { Ok(()) }
}
