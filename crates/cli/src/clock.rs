//! The time of day, in seconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// None where the clock is before 1970.
pub(crate) fn known() -> Option<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// 0 where the clock is before 1970.
pub(crate) fn now() -> u64 {
    known().unwrap_or_default()
}
