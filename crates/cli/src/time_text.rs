//! Times as people write and read them.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

/// An end in seconds since 1970, of which 0 is none, in words.
pub(crate) fn until(seconds: u64) -> String {
    if seconds == 0 {
        return "without an end".to_owned();
    }
    let time =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    match time.and_then(|time| time.format(&Rfc3339).ok()) {
        Some(time) => format!("until {time}"),
        None => format!("until {seconds} (seconds since 1970)"),
    }
}

/// Reads an end: a date, whose last second in UTC it is, a time with its offset, or seconds since 1970.
pub(crate) fn end(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let last_second = Time::from_hms(23, 59, 59).unwrap_or(Time::MIDNIGHT);
    let date = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let time = date
        .map(|date| date.with_time(last_second).assume_utc())
        .or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    let time = time.map_err(|_| {
        format!(
            "`{text}` is no time; it is such as 2026-12-31, 2026-12-31T18:00:00+01:00, or seconds since 1970"
        )
    })?;
    u64::try_from(time.unix_timestamp()).map_err(|_| format!("`{text}` is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_ends_with_its_last_second() {
        assert_eq!(end("1970-01-02"), Ok(2 * 86_400 - 1));
        assert_eq!(end("1970-01-02T01:00:00+01:00"), Ok(86_400));
        assert_eq!(end("86400"), Ok(86_400));
        assert!(end("tomorrow").unwrap_err().contains("`tomorrow` is no time"));
        assert_eq!(until(86_400), "until 1970-01-02T00:00:00Z");
        assert_eq!(until(0), "without an end");
    }
}
