//! `quorate key-request`: what an owner signs to have a network make a session key, in words.

use alloy_primitives::B256;
use clap::Subcommand;
use quorate_core::{KeyRequest, KeyRequestError, KeyRequestReview, TaggedValue, TrustedContext};
use serde::Deserialize;

use super::shown::Shown;
use super::{Output, arguments, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a request for a key asks for, and check that the permissions are those that it names.
    ///
    /// Reads {setup: {t, n, metadata: [{tag, value}]}, challenge, permissions?}: the message of the request's typed data, and
    /// the text of the permissions whose hash it names; gives {items: [{severity, label, value}], lines, digest, refusal}.
    Review {
        /// A function's signature with the names of its arguments, which are shown then; may be given many times.
        #[arg(long = "function", value_parser = arguments::function)]
        functions: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Review { functions, output } = command;
    let request: Request = read_stdin("a request {setup, challenge, permissions?}")?;
    let mut shown = Shown::default();
    let digest = request.review(&functions, &mut shown).map_err(Into::into);
    shown.write("digest", digest, output)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    setup: Setup,
    challenge: String,
    permissions: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    t: u32,
    n: u32,
    metadata: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    tag: u16,
    value: String,
}

impl Request {
    fn review(&self, functions: &[String], shown: &mut Shown) -> Result<B256, KeyRequestError> {
        let functions = arguments::known_functions(functions);
        let trusted = TrustedContext { functions: &functions, ..TrustedContext::CANONICAL };
        let Setup { t, n, metadata } = &self.setup;
        let metadata: Vec<_> =
            metadata.iter().map(|Entry { tag, value }| TaggedValue { tag: *tag, value }).collect();
        let request =
            KeyRequest { threshold: *t, nodes: *n, metadata: &metadata, challenge: &self.challenge };
        let mut review = KeyRequestReview::new(trusted, shown);
        review.begin(&request)?;
        if let Some(permissions) = &self.permissions {
            review.permissions(permissions.as_bytes())?;
        }
        review.finish()
    }
}
