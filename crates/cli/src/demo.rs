//! `quorate demo`: the whole product on a local chain, with real components.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use anyhow::{bail, ensure};
use clap::Args;
use quorate::{
    Biconomy, Call, Condition, Error, GasEstimate, HttpTransport, LocalSessionKey, NetworkDescriptor,
    Options, Policy, Quorate, Session, SessionSigner as _, SigningNetwork, SmartAccount,
};
use quorate_contracts::Erc721;
use quorate_devnet::Devnet;
use quorate_transport::TransportExt as _;

use crate::serve::stop_on_signal;
use crate::stage::{Show, Stage, StageArguments, unless_stopped};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Keep everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    stage: StageArguments,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let show = Arc::new(Show::default());
    let stage = unless_stopped(&stop, Stage::set(&arguments.stage, &show)).await?;
    let outcome = unless_stopped(&stop, play(&stage, &show)).await;
    if arguments.keep && outcome.is_ok() {
        println!("{}", stage.urls());
        println!("running until Ctrl-C");
        stop.cancelled().await;
    }
    show.begin("ending everything that was started");
    stage.clear().await;
    outcome
}

/// The story itself: grant, use, and three refusals.
async fn play(stage: &Stage, show: &Show) -> anyhow::Result<()> {
    let Stage { devnet, .. } = stage;
    let descriptor = std::fs::read_to_string(stage.descriptor())?;
    let network = SigningNetwork::new(NetworkDescriptor::from_json(&descriptor)?);
    let client = Quorate::connect(devnet.rpc_url().clone(), devnet.bundler_url().clone()).await?;
    let client = client.with_network(network.clone());
    let nft = devnet.nft();

    let owner = PrivateKeySigner::random();
    let account = client.account(owner.address(), 0);
    let account = account.with_options(Options::new().sponsored_by(&sponsor(devnet)?));
    show.done(&format!("account {} of owner {}, without any coin", account.address(), owner.address()));

    show.begin("the five nodes give the account the key");
    let grant = account.grant([mint_to_itself(nft, account.address())?])?;
    let key = grant.distributed_key(&network, &owner).await?;
    show.done(&format!(
        "session key {} from the pool, attested by {} nodes",
        key.address(),
        key.key().attestations.len()
    ));

    show.begin("one sponsored user operation deploys the account and grants the session");
    let pending = account.send(grant, &key, &owner).await?;
    let session = pending.wait().await?.session().await?;
    show.done(&format!("session granted in user operation {}", pending.user_op_hash()));

    show.begin("the session mints, sponsored");
    let minted = session.send(mint(nft, account.address())).await?;
    let transaction = minted.wait_for_tx_hash().await?;
    let balance = balance_of(devnet, account.address()).await?;
    ensure!(balance == U256::from(1), "balanceOf is {balance} after one mint");
    show.done(&format!("minted in transaction {transaction}; balanceOf = {balance}"));

    refusals(&account, &owner, &session, nft, show).await
}

/// A mint to somebody else, refused by the client, then by the nodes, then by the chain.
async fn refusals(
    account: &SmartAccount,
    owner: &PrivateKeySigner,
    session: &Session,
    nft: Address,
    show: &Show,
) -> anyhow::Result<()> {
    let call = mint(nft, Address::repeat_byte(0xcc));

    let Err(refusal @ Error::Forbidden { .. }) = session.send(call.clone()).await else {
        bail!("the client let a mint to another address through");
    };
    show.done(&format!("the client refuses a mint to another address: {refusal}"));

    let gas = GasEstimate {
        pre_verification_gas: U256::from(100_000),
        verification_gas_limit: U256::from(500_000),
        call_gas_limit: U256::from(200_000),
    };
    let Err(refusal) = session.send_unchecked(call.clone(), gas).await else {
        bail!("the network signed a mint to another address");
    };
    ensure!(matches!(refusal, Error::Signer(_)), "not the nodes' refusal: {refusal}");
    show.done(&format!("the nodes refuse it: {:#}", anyhow::Error::from(refusal)));

    show.begin("the owner grants the same policy to a local key");
    let local = LocalSessionKey::random();
    let grant = account.grant([mint_to_itself(nft, account.address())?])?;
    let granted = account.send(grant, &local, owner).await?.wait().await?;
    let Err(refusal) = granted.session().await?.send_unchecked(call, gas).await else {
        bail!("the bundler took a mint to another address");
    };
    // The call is signed and was sent, so that the error names its operation; the reason is the bundler's.
    let Error::Unsettled { source, .. } = &refusal else { bail!("not the bundler's refusal: {refusal}") };
    let Error::Bundler(rejection) = source.as_ref() else { bail!("not the bundler's refusal: {refusal}") };
    ensure!(
        rejection.revert_reason() == Some("ABISV Arg Rule Violated"),
        "the bundler refuses for another reason: {rejection}"
    );
    show.done(&format!("the chain refuses it, signed by a local key: {rejection}"));
    Ok(())
}

async fn balance_of(devnet: &Devnet, owner: Address) -> anyhow::Result<U256> {
    let chain = HttpTransport::builder(devnet.rpc_url().clone()).build()?;
    let data = hex::encode_prefixed(Erc721::balanceOfCall { owner }.abi_encode());
    let request = BTreeMap::from([("to", devnet.nft().to_string()), ("data", data)]);
    let answer: String = chain.call("eth_call", (request, "latest")).await?;
    Ok(Erc721::balanceOfCall::abi_decode_returns(&hex::decode(answer)?)?)
}

fn mint(nft: Address, recipient: Address) -> Call {
    Call::new(nft, Erc721::safeMintCall { to: recipient })
}

fn mint_to_itself(nft: Address, account: Address) -> anyhow::Result<Policy> {
    Ok(Policy::on(nft).allow::<Erc721::safeMintCall>().arg(0, Condition::Equal, account).build()?)
}

/// The local chain's paymaster service.
fn sponsor(devnet: &Devnet) -> anyhow::Result<Biconomy> {
    let service = HttpTransport::builder(devnet.paymaster_url().clone()).build()?;
    Ok(Biconomy::new(Arc::new(service)).with_sponsor(devnet.verifying_paymaster()))
}
