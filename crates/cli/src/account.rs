//! `quorate account`: where an account is, what it has, and what its owner does with it.

use clap::{Args, Subcommand};
use quorate::{
    Address, Asset, B256, Balances, Call, PendingOperation, SmartAccount, TokenBalance, U256, Withdrawal,
};
use quorate_policy_file::wei;
use serde::Serialize;

use crate::context::{Context, PaymentArguments};
use crate::offline::{Output, account as offline, arguments};
use crate::owner::{OwnerArguments, OwnerSigner};
use crate::progress::Steps;
use crate::settings::SettingsArguments;

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
    Deploy(Signing),
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
    signing: Signing,
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
    signing: Signing,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArguments {
    /// The new owner.
    #[arg(value_parser = arguments::address)]
    to: Address,
    #[command(flatten)]
    signing: Signing,
}

/// Who signs, who pays, and how the answer is written.
#[derive(Debug, Args)]
pub(crate) struct Signing {
    #[command(flatten)]
    payment: PaymentArguments,
    #[command(flatten)]
    owner: OwnerArguments,
    #[command(flatten)]
    output: Output,
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

/// An operation of the owner's that is on chain.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    account: Address,
    user_op_hash: B256,
    transaction_hash: B256,
}

pub(crate) async fn run(Arguments { settings, command }: Arguments) -> anyhow::Result<()> {
    match command {
        Command::Address(arguments) => offline::run(settings, arguments),
        Command::Show(arguments) => show(settings, arguments).await,
        Command::Deploy(signing) => {
            let scene = Scene::open(settings, &signing).await?;
            scene.done(scene.account.deploy(&*scene.signer).await?, signing.output).await
        }
        Command::Send(SendArguments { to, amount, signing }) => {
            let scene = Scene::open(settings, &signing).await?;
            signing.confirm(&format!("{amount} wei go from {} to {to}", scene.account.address())).await?;
            let sent = scene.account.send_calls(&[Call::transfer(to, amount)], &*scene.signer).await?;
            scene.done(sent, signing.output).await
        }
        Command::Withdraw(WithdrawArguments { to, tokens, native, deposit, signing }) => {
            let assets = tokens.into_iter().map(Asset::Token);
            let assets =
                assets.chain(deposit.then_some(Asset::Deposit)).chain(native.then_some(Asset::Native));
            let withdrawals: Vec<_> = assets.map(Withdrawal::all).collect();
            let scene = Scene::open(settings, &signing).await?;
            let what =
                withdrawals.iter().map(|withdrawal| name(withdrawal.asset)).collect::<Vec<_>>().join(", ");
            signing.confirm(&format!("{what} go from {} to {to}", scene.account.address())).await?;
            let sent = scene.account.withdraw(&withdrawals, to, &*scene.signer).await?;
            scene.done(sent, signing.output).await
        }
        Command::TransferOwnership(TransferArguments { to, signing }) => {
            let scene = Scene::open(settings, &signing).await?;
            let account = scene.account.address();
            signing
                .confirm(&format!("{to} becomes the owner of {account}, who can then do everything with it"))
                .await?;
            let sent = scene.account.transfer_ownership(to, &*scene.signer).await?;
            scene.done(sent, signing.output).await
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

/// What an owner works with.
struct Scene {
    account: SmartAccount,
    signer: OwnerSigner,
}

impl Scene {
    async fn open(settings: SettingsArguments, signing: &Signing) -> anyhow::Result<Self> {
        let context = Context::open(settings).await?;
        let account = context.account(signing.payment)?;
        let signer = signing.owner.signer(account.owner()).await?;
        Ok(Self { account, signer })
    }

    async fn done(&self, pending: PendingOperation, output: Output) -> anyhow::Result<()> {
        let receipt = Steps::new(output).during("waiting for the operation's block", pending.wait()).await?;
        let done = Done {
            account: self.account.address(),
            user_op_hash: pending.user_op_hash(),
            transaction_hash: receipt.receipt.transaction_hash,
        };
        output.write(&done, |done| {
            format!("account      {}\ntransaction  {}", done.account, done.transaction_hash)
        })
    }
}

impl Signing {
    async fn confirm(&self, shown: &str) -> anyhow::Result<()> {
        self.owner.confirm(shown, "Sign this?").await
    }
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

fn name(asset: Asset) -> String {
    match asset {
        Asset::Native => "all of the chain's coin".to_owned(),
        Asset::Deposit => "all that is deposited at the entry point".to_owned(),
        Asset::Token(token) => format!("all of token {token}"),
    }
}
