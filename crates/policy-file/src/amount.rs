//! Numbers with units: `25 USDC`, `0.1 ether`, `1_000`, `0xff`.

use alloy_primitives::U256;

use crate::mistake::similar;
use crate::read::one_line;

/// A number as it is written, with what one of its units is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) is_negative: bool,
    /// The digits, without the point.
    digits: U256,
    /// The digits after the point, the last of which is not 0.
    fraction: u8,
    pub(crate) unit: Unit,
    /// The number and unit, as they are written.
    pub(crate) text: String,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The smallest unit that there is.
    Smallest,
    /// A unit of the chain's coin, with its decimals.
    Coin(u8),
    /// A token, by its place in the file.
    Token(usize),
}

/// Reads an amount of the chain's coin as a policy file has it, in wei.
///
/// ```
/// assert_eq!(quorate_policy_file::wei("3 gwei")?.to_string(), "3000000000");
/// # Ok::<(), quorate_policy_file::NumberError>(())
/// ```
///
/// # Errors
/// [`NumberError`] where it is none.
pub fn wei(text: &str) -> Result<U256, NumberError> {
    Amount::parse(text, &[])?.wei()
}

/// The units of the chain's coin.
pub(crate) const COIN_UNITS: [(&str, u8); 3] = [("wei", 0), ("gwei", 9), ("ether", 18)];

/// Why something is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// Not a number.
    #[error("this is not a number")]
    NotANumber,
    /// A number of 2^256 or more.
    #[error("this number does not fit 256 bits")]
    TooLarge,
    /// A number of whole things that is too large.
    #[error("this has to be a whole number below 2^64, without a unit")]
    NotACount,
    /// A unit that the file does not know.
    #[error("`{unit}` is not a unit")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Fractions of something that has none.
    #[error("this has more digits after its point than there are: {decimals}")]
    TooPrecise {
        /// The digits that there may be.
        decimals: u8,
    },
    /// A unit of something else.
    #[error("this is an amount of the chain's coin: its units are wei, gwei and ether")]
    NotCoin,
    /// Less than nothing.
    #[error("this cannot be negative")]
    Negative,
}

impl NumberError {
    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotANumber => "write digits, as `25`, `0.5 ether`, `1_000` or `0xff`".to_owned(),
            Self::UnknownUnit { unit, known } => match similar(unit, known.iter().map(String::as_str)) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("there are {}; tokens stand under [tokens]", known.join(", ")),
            },
            Self::TooPrecise { decimals: 0 } => "write a unit, as `0.5 ether`, or a whole number".to_owned(),
            _ => return None,
        })
    }
}

impl Amount {
    /// Reads a number and the unit after it, of the chain's coin or of one of `tokens`.
    pub(crate) fn parse(text: &str, tokens: &[&str]) -> Result<Self, NumberError> {
        let text = text.trim();
        let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let is_hex = rest.starts_with("0x");
        let of_number = |letter: char| match is_hex {
            true => letter.is_ascii_alphanumeric() || letter == '_',
            false => letter.is_ascii_digit() || matches!(letter, '_' | '.'),
        };
        let end = rest.find(|letter| !of_number(letter)).unwrap_or(rest.len());
        let (number, unit) = rest.split_at(end);
        let unit = unit.trim();
        let (digits, fraction) = match number.strip_prefix("0x") {
            Some(digits) => (hex(digits)?, 0),
            None => decimal(number)?,
        };
        let unit = if unit.is_empty() { Unit::Smallest } else { Unit::named(unit, tokens)? };
        Ok(Self { is_negative, digits, fraction, unit, text: one_line(text) })
    }

    /// A whole number of things, such as uses.
    pub(crate) fn count(text: &str) -> Result<u64, NumberError> {
        match Self::parse(text, &[])? {
            Self { is_negative: false, digits, fraction: 0, unit: Unit::Smallest, .. } => {
                digits.try_into().map_err(|_| NumberError::NotACount)
            }
            _ => Err(NumberError::NotACount),
        }
    }

    /// An amount of the chain's coin, in wei.
    pub(crate) fn wei(&self) -> Result<U256, NumberError> {
        match self.unit {
            _ if self.is_negative => Err(NumberError::Negative),
            Unit::Token(_) => Err(NumberError::NotCoin),
            Unit::Smallest => self.magnitude(0),
            Unit::Coin(decimals) => self.magnitude(decimals),
        }
    }

    /// The number of smallest units, of which one whole has ten to `decimals`, without its sign.
    pub(crate) fn magnitude(&self, decimals: u8) -> Result<U256, NumberError> {
        let zeros = decimals.checked_sub(self.fraction).ok_or(NumberError::TooPrecise { decimals })?;
        let scale = U256::from(10).checked_pow(U256::from(zeros)).ok_or(NumberError::TooLarge)?;
        self.digits.checked_mul(scale).ok_or(NumberError::TooLarge)
    }
}

impl Unit {
    fn named(name: &str, tokens: &[&str]) -> Result<Self, NumberError> {
        let coin =
            COIN_UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, decimals)| Self::Coin(*decimals));
        let token = || tokens.iter().position(|token| *token == name).map(Self::Token);
        coin.or_else(token).ok_or_else(|| {
            let known = COIN_UNITS.iter().map(|(unit, _)| *unit).chain(tokens.iter().copied());
            NumberError::UnknownUnit { unit: name.to_owned(), known: known.map(str::to_owned).collect() }
        })
    }
}

fn hex(digits: &str) -> Result<U256, NumberError> {
    let digits = grouped(digits, |digit| digit.is_ascii_hexdigit())?;
    U256::from_str_radix(&digits, 16).map_err(|_| NumberError::TooLarge)
}

/// The digits as one number, and how many of them stand after the point.
fn decimal(number: &str) -> Result<(U256, u8), NumberError> {
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, it)| (whole, Some(it)));
    let whole = grouped(whole, |digit| digit.is_ascii_digit())?;
    let fraction = fraction.map(|it| grouped(it, |digit| digit.is_ascii_digit())).transpose()?;
    let fraction = fraction.as_deref().unwrap_or_default().trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let len = u8::try_from(fraction.len()).map_err(|_| NumberError::TooLarge)?;
    Ok((U256::from_str_radix(&digits, 10).map_err(|_| NumberError::TooLarge)?, len))
}

/// Digits without the `_` between them.
fn grouped(digits: &str, is_digit: impl Fn(char) -> bool) -> Result<String, NumberError> {
    let groups: Vec<&str> = digits.split('_').collect();
    match groups.iter().all(|group| !group.is_empty() && group.chars().all(&is_digit)) {
        true => Ok(groups.concat()),
        false => Err(NumberError::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, decimals: u8) -> Result<U256, NumberError> {
        Amount::parse(text, &["USDC"])?.magnitude(decimals)
    }

    #[test]
    fn numbers_are_exact() {
        for (text, decimals, expected) in [
            ("25 USDC", 6, 25_000_000),
            ("0.5USDC", 6, 500_000),
            ("1_000.000001", 6, 1_000_000_001),
            ("1.50", 1, 15),
            ("0xff", 0, 255),
            ("0xF_f", 0, 255),
            ("007", 0, 7),
        ] {
            assert_eq!(units(text, decimals), Ok(U256::from(expected)), "{text}");
        }
        assert_eq!(units(&U256::MAX.to_string(), 0), Ok(U256::MAX));
        for (text, decimals, error) in [
            ("0.0000001 USDC", 6, NumberError::TooPrecise { decimals: 6 }),
            ("0.5", 0, NumberError::TooPrecise { decimals: 0 }),
            ("1_", 0, NumberError::NotANumber),
            ("_1", 0, NumberError::NotANumber),
            (".5", 1, NumberError::NotANumber),
            ("5.", 1, NumberError::NotANumber),
            ("1.2.3", 2, NumberError::NotANumber),
            ("", 0, NumberError::NotANumber),
            ("0x", 0, NumberError::NotANumber),
            ("0xg", 0, NumberError::NotANumber),
            ("--1", 0, NumberError::NotANumber),
            ("1", 78, NumberError::TooLarge),
            (&format!("{}0", U256::MAX), 0, NumberError::TooLarge),
        ] {
            assert_eq!(units(text, decimals), Err(error), "{text}");
        }
    }

    #[test]
    fn coin_has_its_own_units() {
        let wei = |text: &str| Amount::parse(text, &["USDC"]).and_then(|amount| amount.wei());
        assert_eq!(wei("0.1 ether"), Ok(U256::from(100_000_000_000_000_000_u64)));
        assert_eq!(wei("3 gwei"), Ok(U256::from(3_000_000_000_u64)));
        assert_eq!(wei("3"), Ok(U256::from(3)));
        assert_eq!(wei("3 USDC"), Err(NumberError::NotCoin));
        assert_eq!(wei("-3 wei"), Err(NumberError::Negative));
        assert!(matches!(wei("3 Ether"), Err(NumberError::UnknownUnit { .. })));
    }
}
