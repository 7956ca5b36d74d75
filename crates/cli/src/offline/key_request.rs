//! `quorate key-request`: what an owner signs to have a network make a session key, in words.

use alloy_primitives::B256;
use clap::Subcommand;
use quorate_core::{
    KeyRequest, KeyRequestError, KeyRequestReview, KnownFunction, TaggedValue, TrustedContext,
};
use quorate_protocol::TypedData;
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
    let digest = request.review(&arguments::known_functions(&functions), &mut shown).map_err(Into::into);
    shown.write("digest", digest, output)
}

/// The review of a request for a key that holds to these permissions.
///
/// # Errors
/// What cannot be shown whole, and other permissions than those that it names: it is not to be signed.
pub(crate) fn review(
    typed_data: &TypedData,
    permissions: Option<String>,
    functions: &[KnownFunction<'_>],
) -> anyhow::Result<Shown> {
    let message: Request = serde_json::from_value(typed_data.document()["message"].clone())?;
    let mut shown = Shown::default();
    let digest = Request { permissions, ..message }.review(functions, &mut shown)?;
    anyhow::ensure!(
        digest == typed_data.digest(),
        "the review is of {digest}, and the request of {}",
        typed_data.digest()
    );
    Ok(shown)
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
    fn review(&self, functions: &[KnownFunction<'_>], shown: &mut Shown) -> Result<B256, KeyRequestError> {
        let trusted = TrustedContext { functions, ..TrustedContext::CANONICAL };
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
