//! `quorate submit`: the signature of an owner who signs elsewhere comes in, and the operation that waited for it is sent.

use std::path::PathBuf;

use clap::Args;
use quorate::{Error, SignerError, SmartAccount};

use crate::account::Calling;
use crate::clock::now;
use crate::context::{Context, PaymentArguments};
use crate::draft_file::DraftFile;
use crate::exit::Failure;
use crate::offline::Output;
use crate::offline::shown::Shown;
use crate::progress::Steps;
use crate::prompt;
use crate::session::{Granting, Replacing, Revoking};
use crate::settings::SettingsArguments;
use crate::signing::{Answer, Intent as _, Purpose};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// The file that --print wrote.
    draft: PathBuf,
    /// The owner's signature: 0x and 130 hex digits, r, s and v; or - to read it from stdin.
    #[arg(long, allow_hyphen_values = true)]
    signature: String,
    #[command(flatten)]
    output: Output,
}

/// A signed draft on its way.
struct Submission {
    account: SmartAccount,
    file: DraftFile,
    signature: [u8; 65],
    steps: Steps,
    output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { settings, draft, signature, output } = arguments;
    let file = DraftFile::open(&draft)?;
    let signature = read_signature(&signature).await?;
    let context = Context::open(settings).await?;
    context.settings.need(context.settings.profile().store.as_ref(), "store")?;
    let account = context.account(PaymentArguments::default())?;
    let submission = Submission { account, file, signature, steps: Steps::new(output), output };
    match submission.file.command() {
        Calling::COMMAND => submission.run::<Calling>().await,
        Granting::COMMAND => submission.run::<Granting>().await,
        Replacing::COMMAND => submission.run::<Replacing>().await,
        Revoking::COMMAND => submission.run::<Revoking>().await,
        other => {
            let message = format!("{} is of a command that this version has not: {other}", draft.display());
            Err(Failure::bad_input(message).into())
        }
    }
}

impl Submission {
    /// Sends the operation, or goes on with it where it was sent before, and answers as its command does.
    async fn run<P: Purpose>(self) -> anyhow::Result<()> {
        let Self { account, file, signature, steps, output } = self;
        let (draft, purpose) = file.parse::<P>()?;
        // What stands beside the operation is what its bytes say.
        let sessions = account.sessions().await?;
        let review = draft
            .intent()
            .leaves(&sessions)
            .and_then(|leaves| draft.review(&leaves, &[], now(), &mut Shown::default()));
        review.map_err(|error| Failure::bad_input(format!("nothing was sent: {error}")))?;
        let was_sent = match account.pending(draft.user_op_hash()).await {
            Ok(_) => true,
            Err(Error::UnknownOperation { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if was_sent {
            steps.say("this was sent before; what follows is what became of it");
        }
        let sent = steps.during("sending the operation", account.submit(draft, signature)).await;
        let pending = sent.map_err(|error| match error.downcast_ref() {
            Some(Error::Signer(SignerError::Unverified { .. })) => {
                Failure::bad_input(format!("nothing was sent: {error}")).into()
            }
            _ => error,
        })?;
        let answer = purpose.follow(pending, &account, &steps).await?;
        output.write(&answer, Answer::text)
    }
}

async fn read_signature(text: &str) -> anyhow::Result<[u8; 65]> {
    let line = if text == "-" { prompt::line("a signature").await? } else { text.to_owned() };
    let mut signature = [0; 65];
    alloy_primitives::hex::decode_to_slice(line.trim(), &mut signature)
        .map_err(|_| Failure::bad_input("this is no signature; it is 0x and 130 hex digits: r, s and v"))?;
    Ok(signature)
}
