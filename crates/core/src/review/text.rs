//! Items as lines of English text.

use core::fmt;

use super::item::{Item, NotShown, Show, Value};
use crate::{
    lint::severity::Severity,
    show::{Coin, Safe, Time, Word},
    written::{Hex, TextSink, Written, displays, write_text},
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
        item.write(&mut |piece| self.0.write_str(piece))?;
        Ok(self.0.write_str("\n")?)
    }
}

/// The item's line, without its end.
impl Written for Item<'_> {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let Self { severity, label, value } = self;
        for _ in 0..label.depth() {
            out("  ")?;
        }
        out(match severity {
            Severity::Info | Severity::Refused => "",
            Severity::Warning => "WARNING: ",
            Severity::Danger => "DANGER: ",
        })?;
        out(label.text())?;
        if !label.text().is_empty() && !matches!(value, Value::None) {
            out(" ")?;
        }
        value.write(out)
    }
}

impl Written for Value<'_> {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        let (text, values): (&str, &[&dyn Written]) = match self {
            Self::None => ("", &[]),
            Self::Address(address) => ("{}", &[address]),
            Self::Hash(hash) => ("{}", &[hash]),
            Self::Number(number) => ("{}", &[number]),
            Self::Hex(number) => ("{}", &[&Hex(number)]),
            Self::Coin(amount) => ("{}", &[&Coin(*amount)]),
            Self::Time(seconds) => ("{}", &[&Time(*seconds)]),
            Self::Text(text) => ("\"{}\"", &[&Safe(text)]),
            Self::Place { number, of: None } => ("{}", &[number]),
            Self::Place { number, of: Some(of) } => ("{} of {}", &[number, of]),
            Self::Bytes { len, digest } => ("{} bytes, keccak {}", &[len, digest]),
            Self::EntryPoint { version, address } => ("{} {}", &[version, address]),
            Self::Function { selector, signature: Some(signature) } => {
                ("{} ({})", &[&Safe(signature), selector])
            }
            Self::Function { selector, signature: None } => ("{}, whose name is not known here", &[selector]),
            Self::Rule { subject, condition, reference } => {
                ("{} is {} {}", &[subject, condition, &Word(*reference, subject.kind())])
            }
            Self::Argument { subject, word } => ("{} = {}", &[subject, &Word(*word, subject.kind())]),
            Self::Subject(subject) => ("{}", &[subject]),
            Self::Reason(reason) => ("{}", &[*reason]),
        };
        write_text(text, values, out)
    }
}

displays!(Item<'_>, Value<'_>);
