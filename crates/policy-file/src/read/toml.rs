//! TOML, with the places that its parser gives, and all that the parser objects to.

use toml::de::{DeTable, DeValue};

use super::{Entry, Format, Node, Span, Spanned, Value};
use crate::mistake::{Found, MistakeKind};

pub(super) fn parse(text: &str, found: &mut Found) -> Option<Vec<Entry>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let message = error.message().to_owned();
        found.report(MistakeKind::Syntax { format: Format::Toml, message }, span);
    }
    errors.is_empty().then(|| entries(text, table.get_ref()))
}

fn entries(text: &str, table: &DeTable<'_>) -> Vec<Entry> {
    let entry =
        |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| Entry {
            key: Spanned::new(key.get_ref().clone().into_owned(), key.span()),
            value: node(text, value.get_ref(), value.span()),
        };
    table.iter().map(entry).collect()
}

fn node(text: &str, value: &DeValue<'_>, span: Span) -> Node {
    let written = || text.get(span.clone()).unwrap_or_default().to_owned();
    let value = match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(_) | DeValue::Float(_) => Value::Number(written()),
        DeValue::Boolean(_) => Value::Bool,
        DeValue::Datetime(_) => Value::Time(written()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(text, item.get_ref(), item.span())).collect())
        }
        DeValue::Table(table) => Value::Table(entries(text, table)),
    };
    Spanned::new(value, span)
}
