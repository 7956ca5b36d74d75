//! JSON, by a parser that keeps places; `serde_json` knows the line and column of a syntax error alone.

use jsonc_parser::ast::{ObjectProp, Value as Ast};
use jsonc_parser::common::{Range, Ranged as _};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{Entry, Format, Node, Span, Spanned, Value};
use crate::mistake::{Found, MistakeKind};

/// JSON to the letter: no comments, no trailing commas.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) fn parse(text: &str, found: &mut Found) -> Option<Vec<Entry>> {
    let syntax = |message| MistakeKind::Syntax { format: Format::Json, message };
    match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => match parsed.value {
            Some(Ast::Object(object)) => Some(entries(object.properties, found)),
            Some(other) => {
                found.report(syntax("expected an object".into()), span(other.range()));
                None
            }
            None => {
                found.report(syntax("expected an object".into()), text.len()..text.len());
                None
            }
        },
        Err(error) => {
            found.report(syntax(error.kind().to_string()), span(error.range()));
            None
        }
    }
}

fn entries(properties: Vec<ObjectProp<'_>>, found: &mut Found) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for ObjectProp { name, value, .. } in properties {
        let key = Spanned::new(name.as_str().to_owned(), span(name.range()));
        let value = node(value, found);
        match entries.iter().find(|entry| entry.key.value == key.value) {
            Some(first) => {
                let first = first.key.span.clone();
                found.report_both(MistakeKind::RepeatedKey { key: key.value }, key.span, first, "first here");
            }
            None => entries.push(Entry { key, value }),
        }
    }
    entries
}

fn node(ast: Ast<'_>, found: &mut Found) -> Node {
    let place = span(ast.range());
    let value = match ast {
        Ast::StringLit(text) => Value::Text(text.value.into_owned()),
        Ast::NumberLit(number) => Value::Number(number.value.to_owned()),
        Ast::BooleanLit(_) => Value::Bool,
        Ast::Object(object) => Value::Table(entries(object.properties, found)),
        Ast::Array(array) => Value::List(array.elements.into_iter().map(|item| node(item, found)).collect()),
        Ast::NullKeyword(_) => Value::Null,
    };
    Spanned::new(value, place)
}

const fn span(range: Range) -> Span {
    range.start..range.end
}
