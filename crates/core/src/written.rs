//! Texts in pieces: what a screen says, without the formatting of `core::fmt`, which takes more flash than all the texts.

use core::fmt;

use alloy_primitives::{Address, B256, Keccak256, U256};

/// Where a text goes, piece by piece. An error ends it.
pub type TextSink<'s> = dyn FnMut(&str) -> fmt::Result + 's;

/// What a screen shows in words: values of items, and why something is refused.
///
/// Here everything that has it is also [`Display`](fmt::Display), for programs that have the room.
///
/// ```
/// use quorate_core::{ReviewError, Written};
///
/// let mut line = String::new();
/// ReviewError::Ends { at: 4 }.write(&mut |piece| Ok(line.push_str(piece)))?;
/// assert_eq!(line, "the call data ends at byte 4, within a call");
/// # Ok::<(), core::fmt::Error>(())
/// ```
pub trait Written {
    /// Writes it, in at most one line.
    ///
    /// # Errors
    /// The sink's.
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result;
}

impl fmt::Display for dyn Written + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&mut |piece| f.write_str(piece))
    }
}

/// Writes a text with a value in the place of each `{}`, in their order.
///
/// # Errors
/// The sink's.
#[inline(never)]
pub fn write_text(text: &str, values: &[&dyn Written], out: &mut TextSink<'_>) -> fmt::Result {
    let mut values = values.iter();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'{' {
            out(text.get(start..at).unwrap_or_default())?;
            if let Some(value) = values.next() {
                value.write(out)?;
            }
            start = at + "{}".len();
        }
    }
    out(text.get(start..).unwrap_or_default())
}

/// Gives a type its texts, by which it is [`Written`] and [`Display`](fmt::Display): for a struct or each variant of an enum,
/// and the names of fields, a text with a `{}` for each of these, in their order, and then for each value after `and`.
///
/// ```
/// use quorate_core::texts;
///
/// enum Lost {
///     Everything,
///     Pages { first: usize, last: usize },
///     Book(&'static str),
/// }
///
/// texts!(Lost {
///     Everything => "all is lost",
///     Pages { first, last } => "pages {} to {} of {} are lost" and &300_usize,
///     Book(title) => "{} is lost",
/// });
///
/// assert_eq!(Lost::Pages { first: 4, last: 7 }.to_string(), "pages 4 to 7 of 300 are lost");
/// ```
#[macro_export]
macro_rules! texts {
    ($type:ident {
        $($(#[$attribute:meta])* $variant:ident $({ $($field:ident),+ })? $(($item:ident))? =>
            $text:literal $(and $value:expr)*,)+
    }) => {
        $crate::texts!(@ $type, this => match this {
            $($(#[$attribute])* $type::$variant { $($($field,)+)? $(0: $item,)? .. } => {
                ($text, &[$($($field,)+)? $($item,)? $($value,)*])
            })+
        });
    };
    ($type:ident $({ $($field:ident),+ })? => $text:literal) => {
        $crate::texts!(@ $type, this => {
            let $type { $($($field,)+)? .. } = this;
            ($text, &[$($($field,)+)?])
        });
    };
    (@ $type:ident, $this:ident => $text_and_values:expr) => {
        impl $crate::Written for $type {
            fn write(&self, out: &mut $crate::TextSink<'_>) -> ::core::fmt::Result {
                let $this = self;
                let (text, values): (&str, &[&dyn $crate::Written]) = $text_and_values;
                $crate::write_text(text, values, out)
            }
        }

        impl ::core::fmt::Display for $type {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let written: &dyn $crate::Written = self;
                written.fmt(f)
            }
        }
    };
}

/// Displays what is [`Written`].
macro_rules! displays {
    ($($type:ty),+) => {
        $(impl ::core::fmt::Display for $type {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let written: &dyn $crate::Written = self;
                written.fmt(f)
            }
        })+
    };
}

pub(crate) use displays;

impl Written for &str {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        out(self)
    }
}

macro_rules! numbers {
    ($($type:ty)+) => {
        $(impl Written for $type {
            fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
                U256::from(*self).write(out)
            }
        })+
    };
}

numbers!(u8 u16 u32 u64 u128 usize);

/// In decimal.
impl Written for U256 {
    #[inline(never)]
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        decimal_digits(self).iter().rev().try_for_each(|digit| write_digit(*digit, out))
    }
}

/// A number below 2^256 has 78 digits at most.
pub(crate) type Digits = heapless::Vec<u8, 78>;

/// A number's decimal digits, the last one first.
///
/// They are had by dividing by ten, byte by byte: the general division of 256-bit numbers takes more of a device's
/// flash than all else here.
pub(crate) fn decimal_digits(number: &U256) -> Digits {
    let mut number: [u8; 32] = number.to_be_bytes();
    let mut digits = Digits::new();
    loop {
        let mut rest = 0;
        for byte in &mut number {
            let dividend = rest << 8 | u16::from(*byte);
            // Less than 2560 is divided by ten.
            *byte = u8::try_from(dividend / 10).unwrap_or_default();
            rest = dividend % 10;
        }
        if digits.push(u8::try_from(rest).unwrap_or_default()).is_err() || number == [0; 32] {
            return digits;
        }
    }
}

impl Written for B256 {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        write_hex(self.as_slice(), out)
    }
}

/// In hexadecimal, without zeros before its digits.
pub(crate) struct Hex<'a>(pub(crate) &'a U256);

impl Written for Hex<'_> {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let digits = self.0.bit_len().div_ceil(4).max(1);
        write_hex_from(64_usize.saturating_sub(digits), &self.0.to_be_bytes::<32>(), out)
    }
}

/// Writes `0x` and two digits for each byte.
pub(crate) fn write_hex(bytes: &[u8], out: &mut TextSink<'_>) -> fmt::Result {
    write_hex_from(0, bytes, out)
}

/// Writes `0x` and the digits from that one on.
fn write_hex_from(first: usize, bytes: &[u8], out: &mut TextSink<'_>) -> fmt::Result {
    out("0x")?;
    (first..2 * bytes.len()).try_for_each(|place| write_digit(hex_digit(bytes, place), out))
}

/// With the case of its letters as EIP-55 has it.
impl Written for Address {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let mut hasher = Keccak256::new();
        for place in 0..40 {
            hasher.update(digit_text(hex_digit(self.as_slice(), place)));
        }
        let hash = hasher.finalize();
        out("0x")?;
        (0..40).try_for_each(|place| {
            let digit = hex_digit(self.as_slice(), place);
            let is_capital = digit >= 10 && hex_digit(hash.as_slice(), place) >= 8;
            write_digit(if is_capital { digit + 6 } else { digit }, out)
        })
    }
}

/// The hexadecimal digit at that place of bytes.
fn hex_digit(bytes: &[u8], place: usize) -> u8 {
    let byte = bytes.get(place / 2).copied().unwrap_or_default();
    if place.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

pub(crate) fn write_digit(digit: u8, out: &mut TextSink<'_>) -> fmt::Result {
    out(digit_text(digit))
}

/// A digit; from 16 on, the six hexadecimal ones that have capitals.
fn digit_text(digit: u8) -> &'static str {
    let place = usize::from(digit);
    "0123456789abcdefABCDEF".get(place..=place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString as _};

    use proptest::prelude::*;

    use super::*;

    fn text(written: &dyn Written) -> String {
        written.to_string()
    }

    #[test]
    fn values_stand_in_their_places() {
        let write = |template, values: &[&dyn Written]| {
            let mut line = String::new();
            write_text(template, values, &mut |piece| {
                line.push_str(piece);
                Ok(())
            })
            .unwrap();
            line
        };
        assert_eq!(write("", &[]), "");
        assert_eq!(write("{}", &[&7_u8]), "7");
        assert_eq!(write("{}{} of {}.", &[&"a", &1_usize, &u128::MAX]), std::format!("a1 of {}.", u128::MAX));
    }

    #[test]
    fn a_sink_that_fails_is_given_no_more() {
        for room in 0..4 {
            let mut pieces = 0;
            let written = write_text("a {} b {}", &[&1_u8, &"x"], &mut |_| {
                pieces += 1;
                if pieces > room { Err(fmt::Error) } else { Ok(()) }
            });
            assert!(written.is_err() && pieces == room + 1, "{room}");
        }
    }

    proptest! {
        #[test]
        fn as_their_own_crates_write_them(bytes: [u8; 32], shift in 0_usize..256) {
            let number = U256::from_be_bytes(bytes) >> shift;
            prop_assert_eq!(text(&number), number.to_string());
            prop_assert_eq!(text(&Hex(&number)), std::format!("{number:#x}"));
            prop_assert_eq!(text(&B256::new(bytes)), std::format!("{:#x}", B256::new(bytes)));
            let address = Address::from_word(B256::new(bytes));
            prop_assert_eq!(text(&address), address.to_string());
        }
    }

    #[test]
    fn the_least_and_the_greatest() {
        for number in [U256::ZERO, U256::from(9), U256::from(10), U256::from(u128::MAX), U256::MAX] {
            assert_eq!(text(&number), number.to_string());
            assert_eq!(text(&Hex(&number)), std::format!("{number:#x}"));
        }
        assert_eq!(text(&usize::MAX), usize::MAX.to_string());
    }
}
