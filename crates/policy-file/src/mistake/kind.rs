//! The kinds of mistakes, and what would be right instead.

use alloy_primitives::Address;
use quorate_core::json::AddressError;
use quorate_core::{ArgumentError, FunctionError, PolicyErrors};
use quorate_protocol::Inexpressible;

use crate::amount::NumberError;
use crate::operand::OperandError;
use crate::read::Format;
use crate::time::TimeError;

/// What may be wrong with a policy file.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MistakeKind {
    /// Not TOML, or not JSON.
    #[error("this is not {}: {message}", match format { Format::Toml => "TOML", Format::Json => "JSON" })]
    Syntax {
        /// What it should be.
        format: Format,
        /// The parser's words.
        message: String,
    },
    /// A text that is too long.
    #[error("the file has {len} bytes, at most {limit} are read")]
    TooLong {
        /// Its bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// A field that does not exist.
    #[error("there is no field `{key}` here")]
    UnknownKey {
        /// The field.
        key: String,
        /// The fields that there are.
        known: &'static [&'static str],
    },
    /// A field that stands twice.
    #[error("`{key}` stands here twice")]
    RepeatedKey {
        /// The field.
        key: String,
    },
    /// A field that has to be there.
    #[error("{of} has to have `{key}`")]
    MissingKey {
        /// The field.
        key: &'static str,
        /// What lacks it.
        of: &'static str,
    },
    /// A value of another type.
    #[error("`{key}` is {expected}, and this is {found}")]
    WrongType {
        /// The field.
        key: String,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Nothing is allowed.
    #[error("the file allows nothing")]
    AllowsNothing,
    /// More of something than there is room for.
    #[error("there is room for {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Something that is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A contract that is neither an address nor a token of the file.
    #[error("`{name}` is neither an address nor the name of a token in this file")]
    UnknownContract {
        /// What is written.
        name: String,
        /// The file's tokens.
        tokens: Vec<String>,
    },
    /// A token's name that cannot be one.
    #[error("`{name}` cannot be the name of a token")]
    TokenName {
        /// The name.
        name: String,
    },
    /// A token's decimals that cannot be.
    #[error("a token has 0 to {} decimals", Self::MAX_DECIMALS)]
    Decimals,
    /// Decimals of the file that are not the token's.
    #[error("the token at {token} has {actual} decimals, and the file says {written}")]
    OtherDecimals {
        /// The token.
        token: Address,
        /// The file's.
        written: u8,
        /// The token's own.
        actual: u8,
    },
    /// Decimals that nobody has said.
    #[error("nobody has said how many decimals {name} has")]
    UnknownDecimals {
        /// The token's name.
        name: String,
        /// The token.
        token: Address,
    },
    /// A selector, which says nothing of the arguments.
    #[error("a selector says nothing of the arguments")]
    OnlySelector,
    /// Something that is no function.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// Something that is no rule.
    #[error("this is no rule")]
    NotARule,
    /// An argument that no rule can be about.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Not a value of the argument.
    #[error(transparent)]
    Operand(#[from] OperandError),
    /// Not an amount.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Not a time.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// Both ends.
    #[error("`for` and `until` both say when it ends")]
    TwoEnds,
    /// A time to add to now, which is not known.
    #[error("`for` counts from now, and there is no clock")]
    NoClock,
    /// What a delegation cannot express.
    #[error(transparent)]
    Inexpressible(#[from] Inexpressible),
    /// An end that is not after the start.
    #[error("it ends before it starts")]
    NeverValid,
    /// Not a rate.
    #[error("this is not a number of operations in a time")]
    NotARate,
    /// A choice that does not exist.
    #[error("`{found}` is not one of {}", known.join(", "))]
    UnknownChoice {
        /// What is written.
        found: String,
        /// What there is.
        known: &'static [&'static str],
    },
    /// A total with another comparison than `<=`.
    #[error("a total is held from above alone")]
    NotATotal,
    /// A total of something that is not a sum.
    #[error("{ty} has no total: the nodes add up unsigned numbers")]
    NoTotal {
        /// The argument's type.
        ty: String,
    },
    /// Two totals of one argument, in one window or in all.
    #[error("this argument has a total already")]
    RepeatedTotal,
    /// What core refuses.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
}

impl MistakeKind {
    /// The most decimals with which one whole token is below 2^256.
    pub const MAX_DECIMALS: u8 = 77;

    /// A name for this kind of mistake, for other programs: lower case, with hyphens.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "syntax",
            Self::TooLong { .. } => "too-long",
            Self::UnknownKey { .. } => "unknown-field",
            Self::RepeatedKey { .. } => "repeated-field",
            Self::MissingKey { .. } => "missing-field",
            Self::WrongType { .. } => "wrong-type",
            Self::AllowsNothing => "allows-nothing",
            Self::TooMany { .. } => "too-many",
            Self::Address(_) => "not-an-address",
            Self::UnknownContract { .. } => "unknown-contract",
            Self::TokenName { .. } => "token-name",
            Self::Decimals => "decimals",
            Self::OtherDecimals { .. } => "other-decimals",
            Self::UnknownDecimals { .. } => "unknown-decimals",
            Self::OnlySelector | Self::Function(_) => "not-a-function",
            Self::NotARule => "not-a-rule",
            Self::Argument(_) => "argument",
            Self::Operand(_) => "not-a-value",
            Self::Number(_) => "not-an-amount",
            Self::Time(_) => "not-a-time",
            Self::TwoEnds => "two-ends",
            Self::NoClock => "no-clock",
            Self::Inexpressible(_) => "inexpressible",
            Self::NeverValid => "never-valid",
            Self::NotARate => "not-a-rate",
            Self::UnknownChoice { .. } => "unknown-choice",
            Self::NotATotal | Self::NoTotal { .. } => "not-a-total",
            Self::RepeatedTotal => "repeated-total",
            Self::Policy(_) => "policy",
        }
    }

    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "no such field",
            Self::RepeatedKey { .. } | Self::RepeatedTotal => "here again",
            Self::MissingKey { .. } | Self::AllowsNothing => "missing here",
            Self::TwoEnds | Self::NeverValid => "this end",
            Self::UnknownDecimals { .. } => "used here",
            _ => "here",
        }
    }

    /// What would be right.
    pub(super) fn help(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { key, .. } | Self::WrongType { key, .. } if key.starts_with("per_") => {
                "an amount of each hour, day or week stands with what it limits: `per_day = [\"amount <= 50 USDC\"]` in \
                 [[allow]], `per_day = { value = \"0.1 ether\" }` in [limits], where operations have `rate = \"10 per day\"`"
                    .to_owned()
            }
            Self::UnknownKey { key, known } => match similar(key, known.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("there are {}", known.join(", ")),
            },
            Self::AllowsNothing => {
                "write [[allow]] with a contract and a function for each thing that is allowed".to_owned()
            }
            Self::TooLong { .. } => "split it into several sessions".to_owned(),
            Self::UnknownContract { name, tokens } => {
                match similar(name, tokens.iter().map(String::as_str)) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => "write 0x and 40 hex digits, or the name of a token under [tokens]".to_owned(),
                }
            }
            Self::TokenName { .. } => {
                "a name has a letter first, then letters, digits, `_`, `-`, `.` or `+`; wei, gwei, ether, true and false \
                 mean something else"
                    .to_owned()
            }
            Self::OtherDecimals { .. } => "leave `decimals` out, or write the token's own".to_owned(),
            Self::UnknownDecimals { name, .. } => {
                format!("write `{name} = {{ address = \"0x…\", decimals = 6 }}` under [tokens], with the token's own decimals")
            }
            Self::OnlySelector | Self::Function(_) => "write it as Solidity does: `transfer(address to, uint256 amount)`".to_owned(),
            Self::NotARule => "write an argument, one of == != < <= > >=, and a value: `amount <= 25 USDC`".to_owned(),
            Self::Argument(error) => return argument_help(error),
            Self::Operand(error) => return error.help(),
            Self::Number(error) => return error.help(),
            Self::Time(error) => return error.help(),
            Self::TwoEnds => "leave one of them out".to_owned(),
            Self::NoClock => "write `until` with a date".to_owned(),
            Self::NotARate => "write `10 per day`, `3 per 6 hours` or `1 per minute`".to_owned(),
            Self::NotATotal => "write `amount <= 500 USDC`".to_owned(),
            Self::RepeatedTotal => {
                "a total is of all calls of a function, whichever entry allows them: write the smaller one once".to_owned()
            }
            _ => return None,
        })
    }
}

fn argument_help(error: &ArgumentError) -> Option<String> {
    Some(match error {
        ArgumentError::NotOrdered { ty, .. } if ty.starts_with("int") => {
            "to the chain, negative numbers are greater than all others; write == or !=".to_owned()
        }
        ArgumentError::NotOrdered { .. } => "write == or !=".to_owned(),
        ArgumentError::Dynamic { .. } => {
            "the chain's module compares words at fixed places, so that text, bytes, arrays and what is in them cannot be \
             held; allow a function without them, or leave it free"
                .to_owned()
        }
        _ => return None,
    })
}

/// The nearest of some names, if it is near.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known = known
        .into_iter()
        .map(|it| (strsim::damerau_levenshtein(&name.to_lowercase(), &it.to_lowercase()), it));
    let (distance, nearest) = known.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < nearest.len()).then_some(nearest)
}
