//! How values are written on a screen.

use core::fmt::{self, Write as _};

use alloy_primitives::{B256, U256};
use time::OffsetDateTime;

/// Writes lines.
pub(crate) struct Lines<W>(pub(crate) W);

impl<W: fmt::Write> Lines<W> {
    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        self.0.write_fmt(line)?;
        self.0.write_char('\n')
    }
}

/// An amount of wei in ether, with all its digits.
pub(crate) struct Ether(pub(crate) U256);

impl fmt::Display for Ether {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = U256::from(WEI_IN_ETHER);
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        write!(f, "{whole}")?;
        let mut rest = rest.to::<u64>();
        let mut digit = WEI_IN_ETHER / 10;
        if rest > 0 {
            f.write_char('.')?;
        }
        while rest > 0 {
            write!(f, "{}", rest / digit)?;
            rest %= digit;
            digit /= 10;
        }
        f.write_str(" ether")
    }
}

const WEI_IN_ETHER: u64 = 1_000_000_000_000_000_000;

/// Seconds since 1970, in UTC.
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            i64::try_from(self.0).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        match time {
            Some(time) => write!(
                f,
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
                time.year(),
                u8::from(time.month()),
                time.day(),
                time.hour(),
                time.minute(),
                time.second()
            ),
            None => write!(f, "second {} after 1970, beyond the year 9999", self.0),
        }
    }
}

/// Text from outside, which may not be more than one line or longer than one.
pub(crate) struct Safe<'a>(pub(crate) &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars().take(LONGEST_TEXT) {
            f.write_char(if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' })?;
        }
        if self.0.chars().nth(LONGEST_TEXT).is_some() { f.write_str(" (cut)") } else { Ok(()) }
    }
}

const LONGEST_TEXT: usize = 120;

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
            Some(kind) if kind.starts_with("uint") => write!(f, "{number}"),
            _ => write!(f, "{word:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn ether() {
        for (wei, text) in [
            (U256::ZERO, "0 ether"),
            (U256::ONE, "0.000000000000000001 ether"),
            (U256::from(1_050_000_000_000_000_000_u64), "1.05 ether"),
            (U256::from(WEI_IN_ETHER) * U256::from(12_u64), "12 ether"),
        ] {
            assert_eq!(Ether(wei).to_string(), text);
        }
    }

    #[test]
    fn times() {
        assert_eq!(Time(1_900_000_000).to_string(), "2030-03-17 17:46:40 UTC");
        assert_eq!(
            Time((1 << 48) - 1).to_string(),
            "second 281474976710655 after 1970, beyond the year 9999"
        );
    }

    #[test]
    fn no_line_is_forged() {
        assert_eq!(Safe("a\nApproved\u{202e}").to_string(), "a?Approved?");
        let long = "x".repeat(1000);
        assert!(Safe(&long).to_string().len() < 130);
    }
}
