//! `quorate node` and `quorate gateway`: the processes of a signing network, and a node's files.

use std::path::PathBuf;

use clap::Subcommand;
use quorate::NodeIndex;
use quorate_node::{CertificateReload, Gateway, GatewayConfig, Node, NodeConfig, RestoreOptions};
use quorate_protocol::Fingerprint;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

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
        /// What is logged to stderr: error, warn, info, or debug, which tells every refusal.
        #[arg(long, default_value = "info")]
        log: LevelFilter,
    },
    /// Copy the node's database to a new file; the node may run meanwhile. The shares stay sealed, and the seal key is not in it.
    Backup {
        /// The node's configuration file.
        config: PathBuf,
        /// The file to write; it must not be there.
        #[arg(long)]
        to: PathBuf,
    },
    /// Put a backup in the place of the database of a node that does not run.
    ///
    /// The node signs nothing until the others have told it what it has done since the backup.
    Restore {
        /// The node's configuration file.
        config: PathBuf,
        /// The backup.
        #[arg(long)]
        from: PathBuf,
        /// Set aside the database that is there.
        #[arg(long)]
        replace: bool,
        /// A node that is lost for good: it is not waited for, and counts as bad. May be repeated.
        #[arg(long, value_name = "NODE", value_parser = node_index)]
        accept_missing: Vec<NodeIndex>,
    },
    /// Seal the shares of a node that does not run with another key, and name that in its configuration.
    RotateSeal {
        /// The node's configuration file.
        config: PathBuf,
        /// The file of the new key; it is made where it is not there.
        #[arg(long)]
        new: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Serve until SIGINT or SIGTERM, then finish what is under way.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// What is logged to stderr: error, warn, info, or debug, which tells every refusal.
        #[arg(long, default_value = "info")]
        log: LevelFilter,
    },
}

pub(crate) async fn node(command: NodeCommand) -> anyhow::Result<()> {
    match command {
        NodeCommand::Init { out, name } => {
            let card = quorate_node::init_node(&out, &name)?;
            println!("{}", card.to_json());
            println!("this is {}; its fingerprint:", out.join("card.json").display());
            println!("{}", card.fingerprint());
        }
        NodeCommand::Join { folder, network, confirm } => {
            let (index, network) = quorate_node::join_network(&folder, &network, confirm)?;
            let (threshold, size) = (network.threshold(), network.size());
            println!("node {index} of network {} ({threshold} of {size})", network.id());
            println!("run it with: quorate node run --config {}", folder.join("node.toml").display());
        }
        NodeCommand::Run { config, log } => {
            log_to_stderr(log);
            let node = Node::open(NodeConfig::load(&config)?).await?;
            node.serve(stop_on_signal()?).await;
        }
        NodeCommand::Backup { config, to } => {
            log_to_stderr(LevelFilter::INFO);
            quorate_node::back_up(&NodeConfig::load(&config)?, &to).await?;
            println!("wrote {}", to.display());
        }
        NodeCommand::Restore { config, from, replace, accept_missing } => {
            log_to_stderr(LevelFilter::INFO);
            let options = RestoreOptions { replace, accept_missing: accept_missing.into_iter().collect() };
            for file in quorate_node::restore(&NodeConfig::load(&config)?, &from, &options).await? {
                println!("set aside {}", file.display());
            }
            println!("restored; the node signs nothing until the others have told it what it has forgotten");
        }
        NodeCommand::RotateSeal { config, new } => {
            log_to_stderr(LevelFilter::INFO);
            let resealed = quorate_node::rotate_seal(&config, &new).await?;
            println!(
                "{resealed} shares are sealed with {}; keep the old key as long as a backup needs it",
                new.display()
            );
        }
    }
    Ok(())
}

pub(crate) async fn gateway(GatewayCommand::Run { config, log }: GatewayCommand) -> anyhow::Result<()> {
    log_to_stderr(log);
    let gateway = Gateway::open(GatewayConfig::load(&config)?).await?;
    reload_on_signal(gateway.certificate_reload())?;
    gateway.serve(stop_on_signal()?).await;
    Ok(())
}

fn node_index(text: &str) -> Result<NodeIndex, String> {
    let index = text.parse().ok().and_then(NodeIndex::new);
    index.ok_or_else(|| "a node's number is from 1 to 255".to_owned())
}

/// One JSON object a line; a request's name stands in its `span`.
pub(crate) fn log_to_stderr(level: LevelFilter) {
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    log.json().with_span_list(false).init();
}

/// Has the gateway read its certificate again at each SIGHUP.
fn reload_on_signal(reload: CertificateReload) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.now();
        }
    });
    Ok(())
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
