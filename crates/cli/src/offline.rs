//! Commands that need no network: JSON on stdin or a policy file, and the answer on stdout.
//!
//! With `--json` the answer is one line of JSON, so that any language can use the core through them.

pub(crate) mod account;
pub(crate) mod arguments;
pub(crate) mod delegation;
pub(crate) mod grant;
mod json;
pub(crate) mod key_request;
mod lint;
pub(crate) mod policy;
pub(crate) mod shown;
pub(crate) mod user_op;

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use json::Json;

/// How the answer is written.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Output {
    /// Write one line of JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

impl Output {
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    pub(crate) fn write<T: Serialize>(
        self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let answer = if self.json { serde_json::to_string(answer)? } else { text(answer) };
        writeln!(std::io::stdout(), "{answer}").context("the answer cannot be written to stdout")
    }
}

/// Reads stdin as JSON, which is to be `what`.
fn read_json(what: &str) -> anyhow::Result<Json> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("stdin cannot be read as text")?;
    Json::new(&text, what)
}

/// Reads stdin as JSON; an error names the field.
fn read_stdin<T: DeserializeOwned>(what: &str) -> anyhow::Result<T> {
    read_json(what)?.parse(what)
}
