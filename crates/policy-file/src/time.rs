//! Dates and durations.

use std::num::NonZeroU64;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use quorate_core::SessionEpoch;

/// The fields for amounts of a window, with its length in seconds.
pub(crate) const WINDOWS: [(&str, NonZeroU64); 3] =
    [("per_hour", seconds(3_600)), ("per_day", seconds(86_400)), ("per_week", seconds(604_800))];

const fn seconds(seconds: u64) -> NonZeroU64 {
    match NonZeroU64::new(seconds) {
        Some(seconds) => seconds,
        None => NonZeroU64::MIN,
    }
}

/// The length of a window in words: `day`, or `90 s` where there is no word.
pub(crate) fn window_in_words(seconds: NonZeroU64) -> String {
    let named = WINDOWS.iter().find(|(_, length)| *length == seconds);
    match named.and_then(|(key, _)| key.strip_prefix("per_")) {
        Some(word) => word.to_owned(),
        None => format!("{seconds} s"),
    }
}

/// Which end of a day a bare date means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Day {
    Start,
    End,
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Neither a date nor a time.
    #[error("this is not a time")]
    NotATime,
    /// A time of the day that does not say where.
    #[error("this time does not say which offset it has from UTC")]
    NoOffset,
    /// Not a duration.
    #[error("this is not a duration")]
    NotADuration,
    /// A time that the chain cannot hold.
    #[error("this is before 1970, or beyond the times that there are")]
    OutOfRange,
}

impl TimeError {
    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotATime => "write a date, `2026-12-31`, or a time, `2026-12-31T18:00:00Z`".to_owned(),
            Self::NoOffset => "end it with `Z` for UTC, or with an offset: `+02:00`".to_owned(),
            Self::NotADuration => "write `7 days`, `12 hours` or `1 month 2 weeks`".to_owned(),
            Self::OutOfRange => return None,
        })
    }
}

/// Seconds since 1970 of a date, at an end of that day in UTC, or of a time with its offset.
pub(crate) fn moment(text: &str, day: Day) -> Result<u64, TimeError> {
    let text = text.trim();
    let is_date = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let seconds = match is_date {
        true => {
            let date: Date = text.parse().map_err(|_| TimeError::NotATime)?;
            let time = match day {
                Day::Start => date.at(0, 0, 0, 0),
                Day::End => date.at(23, 59, 59, 0),
            };
            TimeZone::UTC.to_timestamp(time).map_err(|_| TimeError::OutOfRange)?.as_second()
        }
        false => match text.parse::<Timestamp>() {
            Ok(timestamp) => timestamp.as_second(),
            Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => return Err(TimeError::NoOffset),
            Err(_) => return Err(TimeError::NotATime),
        },
    };
    in_range(seconds)
}

/// A duration from now on; calendar units have the length that they then have.
pub(crate) fn duration(text: &str) -> Result<Span, TimeError> {
    let span: Span = text.trim().parse().map_err(|_| TimeError::NotADuration)?;
    if span.is_positive() { Ok(span) } else { Err(TimeError::NotADuration) }
}

/// `span` after `start`, in seconds since 1970.
pub(crate) fn after(start: u64, span: Span) -> Result<u64, TimeError> {
    let start = i64::try_from(start).ok().and_then(|start| Timestamp::from_second(start).ok());
    let start = start.ok_or(TimeError::OutOfRange)?.to_zoned_datetime(TimeZone::UTC);
    in_range(start.checked_add(span).map_err(|_| TimeError::OutOfRange)?.timestamp().as_second())
}

/// The seconds of a duration that is always as long: `day`, `6 hours`.
pub(crate) fn fixed_seconds(text: &str) -> Result<u64, TimeError> {
    let text = text.trim();
    let one = format!("1 {text}");
    let text = if text.starts_with(|first: char| first.is_ascii_digit()) { text } else { one.as_str() };
    let span: Span = text.parse().map_err(|_| TimeError::NotADuration)?;
    let duration: SignedDuration =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| TimeError::NotADuration)?;
    match u64::try_from(duration.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(TimeError::NotADuration),
    }
}

fn in_range(seconds: i64) -> Result<u64, TimeError> {
    match u64::try_from(seconds) {
        // 0 means no end and no start.
        Ok(seconds) if seconds > 0 && seconds <= SessionEpoch::MAX_TIME => Ok(seconds),
        _ => Err(TimeError::OutOfRange),
    }
}

/// The time as people read it.
pub(crate) fn shown(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| format!("{seconds} s"), |it| it.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_whole_day_in_utc() {
        assert_eq!(moment("2026-12-31", Day::Start), Ok(1_798_675_200));
        assert_eq!(moment("2026-12-31", Day::End), Ok(1_798_761_599));
        assert_eq!(moment("2026-12-31T02:00:00+02:00", Day::End), Ok(1_798_675_200));
        assert_eq!(moment("2026-12-31 00:00:00Z", Day::End), Ok(1_798_675_200));
        for (text, error) in [
            ("2026-12-31T00:00:00", TimeError::NoOffset),
            ("2026-13-01", TimeError::NotATime),
            ("tomorrow", TimeError::NotATime),
            ("1969-12-31", TimeError::OutOfRange),
            ("", TimeError::NotATime),
        ] {
            assert_eq!(moment(text, Day::End), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_count_in_the_calendar() {
        let january = 1_798_675_200 + 86_400;
        assert_eq!(after(january, duration("7 days").unwrap()), Ok(january + 7 * 86_400));
        assert_eq!(after(january, duration("1 month").unwrap()), Ok(january + 31 * 86_400));
        for text in ["", "-1 day", "0 days", "soon", "7"] {
            assert_eq!(duration(text).err(), Some(TimeError::NotADuration), "{text}");
        }
        assert_eq!(fixed_seconds("day"), Ok(86_400));
        assert_eq!(fixed_seconds("6 hours"), Ok(21_600));
        assert_eq!(fixed_seconds("week"), Ok(604_800));
        for text in ["month", "", "0 days", "x"] {
            assert_eq!(fixed_seconds(text), Err(TimeError::NotADuration), "{text}");
        }
    }
}
