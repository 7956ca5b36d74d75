//! `quorate devnet`: everything that the product needs, on this machine, kept up until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{B256, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use clap::Args;
use quorate::{Address, Quorate};
use quorate_devnet::Devnet;

use crate::serve::stop_on_signal;
use crate::settings::{Erc7677Settings, PaymasterSettings, Profile, SettingsFile};
use crate::stage::{Show, Stage, StageArguments, unless_stopped};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder for the configuration, the sessions and policy files to begin with.
    #[arg(long, default_value = "devnet")]
    folder: PathBuf,
    #[command(flatten)]
    stage: StageArguments,
}

/// The owner of the account in the configuration: the chain's account of this number, which has coin.
const OWNER: usize = 3;

/// What its account has of the chain's coin, in wei.
const COIN: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
/// What the owner has of the token that the configuration calls USDC, in its units of six decimals.
const OWNERS_TOKENS: u64 = 1_000_000_000;

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let show = Arc::new(Show::default());
    let stage = unless_stopped(&stop, Stage::set(&arguments.stage, &show)).await?;
    let outcome = unless_stopped(&stop, write(&stage, &arguments.folder)).await;
    if let Ok(written) = &outcome {
        println!("{}\n\n{written}\n\nrunning until Ctrl-C", stage.urls());
        stop.cancelled().await;
    }
    show.begin("ending everything that was started");
    stage.clear().await;
    outcome.map(drop)
}

/// Writes the folder's files; says what to do with them.
async fn write(stage: &Stage, folder: &Path) -> anyhow::Result<String> {
    let devnet = &stage.devnet;
    let key = devnet.funded_key(OWNER).context("the chain has no account for an owner")?;
    let owner = PrivateKeySigner::from_bytes(&key)?.address();
    let client = Quorate::connect(devnet.rpc_url().clone(), devnet.bundler_url().clone()).await?;
    let account = client.account(owner, 0).address();

    devnet.make_delegator(owner).await?;
    devnet.mint_token(devnet.token(), owner, U256::from(OWNERS_TOKENS)).await?;

    devnet.set_balance(account, COIN).await?;

    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    // The chain begins anew each time, and so do its sessions.
    for file in ["sessions.db", "sessions.db-wal", "sessions.db-shm"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
    std::fs::copy(stage.descriptor(), folder.join("network.json"))?;
    let settings = settings(stage, owner);
    std::fs::write(folder.join("quorate.toml"), toml::to_string(&settings)?)?;
    std::fs::write(folder.join("mint.toml"), mint_policy(devnet.nft(), account))?;
    std::fs::write(folder.join("pay.toml"), pay_policy(devnet.token()))?;

    let environment = environment(&std::path::absolute(folder)?, &key, account, devnet);
    std::fs::write(folder.join("environment"), environment)?;

    let folder = folder.display();
    Ok(format!(
        ". {folder}/environment\n\
         quorate session create {folder}/mint.toml\n\
         quorate session use $NFT \"safeMint(address to)\" $ACCOUNT"
    ))
}

fn settings(stage: &Stage, owner: Address) -> SettingsFile {
    let devnet = &stage.devnet;
    let paymaster = PaymasterSettings::Biconomy {
        url: devnet.paymaster_url().clone(),
        sponsor: Some(devnet.verifying_paymaster()),
        token_paymaster: Some(devnet.token_paymaster()),
    };
    let profile = Profile {
        rpc: Some(devnet.rpc_url().clone()),
        bundler: Some(devnet.bundler_url().clone()),
        network: Some("network.json".into()),
        store: Some("sessions.db".into()),
        store_key: Some("sessions.key".into()),
        owner: Some(owner),
        paymaster: Some(paymaster),
        session_paymaster: Some(Erc7677Settings {
            url: devnet.paymaster_url().clone(),
            contract: devnet.verifying_paymaster_v0_7(),
        }),
        tokens: [("USDC".to_owned(), devnet.token())].into(),
        ..Profile::default()
    };
    SettingsFile { profile: None, profiles: [("devnet".to_owned(), profile)].into() }
}

/// What a shell reads to work here. The owner's key is one of the chain's own, which everybody knows.
fn environment(folder: &Path, key: &B256, account: Address, devnet: &Devnet) -> String {
    let (nft, token) = (devnet.nft(), devnet.token());
    format!(
        "export QUORATE_CONFIG='{}/quorate.toml'\n\
         export QUORATE_OWNER_KEY={}\n\
         export NFT={nft}\n\
         export ACCOUNT={account}\n\
         export USDC={token}\n",
        folder.display().to_string().replace('\'', r"'\''"),
        hex::encode_prefixed(key),
    )
}

/// A policy file to begin with: the account may mint to itself.
fn mint_policy(nft: Address, account: Address) -> String {
    format!(
        "# What a session may do: `quorate policy explain` says it in words.\n\
         for = \"7 days\"\n\n\
         [limits]\n\
         uses = 100 # held by the network's nodes, which count\n\n\
         [[allow]]\n\
         contract = \"{nft}\"\n\
         function = \"safeMint(address to)\"\n\
         rules = [\"to == {account}\"]\n"
    )
}

/// A policy file for payments in the token that the configuration calls USDC.
fn pay_policy(token: Address) -> String {
    format!(
        "# At most 5 USDC in each day.\n\
         for = \"7 days\"\n\n\
         [tokens]\n\
         USDC = {{ address = \"{token}\", decimals = 6 }}\n\n\
         [[allow]]\n\
         contract = \"USDC\"\n\
         function = \"transfer(address to, uint256 amount)\"\n\
         per_day = [\"amount <= 5 USDC\"]\n"
    )
}
