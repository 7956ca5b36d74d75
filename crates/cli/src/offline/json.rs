//! JSON as the commands take it: each member once, and whole numbers of any size.

use std::fmt;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON text, in which no object has two members of one name.
pub(super) struct Json {
    text: String,
}

impl Json {
    /// Takes the text of one JSON value, which is to be `what`.
    pub(super) fn new(text: &str, what: &str) -> anyhow::Result<Self> {
        let json = Self { text: large_numbers_quoted(text) };
        let mut reader = serde_json::Deserializer::from_str(&json.text);
        parse_with::<Unique, _>(&mut reader, what)?;
        reader.end().with_context(|| format!("stdin goes on after {what}"))?;
        Ok(json)
    }

    /// The value, which is `what`; an error names the field.
    pub(super) fn parse<T: DeserializeOwned>(&self, what: &str) -> anyhow::Result<T> {
        parse_with(&mut serde_json::Deserializer::from_str(&self.text), what)
    }
}

/// Reads `what` from a deserializer; an error names the field.
pub(super) fn parse_with<'de, T, D>(json: D, what: &str) -> anyhow::Result<T>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!(" at {path}") };
        anyhow::Error::from(error.into_inner()).context(format!("stdin is not {what}{place}"))
    })
}

/// `text` with the whole numbers of 2^64 or more as strings: `serde_json` would read them as floating point. A field
/// that takes a number takes its digits as a string, too; one that takes another string takes no digits alone.
fn large_numbers_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Numbers stand at the start, or after one of these.
    while let Some(start) = rest.find(|letter: char| letter == '"' || letter.is_ascii_digit()) {
        let (before, token) = rest.split_at(start);
        out.push_str(before);
        let len = if token.starts_with('"') { string_len(token) } else { number_len(token) };
        let (token, after) = token.split_at(len);
        let starts = !before.ends_with(['-', '+', '.']) && !before.ends_with(char::is_alphanumeric);
        // A name has to be a string by itself.
        if starts && is_large(token) && !after.trim_start().starts_with(':') {
            out.extend(["\"", token, "\""]);
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The length of the string that `text` starts with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = true;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the number that `text` starts with, or of what stands in its place.
fn number_len(text: &str) -> usize {
    let part_of_it = |letter: char| letter.is_alphanumeric() || ".+-_".contains(letter);
    text.find(|letter| !part_of_it(letter)).unwrap_or(text.len())
}

fn is_large(number: &str) -> bool {
    number.bytes().all(|digit| digit.is_ascii_digit())
        && !number.starts_with('0')
        && number.parse::<u64>().is_err()
}

/// Any JSON value in which no object has two members of one name.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            names.insert(name);
            members.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_whole_numbers_become_strings_and_nothing_else_changes() {
        for (text, quoted) in [
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", r#""18446744073709551616""#),
            (r#"{"a" : 18446744073709551616 }"#, r#"{"a" : "18446744073709551616" }"#),
            ("[18446744073709551616,1]", r#"["18446744073709551616",1]"#),
            // What is no number to JSON stays none.
            ("018446744073709551616", "018446744073709551616"),
            ("-18446744073709551616", "-18446744073709551616"),
            ("18446744073709551616.0", "18446744073709551616.0"),
            ("18446744073709551616e1", "18446744073709551616e1"),
            ("1.18446744073709551616", "1.18446744073709551616"),
            ("x18446744073709551616", "x18446744073709551616"),
            ("18446744073709551616x", "18446744073709551616x"),
            ("é18446744073709551616", "é18446744073709551616"),
            ("{18446744073709551616: 1}", "{18446744073709551616: 1}"),
            ("{18446744073709551616\n:1}", "{18446744073709551616\n:1}"),
            (r#""a\"18446744073709551616""#, r#""a\"18446744073709551616""#),
            (r#"["\\",18446744073709551616]"#, r#"["\\","18446744073709551616"]"#),
            (r#""18446744073709551616"#, r#""18446744073709551616"#),
        ] {
            assert_eq!(large_numbers_quoted(text), quoted);
        }
    }

    #[test]
    fn each_member_stands_once_at_any_depth() {
        for (text, place) in [
            (r#"{"a":1,"a":1}"#, "JSON:"),
            (r#"[{"b":{"a":1,"\u0061":2}}]"#, "[0].b"),
            (r#"{"c":[0,{"a":null,"b":2,"a":null}]}"#, "c[1]"),
        ] {
            let error = Json::new(text, "JSON").err().map_or_else(String::new, |error| format!("{error:#}"));
            assert!(error.contains(place) && error.contains("duplicate field `a`"), "{error}");
        }
        assert!(Json::new(r#"[{"a":1.5,"b":[true,-1,"a"]},{"a":1}]"#, "JSON").is_ok());
    }
}
