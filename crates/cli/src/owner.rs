//! Who signs for an account's owner: a key in the environment, a keystore file, or a wallet in a browser.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use alloy_signer::Signer;
use alloy_signer_local::PrivateKeySigner;
use clap::Args;
use quorate::{Draft, OwnerIntent, SmartAccount};
use quorate_approval::{Approval, Review};

use crate::browser;
use crate::context::Context;
use crate::exit::Failure;
use crate::offline::shown::Shown;
use crate::progress::Steps;
use crate::prompt;

/// Where the owner's signer is; without any of these the private key stands in QUORATE_OWNER_KEY.
#[derive(Clone, Debug, Args)]
pub(crate) struct OwnerArguments {
    /// Sign with a keystore file (Web3 secret storage, version 3), whose password stands in QUORATE_KEYSTORE_PASSWORD or is
    /// asked for.
    #[arg(long, value_name = "FILE")]
    keystore: Option<PathBuf>,
    /// Sign with a wallet in a browser: a page on this machine shows what is signed, and asks the wallet.
    #[arg(long, conflicts_with_all = ["keystore", "yes"])]
    browser: bool,
    /// Open no browser for it; the page's address stands on stderr.
    #[arg(long, requires = "browser")]
    no_open: bool,
    /// Sign without showing first what is signed, and without asking.
    #[arg(long, short)]
    yes: bool,
}

/// A signer of the owner's, and how the owner is shown what it signs.
pub(crate) struct OwnerSigner {
    signer: Box<dyn Signer + Send + Sync>,
    /// Where the owner is not at the terminal.
    page: Option<Approval>,
    asks: bool,
}

/// Where the owner's private key may stand.
pub(crate) const OWNER_KEY: &str = "QUORATE_OWNER_KEY";
const KEYSTORE_PASSWORD: &str = "QUORATE_KEYSTORE_PASSWORD";

impl OwnerArguments {
    /// The signer of the account's owner, who follows these steps as well where that is in a browser.
    pub(crate) async fn signer(
        &self,
        context: &Context,
        account: &SmartAccount,
        steps: &mut Steps,
    ) -> anyhow::Result<OwnerSigner> {
        let owner = account.owner();
        if self.browser {
            let page = browser::start(context, owner, steps, !self.no_open).await?;
            return Ok(OwnerSigner { signer: Box::new(page.signer()), page: Some(page), asks: true });
        }
        let (signer, source) = match &self.keystore {
            Some(file) => (of_keystore(file).await?, file.display().to_string()),
            None => (of_environment()?, OWNER_KEY.to_owned()),
        };
        if signer.address() == owner {
            return Ok(OwnerSigner { signer: Box::new(signer), page: None, asks: !self.yes });
        }
        let other = signer.address();
        Err(Failure::bad_input(format!("{source} is the key of {other}, and the account's owner is {owner}"))
            .into())
    }
}

impl OwnerSigner {
    /// Whether the owner is shown what is signed before it is.
    pub(crate) const fn asks(&self) -> bool {
        self.asks
    }

    /// Says what is going to be signed, and asks; a page asks by itself.
    pub(crate) async fn confirm(&self, words: &str, question: &'static str) -> anyhow::Result<()> {
        if !self.asks {
            return Ok(());
        }
        eprintln!("{words}");
        match self.page {
            Some(_) => Ok(()),
            None => prompt::confirm(question).await,
        }
    }

    /// Shows the review of an operation, and asks.
    pub(crate) async fn confirm_operation<T: OwnerIntent>(
        &self,
        draft: &Draft<T>,
        review: Shown,
        title: &str,
    ) -> anyhow::Result<()> {
        match &self.page {
            Some(page) => {
                page.review(draft.digest(), review.into_page(title));
                Ok(())
            }
            None => self.confirm(&review.text(), "Sign this operation?").await,
        }
    }

    /// Shows on the page, where there is one, what typed data stands for.
    pub(crate) fn show_typed_data(
        &self,
        digest: B256,
        review: impl FnOnce() -> anyhow::Result<Review>,
    ) -> anyhow::Result<()> {
        if let Some(page) = &self.page {
            page.review(digest, review()?);
        }
        Ok(())
    }

    /// Does the work whose operation the owner signs, and tells a page the transaction that it ended in.
    pub(crate) async fn follow<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
        transaction: impl FnOnce(&T) -> B256,
    ) -> anyhow::Result<T> {
        match &self.page {
            Some(page) => browser::follow(page, work, transaction).await,
            None => work.await,
        }
    }
}

impl Deref for OwnerSigner {
    type Target = dyn Signer + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.signer
    }
}

fn of_environment() -> anyhow::Result<PrivateKeySigner> {
    let key = std::env::var(OWNER_KEY);
    let key = key.map_err(|_| {
        Failure::bad_input(format!("no signer of the owner: set {OWNER_KEY}, give --keystore, or --browser"))
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
