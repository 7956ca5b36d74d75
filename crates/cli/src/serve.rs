//! `quorate node` and `quorate gateway`: the processes of a signing network.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use quorate_node::{Gateway, GatewayConfig, Node, NodeConfig};
use quorate_protocol::Fingerprint;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGINT or SIGTERM, then finish what is under way.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make a node's secrets on this machine, and print what others may know of it.
    ///
    /// The folder becomes yours alone. Give its card.json to whoever assembles the network, and the fingerprint over another
    /// channel.
    Init {
        /// The folder to make.
        #[arg(long)]
        out: PathBuf,
        /// Who you are and how you are reached, for the other operators: at most 100 characters.
        #[arg(long)]
        name: String,
    },
    /// Put the descriptor of a network into a node's folder, once its operators have compared its fingerprint.
    Join {
        /// The node's folder.
        folder: PathBuf,
        /// The network's descriptor.
        #[arg(long)]
        network: PathBuf,
        /// The fingerprint that you have compared with the other operators.
        #[arg(long)]
        confirm: Fingerprint,
    },
    /// Serve until SIGINT or SIGTERM, then finish what is under way.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

pub(crate) async fn node(command: NodeCommand) -> anyhow::Result<()> {
    match command {
        NodeCommand::Init { out, name } => {
            let card = quorate_node::init_node(&out, &name)?;
            println!("{}", card.to_json());
            println!("this is {}; its fingerprint:", out.join("card.json").display());
            println!("{}", card.fingerprint());
            Ok(())
        }
        NodeCommand::Join { folder, network, confirm } => {
            let (index, network) = quorate_node::join_network(&folder, &network, confirm)?;
            let (threshold, size) = (network.threshold(), network.size());
            println!("node {index} of network {} ({threshold} of {size})", network.id());
            println!("run it with: quorate node run --config {}", folder.join("node.toml").display());
            Ok(())
        }
        NodeCommand::Run { config } => run_node(&config).await,
    }
}

async fn run_node(config: &Path) -> anyhow::Result<()> {
    log_to_stderr();
    let node = Node::open(NodeConfig::load(config)?).await?;
    node.serve(stop_on_signal()?).await;
    Ok(())
}

pub(crate) async fn gateway(Command::Run { config }: Command) -> anyhow::Result<()> {
    log_to_stderr();
    let gateway = Gateway::open(GatewayConfig::load(&config)?).await?;
    gateway.serve(stop_on_signal()?).await;
    Ok(())
}

fn log_to_stderr() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).json().init();
}

/// Cancelled at the first SIGINT or SIGTERM.
pub(crate) fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancel.cancel();
    });
    Ok(stop)
}
