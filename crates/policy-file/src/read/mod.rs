//! TOML and JSON as one tree, whose nodes know where they stand.

mod fields;
mod json;
mod toml;

use std::ops::Range;

pub(crate) use self::fields::{Fields, Written, wrong_type};
use crate::mistake::{Found, MistakeKind};

/// How a policy file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    #[default]
    Toml,
    /// JSON without comments.
    Json,
}

/// The longest text that is read, in bytes.
const MAX_LEN: usize = 128 * 1024;

/// A range of bytes of the text, whose ends stand between characters.
pub(crate) type Span = Range<usize>;

/// A value with the place where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Spanned<T> {
    pub(crate) const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

pub(crate) type Node = Spanned<Value>;

pub(crate) enum Value {
    Text(String),
    /// As it is written: `1_000`, `0x10`, `0.5`.
    Number(String),
    Bool,
    /// TOML's own dates, as they are written.
    Time(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    Null,
}

pub(crate) struct Entry {
    pub(crate) key: Spanned<String>,
    pub(crate) value: Node,
}

impl Value {
    /// What it is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Bool => "a boolean",
            Self::Time(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Null => "null",
        }
    }
}

/// The entries of the whole text. `None` if it cannot be read, which is reported; there may be entries all the same.
pub(crate) fn parse(text: &str, format: Format, found: &mut Found) -> Option<Vec<Entry>> {
    if text.len() > MAX_LEN {
        found.report(MistakeKind::TooLong { len: text.len(), limit: MAX_LEN }, 0..0);
        return None;
    }
    match format {
        Format::Toml => toml::parse(text, found),
        Format::Json => json::parse(text, found),
    }
}

/// Where a part of a written text stands. Where its letters are not written as they are, but by escapes, all of the text
/// is meant.
pub(crate) fn part(source: &str, whole: &Span, text: &str, part: Span) -> Span {
    let start = source.get(whole.clone()).and_then(|written| written.find(text));
    let found = start.map(|start| whole.start + start + part.start..whole.start + start + part.end);
    found.filter(|found| !text.is_empty() && source.get(found.clone()).is_some()).unwrap_or(whole.clone())
}

/// A text with single spaces for all that is white: what is shown of it is one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
