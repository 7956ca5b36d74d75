//! A table's fields by their names.

use super::{Entry, Node, Span, Spanned, Value, part};
use crate::mistake::{Found, MistakeKind};

/// The fields of a table, whose unknown ones are reported.
pub(crate) struct Fields<'a> {
    source: &'a str,
    entries: &'a [Entry],
    span: Span,
}

impl<'a> Fields<'a> {
    /// Takes a table that may have the fields `known`; `span` is where one is missed that is not there.
    pub(crate) fn new(
        source: &'a str,
        entries: &'a [Entry],
        span: Span,
        known: &'static [&'static str],
        found: &mut Found,
    ) -> Self {
        for Entry { key, .. } in entries {
            if !known.contains(&key.value.as_str()) {
                let kind = MistakeKind::UnknownKey { key: key.value.clone(), known };
                found.report(kind, key.span.clone());
            }
        }
        Self { source, entries, span }
    }

    pub(crate) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|entry| entry.key.value == key).map(|entry| entry.key.span.clone())
    }

    /// A text field; another type is reported.
    pub(crate) fn text(&self, key: &'static str, found: &mut Found) -> Option<Written<'a>> {
        let node = self.node(key)?;
        Written::of_text(self.source, node).or_else(|| wrong_type(key, "a text", node, found))
    }

    /// A text or number.
    pub(crate) fn number(&self, key: &'static str, found: &mut Found) -> Option<Written<'a>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) | Value::Number(text) => {
                Some(Written { source: self.source, text, span: &node.span })
            }
            _ => wrong_type(key, "a number, or a text", node, found),
        }
    }

    /// A date as TOML has it, or as a text.
    pub(crate) fn time(&self, key: &'static str, found: &mut Found) -> Option<Written<'a>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) | Value::Time(text) => {
                Some(Written { source: self.source, text, span: &node.span })
            }
            _ => wrong_type(key, "a date, or a text", node, found),
        }
    }

    /// As [`text`](Self::text), for a field that has to be there.
    pub(crate) fn required_text(
        &self,
        key: &'static str,
        of: &'static str,
        found: &mut Found,
    ) -> Option<Written<'a>> {
        if self.node(key).is_none() {
            found.report(MistakeKind::MissingKey { key, of }, self.span.clone());
        }
        self.text(key, found)
    }

    /// The items of a list; none where it is not there.
    pub(crate) fn list(&self, key: &'static str, found: &mut Found) -> &'a [Node] {
        match self.node(key) {
            Some(Spanned { value: Value::List(items), .. }) => items,
            Some(node) => wrong_type(key, "a list", node, found).unwrap_or_default(),
            None => &[],
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, key: &'static str, found: &mut Found) -> Vec<Written<'a>> {
        let items = self.list(key, found).iter();
        let text = |node| {
            Written::of_text(self.source, node).or_else(|| wrong_type(key, "a list of texts", node, found))
        };
        items.filter_map(text).collect()
    }

    /// The entries of a table.
    pub(crate) fn table(&self, key: &'static str, found: &mut Found) -> Option<(&'a [Entry], Span)> {
        match self.node(key)? {
            Spanned { value: Value::Table(entries), span } => Some((entries, span.clone())),
            node => wrong_type(key, "a table", node, found),
        }
    }
}

pub(crate) fn wrong_type<T>(key: &str, expected: &'static str, node: &Node, found: &mut Found) -> Option<T> {
    let kind = MistakeKind::WrongType { key: key.to_owned(), expected, found: node.value.kind() };
    found.report(kind, node.span.clone());
    None
}

/// A text that knows where each part of it is written.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    source: &'a str,
    pub(crate) text: &'a str,
    span: &'a Span,
}

impl<'a> Written<'a> {
    pub(crate) fn of_text(source: &'a str, node: &'a Node) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(Self { source, text, span: &node.span }),
            _ => None,
        }
    }

    /// Where all of it stands, without quotes where that is possible.
    pub(crate) fn span(&self) -> Span {
        self.part(self.text)
    }

    /// Where a part of it stands, which has to be a slice of it.
    pub(crate) fn part(&self, slice: &str) -> Span {
        let start = (slice.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        part(self.source, self.span, self.text, start..start + slice.len())
    }

    /// Where the character at a byte of it stands, or its end.
    pub(crate) fn at(&self, byte: usize) -> Span {
        let start = (0..=byte.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at));
        let rest = self.text.get(start.unwrap_or_default()..).unwrap_or_default();
        let len = rest.chars().next().map_or(0, char::len_utf8);
        self.part(rest.get(..len).unwrap_or_default())
    }
}
