//! A policy file that has been read: typed values, each with its place.

mod allow;
mod limits;
mod tokens;
mod validity;

use std::num::NonZeroU64;
use std::sync::Arc;

use alloy_dyn_abi::DynSolType;
use alloy_primitives::Address;
use miette::NamedSource;
use quorate_core::{Condition, FunctionSelector, KnownFunction};
use quorate_protocol::{Limits, PaymasterRule};

use crate::amount::Amount;
use crate::mistake::{Found, Mistakes, Source};
use crate::operand::Operand;
use crate::read::{self, Fields, Format, Span, Spanned};

/// What a session may do, as a person wrote it.
///
/// It is read once: what is wrong with it and can be known without the chain or a clock is reported all together, each
/// mistake with its place. [`compile`](Self::compile) gives the policies and limits.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    pub(crate) source: Source,
    pub(crate) validity: Validity,
    pub(crate) limits: WrittenLimits,
    pub(crate) tokens: Vec<WrittenToken>,
    pub(crate) allow: Vec<Allow>,
}

/// A token that a policy file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its name in the file, which is a unit in amounts and stands for its address.
    pub name: &'a str,
    /// Its contract.
    pub address: Address,
    /// Its decimals, where the file says them.
    pub decimals: Option<u8>,
}

impl PolicyFile {
    /// Reads a policy file. `name` is what messages call it, such as its path.
    ///
    /// # Errors
    /// All [`Mistakes`] that are found.
    pub fn parse(name: &str, text: &str, format: Format) -> Result<Self, Mistakes> {
        // A byte order mark would shift all places.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Arc::new(NamedSource::new(name, text.to_owned()));
        let mut found = Found::new(source.clone());
        let file = read::parse(text, format, &mut found).map(|entries| {
            let start = 0..0;
            let fields = Fields::new(text, &entries, start, FIELDS, &mut found);
            let tokens = tokens::read(text, &fields, &mut found);
            Self {
                validity: validity::read(&fields, &mut found),
                limits: limits::read(text, &fields, &mut found),
                allow: allow::read(text, &fields, &tokens, &mut found),
                tokens,
                source,
            }
        });
        found.finish(file)
    }

    /// The tokens that the file names.
    pub fn tokens(&self) -> impl Iterator<Item = Token<'_>> {
        self.tokens.iter().map(|token| Token {
            name: &token.name,
            address: token.address,
            decimals: token.decimals.as_ref().map(|decimals| decimals.value),
        })
    }

    /// The signatures of the functions that it allows, as they are written.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.allow.iter().map(|allow| allow.function.value.as_str())
    }

    /// The same functions as a review names them.
    pub fn known_functions(&self) -> Vec<KnownFunction<'_>> {
        self.functions().filter_map(|signature| KnownFunction::parse(signature).ok()).collect()
    }
}

const FIELDS: &[&str] = &["from", "until", "for", "limits", "tokens", "allow"];

/// When everything is allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Validity {
    pub(crate) from: Option<Spanned<u64>>,
    pub(crate) end: Option<End>,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Until(Spanned<u64>),
    For(Spanned<jiff::Span>),
}

impl End {
    pub(crate) const fn span(&self) -> &Span {
        match self {
            Self::Until(until) => &until.span,
            Self::For(duration) => &duration.span,
        }
    }
}

/// The network's limits of all operations; totals of arguments stand with their functions.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrittenLimits {
    pub(crate) limits: Limits,
    /// The coin's amounts as they are written: value, and gas cost.
    pub(crate) value: Option<Amount>,
    pub(crate) gas: Option<Amount>,
    /// The rate as it is written.
    pub(crate) rate: Option<Spanned<String>>,
    /// The coin's amounts of each window as they are written, one for each of [`Limits::coin_windows`].
    pub(crate) windows: Vec<Spanned<Amount>>,
}

impl WrittenLimits {
    pub(crate) const fn paymaster(&self) -> PaymasterRule {
        self.limits.paymaster
    }
}

#[derive(Clone, Debug)]
pub(crate) struct WrittenToken {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) decimals: Option<Spanned<u8>>,
}

/// One function of one contract that may be called.
#[derive(Clone, Debug)]
pub(crate) struct Allow {
    pub(crate) contract: Spanned<Address>,
    /// As it is written.
    pub(crate) function: Spanned<String>,
    pub(crate) selector: FunctionSelector,
    pub(crate) rules: Vec<Rule>,
    /// The value of each call.
    pub(crate) value: Option<Spanned<Amount>>,
    /// Totals over all calls.
    pub(crate) totals: Vec<Total>,
}

/// A rule that the nodes hold for a sum.
#[derive(Clone, Debug)]
pub(crate) struct Total {
    pub(crate) rule: Rule,
    /// The length of the windows that it is summed up in; none for all calls together.
    pub(crate) seconds: Option<NonZeroU64>,
}

/// An argument, a comparison and a value.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) span: Span,
    pub(crate) argument: String,
    pub(crate) condition: Condition,
    /// As it is written.
    pub(crate) value: Spanned<String>,
    pub(crate) offset: u16,
    pub(crate) ty: DynSolType,
    pub(crate) operand: Operand,
}
