//! `quorate session export` and `import`: the sessions of the original SDK's storage, taken over and given back.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use quorate::quorate_store::original::{self, Documents, Quorum};
use serde::Serialize;

use crate::clock::now;
use crate::context::{Context, PaymentArguments, read};
use crate::exit::Failure;
use crate::new_file::{Readers, write_new};
use crate::offline::Output;
use crate::settings::SettingsArguments;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The folder to write `sessions.json` and `signers.json` to; they must not be there. The second holds secret keys, as the
    /// original stores them: unsealed.
    folder: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The folder with the original's `sessions.json` and `signers.json`.
    folder: PathBuf,
    /// Take them in although the tree on chain is not theirs: all were revoked, or another device has changed it.
    #[arg(long)]
    beside: bool,
    #[command(flatten)]
    output: Output,
}

const SESSIONS: &str = "sessions.json";
const SIGNERS: &str = "signers.json";

#[derive(Serialize)]
struct Exported {
    sessions: PathBuf,
    signers: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    /// How many sessions are in the tree on chain.
    in_tree: usize,
    /// How many others were stored.
    beside: usize,
}

pub(super) async fn export(settings: SettingsArguments, arguments: ExportArguments) -> anyhow::Result<()> {
    let ExportArguments { folder, output } = arguments;
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let quorum = context.network.as_ref().map(|network| Quorum {
        owner: account.owner(),
        threshold: network.descriptor().threshold(),
        parties: network.descriptor().size(),
    });
    let Documents { sessions, signers } = account.export_original(quorum).await?;
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let exported = Exported { sessions: folder.join(SESSIONS), signers: folder.join(SIGNERS) };
    write_new(&exported.sessions, &sessions, Readers::Owner)?;
    write_new(&exported.signers, &signers, Readers::Owner)?;
    output.write(&exported, |exported| {
        format!("{}\n{} holds secret keys, unsealed", exported.sessions.display(), exported.signers.display())
    })
}

pub(super) async fn import(settings: SettingsArguments, arguments: ImportArguments) -> anyhow::Result<()> {
    let ImportArguments { folder, beside, output } = arguments;
    let text = |file: &str| -> anyhow::Result<String> {
        let path = folder.join(file);
        String::from_utf8(read(&path)?)
            .map_err(|_| Failure::bad_input(format!("{} is not text in UTF-8", path.display())).into())
    };
    let documents = Documents { sessions: text(SESSIONS)?.into(), signers: text(SIGNERS)?.into() };
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let sessions = original::read(account.id(), &documents, now())
        .map_err(|error| Failure::bad_input(format!("{}: {error}", folder.display())))?;
    let imported = if beside {
        let beside = sessions.len();
        account.import_beside(sessions).await?;
        Imported { in_tree: 0, beside }
    } else {
        let quorate::Imported { in_tree, beside, .. } = account.import(sessions).await?;
        Imported { in_tree, beside }
    };
    output.write(&imported, |imported| {
        format!("{} sessions are in the tree on chain, {} beside it", imported.in_tree, imported.beside)
    })
}
