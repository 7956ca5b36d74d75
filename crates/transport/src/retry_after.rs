//! The `Retry-After` header: seconds or a date (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

/// How long after `now` the header's `value` asks to wait; `None` when it is neither seconds nor a date.
///
/// Seconds that no `Duration` holds are `Duration::MAX`: the server asks for a wait without end, not for none.
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        // 1994-11-06 08:49:30 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        assert_eq!(parse(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        for (value, expected) in [
            ("18446744073709551615", Duration::from_secs(u64::MAX)),
            ("18446744073709551616", Duration::MAX),
            ("99999999999999999999999999", Duration::MAX),
        ] {
            assert_eq!(parse(value, now), Some(expected), "{value}");
        }
        assert!(parse("Fri, 31 Dec 9999 23:59:59 GMT", now).is_some());
        assert_eq!(parse("", now), None);
        assert_eq!(parse("soon", now), None);
        assert_eq!(parse("-1", now), None);
    }
}
