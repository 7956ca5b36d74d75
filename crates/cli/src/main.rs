//! The `quorate` program.

mod demo;
mod network;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Network(command) => network::run(command),
        Command::Node(command) => serve::node(command).await,
        Command::Gateway(command) => serve::gateway(command).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Policy-bound session keys for ERC-4337 smart accounts, held by a quorum instead of a secret.
#[derive(Debug, Parser)]
#[command(name = "quorate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch a session key be made by five nodes, mint with it, and be refused outside its policy.
    Demo(demo::Arguments),
    /// Set up a signing network.
    #[command(subcommand)]
    Network(network::Command),
    /// Run a signing node.
    #[command(subcommand)]
    Node(serve::Command),
    /// Run a signing network's gateway.
    #[command(subcommand)]
    Gateway(serve::Command),
}
