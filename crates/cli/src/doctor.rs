//! `quorate doctor`: whether all that the settings name works together, and what to do where it does not.

use std::path::Path;

use alloy_primitives::U64;
use clap::Args;
use quorate::{Address, Bundler, HttpTransport, Quorate};
use quorate_contracts::Deployment;
use quorate_transport::{Transport, TransportExt as _};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::clock::now;
use crate::context::{Context, PaymentArguments};
use crate::exit::Failure;
use crate::network::RunningNetwork;
use crate::network::status::health;
use crate::offline::Output;
use crate::settings::{Profile, Settings, SettingsArguments};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    output: Output,
}

/// What was found, in the order in which things depend on each other.
#[derive(Debug, Default, Serialize)]
struct Report {
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    /// What was looked at.
    what: String,
    outcome: Outcome,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Works,
    /// It works, and something about it is to be known.
    Warning,
    Fails,
    /// The settings do not name it.
    NotSet,
}

/// How old the newest block may be, in seconds.
const OLDEST_BLOCK: u64 = 120;

/// By how many seconds this machine's clock may differ from the newest block's time before it is said.
const SKEW: u64 = 30;

pub(crate) async fn run(Arguments { settings, output }: Arguments) -> anyhow::Result<()> {
    let settings = settings.read()?;
    let profile = settings.profile();
    let mut report = Report::default();
    let chain_id = report.check_node(profile).await;
    report.check_contracts(profile, chain_id).await;
    report.check_bundler(profile, chain_id).await;
    report.check_validation(profile).await;
    report.check_network(profile).await;
    report.check_store(profile);
    report.check_payment(profile, settings.clone()).await;
    output.write(&report, Report::text)?;
    match report.checks.iter().filter(|check| check.outcome == Outcome::Fails).count() {
        0 => Ok(()),
        failed => Err(Failure::remote(format!("{failed} of these do not work")).into()),
    }
}

impl Report {
    fn say(&mut self, what: &str, outcome: Outcome, found: impl Into<String>, remedy: Option<&str>) {
        let (what, found, remedy) = (what.to_owned(), found.into(), remedy.map(ToOwned::to_owned));
        self.checks.push(Check { what, outcome, found, remedy });
    }

    fn works(&mut self, what: &str, found: impl Into<String>) {
        self.say(what, Outcome::Works, found, None);
    }

    fn fails(&mut self, what: &str, found: impl Into<String>, remedy: &str) {
        self.say(what, Outcome::Fails, found, Some(remedy));
    }

    fn is_not_set(&mut self, what: &str, remedy: &str) {
        self.say(what, Outcome::NotSet, "not set", Some(remedy));
    }

    /// The chain's node; gives the chain's id.
    async fn check_node(&mut self, profile: &Profile) -> Option<u64> {
        const WHAT: &str = "chain's node";
        let Some(url) = &profile.rpc else {
            self.is_not_set(WHAT, "set `rpc` in the profile, QUORATE_RPC, or --rpc");
            return None;
        };
        match newest_block(url).await {
            Ok((chain_id, block)) => {
                let (now, time): (_, u64) = (now(), block.timestamp.to());
                if time.saturating_add(OLDEST_BLOCK) < now {
                    let found = format!("chain {chain_id}, whose newest block is {} s old", now - time);
                    let remedy = "a local chain makes blocks when something is sent; another node is behind: name another one";
                    self.say(WHAT, Outcome::Warning, found, Some(remedy));
                } else if time > now.saturating_add(SKEW) {
                    let found = format!(
                        "chain {chain_id}, whose newest block is {} s ahead of this clock",
                        time - now
                    );
                    self.say(
                        WHAT,
                        Outcome::Warning,
                        found,
                        Some("set this machine's clock: sessions' ends are judged by it"),
                    );
                } else {
                    self.works(WHAT, format!("chain {chain_id}, block {}", block.number));
                }
                Some(chain_id)
            }
            Err(error) => {
                self.fails(
                    WHAT,
                    format!("{error:#}"),
                    "check the URL, and that the node answers JSON-RPC over HTTP",
                );
                None
            }
        }
    }

    /// The contracts at their canonical addresses.
    async fn check_contracts(&mut self, profile: &Profile, chain_id: Option<u64>) {
        let (Some(url), Some(_)) = (&profile.rpc, chain_id) else { return };
        let missing = missing_contracts(url).await;
        match missing {
            Ok(missing) if missing.is_empty() => self.works("contracts", "all are at their addresses"),
            Ok(missing) => {
                let found = format!("without code: {}", missing.join(", "));
                self.fails(
                    "contracts",
                    found,
                    "this chain lacks them: deploy them at these addresses, or use another chain",
                );
            }
            Err(error) => self.fails("contracts", format!("{error:#}"), "try again, or name another node"),
        }
    }

    async fn check_bundler(&mut self, profile: &Profile, chain_id: Option<u64>) {
        const WHAT: &str = "bundler";
        let Some(url) = &profile.bundler else {
            self.is_not_set(WHAT, "set `bundler` in the profile, QUORATE_BUNDLER, or --bundler");
            return;
        };
        match asked_bundler(url).await {
            Ok((bundler_chain, _)) if chain_id.is_some_and(|chain_id| chain_id != bundler_chain) => {
                let found = format!("it serves chain {bundler_chain}, and the node another");
                self.fails(WHAT, found, "give the URLs of one chain");
            }
            Ok((_, entry_points)) if !entry_points.contains(&Deployment::canonical().entry_point) => {
                let entry_point = Deployment::canonical().entry_point;
                let found = format!("it does not serve the entry point {entry_point}");
                self.fails(WHAT, found, "name a bundler of EntryPoint v0.6");
            }
            Ok((chain, _)) => self.works(WHAT, format!("chain {chain}, EntryPoint v0.6")),
            Err(error) => self.fails(WHAT, format!("{error:#}"), "check the URL and its API key"),
        }
    }

    /// Which conditions of rules this chain's module enforces.
    async fn check_validation(&mut self, profile: &Profile) {
        let (Some(rpc), Some(bundler)) = (profile.rpc.clone(), profile.bundler.clone()) else { return };
        let Ok(client) = Quorate::connect(rpc, bundler).await else { return };
        match client.unenforced_conditions().await {
            Ok(unenforced) if unenforced.is_empty() => {
                self.works("session validation module", "it enforces every condition");
            }
            Ok(unenforced) => {
                let found = format!("it lets these pass whatever the argument is: {unenforced:?}");
                let remedy = "write rules without them; a grant that has one is refused";
                self.say("session validation module", Outcome::Warning, found, Some(remedy));
            }
            Err(error) => {
                self.fails(
                    "session validation module",
                    format!("{error:#}"),
                    "the module at its address is another contract",
                );
            }
        }
    }

    async fn check_network(&mut self, profile: &Profile) {
        let Some(network) = profile.network.clone() else {
            self.is_not_set("signing network", "set `network` in the profile, QUORATE_NETWORK, or --network");
            return;
        };
        let running = RunningNetwork { network, root_certificates: profile.root_certificates.clone() };
        let said = match health(&running).await {
            Ok((_, said)) => said,
            Err(error) => {
                self.fails(
                    "signing network",
                    format!("{error:#}"),
                    "name the descriptor that the network's operator gives",
                );
                return;
            }
        };
        for (url, said) in said {
            let what = format!("gateway {}", quorate_protocol::gateway_name(&url));
            match said {
                Err(error) => self.fails(
                    &what,
                    format!("{error:#}"),
                    "tell its operator, or name a descriptor with others",
                ),
                Ok(health) => self.judge_health(&what, &health),
            }
        }
    }

    fn judge_health(&mut self, what: &str, health: &quorate_node::GatewayHealth) {
        let reasons = [&health.signing, &health.assigning, &health.key_making];
        let reasons: Vec<_> = reasons.into_iter().filter_map(|work| work.reason.clone()).collect();
        let found = format!("{} nodes, {} free keys", health.nodes, health.keys);
        let operator = "`quorate network status` says more; tell its operator";
        match (health.signing.works, reasons.first()) {
            (true, None) if health.skewed_clocks.is_empty() => self.works(what, found),
            (true, None) => {
                let nodes: Vec<_> = health.skewed_clocks.keys().map(ToString::to_string).collect();
                let found = format!("{found}; the clocks of nodes {} are wrong", nodes.join(", "));
                self.say(what, Outcome::Warning, found, Some(operator));
            }
            (true, Some(reason)) => {
                self.say(what, Outcome::Warning, format!("{found}; {reason}"), Some(operator))
            }
            (false, reason) => {
                let reason = reason.map_or("it cannot sign", String::as_str);
                self.fails(what, format!("{found}; {reason}"), operator);
            }
        }
    }

    /// The store's file and its key, as far as they are there: opening them would make them.
    fn check_store(&mut self, profile: &Profile) {
        let Some(store) = &profile.store else {
            self.is_not_set(
                "session store",
                "set `store` in the profile, QUORATE_STORE, or --store: sessions end with each command",
            );
            return;
        };
        let files = [Some(store), profile.store_key.as_ref()];
        let exposed: Vec<_> = files.into_iter().flatten().filter(|file| is_exposed(file)).collect();
        let shown = |file: &&std::path::PathBuf| file.display().to_string();
        match (store.exists(), exposed.is_empty()) {
            (_, false) => {
                let files = exposed.iter().map(shown).collect::<Vec<_>>().join(", ");
                self.fails("session store", format!("others can read {files}"), "chmod 600 these files");
            }
            (true, true) => self.works("session store", store.display().to_string()),
            (false, true) => {
                self.works("session store", format!("{} is made by the first grant", store.display()))
            }
        }
    }

    /// Whether an operation of the account's is paid for, by the paymaster if there is one: nothing is sent.
    async fn check_payment(&mut self, profile: &Profile, settings: Settings) {
        let what = if profile.paymaster.is_some() { "paymaster" } else { "account's gas" };
        if profile.owner.is_none() {
            self.is_not_set(what, "set `owner` in the profile, QUORATE_OWNER, or --owner, to have it tried");
            return;
        }
        match estimated(settings).await {
            Ok(wei) => {
                self.works(what, format!("an operation of the account's would cost at most {wei} wei"))
            }
            Err(error) => {
                let remedy = "read what it says: a paymaster's policy, its balance, or the account's";
                self.fails(what, format!("{error:#}"), remedy);
            }
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for Check { what, outcome, found, remedy } in &self.checks {
            lines.push(format!("{:<8} {what}: {found}", outcome.word()));
            lines.extend(remedy.iter().map(|remedy| format!("         {remedy}")));
        }
        lines.join("\n")
    }
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Warning => "warning",
            Self::Fails => "FAILS",
            Self::NotSet => "not set",
        }
    }
}

/// The head of a block.
#[derive(Deserialize)]
struct Block {
    number: U64,
    timestamp: U64,
}

async fn newest_block(url: &Url) -> anyhow::Result<(u64, Block)> {
    let node = HttpTransport::builder(url.clone()).build()?;
    let chain_id: U64 = node.call("eth_chainId", ()).await?;
    let block = node.call("eth_getBlockByNumber", ("latest", false)).await?;
    Ok((chain_id.to(), block))
}

/// The contracts that are not at their addresses, by name.
async fn missing_contracts(url: &Url) -> anyhow::Result<Vec<String>> {
    let node = HttpTransport::builder(url.clone()).build()?;
    let mut missing = Vec::new();
    for (name, address) in contracts() {
        let code: String = node.call("eth_getCode", (address, "latest")).await?;
        if code.len() <= "0x".len() {
            missing.push(format!("{name} {address}"));
        }
    }
    Ok(missing)
}

fn contracts() -> [(&'static str, Address); 8] {
    let deployment = Deployment::canonical();
    [
        ("entry point", deployment.entry_point),
        ("account factory", deployment.account_factory),
        ("account implementation", deployment.account_implementation),
        ("ECDSA ownership module", deployment.ecdsa_ownership_module),
        ("session key manager", deployment.session_key_manager),
        ("ABI session validation module", deployment.abi_session_validation_module),
        ("ERC-20 session validation module", deployment.erc20_session_validation_module),
        ("batched session router", deployment.batched_session_router),
    ]
}

async fn asked_bundler(url: &Url) -> anyhow::Result<(u64, Vec<Address>)> {
    let transport: std::sync::Arc<dyn Transport> =
        std::sync::Arc::new(HttpTransport::builder(url.clone()).build()?);
    let bundler = Bundler::new(transport);
    Ok((bundler.chain_id().await?, bundler.supported_entry_points().await?))
}

/// What an operation of the account's without calls may cost, in wei.
async fn estimated(settings: Settings) -> anyhow::Result<quorate::U256> {
    let context = Context::of(settings.without_store()).await?;
    let account = context.account(PaymentArguments::default())?;
    let nothing = quorate::Call::transfer(account.address(), quorate::U256::ZERO);
    Ok(account.estimate(&[nothing]).await?.wei)
}

/// Whether others than its owner can read a file.
fn is_exposed(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}
