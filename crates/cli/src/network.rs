//! `quorate network`: the files of a signing network, who is admitted to it, what can be seen of it, and the end of its keys.

mod assemble;
mod keys;
pub(crate) mod status;
mod token;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, Bytes, Signature, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use ed25519_dalek::VerifyingKey;
use quorate::{
    EphemeralKeys, NodeIndex, Owner, Revocation, RevocationStatus, SigningNetwork, TypedDataSignature,
};
use url::Url;

use crate::context::{open_network, read, read_descriptor as descriptor};
use crate::owner::OWNER_KEY;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write identities, configurations and the descriptor of a new network: for development.
    ///
    /// One machine makes all secrets, so whoever controls it has every key. Where each operator is to have a node of their
    /// own, each runs `quorate node init`, and one of them `quorate network assemble`.
    Init {
        /// How many nodes hold a share of each key.
        #[arg(long, default_value_t = 5)]
        nodes: u8,
        /// How many of them sign.
        #[arg(long, default_value_t = 3)]
        threshold: u8,
        /// Where the gateway listens, for clients and nodes.
        #[arg(long, default_value = "127.0.0.1:7000")]
        gateway: SocketAddr,
        /// The gateway's URL as clients and nodes reach it, where that is not ws:// and the address: behind a proxy, such as
        /// wss://example.org/quorate.
        #[arg(long)]
        public: Option<Url>,
        /// How many keys the gateway keeps ready, made while no client is served.
        #[arg(long, default_value_t = 4)]
        free_keys: usize,
        /// The folder to write; it must not hold a network already.
        #[arg(long)]
        out: PathBuf,
    },
    /// Write the descriptor of a network whose nodes their operators have made, of their cards.
    Assemble(assemble::AssembleArguments),
    /// Write the key of an operator who issues admission tokens, and print the public key for the nodes.
    Issuer(token::IssuerArguments),
    /// Print a token that admits an owner whom no node's list names, for the owner's client to send.
    IssueToken(token::TokenArguments),
    /// Show what each gateway says: which nodes are missing, what cannot work, and why.
    Status(status::StatusArguments),
    /// List the keys that a node has, by what has become of them; the node may be running.
    Keys(keys::KeysArguments),
    /// Show all that a node has of one key: its owner, who may ask, bans, and what counts against its limits.
    Inspect(keys::InspectArguments),
    /// Show which ephemeral keys may ask for a key's signatures.
    EphemeralKeys(ListArguments),
    /// End a key, or one ephemeral key that asks for its signatures: at every node, for good.
    ///
    /// The owner signs, without a challenge: it can be signed ahead, and handed in at any time by anybody.
    Revoke(RevokeArguments),
}

/// A network that runs.
#[derive(Debug, Args)]
pub(crate) struct RunningNetwork {
    /// The network's descriptor.
    #[arg(long)]
    pub(crate) network: PathBuf,
    /// Root certificates, in PEM, by which its gateways are believed beside the platform's.
    #[arg(long)]
    pub(crate) root_certificates: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    network: RunningNetwork,
    /// The key's id at the network: 64 hex digits.
    #[arg(long)]
    key: String,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    #[command(flatten)]
    network: RunningNetwork,
    /// The key's id at the network: 64 hex digits.
    #[arg(long)]
    key: String,
    /// The ephemeral key to end: 0x and 64 hex digits; without it the key itself ends.
    #[arg(long)]
    ephemeral: Option<B256>,
    /// The key's owner: an address, or eip155:<chain id>:<address> for a contract.
    #[arg(long)]
    owner: Owner,
    /// The owner's signature over the typed data, in hex: 65 bytes, or whatever a contract takes for one. Without it, and
    /// without the owner's private key in the environment variable QUORATE_OWNER_KEY, the typed data is printed, for a
    /// wallet to sign.
    #[arg(long)]
    signature: Option<Bytes>,
    /// The hash of the block in whose state the owner's contract takes the signature, at most 256 blocks old.
    #[arg(long, requires = "signature")]
    block: Option<B256>,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { nodes, threshold, gateway, public, free_keys, out } => {
            let descriptor = quorate_node::init(&out, threshold, nodes, gateway, free_keys, public)?;
            println!("network {} ({threshold} of {nodes}) written to {}", descriptor.id(), out.display());
            println!("for development: this machine has made the secrets of all nodes");
            Ok(())
        }
        Command::Assemble(arguments) => assemble::run(arguments),
        Command::Issuer(arguments) => token::create_issuer(&arguments),
        Command::IssueToken(arguments) => token::issue(&arguments),
        Command::Status(arguments) => status::run(arguments).await,
        Command::Keys(arguments) => keys::list(arguments).await,
        Command::Inspect(arguments) => keys::inspect(arguments).await,
        Command::EphemeralKeys(arguments) => list(arguments).await,
        Command::Revoke(arguments) => revoke(arguments).await,
    }
}

async fn list(ListArguments { network, key }: ListArguments) -> anyhow::Result<()> {
    let network = network.client()?;
    let keys = network.ephemeral_keys(&key).await?;
    print!("{}", table(&keys, network.descriptor().threshold()));
    Ok(())
}

/// The ephemeral keys, a line each.
fn table(keys: &EphemeralKeys, threshold: u8) -> String {
    let mut lines = Vec::new();
    if !keys.key_revoked_at.is_empty() {
        lines.push(format!("the key is revoked at nodes {}", listed(&keys.key_revoked_at)));
    }
    for (ephemeral, status) in &keys.keys {
        let state = match keys.until(ephemeral, threshold) {
            Some(until) => format!("may ask until {until} (seconds since 1970)"),
            None if status.revoked_at.is_empty() => format!("at fewer than {threshold} nodes, so of no use"),
            None => format!("revoked at nodes {}", listed(&status.revoked_at)),
        };
        lines.push(format!("{} {state}", hex::encode_prefixed(ephemeral)));
    }
    if !keys.missing.is_empty() {
        lines.push(format!("without an answer: nodes {}", listed(&keys.missing)));
    }
    lines.join("\n") + "\n"
}

fn listed(nodes: &BTreeSet<NodeIndex>) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn revoke(arguments: RevokeArguments) -> anyhow::Result<()> {
    let RevokeArguments { network, key, ephemeral, owner, signature, block } = arguments;
    let network = network.client()?;
    let ephemeral = ephemeral.map(|key| VerifyingKey::from_bytes(&key.0)).transpose();
    let ephemeral = ephemeral.context("--ephemeral is not an Ed25519 public key")?;
    let revocation = Revocation::new(network.descriptor(), owner, &key, ephemeral);
    let given = signature.map(|given| owner_signature(given, block)).transpose()?;
    let Some(signature) = given.map_or_else(|| own_signature(&revocation), |given| Ok(Some(given)))? else {
        println!("{}", serde_json::to_string_pretty(revocation.typed_data()?.document())?);
        eprintln!(
            "{owner} signs this typed data; run the same again with --signature, or with {OWNER_KEY} set"
        );
        return Ok(());
    };
    let revoked = network.revoke(&revocation, signature).await?;
    print!("{}", report(&revoked));
    Ok(())
}

/// The owner's signature as it was given: a contract's has a block.
fn owner_signature(signature: Bytes, block: Option<B256>) -> anyhow::Result<TypedDataSignature> {
    match block {
        Some(block) => Ok(TypedDataSignature::Contract { block, signature }),
        None => {
            Ok(Signature::from_raw(&signature).context("--signature is not 65 bytes of an account's")?.into())
        }
    }
}

/// The owner's signature, where the private key stands in the environment.
fn own_signature(revocation: &Revocation) -> anyhow::Result<Option<TypedDataSignature>> {
    let Ok(key) = std::env::var(OWNER_KEY) else { return Ok(None) };
    let signer: PrivateKeySigner =
        key.parse().map_err(|_| anyhow::anyhow!("{OWNER_KEY} is no private key"))?;
    anyhow::ensure!(
        Owner::from(signer.address()) == revocation.owner(),
        "{OWNER_KEY} is the key of {}, not of {}",
        signer.address(),
        revocation.owner()
    );
    Ok(Some(signer.sign_hash_sync(&revocation.typed_data()?.digest())?.into()))
}

/// What a revocation has come to, in words.
fn report(revoked: &RevocationStatus) -> String {
    let holds = match revoked.bad_nodes_withstood() {
        Some(bad) => format!("no quorum signs any more, as long as at most {bad} nodes are bad"),
        None => "NOT REVOKED YET: a quorum is left that has not heard of it".to_owned(),
    };
    let mut lines = vec![format!("stored by nodes {}: {holds}", listed(&revoked.stored_by))];
    if !revoked.missing.is_empty() {
        lines.push(format!("missing: nodes {}; run this again when they are back", listed(&revoked.missing)));
    }
    for operation in &revoked.recent {
        lines.push(format!("may have been signed within the last minute: {}", operation.hash));
    }
    lines.join("\n") + "\n"
}

impl RunningNetwork {
    fn client(&self) -> anyhow::Result<SigningNetwork> {
        open_network(&self.network, self.root_certificates.as_deref())
    }

    /// The file of the root certificates, and what stands in it.
    fn roots(&self) -> anyhow::Result<Option<(&Path, Vec<u8>)>> {
        let Some(file) = &self.root_certificates else { return Ok(None) };
        Ok(Some((file, read(file)?)))
    }
}

#[cfg(test)]
mod tests {
    use quorate::EphemeralKeyStatus;

    use super::*;

    #[test]
    fn a_list_says_until_when_each_key_may_ask_and_who_has_not_answered() {
        let node = |index| NodeIndex::new(index).unwrap();
        let registered = |nodes: &[u8]| nodes.iter().map(|index| (node(*index), 2_000)).collect();
        let mut keys = EphemeralKeys {
            listed_by: [node(1), node(2)].into(),
            missing: [node(3)].into(),
            ..EphemeralKeys::default()
        };
        let status = |nodes: &[u8], revoked_at| EphemeralKeyStatus { until: registered(nodes), revoked_at };
        keys.keys.insert([1; 32], status(&[1, 2], BTreeSet::new()));
        keys.keys.insert([2; 32], status(&[1, 2], [node(2)].into()));
        keys.keys.insert([3; 32], status(&[1], BTreeSet::new()));
        let named = |byte: &str| format!("0x{}", byte.repeat(32));
        assert_eq!(
            table(&keys, 2),
            format!(
                "{} may ask until 2000 (seconds since 1970)\n{} revoked at nodes 2\n{} at fewer than 2 nodes, so of no use\n\
                 without an answer: nodes 3\n",
                named("01"),
                named("02"),
                named("03")
            )
        );
    }
}
