//! How values are written on a screen.

use core::fmt;

use alloy_primitives::{Address, B256, U256};

use crate::written::{TextSink, Written, decimal_digits, write_digit, write_text};

/// An amount of a chain's own coin, in its smallest unit, with all its digits.
pub(crate) struct Coin(pub(crate) U256);

impl Written for Coin {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let digits = decimal_digits(&self.0);
        let first = digits.len().max(DECIMALS + 1);
        let last = digits.iter().position(|digit| *digit != 0).unwrap_or(DECIMALS).min(DECIMALS);
        for place in (last..first).rev() {
            if place + 1 == DECIMALS {
                out(".")?;
            }
            write_digit(digits.get(place).copied().unwrap_or_default(), out)?;
        }
        out(" of the chain's coin")
    }
}

/// The coins of all chains have 18 decimals.
const DECIMALS: usize = 18;

/// Seconds since 1970, in UTC.
pub(crate) struct Time(pub(crate) u64);

impl Written for Time {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let Some((day, second)) = day_and_second(self.0) else {
            return write_text("second {} after 1970, beyond the year 9999", &[&self.0], out);
        };
        let (year, month, day) = civil_from_days(day);
        let parts = [
            (year / 100, ""),
            (year % 100, "-"),
            (month, "-"),
            (day, " "),
            (second / 3600, ":"),
            (second / 60 % 60, ":"),
            (second % 60, " UTC"),
        ];
        parts.iter().try_for_each(|(number, after)| {
            let digit = |digit: u32| u8::try_from(digit).unwrap_or_default();
            write_digit(digit(number / 10), out)?;
            write_digit(digit(number % 10), out)?;
            out(after)
        })
    }
}

/// The day after 1970-01-01, up to the year 9999, and its second.
///
/// A day's seconds are 675 times 128, so that no number of 64 bits has to be divided.
fn day_and_second(second: u64) -> Option<(u32, u32)> {
    let second = (second <= LAST_SECOND_OF_9999).then_some(second)?;
    let (high, low) = (u32::try_from(second >> 7).ok()?, u32::try_from(second & 127).ok()?);
    Some((high / 675, (high % 675) << 7 | low))
}

const LAST_SECOND_OF_9999: u64 = 253_402_300_799;

/// Year, month and day of the day that is so many days after 1970-01-01, in the Gregorian calendar, which repeats after 400
/// years.
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    const DAYS_IN_400_YEARS: u32 = 400 * 365 + 97;
    let mut year = 1970 + 400 * (days / DAYS_IN_400_YEARS);
    let mut day = days % DAYS_IN_400_YEARS;
    while day >= 365 + leap_days(year) {
        day -= 365 + leap_days(year);
        year += 1;
    }
    let mut month = 1;
    while day >= days_in_month(year, month) {
        day -= days_in_month(year, month);
        month += 1;
    }
    (year, month, day + 1)
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + leap_days(year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 1 in a leap year, else 0.
fn leap_days(year: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    is_leap.into()
}

/// Text from outside, which may not be more than one line or longer than one, nor push what follows it out of sight.
pub(crate) struct Safe<'a>(pub(crate) &'a str);

impl Written for Safe<'_> {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let mut after_blank = false;
        for (count, (at, letter)) in self.0.char_indices().enumerate() {
            if count == LONGEST_TEXT {
                return out(" (cut)");
            }
            let is_blank = letter == ' ';
            if !(is_blank && after_blank) {
                let is_shown = letter.is_ascii_graphic() || is_blank;
                out(if is_shown { self.0.get(at..=at).unwrap_or_default() } else { "?" })?;
            }
            after_blank = is_blank;
        }
        Ok(())
    }
}

const LONGEST_TEXT: usize = 256;

/// A word as its ABI type has it; whole where it has none, or is not one of them.
pub(crate) struct Word<'a>(pub(crate) B256, pub(crate) Option<&'a str>);

impl Written for Word<'_> {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let Self(word, kind) = self;
        let number = U256::from_be_bytes(word.0);
        match *kind {
            Some("address") if word.starts_with(&[0; 12]) => Address::from_word(*word).write(out),
            Some("bool") if number.is_zero() => out("false"),
            Some("bool") if number == U256::ONE => out("true"),
            Some(kind) if kind.starts_with("uint") => number.write(out),
            _ => word.write(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString as _};

    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;

    fn line(written: &dyn Written) -> String {
        written.to_string()
    }

    #[test]
    fn coins() {
        for (wei, text) in [
            (U256::ZERO, "0 of the chain's coin"),
            (U256::ONE, "0.000000000000000001 of the chain's coin"),
            (U256::from(1_050_000_000_000_000_000_u64), "1.05 of the chain's coin"),
            (U256::from(12_000_000_000_000_000_000_u64), "12 of the chain's coin"),
        ] {
            assert_eq!(line(&Coin(wei)), text);
        }
    }

    #[test]
    fn times() {
        for (second, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (1_900_000_000, "2030-03-17 17:46:40 UTC"),
            (LAST_SECOND_OF_9999, "9999-12-31 23:59:59 UTC"),
            (LAST_SECOND_OF_9999 + 1, "second 253402300800 after 1970, beyond the year 9999"),
            ((1 << 48) - 1, "second 281474976710655 after 1970, beyond the year 9999"),
            (u64::MAX, "second 18446744073709551615 after 1970, beyond the year 9999"),
        ] {
            assert_eq!(line(&Time(second)), text);
        }
    }

    #[test]
    fn every_day_to_the_year_9999() {
        for day in 0..=LAST_SECOND_OF_9999 / 86_400 {
            compare_with_time(day * 86_400);
        }
    }

    proptest! {
        #[test]
        fn every_second_to_the_year_9999(second in 0..=LAST_SECOND_OF_9999) {
            compare_with_time(second);
        }
    }

    fn compare_with_time(second: u64) {
        let expected = OffsetDateTime::from_unix_timestamp(i64::try_from(second).unwrap()).unwrap();
        let (date, time) = (expected.date(), expected.time());
        let (year, month, day) = date.to_calendar_date();
        assert_eq!(
            civil_from_days(day_and_second(second).unwrap().0),
            (u32::try_from(year).unwrap(), u32::from(u8::from(month)), u32::from(day))
        );
        let (hour, minute, second_of_minute) = time.as_hms();
        let clock = std::format!(" {hour:02}:{minute:02}:{second_of_minute:02} UTC");
        assert!(line(&Time(second)).ends_with(&clock), "{second}");
    }

    #[test]
    fn no_line_is_forged() {
        assert_eq!(line(&Safe("a\nApproved\u{202e}")), "a?Approved?");
        let long = "x".repeat(1000);
        assert!(line(&Safe(&long)).len() < 270);
    }
}
