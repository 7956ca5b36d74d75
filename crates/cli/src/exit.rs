//! What the program exits with: whose turn it is after a failure.

use std::error::Error as _;
use std::process::ExitCode;

use quorate::delegation::{DelegatorError, GrantError, RedeemError};
use quorate::{BundlerError, Concern, Error, NetworkError, TransportError};
use quorate_approval::ApprovalError;
use quorate_protocol::Refusal;

/// A kind of failure. The numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something else, such as a file that cannot be written.
    Failed = 1,
    /// What was given cannot be used; clap's own number.
    BadInput = 2,
    /// It was understood, and refused: by a policy, a limit, an owner or the chain.
    Refused = 3,
    /// An endpoint gave no answer, or none that can be used.
    Remote = 4,
    /// It was stopped before it was done.
    Stopped = 130,
}

/// An error whose kind is known where it arises.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    /// The message is written as it is: it was drawn for people, or what there is to say stands on stdout.
    is_whole: bool,
}

impl Failure {
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadInput, message: message.into(), is_whole: false }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into(), is_whole: false }
    }

    pub(crate) fn remote(message: impl Into<String>) -> Self {
        Self { exit: Exit::Remote, message: message.into(), is_whole: false }
    }

    pub(crate) fn stopped() -> Self {
        Self { exit: Exit::Stopped, message: "stopped".into(), is_whole: false }
    }

    /// The same whose message is written as it is.
    pub(crate) const fn drawn(mut self) -> Self {
        self.is_whole = true;
        self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The kind of an error, by the first of its causes that says it.
    pub(crate) fn of(error: &anyhow::Error) -> Option<Self> {
        error.chain().find_map(of_cause)
    }
}

/// Writes to stderr what went wrong.
pub(crate) fn say(error: &anyhow::Error) {
    match error.downcast_ref::<Failure>() {
        Some(Failure { message, is_whole: true, .. }) if message.is_empty() => {}
        Some(Failure { message, is_whole: true, .. }) => eprintln!("{}", message.trim_end()),
        _ => eprintln!("error: {}", in_one_line(error)),
    }
}

/// The error and its causes, without those whose text the one before has already.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if texts.last().is_none_or(|before| !before.contains(&cause)) {
            texts.push(cause);
        }
    }
    texts.join(": ")
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(if refusal.is_transient() { Exit::Remote } else { Exit::Refused });
    }
    if let Some(error) = cause.downcast_ref::<TransportError>() {
        return Some(if error.rpc().is_some() { Exit::Refused } else { Exit::Remote });
    }
    if let Some(
        NetworkError::Connection { .. } | NetworkError::Closed { .. } | NetworkError::Deadline { .. },
    ) = cause.downcast_ref()
    {
        return Some(Exit::Remote);
    }
    // A transparent error, whose own cause is not in the chain.
    if let Some(alloy_signer::Error::Other(error)) = cause.downcast_ref() {
        return Some(of_approval(error.downcast_ref()?));
    }
    if let Some(BundlerError::Rejected { .. }) = cause.downcast_ref() {
        return Some(Exit::Refused);
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_approval(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return of_delegator(error);
    }
    if cause.is::<GrantError>() {
        return Some(Exit::Refused);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_redemption(error);
    }
    of_client(cause.downcast_ref::<Error>()?)
}

const fn of_approval(error: &ApprovalError) -> Exit {
    match error {
        ApprovalError::Deadline { .. } => Exit::Remote,
        _ => Exit::Refused,
    }
}

fn of_delegator(error: &DelegatorError) -> Option<Exit> {
    match error {
        DelegatorError::Account { .. }
        | DelegatorError::Signature { .. }
        | DelegatorError::NoFactory { .. }
        | DelegatorError::Context(_) => Some(Exit::Refused),
        DelegatorError::Permissions(_) | DelegatorError::Enforcer(_) | DelegatorError::NoBundler { .. } => {
            Some(Exit::BadInput)
        }
        DelegatorError::Network(error) => of_cause(error),
        DelegatorError::Chain(error) => of_redemption(error),
        _ => None,
    }
}

/// What a signer refuses is among the causes.
fn of_redemption(error: &RedeemError) -> Option<Exit> {
    match error {
        RedeemError::Transport(error) => of_cause(error),
        RedeemError::Bundler(error) => of_cause(error),
        RedeemError::Paymaster(error) => of_cause(error),
        RedeemError::Contract { .. } | RedeemError::UnderWay { .. } | RedeemError::Deploying { .. } => {
            Some(Exit::Remote)
        }
        RedeemError::Signer(_) | RedeemError::Store(_) => None,
        _ => Some(Exit::Refused),
    }
}

/// Those of the client's errors that say it by themselves; the others have a cause that does.
fn of_client(error: &Error) -> Option<Exit> {
    match error {
        _ if error.is_transient() => Some(Exit::Remote),
        Error::Contract { .. } | Error::Timeout { .. } => Some(Exit::Remote),
        _ if error.concern() == Concern::Input => Some(Exit::BadInput),
        Error::NoPaymaster
        | Error::NoSuchSession { .. }
        | Error::NoNetwork { .. }
        | Error::UnknownOperation { .. }
        | Error::OtherAccount { .. }
        | Error::OtherChain { .. } => Some(Exit::BadInput),
        Error::Store(_) | Error::Stored { .. } | Error::Random(_) => Some(Exit::Failed),
        error if error.source().is_some() => None,
        _ => Some(Exit::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_the_first_cause_that_has_a_kind() {
        let exit = |error: anyhow::Error| Exit::of(&error.context("granting a session"));
        assert_eq!(exit(Error::NoPolicy.into()), Some(Exit::BadInput));
        assert_eq!(exit(Error::AllOfNative { withdrawal: 0 }.into()), Some(Exit::BadInput));
        assert_eq!(exit(Failure::refused("the policy forbids it").into()), Some(Exit::Refused));
        let transport =
            quorate::HttpTransport::builder("ftp://127.0.0.1".parse().unwrap()).build().unwrap_err();
        assert_eq!(exit(Error::Endpoint(transport).into()), Some(Exit::BadInput));
        assert_eq!(exit(Refusal::Busy.into()), Some(Exit::Remote));
        let said_twice = anyhow::anyhow!("disk").context("it says: disk").context("granting a session");
        assert_eq!(in_one_line(&said_twice), "granting a session: it says: disk");
        assert_eq!(exit(std::io::Error::other("disk").into()), None);
        let of_browser = |error: ApprovalError| {
            let (address, source) = (quorate::Address::ZERO, alloy_signer::Error::other(error));
            exit(Error::from(quorate::SignerError::Signer { address, source }).into())
        };
        assert_eq!(of_browser(ApprovalError::Rejected), Some(Exit::Refused));
        assert_eq!(
            of_browser(ApprovalError::Deadline { waited: std::time::Duration::ZERO }),
            Some(Exit::Remote)
        );
    }
}
