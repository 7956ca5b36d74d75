//! `quorate account`: where an account is, what it has, and what its owner does with it.

use clap::{Args, Subcommand};
use quorate::{
    Address, Asset, B256, Balances, Call, Calls, Error, PendingOperation, SmartAccount, TokenBalance, U256,
    Withdrawal,
};
use quorate_approval::Outcome as PageOutcome;
use quorate_policy_file::wei;
use serde::{Deserialize, Serialize};

use crate::context::{Context, PaymentArguments};
use crate::offline::{Output, account as offline, arguments};
use crate::progress::Steps;
use crate::settings::SettingsArguments;
use crate::signing::{Answer, Outcome, Purpose, Signing, SigningArguments};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Address(offline::AddressArguments),
    /// Show an account: its owner on chain, its modules, and what it has.
    Show(ShowArguments),
    /// Deploy the account; granting its first session does that as well.
    Deploy(SigningArguments),
    /// Send the chain's coin from the account.
    Send(SendArguments),
    /// Move what the account has out of it.
    Withdraw(WithdrawArguments),
    /// Give the account to another owner, at each of its owner modules.
    TransferOwnership(TransferArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Tokens whose balances are shown, beside those of the profile.
    #[arg(long = "token", value_parser = arguments::address)]
    tokens: Vec<Address>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// Who gets it.
    #[arg(value_parser = arguments::address)]
    to: Address,
    /// How much: a number of wei, or such as "0.1 ether".
    #[arg(value_parser = wei)]
    amount: U256,
    #[command(flatten)]
    signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawArguments {
    /// Who gets it.
    #[arg(value_parser = arguments::address)]
    to: Address,
    /// A token, all of it.
    #[arg(long = "token", value_parser = arguments::address)]
    tokens: Vec<Address>,
    /// The chain's coin, all of it, where somebody else pays for the operation.
    #[arg(long)]
    native: bool,
    /// What is deposited at the entry point.
    #[arg(long)]
    deposit: bool,
    #[command(flatten)]
    signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArguments {
    /// The new owner.
    #[arg(value_parser = arguments::address)]
    to: Address,
    #[command(flatten)]
    signing: SigningArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    address: Address,
    chain_id: u64,
    deployed: bool,
    /// As the chain says, once it is deployed.
    owner: Address,
    modules: Vec<Address>,
    /// In wei, in decimal.
    native: String,
    deposit: String,
    tokens: Vec<ShownToken>,
}

#[derive(Serialize)]
struct ShownToken {
    token: Address,
    /// In the token's smallest unit, in decimal.
    amount: String,
    decimals: Option<u8>,
}

/// Calls of the owner's.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calling {}

/// Calls of the owner's that are on chain.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    account: Address,
    user_op_hash: B256,
    transaction_hash: B256,
}

pub(crate) async fn run(Arguments { settings, command }: Arguments) -> anyhow::Result<()> {
    match command {
        Command::Address(arguments) => offline::run(settings, arguments),
        Command::Show(arguments) => show(settings, arguments).await,
        Command::Deploy(signing) => {
            let owner = Signing::open(settings, signing).await?;
            owner.finish(deploy(&owner)).await
        }
        Command::Send(SendArguments { to, amount, signing }) => {
            let owner = Signing::open(settings, signing).await?;
            let calls = vec![Call::transfer(to, amount)];
            owner.finish(send(&owner, calls, "Send the chain's coin")).await
        }
        Command::Withdraw(WithdrawArguments { to, tokens, native, deposit, signing }) => {
            let assets = tokens.into_iter().map(Asset::Token);
            let assets =
                assets.chain(deposit.then_some(Asset::Deposit)).chain(native.then_some(Asset::Native));
            let withdrawals: Vec<_> = assets.map(Withdrawal::all).collect();
            let owner = Signing::open(settings, signing).await?;
            let calls = owner.account.withdrawal(&withdrawals, to).await?;
            owner.finish(send(&owner, calls, "Move what the account has")).await
        }
        Command::TransferOwnership(TransferArguments { to, signing }) => {
            let owner = Signing::open(settings, signing).await?;
            let calls = owner.account.ownership_transfer(to).await?;
            owner.finish(send(&owner, calls, "Give the account to another owner")).await
        }
    }
}

async fn show(
    settings: SettingsArguments,
    ShowArguments { tokens, output }: ShowArguments,
) -> anyhow::Result<()> {
    let context = Context::open(settings).await?;
    let account = context.account(PaymentArguments::default())?;
    let tokens: Vec<_> = context.settings.profile().tokens.values().copied().chain(tokens).collect();
    let deployed = account.is_deployed().await?;
    let (owner, modules) = if deployed {
        (account.owner_on_chain().await?, account.modules().await?)
    } else {
        (account.owner(), Vec::new())
    };
    let Balances { native, deposit, tokens, .. } = account.balances(&tokens).await?;
    let shown = Shown {
        address: account.address(),
        chain_id: context.client.chain_id(),
        deployed,
        owner,
        modules,
        native: native.to_string(),
        deposit: deposit.to_string(),
        tokens: tokens.iter().map(ShownToken::new).collect(),
    };
    output.write(&shown, |shown| shown.text(&tokens))
}

async fn deploy(owner: &Signing) -> anyhow::Result<Outcome<Done>> {
    let Signing { account, signer, steps, .. } = owner;
    match (steps.during("preparing the operation", account.prepare_deployment()).await, signer.at_hand()) {
        (Err(error), Ok(signer)) if is_under_way(&error) => go_on(owner, account.deploy(signer).await?).await,
        (draft, _) => owner.send(draft?, Calling {}, &[], &[], "Deploy the account").await,
    }
}

/// Has the account make calls. Where the same were sent before, and nobody was told what became of them, this goes on with those.
async fn send(owner: &Signing, calls: Vec<Call>, title: &str) -> anyhow::Result<Outcome<Done>> {
    let Signing { account, signer, steps, .. } = owner;
    match (steps.during("preparing the operation", account.prepare_calls(&calls)).await, signer.at_hand()) {
        (Err(error), Ok(signer)) if is_under_way(&error) => {
            go_on(owner, account.send_calls(&calls, signer).await?).await
        }
        (draft, _) => owner.send(draft?, Calling {}, &[], &[], title).await,
    }
}

async fn go_on(owner: &Signing, pending: PendingOperation) -> anyhow::Result<Outcome<Done>> {
    Ok(Outcome::Done(Calling {}.follow(pending, &owner.account, &owner.steps).await?))
}

impl Purpose for Calling {
    type Intent = Calls;
    type Answer = Done;
    const COMMAND: &'static str = "account";

    async fn follow(
        self,
        pending: PendingOperation,
        account: &SmartAccount,
        steps: &Steps,
    ) -> anyhow::Result<Done> {
        let receipt = steps.during("waiting for the operation's block", pending.wait()).await?;
        Ok(Done {
            account: account.address(),
            user_op_hash: pending.user_op_hash(),
            transaction_hash: receipt.receipt.transaction_hash,
        })
    }
}

impl Answer for Done {
    fn outcome(&self) -> PageOutcome {
        PageOutcome::Landed { transaction: self.transaction_hash }
    }

    fn text(&self) -> String {
        format!("account      {}\ntransaction  {}", self.account, self.transaction_hash)
    }
}

fn is_under_way(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::UnderWay { .. }))
}

impl ShownToken {
    fn new(balance: &TokenBalance) -> Self {
        Self { token: balance.token, amount: balance.amount.to_string(), decimals: balance.decimals }
    }
}

impl Shown {
    fn text(&self, tokens: &[TokenBalance]) -> String {
        let state = if self.deployed { "deployed" } else { "not deployed yet" };
        let mut lines = vec![
            format!("account  {} ({state}, chain {})", self.address, self.chain_id),
            format!("owner    {}", self.owner),
            format!("coin     {} wei", self.native),
            format!("deposit  {} wei", self.deposit),
        ];
        lines.extend(tokens.iter().map(|balance| format!("token    {balance} of {}", balance.token)));
        lines.extend(self.modules.iter().map(|module| format!("module   {module}")));
        lines.join("\n")
    }
}
