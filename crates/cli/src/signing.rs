//! An owner at work on their account: what is signed is shown from its bytes, signed, sent, and followed to its block.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256, Signature};
use clap::Args;
use quorate::{
    Calls, Draft, DraftReviewError, Leaf, ListedSession, OwnerIntent, SessionGrant, SessionId, SmartAccount,
    TreeUpdate, sign_as_owner, sign_typed_data,
};
use quorate_approval::{Outcome as PageOutcome, Review};
use quorate_core::KnownFunction;
use quorate_protocol::TypedData;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::now;
use crate::context::{Context, PaymentArguments};
use crate::draft_file::DraftFile;
use crate::elsewhere::Elsewhere;
use crate::offline::Output;
use crate::offline::shown::Shown;
use crate::owner::{OwnerArguments, OwnerSigner};
use crate::progress::Steps;
use crate::settings::SettingsArguments;
use crate::time_text::until;

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

/// What an owner's operation is for: a command, and what it answers once the operation is on chain. It is kept with a draft
/// that is signed elsewhere.
pub(crate) trait Purpose: Serialize + DeserializeOwned {
    /// By what the operation changes.
    type Intent: Intent;
    /// What the command answers.
    type Answer: Answer;
    /// The command's name, which a kept draft knows it by.
    const COMMAND: &'static str;

    /// Waits for the operation's block.
    async fn follow(
        self,
        pending: <Self::Intent as OwnerIntent>::Pending,
        account: &SmartAccount,
        steps: &Steps,
    ) -> anyhow::Result<Self::Answer>;
}

/// What an operation changes, as far as its review and the store have to do with it.
pub(crate) trait Intent: OwnerIntent + Serialize + DeserializeOwned {
    /// The leaves of the tree that the operation makes, in order, for its review.
    fn leaves(&self, sessions: &[ListedSession]) -> Result<Vec<Leaf>, DraftReviewError>;

    /// The session that the store has for the operation, and for nothing where that is not sent.
    fn session(&self) -> Option<&SessionId> {
        None
    }
}

impl Intent for Calls {
    fn leaves(&self, _: &[ListedSession]) -> Result<Vec<Leaf>, DraftReviewError> {
        Ok(Vec::new())
    }
}

impl Intent for TreeUpdate {
    fn leaves(&self, sessions: &[ListedSession]) -> Result<Vec<Leaf>, DraftReviewError> {
        self.known_leaves(sessions, None)
    }
}

impl Intent for SessionGrant {
    fn leaves(&self, sessions: &[ListedSession]) -> Result<Vec<Leaf>, DraftReviewError> {
        self.update.known_leaves(sessions, Some(self))
    }

    fn session(&self) -> Option<&SessionId> {
        Some(self.session.id())
    }
}

/// What an owner's command answers.
pub(crate) trait Answer: Serialize {
    /// How it ended, for a page.
    fn outcome(&self) -> PageOutcome;
    /// The answer for people.
    fn text(&self) -> String;
}

/// How far a command came.
pub(crate) enum Outcome<A> {
    Done(A),
    /// The draft waits for its signature.
    Printed(Printed),
}

/// Where the signature of an operation is.
enum Signed {
    Here([u8; 65]),
    /// It is still to come.
    Elsewhere(Printed),
}

/// What an owner who signs elsewhere is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Printed {
    draft: PathBuf,
    signer: Address,
    chain_id: u64,
    /// What is signed by this method.
    user_op_hash: B256,
    method: &'static str,
    /// The same with the prefix of EIP-191, for signers that take a digest.
    digest: B256,
    /// Until when it can be sent, in seconds since 1970, where a paymaster pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<u64>,
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

    /// Shows the owner the very bytes of an operation, sends it signed, and waits for its block; or keeps it for an owner who
    /// signs elsewhere. Of the sessions that it changes those are known; functions are named where their signatures are.
    ///
    /// # Errors
    /// What cannot be shown whole: it is not to be signed unseen.
    pub(crate) async fn send<P: Purpose>(
        &self,
        draft: Draft<P::Intent>,
        purpose: P,
        sessions: &[ListedSession],
        functions: &[KnownFunction<'_>],
        title: &str,
    ) -> anyhow::Result<Outcome<P::Answer>> {
        let mut shown = Shown::default();
        draft.review(&draft.intent().leaves(sessions)?, functions, now(), &mut shown)?;
        let signed = self.sign(&draft, &purpose, shown, title).await;
        if let (Err(_), Some(session)) = (&signed, draft.intent().session()) {
            // It will not be sent. Where this fails, `quorate session list` has it as inactive.
            let _ = self.account.forget(session).await;
        }
        let signature = match signed? {
            Signed::Here(signature) => signature,
            Signed::Elsewhere(printed) => return Ok(Outcome::Printed(printed)),
        };
        let sent = self.account.submit(draft, signature);
        let pending = self.steps.during("sending the operation", sent).await?;
        Ok(Outcome::Done(purpose.follow(pending, &self.account, &self.steps).await?))
    }

    async fn sign<P: Purpose>(
        &self,
        draft: &Draft<P::Intent>,
        purpose: &P,
        review: Shown,
        title: &str,
    ) -> anyhow::Result<Signed> {
        self.signer.confirm_operation(draft, review, title).await?;
        match self.signer.at_hand() {
            Ok(signer) => {
                let signature = sign_as_owner(signer, draft.user_op_hash());
                Ok(Signed::Here(self.steps.during("the owner signs the operation", signature).await?))
            }
            Err(elsewhere) => Ok(Signed::Elsewhere(self.print(elsewhere, draft, purpose)?)),
        }
    }

    /// Does the work that the owner signs for, tells a page how it ended, and writes the answer.
    pub(crate) async fn finish<A: Answer>(
        &self,
        work: impl Future<Output = anyhow::Result<Outcome<A>>>,
    ) -> anyhow::Result<()> {
        match self.signer.follow(work, Outcome::on_page).await? {
            Outcome::Done(answer) => self.output.write(&answer, A::text),
            Outcome::Printed(printed) => self.output.write(&printed, Printed::text),
        }
    }

    /// Has the owner sign what is meant for the network, which a page shows first. The network waits for `lifetime`, or
    /// without an end.
    pub(crate) async fn sign_typed_data(
        &self,
        typed_data: &TypedData,
        review: impl FnOnce() -> anyhow::Result<Review>,
        lifetime: Option<Duration>,
        step: &'static str,
    ) -> anyhow::Result<Signature> {
        match self.signer.at_hand() {
            Ok(signer) => {
                let document = serde_json::from_value(typed_data.document().clone())?;
                self.signer.show_typed_data(typed_data.digest(), review)?;
                self.steps.during(step, sign_typed_data(signer, &document, typed_data.digest())).await
            }
            Err(elsewhere) => {
                let review = review()?;
                let signature = elsewhere.sign_typed_data(typed_data, &review, lifetime, &self.steps);
                self.steps.during(step, signature).await
            }
        }
    }

    fn print<P: Purpose>(
        &self,
        elsewhere: &Elsewhere,
        draft: &Draft<P::Intent>,
        purpose: &P,
    ) -> anyhow::Result<Printed> {
        let file = elsewhere.write(&DraftFile::new(draft, purpose)?)?;
        Ok(Printed {
            draft: file.to_owned(),
            signer: self.account.owner(),
            chain_id: self.context.client.chain_id(),
            user_op_hash: draft.user_op_hash(),
            method: "personal_sign",
            digest: draft.digest(),
            valid_until: draft.valid_until(),
        })
    }
}

/// Typed data for the page, member by member, as wallets show it.
pub(crate) fn members(typed_data: &TypedData, title: &'static str) -> Review {
    let members = typed_data.document()["message"].as_object().into_iter().flatten();
    members.fold(Review::new(title), |review, (name, value)| {
        review.with_fact(name, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
    })
}

impl<A: Answer> Outcome<A> {
    fn on_page(&self) -> Option<PageOutcome> {
        match self {
            Self::Done(answer) => Some(answer.outcome()),
            Self::Printed(_) => None,
        }
    }
}

impl Printed {
    fn text(&self) -> String {
        let mut lines = vec![
            format!("hash    {}  to be signed by personal_sign (EIP-191), as 32 bytes", self.user_op_hash),
            format!("digest  {}  of the same, for a signer that takes digests", self.digest),
            format!("signer  {}", self.signer),
            format!("draft   {}", self.draft.display()),
        ];
        lines.extend(self.valid_until.map(|end| format!("good    {}, as its paymaster says", until(end))));
        lines.push(format!("then    quorate submit {} --signature 0x…", self.draft.display()));
        lines.join("\n")
    }
}
