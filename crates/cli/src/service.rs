//! `quorate serve`: the sessions for programs in any language, and the tokens by which these are known.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use quorate::SessionId;
use quorate_service::{
    ListedPaymaster, Permissions, Service, ServiceConfig, ServiceLimits, Token, TokenFile, TokenFileError,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tracing_subscriber::filter::LevelFilter;

use crate::context::{Context, PaymentArguments};
use crate::exit::Failure;
use crate::offline::{Output, arguments};
use crate::serve::{log_to_stderr, stop_on_signal};
use crate::settings::{Settings, SettingsArguments};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// The file of the tokens [default: beside the store].
    #[arg(long, global = true, env = "QUORATE_TOKENS", value_name = "FILE")]
    tokens: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, list and end the tokens by which programs are known, each with what it may do.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4337", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Listen at an address that other machines reach. There is no TLS: something in front of it has to bring that.
    #[arg(long)]
    allow_remote: bool,
    /// A name that requests may have in their Host header, beside this machine's own; may be given many times.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// The origin of a web page that may use the service, such as https://app.example; may be given many times.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Serve another of the owner's accounts as well, by its index; may be given many times.
    #[arg(long, value_name = "INDEX")]
    also: Vec<u64>,
    /// The database of the ids of calls [default: beside the store].
    #[arg(long, value_name = "FILE")]
    calls: Option<PathBuf>,
    #[command(flatten)]
    payment: PaymentArguments,
    /// How much is logged to stderr.
    #[arg(long, default_value = "info")]
    log: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it. It stands nowhere else: the file holds its hash.
    Add(AddArguments),
    /// List the tokens, and what each may do.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// End a token: a service that runs refuses it from then on.
    Remove {
        /// The token's name.
        name: String,
    },
}

#[derive(Debug, Args)]
struct AddArguments {
    /// What it is called. Ids of calls belong to the name.
    name: String,
    /// A method that it may call, or how methods begin: `wallet_*`; may be given many times [default: use sessions and look
    /// at them].
    #[arg(long = "method", value_name = "NAME")]
    methods: Vec<String>,
    /// An account that it may act for; may be given many times [default: all that are served].
    #[arg(long = "account", value_name = "ADDRESS", value_parser = arguments::address)]
    accounts: Vec<Address>,
    /// A session that it may use; may be given many times [default: all of its accounts'].
    #[arg(long = "session", value_name = "ID")]
    sessions: Vec<SessionId>,
    #[command(flatten)]
    output: Output,
}

/// A token that was made.
#[derive(Serialize)]
struct Added<'a> {
    name: &'a str,
    token: &'a str,
}

#[derive(Serialize)]
struct Listed {
    tokens: Vec<ListedToken>,
}

#[derive(Serialize)]
struct ListedToken {
    name: String,
    #[serde(flatten)]
    permissions: Permissions,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { settings, tokens, command, serve } = arguments;
    match command {
        Some(Command::Token(command)) => {
            let tokens = match tokens {
                Some(file) => file,
                None => beside(&store_of(&settings.read()?)?, "tokens.toml"),
            };
            token(&TokenFile::new(tokens), command)
        }
        None => serve.run(settings, tokens).await,
    }
}

impl ServeArguments {
    async fn run(self, settings: SettingsArguments, tokens: Option<PathBuf>) -> anyhow::Result<()> {
        let Self { listen, allow_remote, hosts, origins, also, calls, payment, log } = self;
        if !listen.ip().is_loopback() && !allow_remote {
            let message = format!(
                "other machines reach {listen}, and the service has no TLS: listen at 127.0.0.1, or give --allow-remote where \
                 something in front of it brings TLS"
            );
            return Err(Failure::bad_input(message).into());
        }
        log_to_stderr(log);
        let stop = stop_on_signal()?;
        let context = Context::open(settings).await?;
        // An id that is used once outlives the process, and so has to what it stands for.
        let store = store_of(&context.settings)?;
        let paymaster = context.settings.profile().paymaster.as_ref();
        let paymaster = paymaster.map(|paymaster| {
            anyhow::Ok(ListedPaymaster { url: paymaster.url().clone(), service: paymaster.service()? })
        });
        let tokens = TokenFile::new(tokens.unwrap_or_else(|| beside(&store, "tokens.toml")));
        tokens.tokens().map_err(bad_file)?;
        let config = ServiceConfig {
            accounts: context.accounts(payment, &also)?,
            client: context.client,
            network: context.network,
            paymasters: paymaster.transpose()?.into_iter().collect(),
            tokens,
            calls: calls.unwrap_or_else(|| beside(&store, "calls.db")),
            hosts,
            origins,
            limits: ServiceLimits::default(),
        };
        let service = Service::open(config).await?;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("cannot listen at {listen}"))?;
        println!("listening at http://{}", listener.local_addr()?);
        Ok(service.serve(listener, stop).await?)
    }
}

fn token(tokens: &TokenFile, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add(arguments) => {
            let AddArguments { name, methods, accounts, sessions, output } = arguments;
            let mut permissions = Permissions::default();
            if !methods.is_empty() {
                permissions.methods = methods.into_iter().collect();
            }
            permissions.accounts = accounts.into_iter().collect();
            permissions.sessions = sessions.into_iter().collect();
            let secret = tokens.add(&name, permissions).map_err(bad_file)?;
            output.write(&Added { name: &name, token: &secret }, |added| added.token.to_owned())
        }
        TokenCommand::List { output } => {
            let tokens = tokens.tokens().map_err(bad_file)?;
            let tokens = tokens.iter().map(ListedToken::new).collect();
            output.write(&Listed { tokens }, Listed::text)
        }
        TokenCommand::Remove { name } => Ok(tokens.remove(&name).map_err(bad_file)?),
    }
}

fn store_of(settings: &Settings) -> anyhow::Result<PathBuf> {
    settings.need(settings.profile().store.as_ref(), "store").cloned()
}

/// `sessions.calls.db` beside `sessions.db`.
fn beside(store: &Path, extension: &str) -> PathBuf {
    store.with_extension(extension)
}

/// What was given, and what stands in the file, is for the caller to put right.
fn bad_file(error: TokenFileError) -> anyhow::Error {
    match error {
        TokenFileError::Random(_) => error.into(),
        error => Failure::bad_input(format!("{:#}", anyhow::Error::from(error))).into(),
    }
}

impl ListedToken {
    fn new(token: &Token) -> Self {
        Self { name: token.name.clone(), permissions: token.permissions.clone() }
    }

    fn line(&self) -> String {
        let Permissions { methods, accounts, sessions } = &self.permissions;
        let mut line = format!("{}  {}", self.name, methods.iter().cloned().collect::<Vec<_>>().join(" "));
        let only = |what: &str, names: Vec<String>| match names.is_empty() {
            true => String::new(),
            false => format!("  {what} {}", names.join(" ")),
        };
        line += &only("accounts", accounts.iter().map(ToString::to_string).collect());
        line + &only("sessions", sessions.iter().map(ToString::to_string).collect())
    }
}

impl Listed {
    fn text(&self) -> String {
        match self.tokens.is_empty() {
            true => "no tokens; `quorate serve token add` makes one".to_owned(),
            false => self.tokens.iter().map(ListedToken::line).collect::<Vec<_>>().join("\n"),
        }
    }
}
