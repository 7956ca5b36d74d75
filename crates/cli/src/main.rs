//! The `quorate` program.

mod account;
mod browser;
mod clock;
mod context;
mod demo;
mod devnet;
mod doctor;
mod draft_file;
mod elsewhere;
mod exit;
mod interrupt;
mod ledger;
mod network;
mod new_file;
mod offline;
mod owner;
mod progress;
mod prompt;
mod serve;
mod service;
mod session;
mod settings;
mod shell;
mod signing;
mod stage;
mod submit;
mod time_text;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::exit::Exit;
use crate::interrupt::unless_interrupted;
use crate::offline::{delegation, grant, key_request, policy, user_op};

#[tokio::main]
async fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let usual = command.usual_failure();
    let outcome = match command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Network(command) => network::run(command).await,
        Command::Node(command) => serve::node(command).await,
        Command::Gateway(command) => serve::gateway(command).await,
        Command::Policy(command) => policy::run(command),
        Command::Grant(command) => grant::run(command),
        Command::KeyRequest(command) => key_request::run(command),
        Command::Delegation(command) => delegation::run(command),
        Command::UserOp(command) => user_op::run(command),
        Command::Account(arguments) => unless_interrupted(account::run(arguments)).await,
        Command::Session(arguments) => unless_interrupted(session::run(arguments)).await,
        Command::Submit(arguments) => unless_interrupted(submit::run(arguments)).await,
        Command::Serve(arguments) => service::run(*arguments).await,
        Command::Completions(arguments) => {
            shell::completions(arguments, Arguments::command());
            Ok(())
        }
        Command::Man(arguments) => shell::man(arguments, Arguments::command()),
        Command::Doctor(arguments) => unless_interrupted(doctor::run(arguments)).await,
        Command::Devnet(arguments) => devnet::run(arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::say(&error);
            Exit::of(&error).unwrap_or(usual).into()
        }
    }
}

impl Command {
    /// What a failure is that does not say it itself. Commands that only look at what they are given fail by that.
    const fn usual_failure(&self) -> Exit {
        match self {
            Self::Policy(_)
            | Self::Grant(_)
            | Self::KeyRequest(_)
            | Self::Delegation(_)
            | Self::UserOp(_) => Exit::BadInput,
            _ => Exit::Failed,
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
    /// Set up a signing network, admit owners to it, and end its keys.
    #[command(subcommand)]
    Network(network::Command),
    /// Make a signing node, have it join a network, run it, back it up and restore it.
    #[command(subcommand)]
    Node(serve::NodeCommand),
    /// Run a signing network's gateway.
    #[command(subcommand)]
    Gateway(serve::GatewayCommand),
    /// Write, explain and encode policies, and ask what they allow; needs no network.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Review what a grant allows; needs no network.
    #[command(subcommand)]
    Grant(grant::Command),
    /// Review what a request for a key asks for; needs no network.
    #[command(subcommand)]
    KeyRequest(key_request::Command),
    /// Review what a delegation allows; needs no network.
    #[command(subcommand)]
    Delegation(delegation::Command),
    /// Hash user operations; needs no network.
    #[command(subcommand)]
    UserOp(user_op::Command),
    /// Where an account is, what it has, and what its owner does with it.
    Account(account::Arguments),
    /// Grant, use and end the sessions of an account.
    Session(session::Arguments),
    /// Send an operation that --print has kept, with the signature of an owner who signs elsewhere.
    Submit(submit::Arguments),
    /// Serve the sessions to programs in any language: a local HTTP service with the methods of a wallet.
    Serve(Box<service::Arguments>),
    /// Check that node, bundler, contracts, network, store and paymaster work together, and say what to do where not.
    Doctor(doctor::Arguments),
    /// Keep a chain, a bundler, a paymaster and a signing network up on this machine, with a configuration for them.
    Devnet(devnet::Arguments),
    /// Print what a shell needs to complete this program's commands.
    Completions(shell::CompletionsArguments),
    /// Write the manual's pages, one for each command.
    Man(shell::ManArguments),
}
