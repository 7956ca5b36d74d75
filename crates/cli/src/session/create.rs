//! `quorate session create`: from a policy file to a session on chain.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use quorate::{
    Address, B256, Grant, Limits, LocalSessionKey, PendingGrant, SmartAccount, StorableKey, TokenBalance,
};
use quorate_core::KnownFunction;
use quorate_policy_file::{Compiled, Target};
use serde::Serialize;

use crate::context::{Context, PaymentArguments};
use crate::exit::Failure;
use crate::offline::Output;
use crate::offline::policy::file::{Decimals, ReadFile};
use crate::owner::{OwnerArguments, OwnerSigner};
use crate::progress::Steps;
use crate::review::{leaves_of, review};
use crate::settings::SettingsArguments;

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The policy file, in TOML or JSON; `quorate policy new` writes one to begin with.
    #[arg(value_name = "POLICIES")]
    policies: PathBuf,
    /// Who holds the session's key [default: the profile's network, or else the store].
    #[arg(long)]
    key: Option<KeyHolder>,
    #[command(flatten)]
    payment: PaymentArguments,
    #[command(flatten)]
    owner: OwnerArguments,
    #[command(flatten)]
    output: Output,
}

/// Who holds a session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyHolder {
    /// A signing network, whose nodes hold a share each and count against limits.
    Network,
    /// The session store.
    Store,
}

/// A session that was granted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    session: String,
    account: Address,
    session_key: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    user_op_hash: B256,
    transaction_hash: B256,
}

pub(super) async fn run(settings: SettingsArguments, arguments: CreateArguments) -> anyhow::Result<()> {
    let CreateArguments { policies, key, payment, owner, output } = arguments;
    let steps = Steps::new(output);
    let mut file = ReadFile::open(&policies, &Decimals::default(), output)?;
    let context = Context::open(settings).await?;
    let account = context.account(payment)?;
    ask_for_decimals(&mut file, &account).await?;
    let policies = file.compile()?;
    let holder = holder(key, &context, *policies.limits() != Limits::default())?;
    let signer = owner.signer(account.owner()).await?;
    let grant = account.grant(policies.policies().iter().cloned())?.with_limits(policies.limits().clone());

    owner.confirm(&in_words(&policies, holder, &context).await?, "Grant this session?").await?;
    let pending = match holder {
        KeyHolder::Network => {
            let network = context.network.as_ref().ok_or_else(no_network)?;
            let key =
                steps.during("the network makes the key", grant.distributed_key(network, &*signer)).await?;
            send(steps, &account, grant, &key, &owner, &signer, &file.known_functions()).await?
        }
        KeyHolder::Store => {
            send(steps, &account, grant, &LocalSessionKey::random(), &owner, &signer, &file.known_functions())
                .await?
        }
    };
    let granted = steps.during("waiting for the operation's block", pending.wait()).await?;
    let created = Created {
        session: pending.id().to_string(),
        account: account.address(),
        session_key: granted.record.session_key(),
        key_id: granted.record.key_id().map(ToOwned::to_owned),
        user_op_hash: pending.user_op_hash(),
        transaction_hash: granted.receipt.receipt.transaction_hash,
    };
    output.write(&created, Created::text)
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

/// Prepares the operation, shows the owner the very bytes, and sends it signed.
async fn send(
    steps: Steps,
    account: &SmartAccount,
    grant: Grant,
    key: &dyn StorableKey,
    owner: &OwnerArguments,
    signer: &OwnerSigner,
    functions: &[KnownFunction<'_>],
) -> anyhow::Result<PendingGrant> {
    let draft = steps.during("preparing the operation", account.prepare(grant, key)).await?;
    let leaves = leaves_of(&draft.intent().update, &account.sessions().await?, Some(draft.intent()))?;
    owner.confirm(&review(&draft, &leaves, functions)?.text(), "Sign this operation?").await?;
    let signature = quorate::sign_as_owner(&**signer, draft.user_op_hash()).await?;
    steps.during("sending the operation", account.submit(draft, signature)).await
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

impl Created {
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
