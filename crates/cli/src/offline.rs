//! Commands that need no network: JSON on stdin, and the answer on stdout.
//!
//! With `--json` the answer is one line of JSON, so that any language can use the core through them.

pub(crate) mod account;
pub(crate) mod grant;
pub(crate) mod policy;
pub(crate) mod user_op;

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};

/// How the answer is written.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Output {
    /// Write one line of JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

impl Output {
    fn write<T: Serialize>(self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let answer = if self.json { serde_json::to_string(answer)? } else { text(answer) };
        writeln!(std::io::stdout(), "{answer}").context("the answer cannot be written to stdout")
    }
}

/// Reads stdin as JSON; an error names the field.
fn read_stdin<T: DeserializeOwned>(what: &str) -> anyhow::Result<T> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("stdin cannot be read as text")?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let value = parse(&mut json, what)?;
    json.end().with_context(|| format!("stdin goes on after {what}"))?;
    Ok(value)
}

fn parse_value<T: DeserializeOwned>(value: serde_json::Value, what: &str) -> anyhow::Result<T> {
    parse(value, what)
}

fn parse<'de, T, D>(json: D, what: &str) -> anyhow::Result<T>
where
    T: DeserializeOwned,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!(" at {path}") };
        anyhow::Error::from(error.into_inner()).context(format!("stdin is not {what}{place}"))
    })
}
