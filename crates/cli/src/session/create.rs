//! `quorate session create`: from a policy file to a session on chain.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use quorate::{
    Address, B256, DistributedSigner, Grant, Limits, LocalSessionKey, PendingGrant, SessionGrant,
    SigningNetwork, SmartAccount, StorableKey, TokenBalance,
};
use quorate_approval::Outcome as PageOutcome;
use quorate_core::KnownFunction;
use quorate_policy_file::{Compiled, Target};
use quorate_protocol::CHALLENGE_LIFETIME;
use serde::{Deserialize, Serialize};

use super::delegate::{Delegating, PolicyTarget, RedemptionArguments};
use crate::context::Context;
use crate::exit::Failure;
use crate::offline::key_request;
use crate::offline::policy::file::{Decimals, ReadFile};
use crate::progress::Steps;
use crate::settings::SettingsArguments;
use crate::signing::{Answer, Outcome, Purpose, Signing, SigningArguments};

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The policy file, in TOML or JSON; `quorate policy new` writes one to begin with.
    #[arg(value_name = "POLICIES")]
    policies: PathBuf,
    /// What holds the policies on chain.
    #[arg(long, value_enum, default_value_t)]
    target: PolicyTarget,
    #[command(flatten)]
    redemptions: RedemptionArguments,
    /// Who holds the session's key [default: the profile's network, or else the store].
    #[arg(long)]
    key: Option<KeyHolder>,
    #[command(flatten)]
    signing: SigningArguments,
}

/// Who holds a session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyHolder {
    /// A signing network, whose nodes hold a share each and count against limits.
    Network,
    /// The session store.
    Store,
}

/// The grant of a session.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Granting {}

/// A session that was granted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    session: String,
    account: Address,
    session_key: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    user_op_hash: B256,
    transaction_hash: B256,
}

pub(super) async fn run(settings: SettingsArguments, arguments: CreateArguments) -> anyhow::Result<()> {
    let CreateArguments { policies, target, redemptions, key, signing } = arguments;
    let SigningArguments { payment, owner, output } = signing;
    let mut steps = Steps::new(output);
    let mut file = ReadFile::open(&policies, &Decimals::default(), output)?;
    let context = Context::open(settings).await?;
    let account = context.account(payment)?;
    ask_for_decimals(&mut file, &account).await?;
    let policies = file.compile()?;
    if target == PolicyTarget::Delegation {
        if key == Some(KeyHolder::Store) {
            return Err(Failure::bad_input(
                "a network alone holds keys that redeem delegations: use --key network",
            )
            .into());
        }
        let signer = owner.signer(&context, &account, &mut steps).await?;
        let owner = Signing { context, account, signer, steps, output };
        let functions = &file.file.known_functions();
        let delegating =
            Delegating { owner: &owner, file: &file, policies: &policies, redemptions, functions };
        return owner.finish(delegating.create()).await;
    }
    let holder = holder(key, &context, *policies.limits() != Limits::default())?;
    let signer = owner.signer(&context, &account, &mut steps).await?;
    let grant = account.grant(policies.policies().iter().cloned())?.with_limits(policies.limits().clone());

    if signer.shows() {
        signer.confirm(&in_words(&policies, holder, &context).await?, "Grant this session?").await?;
    }
    let functions = file.file.known_functions();
    let scene = Scene { owner: Signing { context, account, signer, steps, output }, functions: &functions };
    scene.owner.finish(scene.create(grant, holder)).await
}

/// Asks the tokens that the file names for their decimals.
async fn ask_for_decimals(file: &mut ReadFile, account: &SmartAccount) -> anyhow::Result<()> {
    let tokens = file.tokens_without_decimals();
    if tokens.is_empty() {
        return Ok(());
    }
    for TokenBalance { token, decimals, .. } in account.balances(&tokens).await?.tokens {
        let missing =
            || Failure::bad_input(format!("the contract {token} does not say its decimals; is it a token?"));
        file.note_decimals(token, decimals.ok_or_else(missing)?);
    }
    Ok(())
}

/// What a grant is made with.
struct Scene<'a> {
    owner: Signing,
    functions: &'a [KnownFunction<'a>],
}

impl Scene<'_> {
    async fn create(&self, grant: Grant, holder: KeyHolder) -> anyhow::Result<Outcome<Created>> {
        match holder {
            KeyHolder::Network => {
                let network = self.owner.context.network.as_ref().ok_or_else(no_network)?;
                let key = self.network_key(&grant, network).await?;
                self.send(grant, &key).await
            }
            KeyHolder::Store => self.send(grant, &LocalSessionKey::random()).await,
        }
    }

    /// Has the owner ask the network for a key.
    async fn network_key(
        &self,
        grant: &Grant,
        network: &SigningNetwork,
    ) -> anyhow::Result<DistributedSigner> {
        let Self { owner, functions } = self;
        let steps = &owner.steps;
        let (draft, ephemeral) =
            steps.during("asking the network for a key", grant.prepare_key(network)).await?;
        let typed_data = draft.typed_data()?;
        let review = || {
            let shown = key_request::review(&typed_data, Some(grant.permissions().to_json()), functions)?;
            Ok(shown.into_page("Have the network make a key").with_note(
                "First of two signatures: the network's nodes make the session's key, and hold it to this.",
            ))
        };
        let step = "the owner signs the request for the key";
        let signature = owner.sign_typed_data(&typed_data, review, Some(CHALLENGE_LIFETIME), step).await?;
        let key = steps.during("the network makes the key", network.submit_key(&draft, signature)).await?;
        Ok(DistributedSigner::new(network.clone(), key, ephemeral))
    }

    async fn send(&self, grant: Grant, key: &dyn StorableKey) -> anyhow::Result<Outcome<Created>> {
        let Signing { account, steps, .. } = &self.owner;
        let draft = steps.during("preparing the operation", account.prepare(grant, key)).await?;
        let sessions = account.sessions().await?;
        self.owner.send(draft, Granting {}, &sessions, self.functions, "Grant a session").await
    }
}

impl Purpose for Granting {
    type Intent = SessionGrant;
    type Answer = Created;
    const COMMAND: &'static str = "session create";

    async fn follow(
        self,
        pending: PendingGrant,
        account: &SmartAccount,
        steps: &Steps,
    ) -> anyhow::Result<Created> {
        let granted = steps.during("waiting for the operation's block", pending.wait()).await?;
        Ok(Created {
            session: pending.id().to_string(),
            account: account.address(),
            session_key: granted.record.session_key(),
            key_id: granted.record.key_id().map(ToOwned::to_owned),
            user_op_hash: pending.user_op_hash(),
            transaction_hash: granted.receipt.receipt.transaction_hash,
        })
    }
}

/// What is granted, and what of it the chain does not hold.
async fn in_words(policies: &Compiled<'_>, holder: KeyHolder, context: &Context) -> anyhow::Result<String> {
    let target = if holder == KeyHolder::Network { Target::Network } else { Target::ChainAlone };
    let unenforced = context.client.unenforced_conditions().await?;
    Ok(policies.explain(target, Some(&unenforced)).to_string())
}

/// Who is to hold the key. Limits are held by a network alone.
fn holder(key: Option<KeyHolder>, context: &Context, has_limits: bool) -> anyhow::Result<KeyHolder> {
    let usual = if context.network.is_some() { KeyHolder::Network } else { KeyHolder::Store };
    let holder = key.unwrap_or(usual);
    if holder == KeyHolder::Network && context.network.is_none() {
        return Err(no_network().into());
    }
    if holder == KeyHolder::Store && has_limits {
        let message = "the policies have limits, which only a network's nodes hold: use --key network, or take `[limits]` and \
                       `totals` out of the file";
        return Err(Failure::bad_input(message).into());
    }
    Ok(holder)
}

fn no_network() -> Failure {
    Failure::bad_input("no network: set `network` in the profile, QUORATE_NETWORK, or --network")
}

impl Answer for Created {
    fn outcome(&self) -> PageOutcome {
        PageOutcome::Landed { transaction: self.transaction_hash }
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!("session      {}", self.session),
            format!("account      {}", self.account),
            format!("session key  {}", self.session_key),
        ];
        lines.extend(self.key_id.iter().map(|id| format!("key id       {id}")));
        lines.push(format!("transaction  {}", self.transaction_hash));
        lines.join("\n")
    }
}
