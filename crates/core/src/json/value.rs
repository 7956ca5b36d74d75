//! Numbers, addresses and bytes.

use alloc::{string::String, vec::Vec};
use core::{fmt, marker::PhantomData};

use alloy_primitives::{Address, B256, U256, hex};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use super::address::parse_address;

/// An address whose checksum, if it has one, is right.
#[derive(Clone, Copy, Default)]
pub(crate) struct Checked(pub(crate) Address);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_address(&text).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A word: `0x` and exactly 64 hex digits.
#[derive(Clone, Copy)]
pub(crate) struct Word(pub(crate) B256);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        word(&text).map(Self).ok_or_else(|| de::Error::custom("a word is 0x and exactly 64 hex digits"))
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Reads `0x` and exactly 64 hex digits.
pub(crate) fn word(text: &str) -> Option<B256> {
    text.strip_prefix("0x").filter(|digits| digits.len() == 64)?.parse().ok()
}

/// Bytes in hex with `0x`.
#[derive(Clone, Default)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits =
            text.strip_prefix("0x").ok_or_else(|| de::Error::custom("bytes are hex that starts with 0x"))?;
        if digits.len() % 2 == 1 {
            return Err(de::Error::custom(format_args!(
                "bytes have two hex digits each, these are {} digits",
                digits.len()
            )));
        }
        hex::decode(digits).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(&self.0))
    }
}

/// A number in any of the forms that numbers have in JSON.
#[derive(Clone, Copy, Default)]
pub(crate) struct Number<T>(pub(crate) T);

impl<'de, T: TryFrom<U256>> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }
}

impl Serialize for Number<u16> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl Serialize for Number<u64> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// JSON's numbers are read by many as floating point, so that a large one is written as a string.
impl Serialize for Number<u128> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// As for `u128`.
impl Serialize for Number<U256> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct NumberVisitor<T>(PhantomData<T>);

/// A number that is written as Ethereum's JSON-RPC does, in hex without leading zeros.
pub(crate) struct Quantity<T>(Number<T>);

impl<T: Copy> Quantity<T> {
    pub(crate) const fn get(&self) -> T {
        self.0.0
    }
}

impl<T> From<T> for Quantity<T> {
    fn from(number: T) -> Self {
        Self(Number(number))
    }
}

impl<'de, T: TryFrom<U256>> Deserialize<'de> for Quantity<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Number::deserialize(deserializer).map(Self)
    }
}

impl<T: fmt::LowerHex> Serialize for Quantity<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0.0))
    }
}

/// A signed number that is not negative.
pub(super) fn whole<E: de::Error>(number: i128) -> Result<U256, E> {
    u128::try_from(number).map(U256::from).map_err(|_| E::custom(format_args!("{number} is below 0")))
}

/// What serde's data model takes for a floating point number: one with a fraction or an exponent, or a JSON number of
/// 2^64 or more, which deserializers give so.
pub(super) fn not_whole<E: de::Error>() -> E {
    E::custom(
        "not a whole number below 2^64 without sign, point or exponent; write a greater one as a decimal string or a hex string with 0x",
    )
}

impl<T: TryFrom<U256>> NumberVisitor<T> {
    fn fit<E: de::Error>(number: U256) -> Result<Number<T>, E> {
        T::try_from(number).map(Number).map_err(|_| {
            E::custom(format_args!("{number} is too large, at most {} bits fit", 8 * size_of::<T>()))
        })
    }
}

impl<T: TryFrom<U256>> Visitor<'_> for NumberVisitor<T> {
    type Value = Number<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, a decimal string or a hex string with 0x")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number<T>, E> {
        Self::fit(U256::from(number))
    }

    /// TOML's numbers, and those that serde has buffered, may be signed.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number<T>, E> {
        self.visit_i128(number.into())
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Number<T>, E> {
        whole(number).and_then(Self::fit)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Number<T>, E> {
        Err(not_whole())
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Number<T>, E> {
        Self::fit(U256::from(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number<T>, E> {
        let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
        if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        let number = U256::from_str_radix(digits, u64::from(radix)).map_err(|_| {
            E::custom(format_args!("{text} is too large, at most {} bits fit", 8 * size_of::<T>()))
        })?;
        Self::fit(number)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer as _, value::Error};

    use super::*;

    #[test]
    fn numbers_of_any_deserializer() {
        let signed = |number: i64| {
            Number::<u64>::deserialize(number.into_deserializer() as de::value::I64Deserializer<Error>)
        };
        assert_eq!(signed(7).map(|it| it.0), Ok(7));
        assert!(signed(-7).is_err_and(|error| std::format!("{error}").contains("-7 is below 0")));
        let wide = |number: u128| {
            Number::<U256>::deserialize(number.into_deserializer() as de::value::U128Deserializer<Error>)
        };
        assert_eq!(wide(u128::MAX).map(|it| it.0), Ok(U256::from(u128::MAX)));
        let signed = |number: i128| {
            Number::<U256>::deserialize(number.into_deserializer() as de::value::I128Deserializer<Error>)
        };
        assert_eq!(signed(i128::MAX).map(|it| it.0), Ok(U256::from(i128::MAX)));
        assert!(signed(-1).is_err());
    }

    #[test]
    fn words_are_whole() {
        let digits = "0123456789abcdef".repeat(4);
        assert!(word(&std::format!("0x{digits}")).is_some());
        for text in
            [digits.as_str(), &std::format!("0x{digits}0"), &std::format!("0x0x{}", &digits[2..]), "0x", ""]
        {
            assert_eq!(word(text), None, "{text}");
        }
    }
}
