//! What is odd about a session's times.

use super::finding::Lint;
use crate::policy::{epoch::SessionEpoch, error::TimeField};

/// Passes on what is odd about `epoch`, `now` being the time in seconds since 1970, if there is a clock.
pub(super) fn lint(epoch: SessionEpoch, now: Option<u64>, found: &mut dyn FnMut(Lint)) {
    let (valid_after, valid_until) = (epoch.valid_after(), epoch.valid_until());
    let endless = valid_until == 0 || valid_until == SessionEpoch::MAX_TIME;
    if endless {
        found(Lint::NoEnd);
    }
    if valid_after >= MILLISECONDS {
        found(Lint::TimeInMilliseconds { field: TimeField::ValidAfter, value: valid_after });
    }
    let milliseconds = !endless && valid_until >= MILLISECONDS;
    if milliseconds {
        found(Lint::TimeInMilliseconds { field: TimeField::ValidUntil, value: valid_until });
    }
    // Both ends belong to the session, so that one second is enough.
    if valid_until != 0 && valid_until < valid_after {
        found(Lint::NeverValid { valid_after, valid_until });
    } else if !endless && now.is_some_and(|now| valid_until < now) {
        found(Lint::Over { valid_until });
    }
    // Without a clock, a session lasts a year at least that starts so long before its end.
    let start = now.or((valid_after != 0).then_some(valid_after));
    let long = start.is_some_and(|start| valid_until > start.saturating_add(YEAR));
    if !endless && !milliseconds && long {
        found(Lint::LongerThanAYear { valid_until });
    }
}

const YEAR: u64 = 365 * 24 * 60 * 60;

/// From here on a time is taken for milliseconds: as seconds it lies in the year 5138, as milliseconds in 1973.
const MILLISECONDS: u64 = 100_000_000_000;

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    #[test]
    fn each_of_them() {
        use Lint::*;
        let ms = |field, value| TimeInMilliseconds { field, value };
        let never = |valid_after, valid_until| NeverValid { valid_after, valid_until };
        let most = SessionEpoch::MAX_TIME;
        let now = Some(1_000_000);
        for (valid_after, valid_until, now, expected) in [
            (0, 2_000_000, now, vec![]),
            (0, 2_000_000, None, vec![]),
            (0, 0, now, vec![NoEnd]),
            (5, most, now, vec![NoEnd]),
            (0, 1_000_000, now, vec![]),
            (0, 999_999, now, vec![Over { valid_until: 999_999 }]),
            (0, 999_999, None, vec![]),
            (5, 5, None, vec![]),
            (6, 5, None, vec![never(6, 5)]),
            (6, 5, now, vec![never(6, 5)]),
            (0, 1_000_000 + YEAR, now, vec![]),
            (0, 1_000_001 + YEAR, now, vec![LongerThanAYear { valid_until: 1_000_001 + YEAR }]),
            (7, 7 + YEAR, None, vec![]),
            (7, 8 + YEAR, None, vec![LongerThanAYear { valid_until: 8 + YEAR }]),
            (MILLISECONDS - 1, 0, now, vec![NoEnd]),
            (MILLISECONDS, 0, now, vec![NoEnd, ms(TimeField::ValidAfter, MILLISECONDS)]),
            (5, MILLISECONDS, now, vec![ms(TimeField::ValidUntil, MILLISECONDS)]),
            (most, most, now, vec![NoEnd, ms(TimeField::ValidAfter, most)]),
        ] {
            let mut found = Vec::new();
            lint(SessionEpoch::new(valid_after, valid_until).unwrap(), now, &mut |it| found.push(it));
            assert_eq!(found, expected, "{valid_after} to {valid_until} at {now:?}");
        }
    }
}
