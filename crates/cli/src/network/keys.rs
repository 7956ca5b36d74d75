//! `quorate network keys` and `inspect`: what one node holds of keys, read from its database beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use quorate_node::{InspectedKey, KeyState, ListedKey, NodeConfig, inspect_key, list_keys, load_descriptor};
use serde::Serialize;

use super::listed;
use crate::clock::now;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    /// The node's configuration file.
    #[arg(long)]
    node: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The key's id: 64 hex digits.
    key: String,
    /// The node's configuration file.
    #[arg(long)]
    node: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Keys<'a> {
    node: u8,
    keys: &'a [ListedKey],
}

#[derive(Serialize)]
struct Inspected<'a> {
    node: u8,
    #[serde(flatten)]
    key: &'a InspectedKey,
}

/// Where a node keeps its keys, and how many nodes make one an owner's.
struct Source {
    config: NodeConfig,
    quorum: u8,
}

pub(super) async fn list(KeysArguments { node, json }: KeysArguments) -> anyhow::Result<()> {
    let Source { config, quorum } = Source::read(&node)?;
    let keys = list_keys(&config.database, quorum).await.with_context(|| unread(&config.database))?;
    let node = config.index.get();
    match json {
        true => println!("{}", serde_json::to_string_pretty(&Keys { node, keys: &keys })?),
        false => print!("{}", table(&keys)),
    }
    Ok(())
}

pub(super) async fn inspect(InspectArguments { key, node, json }: InspectArguments) -> anyhow::Result<()> {
    let Source { config, quorum } = Source::read(&node)?;
    let inspected = inspect_key(&config.database, quorum, &key, now()).await;
    let inspected = inspected.with_context(|| unread(&config.database))?;
    let node = config.index.get();
    let key = inspected.ok_or_else(|| Failure::bad_input(format!("node {node} has no key {key}")))?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&Inspected { node, key: &key })?),
        false => print!("{}", in_words(&key)),
    }
    Ok(())
}

impl Source {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let config = NodeConfig::load(file)?;
        let quorum = load_descriptor(&config.network)?.bind_quorum();
        Ok(Self { config, quorum })
    }
}

fn unread(database: &Path) -> String {
    format!("{} cannot be read; a node makes it when it starts", database.display())
}

/// The keys by state, a line each, and how many there are.
fn table(keys: &[ListedKey]) -> String {
    let mut text = String::new();
    let states =
        [KeyState::Pending, KeyState::Free, KeyState::HalfAssigned, KeyState::Assigned, KeyState::Dead];
    for state in states {
        let of_state: Vec<_> = keys.iter().filter(|key| key.state == state).collect();
        let _ = writeln!(text, "{}: {}", name(state), of_state.len());
        for key in of_state {
            let _ = writeln!(text, "  {}", line(key));
        }
    }
    text
}

fn line(key: &ListedKey) -> String {
    let mut parts = vec![key.key_id.clone()];
    parts.extend(key.owner.iter().map(|owner| format!("of {owner}")));
    if !key.attested_by.is_empty() {
        parts.push(format!("attested to by nodes {}", listed(&key.attested_by)));
    }
    let line = parts.join(" ");
    key.way_out.as_ref().map_or(line.clone(), |way_out| format!("{line}: {way_out}"))
}

fn in_words(inspected: &InspectedKey) -> String {
    let InspectedKey { key, revoked, ephemeral_keys, bans, journal_bytes, limits, .. } = inspected;
    let ended = if *revoked { ", revoked by its owner" } else { "" };
    let mut text = String::new();
    let _ = writeln!(text, "{}{ended}: {}", name(key.state), line(key));
    for ephemeral in ephemeral_keys {
        let state = match (ephemeral.revoked, ephemeral.until) {
            (true, _) => "revoked".to_owned(),
            (false, Some(until)) => format!("may ask until {until} (seconds since 1970)"),
            (false, None) => "not registered".to_owned(),
        };
        let _ = writeln!(text, "  ephemeral key {} {state}", ephemeral.key);
    }
    for (peer, reason) in bans {
        let _ = writeln!(text, "  never again with node {peer}: {reason}");
    }
    for limit in limits {
        let _ = writeln!(text, "  {}: {} of {}", limit.limited, limit.total, limit.limit);
    }
    let _ = writeln!(text, "  signed requests kept: {journal_bytes} bytes");
    text
}

const fn name(state: KeyState) -> &'static str {
    match state {
        KeyState::Pending => "pending",
        KeyState::Free => "free",
        KeyState::HalfAssigned => "half-assigned",
        KeyState::Assigned => "assigned",
        KeyState::Dead => "dead",
        _ => "unknown",
    }
}
