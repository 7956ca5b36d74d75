//! `quorate demo`: the whole product on a local chain, with real components.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use anyhow::{bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use quorate::{
    Call, Condition, DistributedSigner, EphemeralKey, Error, FunctionSelector, GasEstimate, HttpTransport,
    LocalSessionKey, NetworkDescriptor, Policy, Quorate, Rule, Session, SessionKey, SessionSigner as _,
    SigningNetwork, SmartAccount,
};
use quorate_contracts::Erc721;
use quorate_devnet::{Devnet, LocalNetwork, Progress, Step};
use quorate_transport::{Transport, TransportExt as _};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Keep everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Where npm packages and compiled contracts are kept between runs.
    #[arg(long, default_value = "target/devnet")]
    cache: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let show = Arc::new(Show::default());
    tokio::select! {
        outcome = perform(&arguments, &show) => outcome,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            bail!("stopped by Ctrl-C; everything that was started is ended")
        }
    }
}

async fn perform(arguments: &Arguments, show: &Arc<Show>) -> anyhow::Result<()> {
    let devnet = Devnet::builder(&arguments.cache).progress(show.clone()).start().await?;
    let folder = tempfile::tempdir()?;
    let network = LocalNetwork::start(&env::current_exe()?, folder.path(), 5, 3, &**show).await?;
    show.done("a 3-of-5 signing network runs");

    let outcome = play(&devnet, &network, show).await;
    if arguments.keep && outcome.is_ok() {
        println!(
            "chain    {}\nbundler  {}\ngateway  {}",
            devnet.rpc_url(),
            devnet.bundler_url(),
            network.gateway_url()
        );
        println!("running until Ctrl-C");
        std::future::pending::<()>().await;
    }
    network.shutdown().await;
    devnet.shutdown().await;
    outcome
}

/// The story itself: grant, use, and three refusals.
async fn play(devnet: &Devnet, network: &LocalNetwork, show: &Show) -> anyhow::Result<()> {
    let node: Arc<dyn Transport> = Arc::new(HttpTransport::builder(devnet.rpc_url().clone()).build()?);
    let bundler: Arc<dyn Transport> = Arc::new(HttpTransport::builder(devnet.bundler_url().clone()).build()?);
    let client = Quorate::connect(node.clone(), bundler).await?;
    let descriptor = std::fs::read_to_string(network.folder().join("network.json"))?;
    let network = SigningNetwork::new(NetworkDescriptor::from_json(&descriptor)?);
    let nft = devnet.nft();

    let owner = PrivateKeySigner::random();
    let account = client.account(owner.address(), 0);
    devnet.set_balance(account.address(), U256::from(10).pow(U256::from(18))).await?;
    show.done(&format!("account {} of owner {}", account.address(), owner.address()));

    let grant = account.grant([mint_to_itself(nft, account.address())?])?;
    let ephemeral = EphemeralKey::random()?;
    let ends = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    show.begin("five nodes make a session key");
    let key = grant.distributed_key(&network, &ephemeral, ends, &owner).await?;
    let SessionKey::Distributed(attested) = &key else { bail!("the network made no key") };
    show.done(&format!(
        "session key {}, attested by {} nodes",
        attested.address,
        attested.attestations.len()
    ));

    show.begin("one user operation deploys the account and grants the session");
    let signer = DistributedSigner::new(network, attested, ephemeral);
    let pending = account.send(grant, &key, &owner).await?;
    let record = pending.wait().await?;
    show.done(&format!("session granted in user operation {}", pending.user_op_hash()));
    let session = client.session(record, Arc::new(signer));

    show.begin("the session mints");
    let data = mint(account.address());
    let minted = session.send(Call { to: nft, value: U256::ZERO, data: &data }).await?;
    let transaction = minted.wait_for_tx_hash().await?;
    let balance = balance_of(&*node, nft, account.address()).await?;
    ensure!(balance == U256::from(1), "balanceOf is {balance} after one mint");
    show.done(&format!("minted in transaction {transaction}; balanceOf = {balance}"));

    refusals(&client, &account, &owner, &session, nft, show).await
}

/// A mint to somebody else, refused by the client, then by the nodes, then by the chain.
async fn refusals(
    client: &Quorate,
    account: &SmartAccount,
    owner: &PrivateKeySigner,
    session: &Session,
    nft: Address,
    show: &Show,
) -> anyhow::Result<()> {
    let data = mint(Address::repeat_byte(0xcc));
    let call = Call { to: nft, value: U256::ZERO, data: &data };

    let Err(refusal @ Error::Forbidden { .. }) = session.send(call).await else {
        bail!("the client let a mint to another address through");
    };
    show.done(&format!("the client refuses a mint to another address: {refusal}"));

    let gas = GasEstimate {
        pre_verification_gas: U256::from(100_000),
        verification_gas_limit: U256::from(500_000),
        call_gas_limit: U256::from(200_000),
    };
    let Err(refusal) = session.send_unchecked(call, gas).await else {
        bail!("the network signed a mint to another address");
    };
    ensure!(matches!(refusal, Error::Signer(_)), "not the nodes' refusal: {refusal}");
    show.done(&format!("the nodes refuse it: {}", reasons(&refusal)));

    show.begin("the owner grants the same policy to a local key");
    let local = LocalSessionKey::random();
    let grant = account.grant([mint_to_itself(nft, account.address())?])?;
    let grant = grant.keeping(session.record().leaves());
    let record = account.send(grant, &SessionKey::Local(local.address()), owner).await?.wait().await?;
    let Err(refusal) = client.session(record, Arc::new(local)).send_unchecked(call, gas).await else {
        bail!("the bundler took a mint to another address");
    };
    let Error::Bundler(rejection) = &refusal else { bail!("not the bundler's refusal: {refusal}") };
    ensure!(
        rejection.revert_reason() == Some("ABISV Arg Rule Violated"),
        "the bundler refuses for another reason: {rejection}"
    );
    show.done(&format!("the chain refuses it, signed by a local key: {rejection}"));
    Ok(())
}

async fn balance_of(node: &dyn Transport, nft: Address, owner: Address) -> anyhow::Result<U256> {
    let data = hex::encode_prefixed(Erc721::balanceOfCall { owner }.abi_encode());
    let request = std::collections::BTreeMap::from([("to", nft.to_string()), ("data", data)]);
    let answer: String = node.call("eth_call", (request, "latest")).await?;
    Ok(Erc721::balanceOfCall::abi_decode_returns(&hex::decode(answer)?)?)
}

fn mint(recipient: Address) -> Vec<u8> {
    Erc721::safeMintCall { to: recipient }.abi_encode()
}

fn mint_to_itself(nft: Address, account: Address) -> anyhow::Result<Policy> {
    let selector = FunctionSelector::parse("safeMint(address)")?;
    Ok(Policy::new(nft, selector).with_rule(Rule::new(0, Condition::Equal, account))?)
}

/// An error and its sources in one line.
fn reasons(error: &Error) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        let reason = error.to_string();
        if reasons.last().is_none_or(|last| *last != reason) {
            reasons.push(reason);
        }
        next = error.source();
    }
    reasons.join(": ")
}

/// A spinner for what is going on, and a line with its duration for what is done.
struct Show {
    bar: ProgressBar,
    since: Mutex<Instant>,
}

impl Default for Show {
    fn default() -> Self {
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, since: Mutex::new(Instant::now()) }
    }
}

impl Show {
    fn begin(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    fn done(&self, what: &str) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{:>7.2} s  {what}", since.elapsed().as_secs_f64());
        *since = Instant::now();
        self.bar.suspend(|| println!("{line}"));
    }
}

impl Progress for Show {
    fn step(&self, step: Step) {
        self.begin(&step.to_string());
    }
}
