//! How values are written on a screen.

use core::fmt::{self, Write as _};

use alloy_primitives::{B256, U256};

/// A number's decimal digits.
///
/// They are had by dividing by ten, byte by byte: the general division of 256-bit numbers takes more of a device's
/// flash than all else here.
pub(crate) struct Decimal(pub(crate) U256);

/// A number below 2^256 has 78 digits at most.
type Digits = heapless::String<78>;

impl Decimal {
    fn digits(&self) -> Digits {
        let mut number: [u8; 32] = self.0.to_be_bytes();
        let mut reversed = heapless::Vec::<char, 78>::new();
        loop {
            let mut rest = 0;
            for byte in &mut number {
                let dividend = rest << 8 | u16::from(*byte);
                // Less than 2560 is divided by ten.
                *byte = u8::try_from(dividend / 10).unwrap_or_default();
                rest = dividend % 10;
            }
            let digit = char::from_digit(u32::from(rest), 10).unwrap_or_default();
            if reversed.push(digit).is_err() || number == [0; 32] {
                return reversed.iter().rev().collect();
            }
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

/// An amount of a chain's own coin, in its smallest unit, with all its digits.
pub(crate) struct Coin(pub(crate) U256);

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = Decimal(self.0).digits();
        let point = digits.len().saturating_sub(DECIMALS);
        let (whole, fraction) = digits.split_at_checked(point).unwrap_or_default();
        f.write_str(if whole.is_empty() { "0" } else { whole })?;
        let significant = fraction.trim_end_matches('0');
        if !significant.is_empty() {
            f.write_char('.')?;
            (fraction.len()..DECIMALS).try_for_each(|_| f.write_char('0'))?;
            f.write_str(significant)?;
        }
        f.write_str(" of the chain's coin")
    }
}

/// The coins of all chains have 18 decimals.
const DECIMALS: usize = 18;

/// Seconds since 1970, in UTC.
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > LAST_SECOND_OF_9999 {
            return write!(f, "second {} after 1970, beyond the year 9999", self.0);
        }
        let (days, second) = (self.0 / SECONDS_IN_DAY, self.0 % SECONDS_IN_DAY);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

const SECONDS_IN_DAY: u64 = 24 * 60 * 60;
const LAST_SECOND_OF_9999: u64 = 253_402_300_799;

/// Year, month and day of the day that is so many days after 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March on, so that the leap day is a year's last; months have 153 days in each five. The calendar
/// repeats after 400 years.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_4_YEARS: u64 = 4 * 365 + 1;
    const DAYS_IN_CENTURY: u64 = 25 * DAYS_IN_4_YEARS - 1;
    const DAYS_IN_400_YEARS: u64 = 4 * DAYS_IN_CENTURY + 1;
    // From 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (cycle, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    // Without the leap days before it, all years are of 365 days.
    let leap_days = day / (DAYS_IN_4_YEARS - 1) + day / (DAYS_IN_400_YEARS - 1) - day / DAYS_IN_CENTURY;
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * cycle + year + next_year, month, day)
}

/// Text from outside, which may not be more than one line or longer than one, nor push what follows it out of sight.
pub(crate) struct Safe<'a>(pub(crate) &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut after_blank = false;
        for letter in self.0.chars().take(LONGEST_TEXT) {
            let is_blank = letter == ' ';
            if !(is_blank && after_blank) {
                f.write_char(if letter.is_ascii_graphic() || is_blank { letter } else { '?' })?;
            }
            after_blank = is_blank;
        }
        if self.0.chars().nth(LONGEST_TEXT).is_some() { f.write_str(" (cut)") } else { Ok(()) }
    }
}

const LONGEST_TEXT: usize = 256;

/// A word as its ABI type has it; whole where it has none, or is not one of them.
pub(crate) struct Word<'a>(pub(crate) B256, pub(crate) Option<&'a str>);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word, kind) = self;
        let number = U256::from_be_bytes(word.0);
        let is_address = number.bit_len() <= 160;
        match kind {
            Some("address") if is_address => write!(f, "{}", alloy_primitives::Address::from_word(*word)),
            Some("bool") if number.is_zero() => f.write_str("false"),
            Some("bool") if number == U256::ONE => f.write_str("true"),
            Some(kind) if kind.starts_with("uint") => Decimal(number).fmt(f),
            _ => write!(f, "{word:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn coins() {
        for (wei, text) in [
            (U256::ZERO, "0 of the chain's coin"),
            (U256::ONE, "0.000000000000000001 of the chain's coin"),
            (U256::from(1_050_000_000_000_000_000_u64), "1.05 of the chain's coin"),
            (U256::from(12_000_000_000_000_000_000_u64), "12 of the chain's coin"),
        ] {
            assert_eq!(Coin(wei).to_string(), text);
        }
    }

    #[test]
    fn decimal_digits() {
        for number in [U256::ZERO, U256::from(9), U256::from(10), U256::from(u128::MAX), U256::MAX] {
            assert_eq!(Decimal(number).to_string(), number.to_string());
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
            assert_eq!(Time(second).to_string(), text);
        }
    }

    #[test]
    fn every_day_to_the_year_9999() {
        for day in 0..=LAST_SECOND_OF_9999 / SECONDS_IN_DAY {
            compare_with_time(day * SECONDS_IN_DAY);
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
            civil_from_days(second / SECONDS_IN_DAY),
            (u64::try_from(year).unwrap(), u64::from(u8::from(month)), u64::from(day))
        );
        let (hour, minute, second_of_minute) = time.as_hms();
        let clock = std::format!(" {hour:02}:{minute:02}:{second_of_minute:02} UTC");
        assert!(Time(second).to_string().ends_with(&clock), "{second}");
    }

    #[test]
    fn no_line_is_forged() {
        assert_eq!(Safe("a\nApproved\u{202e}").to_string(), "a?Approved?");
        let long = "x".repeat(1000);
        assert!(Safe(&long).to_string().len() < 270);
    }
}
