//! Who signs for an account's owner: a key in the environment, a keystore file, or somebody elsewhere.

use std::path::{Path, PathBuf};

use alloy_signer::Signer;
use alloy_signer_local::PrivateKeySigner;
use clap::Args;
use quorate::Address;

use crate::exit::Failure;
use crate::prompt;

/// Where the owner's signer is; without any of these the private key stands in QUORATE_OWNER_KEY.
#[derive(Clone, Debug, Args)]
pub(crate) struct OwnerArguments {
    /// Sign with a keystore file (Web3 secret storage, version 3), whose password stands in QUORATE_KEYSTORE_PASSWORD or is
    /// asked for.
    #[arg(long, value_name = "FILE")]
    keystore: Option<PathBuf>,
    /// Sign without showing first what is signed, and without asking.
    #[arg(long, short)]
    yes: bool,
}

/// A signer of the owner's.
pub(crate) type OwnerSigner = Box<dyn Signer + Send + Sync>;

/// Where the owner's private key may stand.
pub(crate) const OWNER_KEY: &str = "QUORATE_OWNER_KEY";
const KEYSTORE_PASSWORD: &str = "QUORATE_KEYSTORE_PASSWORD";

impl OwnerArguments {
    /// The owner's signer.
    pub(crate) async fn signer(&self, owner: Address) -> anyhow::Result<OwnerSigner> {
        let (signer, source) = match &self.keystore {
            Some(file) => (of_keystore(file).await?, file.display().to_string()),
            None => (of_environment()?, OWNER_KEY.to_owned()),
        };
        if signer.address() == owner {
            return Ok(Box::new(signer));
        }
        let other = signer.address();
        Err(Failure::bad_input(format!("{source} is the key of {other}, and the account's owner is {owner}"))
            .into())
    }

    /// Shows what is to be signed, and asks.
    pub(crate) async fn confirm(&self, shown: &str, question: &'static str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        eprintln!("{shown}");
        prompt::confirm(question).await
    }
}

fn of_environment() -> anyhow::Result<PrivateKeySigner> {
    let key = std::env::var(OWNER_KEY);
    let key = key.map_err(|_| {
        Failure::bad_input(format!("no signer of the owner: set {OWNER_KEY}, or give --keystore"))
    })?;
    // What it is instead is not shown: it may be a key with a slip of the pen.
    Ok(key.parse().map_err(|_| {
        Failure::bad_input(format!("{OWNER_KEY} is no private key; it is 0x and 64 hex digits"))
    })?)
}

async fn of_keystore(file: &Path) -> anyhow::Result<PrivateKeySigner> {
    if !file.is_file() {
        return Err(Failure::bad_input(format!("there is no keystore file {}", file.display())).into());
    }
    let password = prompt::secret(KEYSTORE_PASSWORD, "password of the keystore").await?;
    Ok(PrivateKeySigner::decrypt_keystore(file, password.as_bytes())
        .map_err(|error| Failure::bad_input(format!("{} does not open: {error}", file.display())))?)
}
