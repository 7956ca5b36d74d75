//! The value that a rule compares an argument with, by the argument's type.

use alloy_dyn_abi::DynSolType;
use alloy_primitives::{Address, B256, U256, hex};
use quorate_core::json::{AddressError, parse_address};

use crate::amount::{Amount, NumberError, Unit};

/// A value, or an amount that waits for its token's decimals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Word(B256),
    Amount(Amount),
}

/// Why a value is none of an argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperandError {
    /// A value of another type.
    #[error("this is not a value of {ty}")]
    OtherType {
        /// The argument's type.
        ty: String,
    },
    /// A number beyond the type.
    #[error("this number does not fit {ty}")]
    OutOfRange {
        /// The argument's type.
        ty: String,
    },
    /// Another number of bytes.
    #[error("this has {found} bytes, and the argument has {expected}")]
    OtherLength {
        /// The argument's bytes.
        expected: usize,
        /// The bytes written.
        found: usize,
    },
    /// Not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Not a number.
    #[error(transparent)]
    Number(#[from] NumberError),
}

impl OperandError {
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            Self::OtherType { ty } if ty == "bool" => Some("write true or false".to_owned()),
            Self::OtherType { ty } if ty == "address" => {
                Some("write 0x and 40 hex digits, or the name of a token".to_owned())
            }
            Self::OtherType { .. } => Some("write 0x and two hex digits for each byte".to_owned()),
            Self::OtherLength { .. } => {
                Some("write all bytes: zeros are not added on either side".to_owned())
            }
            Self::Number(error) => error.help(),
            Self::OutOfRange { .. } | Self::Address(_) => None,
        }
    }
}

impl Operand {
    /// Reads a value of an argument that is one word.
    pub(crate) fn parse(
        text: &str,
        ty: &DynSolType,
        tokens: &[(&str, Address)],
    ) -> Result<Self, OperandError> {
        let other_type = || OperandError::OtherType { ty: ty.to_string() };
        match ty {
            DynSolType::Bool => match text {
                "true" => Ok(Self::Word(B256::with_last_byte(1))),
                "false" => Ok(Self::Word(B256::ZERO)),
                _ => Err(other_type()),
            },
            DynSolType::Address => {
                let token = tokens.iter().find(|(name, _)| *name == text).map(|(_, address)| *address);
                let address = match token {
                    Some(address) => address,
                    None if text.starts_with("0x") => parse_address(text)?,
                    None => return Err(other_type()),
                };
                Ok(Self::Word(address.into_word()))
            }
            DynSolType::FixedBytes(len) => bytes(text, *len, other_type).map(Self::Word),
            DynSolType::Function => bytes(text, 24, other_type).map(Self::Word),
            DynSolType::Uint(_) | DynSolType::Int(_) => {
                let names: Vec<&str> = tokens.iter().map(|(name, _)| *name).collect();
                let amount = Amount::parse(text, &names)?;
                match amount.unit {
                    Unit::Token(_) => Ok(Self::Amount(amount)),
                    Unit::Smallest => number(&amount, 0, ty).map(Self::Word),
                    Unit::Coin(decimals) => number(&amount, decimals, ty).map(Self::Word),
                }
            }
            _ => Err(other_type()),
        }
    }
}

/// `bytesN` stand left in their word.
fn bytes(text: &str, len: usize, other_type: impl Fn() -> OperandError) -> Result<B256, OperandError> {
    let digits = text.strip_prefix("0x").ok_or_else(&other_type)?;
    let bytes = hex::decode(digits).map_err(|_| other_type())?;
    if bytes.len() != len {
        return Err(OperandError::OtherLength { expected: len, found: bytes.len() });
    }
    Ok(B256::right_padding_from(&bytes))
}

/// The word of a number of `ty`, as two's complement where it is negative.
pub(crate) fn number(amount: &Amount, decimals: u8, ty: &DynSolType) -> Result<B256, OperandError> {
    let magnitude = amount.magnitude(decimals)?;
    let out_of_range = || OperandError::OutOfRange { ty: ty.to_string() };
    let is_negative = amount.is_negative && !magnitude.is_zero();
    let fits = match *ty {
        DynSolType::Uint(_) if is_negative => return Err(NumberError::Negative.into()),
        DynSolType::Uint(bits) => magnitude.bit_len() <= bits,
        // The least number is one further from 0 than the greatest.
        DynSolType::Int(bits) => (magnitude - U256::from(is_negative)).bit_len() < bits,
        _ => false,
    };
    let word = if is_negative { magnitude.wrapping_neg() } else { magnitude };
    if fits { Ok(word.into()) } else { Err(out_of_range()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, ty: &str) -> Result<U256, OperandError> {
        match Operand::parse(text, &ty.parse().unwrap(), &[("USDC", Address::repeat_byte(1))])? {
            Operand::Word(word) => Ok(word.into()),
            Operand::Amount(amount) => Ok(number(&amount, 6, &ty.parse().unwrap())?.into()),
        }
    }

    #[test]
    fn each_type_has_its_values() {
        for (text, ty, expected) in [
            ("true", "bool", U256::ONE),
            ("false", "bool", U256::ZERO),
            ("255", "uint8", U256::from(255)),
            ("-1", "int8", U256::MAX),
            ("-128", "int8", U256::MAX - U256::from(127)),
            ("127", "int8", U256::from(127)),
            ("-0", "uint8", U256::ZERO),
            ("2 USDC", "uint256", U256::from(2_000_000)),
            ("USDC", "address", Address::repeat_byte(1).into_word().into()),
            ("0xabcd", "bytes2", B256::right_padding_from(&[0xab, 0xcd]).into()),
        ] {
            assert_eq!(word(text, ty), Ok(expected), "{text} {ty}");
        }
        let least = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
        assert_eq!(word(least, "int256"), Ok(U256::ONE << 255));
        assert!(word(least, "int248").is_err());
        for (text, ty) in [
            ("1", "bool"),
            ("256", "uint8"),
            ("-1", "uint8"),
            ("128", "int8"),
            ("-129", "int8"),
            ("0xab", "bytes2"),
            ("abcd", "bytes2"),
            ("0xabc", "bytes2"),
            ("usdc", "address"),
            ("0x00", "address"),
            ("x", "uint8"),
        ] {
            assert!(word(text, ty).is_err(), "{text} {ty}");
        }
    }
}
