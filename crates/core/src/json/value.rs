//! Numbers, addresses and bytes.

use alloc::{string::String, vec::Vec};
use core::{fmt, marker::PhantomData};

use alloy_primitives::{Address, U256, hex};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// An address whose checksum, if it has one, is right.
#[derive(Clone, Copy)]
pub(crate) struct Checked(pub(crate) Address);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
        let address: Address = digits
            .and_then(|_| text.parse().ok())
            .ok_or_else(|| de::Error::custom("an address is 0x and 40 hex digits"))?;
        let mixed = digits.is_some_and(|digits| {
            digits.contains(|digit: char| digit.is_ascii_lowercase())
                && digits.contains(|digit: char| digit.is_ascii_uppercase())
        });
        let right = address.to_checksum_buffer(None);
        if mixed && right.as_str() != text {
            return Err(de::Error::custom(format_args!(
                "the checksum of {text} is wrong; the same digits are written {right}"
            )));
        }
        Ok(Self(address))
    }
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
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
        f.write_str("a whole number, a decimal string or a hex string with 0x (2^64 or more as a string)")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number<T>, E> {
        Self::fit(U256::from(number))
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
