//! Amounts of tokens from decimal numbers, without floating point.

use alloy_primitives::U256;

/// Why text is not an amount of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// Not a decimal number.
    #[error("`{text}` is not a decimal number that is not negative")]
    Malformed {
        /// The text.
        text: String,
    },
    /// More than 256 bits in the token's smallest unit.
    #[error("`{text}` with {decimals} decimals does not fit into 256 bits")]
    TooLarge {
        /// The text.
        text: String,
        /// The token's decimals.
        decimals: u8,
    },
}

/// The amount in a token's smallest unit, rounded up: an approval must not be less than what is charged.
pub(crate) fn smallest_units(text: &str, decimals: u8) -> Result<U256, DecimalError> {
    let malformed = || DecimalError::Malformed { text: text.to_owned() };
    let too_large = || DecimalError::TooLarge { text: text.to_owned(), decimals };
    let trimmed = text.trim();
    let (mantissa, exponent) = match trimmed.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| malformed())?),
        None => (trimmed, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(malformed());
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    let fraction_len = i64::try_from(fraction.len()).map_err(|_| too_large())?;
    // The value in the smallest unit is the digits times ten to this.
    let shift = i64::from(exponent) + i64::from(decimals) - fraction_len;
    let (kept, is_exact) = match usize::try_from(-shift) {
        Ok(dropped) if shift < 0 => {
            let kept = digits.len().saturating_sub(dropped);
            (&digits[..kept], digits[kept..].bytes().all(|digit| digit == b'0'))
        }
        _ => (digits, true),
    };
    let number = if kept.is_empty() { U256::ZERO } else { kept.parse().map_err(|_| too_large())? };
    let zeros = U256::from(shift.clamp(0, 100));
    let scale = U256::from(10).checked_pow(zeros).ok_or_else(too_large)?;
    let units = number.checked_mul(scale).ok_or_else(too_large)?;
    units.checked_add(U256::from(!is_exact)).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_exact_and_rounded_up() {
        for (text, decimals, expected) in [
            ("0", 6, 0_u64),
            ("0.000", 6, 0),
            ("1", 6, 1_000_000),
            ("1.5", 6, 1_500_000),
            // 1.1 is no double: 1.1 * 10^18 by floating point is 1100000000000000088.
            ("1.1", 18, 1_100_000_000_000_000_000),
            ("0.0000001", 6, 1),
            ("2.0000000", 6, 2_000_000),
            ("2.0000001", 6, 2_000_001),
            ("1e-7", 6, 1),
            ("1e-400", 6, 1),
            ("25e-1", 0, 3),
            ("1.25E2", 1, 1250),
            (".5", 1, 5),
            ("5.", 1, 50),
            ("00012", 0, 12),
        ] {
            assert_eq!(smallest_units(text, decimals), Ok(U256::from(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "-1", "1,5", "0x10", "NaN", "1e", "1e99999999999", "1 2"] {
            assert!(matches!(smallest_units(text, 18), Err(DecimalError::Malformed { .. })), "{text}");
        }
        for text in ["1e78", "1e100000", &"9".repeat(80)] {
            assert!(matches!(smallest_units(text, 18), Err(DecimalError::TooLarge { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_written_with_a_point_is_read_as_it_is(units in any::<u128>(), decimals in 0_u8..=30) {
            let digits = format!("{units:0>width$}", width = usize::from(decimals) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
            prop_assert_eq!(smallest_units(&format!("{whole}.{fraction}"), decimals), Ok(U256::from(units)));
        }
    }
}
