//! Where an argument's word stands.

use alloc::{
    borrow::{Cow, ToOwned as _},
    string::{String, ToString as _},
    vec::Vec,
};

use alloy_dyn_abi::DynSolType;
use alloy_json_abi::Param;
use alloy_primitives::U256;

use super::function::Parameters;
use crate::{
    abi::WORD,
    policy::{condition::Condition, error::EncodeError},
};

/// What points at an argument: its position as a `usize`, or its name as a `&str`.
pub trait ArgIndex: sealed::Sealed {
    /// The argument as text.
    fn to_path(&self) -> String;
}

impl ArgIndex for usize {
    fn to_path(&self) -> String {
        self.to_string()
    }
}

impl ArgIndex for &str {
    fn to_path(&self) -> String {
        (*self).to_owned()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for &str {}
}

impl Parameters {
    /// Finds the word of the argument that `path` points at.
    pub(super) fn locate(&self, path: &str) -> Result<ArgumentWord<'_>, ArgumentError> {
        let mut steps = steps(path)?.into_iter();
        let mut place = match steps.next() {
            Some(Step::Element(_)) | None => return Err(ArgumentError::NotAPath { at: 0 }),
            Some(step) => component(&self.types, &self.params, &step, 0)?,
        };
        for step in steps {
            place = place.enter(&step)?;
        }
        place.word()
    }
}

/// One step on the way to a word.
enum Step<'a> {
    /// Into an argument or a tuple's component by its name.
    Name(&'a str),
    /// Into the same by its position.
    Position(usize),
    /// Into an array's element.
    Element(usize),
}

impl<'a> Step<'a> {
    fn into_component(word: &'a str) -> Option<Self> {
        match word.starts_with(|first: char| first.is_ascii_digit()) {
            true => word.parse().ok().map(Self::Position),
            false => (!word.is_empty()).then_some(Self::Name(word)),
        }
    }
}

fn steps(path: &str) -> Result<Vec<Step<'_>>, ArgumentError> {
    let mut steps = Vec::new();
    let mut next = Some(next_component(path));
    while let Some(found) = next {
        let (step, rest) = found.ok_or(ArgumentError::NotAPath { at: 0 })?;
        steps.push(step);
        let at = path.len() - rest.len();
        next = match (rest.strip_prefix('.'), rest.strip_prefix('[')) {
            (Some(rest), _) => Some(next_component(rest)),
            (_, Some(rest)) => Some(next_element(rest)),
            _ if rest.is_empty() => None,
            _ => return Err(ArgumentError::NotAPath { at }),
        };
        if matches!(next, Some(None)) {
            return Err(ArgumentError::NotAPath { at });
        }
    }
    Ok(steps)
}

fn next_component(text: &str) -> Option<(Step<'_>, &str)> {
    let (word, rest) = split_word(text);
    Some((Step::into_component(word)?, rest))
}

fn next_element(text: &str) -> Option<(Step<'_>, &str)> {
    let (digits, rest) = split_word(text);
    Some((Step::Element(digits.parse().ok()?), rest.strip_prefix(']')?))
}

/// Splits off the letters, digits, `_` and `$` at the start.
fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|next: char| !(next.is_ascii_alphanumeric() || next == '_' || next == '$'));
    text.split_at(end.unwrap_or(text.len()))
}

/// An argument, or a part of one that stands in the head.
struct Place<'a> {
    /// Counted in words from the end of the selector. It stays at the greatest number that there is.
    words: usize,
    ty: &'a DynSolType,
    /// The names of a tuple's components, or of those of an array's elements.
    components: &'a [Param],
}

impl<'a> Place<'a> {
    fn enter(self, step: &Step<'_>) -> Result<Self, ArgumentError> {
        if self.ty.is_dynamic() {
            return Err(ArgumentError::Dynamic { ty: self.ty.to_string() });
        }
        match (step, self.ty, self.ty.as_tuple()) {
            (Step::Element(index), DynSolType::FixedArray(element, count), _) => {
                if index >= count {
                    return Err(ArgumentError::UnknownPosition { position: *index, count: *count });
                }
                let words = self.words.saturating_add(index.saturating_mul(head_words(element)));
                Ok(Self { words, ty: element, components: self.components })
            }
            (Step::Element(_), ..) => Err(ArgumentError::NotAnArray { ty: self.ty.to_string() }),
            (_, _, Some(types)) => component(types, self.components, step, self.words),
            _ => Err(ArgumentError::NotATuple { ty: self.ty.to_string() }),
        }
    }

    fn word(self) -> Result<ArgumentWord<'a>, ArgumentError> {
        let ty = self.ty;
        if ty.is_dynamic() {
            return Err(ArgumentError::Dynamic { ty: ty.to_string() });
        }
        if ty.as_tuple().is_some() || matches!(ty, DynSolType::FixedArray(..)) {
            return Err(ArgumentError::NotOneWord { ty: ty.to_string() });
        }
        let offset = self.words.saturating_mul(WORD);
        match offset.try_into() {
            Ok(offset) => Ok(ArgumentWord { offset, ty }),
            Err(_) => Err(ArgumentError::TooFar { offset }),
        }
    }
}

/// One of `types`, the first of which stands at `start` words.
fn component<'a>(
    types: &'a [DynSolType],
    params: &'a [Param],
    step: &Step<'_>,
    start: usize,
) -> Result<Place<'a>, ArgumentError> {
    let position = match step {
        Step::Position(position) | Step::Element(position) => *position,
        Step::Name(name) => position_of(name, params)?,
    };
    let unknown = ArgumentError::UnknownPosition { position, count: types.len() };
    let ty = types.get(position).ok_or(unknown)?;
    let words = types.iter().take(position).map(head_words).fold(start, usize::saturating_add);
    let components = params.get(position).map_or(&[][..], |param| &param.components);
    Ok(Place { words, ty, components })
}

fn position_of(name: &str, params: &[Param]) -> Result<usize, ArgumentError> {
    let mut found = params.iter().enumerate().filter(|(_, param)| param.name == name).map(|(at, _)| at);
    match (found.next(), found.next()) {
        (Some(position), None) => Ok(position),
        (Some(first), Some(second)) => Err(ArgumentError::AmbiguousName { first, second }),
        (None, _) => {
            let known =
                Vec::from_iter(params.iter().map(|param| param.name.clone()).filter(|n| !n.is_empty()));
            Err(if known.is_empty() { ArgumentError::Nameless } else { ArgumentError::UnknownName { known } })
        }
    }
}

/// The words that an argument takes in the head: all of it, or one that points to it.
fn head_words(ty: &DynSolType) -> usize {
    match (ty, ty.as_tuple()) {
        _ if ty.is_dynamic() => 1,
        (_, Some(types)) => types.iter().map(head_words).fold(0, usize::saturating_add),
        (DynSolType::FixedArray(element, count), _) => head_words(element).saturating_mul(*count),
        _ => 1,
    }
}

/// An argument that is one word, of which a rule may demand something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentWord<'a> {
    offset: u16,
    ty: &'a DynSolType,
}

impl<'a> ArgumentWord<'a> {
    /// Where it stands, in bytes from the end of the selector.
    pub const fn offset(&self) -> u16 {
        self.offset
    }

    /// Its type: a number, a boolean, an address, `bytesN` or a function.
    pub const fn ty(&self) -> &'a DynSolType {
        self.ty
    }

    pub(super) fn type_name(&self) -> Cow<'static, str> {
        self.ty.sol_type_name()
    }

    /// The bits of an unsigned number.
    pub(super) const fn uint_bits(&self) -> Option<usize> {
        match self.ty {
            DynSolType::Uint(bits) => Some(*bits),
            _ => None,
        }
    }
}

/// Why an argument cannot be compared as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// The text does not point at an argument.
    #[error("byte {at} is not the way to an argument; write `to`, `order.amount`, `ids[0]` or a position")]
    NotAPath {
        /// Where it is wrong, counted in bytes from the start of the text.
        at: usize,
    },
    /// There is no such position.
    #[error("there is no position {position}: there are {count}, counted from 0")]
    UnknownPosition {
        /// The position given.
        position: usize,
        /// How many there are.
        count: usize,
    },
    /// There is no such name.
    #[error("there is no such name; there are {}", Names(known))]
    UnknownName {
        /// The names that there are.
        known: Vec<String>,
    },
    /// Nothing here has a name.
    #[error(
        "the arguments have no names; give a position, or names by `allow_fn` or `#[sol(abi)]` with `allow_abi`"
    )]
    Nameless,
    /// Two have this name.
    #[error("positions {first} and {second} both have this name; give the position")]
    AmbiguousName {
        /// The first that has it.
        first: usize,
        /// The next that has it.
        second: usize,
    },
    /// A component of something that has none.
    #[error("{ty} has no components; only tuples have")]
    NotATuple {
        /// The type found.
        ty: String,
    },
    /// An element of something that has none.
    #[error("{ty} has no elements; only arrays have")]
    NotAnArray {
        /// The type found.
        ty: String,
    },
    /// Something whose place the caller chooses.
    #[error("{ty} is dynamic, so that the caller chooses where it stands; compare arguments of static types")]
    Dynamic {
        /// The type found.
        ty: String,
    },
    /// A static tuple or array as a whole.
    #[error("{ty} is more than one word; compare its components one by one, as `order.amount` or `ids[0]`")]
    NotOneWord {
        /// The type found.
        ty: String,
    },
    /// A value of another type.
    #[error("the argument is {expected}, the value {found}; give {}", Wanted(expected))]
    OtherType {
        /// The argument's type.
        expected: String,
        /// The value's type.
        found: &'static str,
    },
    /// A number that the argument cannot be.
    #[error("{value} does not fit uint{bits}; give a number below 2^{bits}")]
    OutOfRange {
        /// The argument's bits.
        bits: usize,
        /// The value given.
        value: U256,
    },
    /// An order on something that the chain does not order as its type does.
    #[error("{ty} cannot be {condition} a value: the chain orders unsigned words; compare it for equality")]
    NotOrdered {
        /// The argument's type.
        ty: String,
        /// The condition given.
        condition: Condition,
    },
    /// A word beyond the reach of a rule.
    #[error("it stands at byte {offset}, and a rule reaches no further than byte 65535")]
    TooFar {
        /// Where it stands, in bytes from the end of the selector.
        offset: usize,
    },
    /// A rule that has no room, or cannot be encoded otherwise.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

struct Names<'a>(&'a [String]);

impl core::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

struct Wanted<'a>(&'a str);

impl core::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)?;
        let other = self.0.starts_with("uint") && self.0 != "uint256";
        f.write_str(if other { ", or a U256 in its range" } else { "" })
    }
}
