//! `quorate network`: the files of a signing network.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write identities, configurations and the descriptor of a new network.
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
        /// How many keys the gateway keeps ready, made while no client is served.
        #[arg(long, default_value_t = 4)]
        free_keys: usize,
        /// The folder to write; it must not hold a network already.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Init { nodes, threshold, gateway, free_keys, out } = command;
    let descriptor = quorate_node::init(&out, threshold, nodes, gateway, free_keys)?;
    println!("network {} ({threshold} of {nodes}) written to {}", descriptor.id(), out.display());
    Ok(())
}
