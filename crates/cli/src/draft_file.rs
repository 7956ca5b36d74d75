//! An operation that waits for its owner's signature, as a file, with what its command answers once it is on chain.

use std::path::Path;

use alloy_primitives::{B256, keccak256};
use quorate::Draft;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::read;
use crate::exit::Failure;
use crate::signing::Purpose;

/// What the file says. No secret is in it: a session's key waits in the store, encrypted.
///
/// The owner's signature is over the operation alone, so that a checksum is over all: a file that was damaged on its way
/// sends nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DraftFile {
    /// [`Purpose::COMMAND`].
    command: String,
    /// The purpose itself.
    purpose: Value,
    /// As [`Draft::to_json`] writes it.
    draft: Value,
    /// Keccak-256 of the three as compact JSON.
    checksum: B256,
}

impl DraftFile {
    pub(crate) fn new<P: Purpose>(draft: &Draft<P::Intent>, purpose: &P) -> anyhow::Result<Self> {
        let command = P::COMMAND.to_owned();
        let (purpose, draft) = (serde_json::to_value(purpose)?, serde_json::from_str(&draft.to_json())?);
        let mut file = Self { command, purpose, draft, checksum: B256::ZERO };
        file.checksum = file.sum();
        Ok(file)
    }

    pub(crate) fn to_json(&self) -> String {
        format!("{}\n", serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// # Errors
    /// A file that is not what this program wrote.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let refused = |why: String| Failure::bad_input(format!("{} is no draft: {why}", path.display()));
        let file: Self = serde_json::from_slice(&read(path)?).map_err(|error| refused(error.to_string()))?;
        if file.sum() == file.checksum {
            Ok(file)
        } else {
            Err(refused("it was changed since it was written; make it anew, with --print".into()).into())
        }
    }

    /// [`Purpose::COMMAND`].
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// # Errors
    /// What another version of this program wrote.
    pub(crate) fn parse<P: Purpose>(self) -> anyhow::Result<(Draft<P::Intent>, P)> {
        let unknown =
            |why: String| Failure::bad_input(format!("nothing was sent; the draft cannot be read: {why}"));
        let draft = Draft::from_json(&self.draft.to_string()).map_err(|error| unknown(error.to_string()))?;
        let purpose = serde_json::from_value(self.purpose).map_err(|error| unknown(error.to_string()))?;
        Ok((draft, purpose))
    }

    fn sum(&self) -> B256 {
        let Self { command, purpose, draft, .. } = self;
        keccak256(serde_json::json!([command, purpose, draft]).to_string())
    }
}
