//! Items as lines of English text.

use core::fmt;

use super::item::{Item, NotShown, Show, Value};
use crate::{
    lint::severity::Severity,
    show::{Coin, Decimal, Safe, Time, Word},
};

/// Shows each item as a line of text: two blanks for each step of its depth, a warning, the label, the value.
///
/// ```
/// use quorate_core::Text;
///
/// let mut lines = String::new();
/// let text = Text(&mut lines);
/// # let _ = text;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Text<W>(pub W);

impl<W: fmt::Write> Show for Text<W> {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        writeln!(self.0, "{item}").map_err(NotShown::from)
    }
}

/// The item's line, without its end.
impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, label, value } = self;
        for _ in 0..label.depth() {
            f.write_str("  ")?;
        }
        f.write_str(match severity {
            Severity::Info | Severity::Refused => "",
            Severity::Warning => "WARNING: ",
            Severity::Danger => "DANGER: ",
        })?;
        f.write_str(label.text())?;
        if !label.text().is_empty() && !matches!(value, Value::None) {
            f.write_str(" ")?;
        }
        value.fmt(f)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => Ok(()),
            Self::Address(address) => address.fmt(f),
            Self::Hash(hash) => write!(f, "{hash:#x}"),
            Self::Number(number) => Decimal(number).fmt(f),
            Self::Hex(number) => write!(f, "{number:#x}"),
            Self::Coin(amount) => Coin(amount).fmt(f),
            Self::Time(seconds) => Time(seconds).fmt(f),
            Self::Text(text) => write!(f, "\"{}\"", Safe(text)),
            Self::Place { number, of: None } => number.fmt(f),
            Self::Place { number, of: Some(of) } => write!(f, "{number} of {of}"),
            Self::Bytes { len, digest } => write!(f, "{len} bytes, keccak {digest:#x}"),
            Self::EntryPoint { version, address } => write!(f, "{version} {address}"),
            Self::Function { selector, signature: Some(signature) } => {
                write!(f, "{} ({selector})", Safe(signature))
            }
            Self::Function { selector, signature: None } => {
                write!(f, "{selector}, whose name is not known here")
            }
            Self::Rule { subject, condition, reference } => {
                write!(f, "{subject} is {condition} {}", Word(reference, subject.kind()))
            }
            Self::Argument { subject, word } => write!(f, "{subject} = {}", Word(word, subject.kind())),
            Self::Subject(subject) => subject.fmt(f),
            Self::Reason(reason) => reason.fmt(f),
        }
    }
}
