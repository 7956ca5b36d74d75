//! An owner at work on their account: what is signed is shown from its bytes, signed, sent, and followed to its block.

use alloy_primitives::{B256, Signature};
use clap::Args;
use quorate::{Draft, Leaf, OwnerIntent, SmartAccount, sign_as_owner, sign_typed_data};
use quorate_approval::Review;
use quorate_core::KnownFunction;
use quorate_protocol::TypedData;
use serde::Serialize;

use crate::clock::now;
use crate::context::{Context, PaymentArguments};
use crate::offline::Output;
use crate::offline::shown::Shown;
use crate::owner::{OwnerArguments, OwnerSigner};
use crate::progress::Steps;
use crate::settings::SettingsArguments;

/// Who signs, who pays, and how the answer is written.
#[derive(Debug, Args)]
pub(crate) struct SigningArguments {
    #[command(flatten)]
    pub(crate) payment: PaymentArguments,
    #[command(flatten)]
    pub(crate) owner: OwnerArguments,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What an owner works with.
pub(crate) struct Signing {
    pub(crate) context: Context,
    pub(crate) account: SmartAccount,
    pub(crate) signer: OwnerSigner,
    pub(crate) steps: Steps,
    pub(crate) output: Output,
}

impl Signing {
    pub(crate) async fn open(
        settings: SettingsArguments,
        arguments: SigningArguments,
    ) -> anyhow::Result<Self> {
        let SigningArguments { payment, owner, output } = arguments;
        let context = Context::open(settings).await?;
        let account = context.account(payment)?;
        let mut steps = Steps::new(output);
        let signer = owner.signer(&context, &account, &mut steps).await?;
        Ok(Self { context, account, signer, steps, output })
    }

    /// Shows the owner the very bytes of an operation, and sends it signed. It changes the sessions to those of `leaves`, in the
    /// order of their tree; functions are named where their signatures are known.
    ///
    /// # Errors
    /// What cannot be shown whole: it is not to be signed unseen.
    pub(crate) async fn send<T: OwnerIntent>(
        &self,
        draft: Draft<T>,
        leaves: &[Leaf],
        functions: &[KnownFunction<'_>],
        title: &str,
    ) -> anyhow::Result<T::Pending> {
        let mut shown = Shown::default();
        draft.review(leaves, functions, now(), &mut shown)?;
        self.signer.confirm_operation(&draft, shown, title).await?;
        let signature = sign_as_owner(&*self.signer, draft.user_op_hash());
        let signature = self.steps.during("the owner signs the operation", signature).await?;
        self.steps.during("sending the operation", self.account.submit(draft, signature)).await
    }

    /// Does the work whose operation the owner signs, tells a page the transaction that it ended in, and writes the answer.
    pub(crate) async fn finish<T: Serialize>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
        transaction: impl FnOnce(&T) -> B256,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let done = self.signer.follow(work, transaction).await?;
        self.output.write(&done, text)
    }

    /// Has the owner sign what is meant for the network, which a page shows first.
    pub(crate) async fn sign_typed_data(
        &self,
        typed_data: &TypedData,
        review: impl FnOnce() -> anyhow::Result<Review>,
        step: &'static str,
    ) -> anyhow::Result<Signature> {
        let document = serde_json::from_value(typed_data.document().clone())?;
        self.signer.show_typed_data(typed_data.digest(), review)?;
        self.steps.during(step, sign_typed_data(&*self.signer, &document, typed_data.digest())).await
    }
}
