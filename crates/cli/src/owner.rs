//! Who signs for an account's owner: a key in the environment, a keystore file, a Ledger, a wallet in a
//! browser, or somebody elsewhere.

use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use alloy_signer::Signer;
use alloy_signer_local::PrivateKeySigner;
use clap::Args;
use quorate::{Draft, OwnerIntent, SmartAccount};
use quorate_approval::{Approval, BrowserSigner, Outcome as PageOutcome, Review};

use crate::browser;
use crate::context::Context;
use crate::elsewhere::Elsewhere;
use crate::exit::Failure;
use crate::ledger::LedgerArguments;
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
    #[command(flatten)]
    ledger: LedgerArguments,
    /// Sign with a wallet in a browser: a page on this machine shows what is signed, and asks the wallet.
    #[arg(long, conflicts_with_all = ["keystore", "yes"])]
    browser: bool,
    /// Open no browser for it; the page's address stands on stderr.
    #[arg(long, requires = "browser")]
    no_open: bool,
    /// Sign nothing here: show what is to be signed, write the operation to this new file, and print its hash. `quorate submit`
    /// sends it with the signature. What a network asks for, a key or the end of one, is written beside it as typed data
    /// (EIP-712), whose signature is read from stdin meanwhile: within 60 seconds for a key.
    #[arg(long, value_name = "DRAFT", conflicts_with_all = ["keystore", "browser", "yes"])]
    print: Option<PathBuf>,
    /// Sign without showing first what is signed, and without asking.
    #[arg(long, short)]
    yes: bool,
}

/// A signer of the owner's, and where the owner is shown what it signs.
pub(crate) enum OwnerSigner {
    /// At the terminal, which asks first or does not.
    Key { signer: Box<dyn Signer + Send + Sync>, asks: bool },
    /// In a browser, whose page asks.
    Page { signer: BrowserSigner, page: Approval },
    /// Not here.
    Elsewhere(Elsewhere),
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
            return Ok(OwnerSigner::Page { signer: page.signer(), page });
        }
        if let Some(draft) = &self.print {
            // There the session waits, with its key, and there a second submission finds the first.
            context.settings.need(context.settings.profile().store.as_ref(), "store")?;
            return Ok(OwnerSigner::Elsewhere(Elsewhere::new(owner, draft)?));
        }
        let (signer, source): (Box<dyn Signer + Send + Sync>, _) = match &self.keystore {
            _ if self.ledger.is_asked_for() => {
                let signer = self.ledger.signer(context.client.chain_id());
                (steps.during("asking the Ledger", signer).await?, "the Ledger's key".to_owned())
            }
            Some(file) => (Box::new(of_keystore(file).await?), file.display().to_string()),
            None => (Box::new(of_environment()?), OWNER_KEY.to_owned()),
        };
        if signer.address() == owner {
            return Ok(OwnerSigner::Key { signer, asks: !self.yes });
        }
        let other = signer.address();
        Err(Failure::bad_input(format!("{source} is the key of {other}, and the account's owner is {owner}"))
            .into())
    }
}

impl OwnerSigner {
    /// Whether the owner is shown what is signed before it is.
    pub(crate) const fn shows(&self) -> bool {
        !matches!(self, Self::Key { asks: false, .. })
    }

    /// What signs at once, or else who signs elsewhere.
    pub(crate) fn at_hand(&self) -> Result<&(dyn Signer + Send + Sync), &Elsewhere> {
        match self {
            Self::Key { signer, .. } => Ok(&**signer),
            Self::Page { signer, .. } => Ok(signer),
            Self::Elsewhere(elsewhere) => Err(elsewhere),
        }
    }

    /// Says what is going to be signed, and asks; a page asks by itself, and who signs elsewhere is not asked.
    pub(crate) async fn confirm(&self, words: &str, question: &'static str) -> anyhow::Result<()> {
        if !self.shows() {
            return Ok(());
        }
        eprintln!("{words}");
        match self {
            Self::Key { .. } => prompt::confirm(question).await,
            Self::Page { .. } | Self::Elsewhere(_) => Ok(()),
        }
    }

    /// Shows the review of an operation, and asks.
    pub(crate) async fn confirm_operation<T: OwnerIntent>(
        &self,
        draft: &Draft<T>,
        review: Shown,
        title: &str,
    ) -> anyhow::Result<()> {
        match self {
            Self::Page { page, .. } => {
                page.review(draft.digest(), review.into_page(title));
                Ok(())
            }
            Self::Key { .. } | Self::Elsewhere(_) => {
                self.confirm(&review.text(), "Sign this operation?").await
            }
        }
    }

    /// Shows on the page, where there is one, what typed data stands for.
    pub(crate) fn show_typed_data(
        &self,
        digest: B256,
        review: impl FnOnce() -> anyhow::Result<Review>,
    ) -> anyhow::Result<()> {
        if let Self::Page { page, .. } = self {
            page.review(digest, review()?);
        }
        Ok(())
    }

    /// Does the work that the owner signs for, and tells a page how it ended.
    pub(crate) async fn follow<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
        outcome: impl FnOnce(&T) -> Option<PageOutcome>,
    ) -> anyhow::Result<T> {
        match self {
            Self::Page { page, .. } => browser::follow(page, work, outcome).await,
            Self::Key { .. } | Self::Elsewhere(_) => work.await,
        }
    }
}

fn of_environment() -> anyhow::Result<PrivateKeySigner> {
    let key = std::env::var(OWNER_KEY);
    let key = key.map_err(|_| {
        Failure::bad_input(format!(
            "no signer of the owner: set {OWNER_KEY}, or give --keystore, --ledger, --browser or --print"
        ))
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
