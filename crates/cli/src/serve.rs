//! `quorate node run` and `quorate gateway run`: the processes of a signing network.

use std::path::PathBuf;

use clap::Subcommand;
use quorate_node::{CertificateReload, Gateway, GatewayConfig, Node, NodeConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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

pub(crate) async fn node(Command::Run { config, log }: Command) -> anyhow::Result<()> {
    log_to_stderr(log);
    let node = Node::open(NodeConfig::load(&config)?).await?;
    node.serve(stop_on_signal()?).await;
    Ok(())
}

pub(crate) async fn gateway(Command::Run { config, log }: Command) -> anyhow::Result<()> {
    log_to_stderr(log);
    let gateway = Gateway::open(GatewayConfig::load(&config)?).await?;
    reload_on_signal(gateway.certificate_reload())?;
    gateway.serve(stop_on_signal()?).await;
    Ok(())
}

/// One JSON object a line; a request's name stands in its `span`.
fn log_to_stderr(level: LevelFilter) {
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
