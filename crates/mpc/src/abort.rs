//! Why a run ended without a result, and what follows from it.

use dkls23::protocols::{Abort as LibraryAbort, AbortKind, AbortReason};
use thiserror::Error;

use crate::{InvalidSignature, PartyIndex, Step};

/// The end of a run without a result. Its state is wiped; nothing of it may be used again.
///
/// Blame is this party's own view and cannot be proved to others: keep bans for each pair, and choose signer
/// sets without a banned pair.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Abort {
    /// A party was named that this key does not have.
    #[error("party {party} does not exist: this key has the parties 1 to {parties}")]
    NotAParty {
        /// The party that was named.
        party: PartyIndex,
        /// How many parties the key has.
        parties: u8,
    },
    /// The signer set has another size than the threshold.
    #[error("{given} signers were chosen, but this key needs exactly {expected}")]
    SignerCount {
        /// The key's threshold.
        expected: u8,
        /// The size of the set.
        given: usize,
    },
    /// The holder of the share is not in the signer set.
    #[error("party {party} was asked to sign but is not among the chosen signers")]
    NotASigner {
        /// The holder of the share.
        party: PartyIndex,
    },
    /// A peer's message is not there.
    #[error(
        "the message of party {party} for {step} is missing: start again with a fresh id, perhaps without it"
    )]
    MissingMessage {
        /// The peer that sent nothing.
        party: PartyIndex,
        /// What was awaited.
        step: Step,
    },
    /// A message came from a party that has none to send here.
    #[error("party {party} has no part in {step} of this run: drop its message before the round")]
    UnexpectedMessage {
        /// The party whose message was given.
        party: PartyIndex,
        /// What was awaited.
        step: Step,
    },
    /// A peer's message is not one of this step and run, or cannot be read.
    #[error("the message of party {party} for {step} is malformed: start again with a fresh id")]
    Malformed {
        /// The peer that sent it.
        party: PartyIndex,
        /// What was awaited.
        step: Step,
        /// What is wrong with it.
        #[source]
        reason: Malformed,
    },
    /// A peer saw other messages than this party. Either it, or whoever sent them, or the transport is at
    /// fault; which one cannot be told.
    #[error("party {party} saw something else than this party in {step}: start again with a fresh id")]
    Equivocation {
        /// The peer with the other view.
        party: PartyIndex,
        /// The step of which the views differ.
        step: Step,
    },
    /// A check of the protocol failed, without harm to the key: start again with a fresh id, perhaps with
    /// another quorum.
    #[error("the protocol failed: start again with a fresh id, perhaps with another quorum")]
    Failed {
        /// The peer whose message failed the check, if it is known.
        party: Option<PartyIndex>,
        /// The check.
        #[source]
        failure: ProtocolFailure,
    },
    /// A peer failed a check that tells something about reusable secrets. Persist the ban first, then never
    /// run a protocol with that peer on this share again: not after a restart, not in a session under way.
    #[error("party {party} cheated: persist its ban and never use this share together with it again")]
    Ban {
        /// The peer to be banned.
        party: PartyIndex,
        /// The check.
        #[source]
        failure: ProtocolFailure,
    },
    /// The signature that came out is not one that may leave. Start again with a fresh id.
    #[error("the signature that came out is invalid: start again with a fresh id")]
    InvalidSignature(#[from] InvalidSignature),
    /// This party's own share is damaged. No peer is at fault, and a retry does not help.
    #[error("this party's key share is damaged where it concerns party {party}: restore it from a backup")]
    DamagedShare {
        /// The peer that the damaged part is shared with.
        party: PartyIndex,
        /// What is wrong with it.
        #[source]
        failure: ProtocolFailure,
    },
}

impl Abort {
    /// Whether the same thing may be tried again from the first round, under a fresh id.
    ///
    /// Not so after a ban (a retry needs a signer set without the pair), with a damaged share, or when the run
    /// was asked for wrongly.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::MissingMessage { .. }
            | Self::UnexpectedMessage { .. }
            | Self::Malformed { .. }
            | Self::Equivocation { .. }
            | Self::Failed { .. }
            | Self::InvalidSignature(_) => true,
            Self::NotAParty { .. }
            | Self::SignerCount { .. }
            | Self::NotASigner { .. }
            | Self::Ban { .. }
            | Self::DamagedShare { .. } => false,
        }
    }

    /// The peer that this share must never be used with again, if this is a ban.
    #[must_use]
    pub fn banned(&self) -> Option<PartyIndex> {
        match self {
            Self::Ban { party, .. } => Some(*party),
            _ => None,
        }
    }

    /// The peer whose message ended the run, as far as can be told: it, or the way to it, is at fault. It is no proof.
    #[must_use]
    pub const fn blamed(&self) -> Option<PartyIndex> {
        match self {
            Self::MissingMessage { party, .. }
            | Self::UnexpectedMessage { party, .. }
            | Self::Malformed { party, .. }
            | Self::Equivocation { party, .. }
            | Self::Ban { party, .. } => Some(*party),
            Self::Failed { party, .. } => *party,
            Self::NotAParty { .. }
            | Self::SignerCount { .. }
            | Self::NotASigner { .. }
            | Self::InvalidSignature(_)
            | Self::DamagedShare { .. } => None,
        }
    }

    pub(crate) fn encoding(error: postcard::Error) -> Self {
        Self::Failed { party: None, failure: ProtocolFailure(Failure::Encoding(error)) }
    }
}

impl From<LibraryAbort> for Abort {
    fn from(abort: LibraryAbort) -> Self {
        let culprit = culprit(&abort.reason);
        let damaged = matches!(
            abort.reason,
            AbortReason::InvalidLocalState { .. } | AbortReason::MissingMulState { .. }
        );
        let failure = ProtocolFailure(Failure::Check(abort.reason));
        match (abort.kind, culprit) {
            (AbortKind::BanCounterparty(party), _) => Self::Ban { party: PartyIndex(party), failure },
            (AbortKind::Recoverable, Some(party)) if damaged => Self::DamagedShare { party, failure },
            (AbortKind::Recoverable, party) => Self::Failed { party, failure },
        }
    }
}

fn culprit(reason: &AbortReason) -> Option<PartyIndex> {
    match reason {
        AbortReason::MissingMulState { counterparty }
        | AbortReason::SessionBindingMismatch { counterparty }
        | AbortReason::ProofVerificationFailed { counterparty }
        | AbortReason::CommitmentMismatch { counterparty }
        | AbortReason::TrivialInstancePoint { counterparty }
        | AbortReason::OtConsistencyCheckFailed { counterparty }
        | AbortReason::MultiplicationVerificationFailed { counterparty, .. }
        | AbortReason::GammaUInconsistency { counterparty }
        | AbortReason::ZeroShareDecommitFailed { counterparty }
        | AbortReason::InvalidLocalState { counterparty, .. } => Some(PartyIndex(*counterparty)),
        AbortReason::MissingMessageFromParty { party }
        | AbortReason::MissingCommittedPoint { party }
        | AbortReason::ChainCodeCommitmentFailed { party } => Some(PartyIndex(*party)),
        AbortReason::UnexpectedSender { sender } | AbortReason::DuplicateSender { sender } => {
            Some(PartyIndex(*sender))
        }
        _ => None,
    }
}

/// The check of the protocol that failed, in words.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct ProtocolFailure(Failure);

#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Check(AbortReason),
    #[error("a message could not be encoded")]
    Encoding(#[source] postcard::Error),
}

/// What is wrong with a message, before its content is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than any message of this protocol.
    #[error("it is {len} bytes long, and {limit} is the most")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// [`MAX_MESSAGE_LEN`](crate::MAX_MESSAGE_LEN).
        limit: usize,
    },
    /// Shorter than the header of a message.
    #[error("it is {len} bytes long, which is less than its header")]
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// Of another version of the wire format.
    #[error("it has wire version {found}, and this is version {expected}: run the same release everywhere")]
    Version {
        /// The version byte.
        found: u8,
        /// The version of this crate.
        expected: u8,
    },
    /// A message of another step.
    #[error("it belongs to {found}")]
    OtherStep {
        /// The step that it belongs to.
        found: Step,
    },
    /// A step that this version does not know.
    #[error("it belongs to a step {tag:#04x}, which does not exist")]
    UnknownStep {
        /// The step byte.
        tag: u8,
    },
    /// A message of another run.
    #[error("it belongs to a run with another id")]
    OtherSession,
    /// Its sender or receiver is not the authenticated one.
    #[error("it says that it goes from party {sender} to party {receiver}")]
    Misaddressed {
        /// The sender that it names.
        sender: u8,
        /// The receiver that it names.
        receiver: u8,
    },
    /// The body is not an encoding of this step's content.
    #[error("its body cannot be decoded")]
    Encoding,
    /// Bytes follow the body.
    #[error("{count} bytes follow its body")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A list in it has the wrong length.
    #[error("its {list} has {found} elements instead of {expected}")]
    Dimension {
        /// Which list.
        list: &'static str,
        /// The length that the protocol fixes.
        expected: usize,
        /// The length that it has.
        found: usize,
    },
}
