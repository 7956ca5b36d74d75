//! What programs ask of errors: what they are about, which operation they are of, and whether to try again.

use std::fmt;

use alloy_primitives::B256;

use crate::Error;

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Concern {
    /// What the caller gave: policies, calls, options, endpoints that do not belong together.
    Input,
    /// The chain's node.
    Chain,
    /// The bundler.
    Bundler,
    /// Who pays, and how much.
    Payment,
    /// The account, its owner and its modules.
    Account,
    /// Sessions and the tree of them on chain.
    Session,
    /// What becomes of one operation; [`Error::user_op_hash`] names it.
    Operation,
    /// Who signs.
    Signature,
    /// The signing network.
    Network,
    /// What is stored.
    Store,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Chain => "chain",
            Self::Bundler => "bundler",
            Self::Payment => "payment",
            Self::Account => "account",
            Self::Session => "session",
            Self::Operation => "operation",
            Self::Signature => "signature",
            Self::Network => "network",
            Self::Store => "store",
        })
    }
}

impl Error {
    /// What the error is about.
    pub const fn concern(&self) -> Concern {
        self.kind().0
    }

    /// A word for this kind of error, for logs, metrics and other programs. It stays the same from version to version.
    ///
    /// ```
    /// use quorate::{Concern, Error};
    ///
    /// let error = Error::NoCalls;
    /// assert_eq!((error.concern(), error.code()), (Concern::Input, "no_calls"));
    /// ```
    pub const fn code(&self) -> &'static str {
        self.kind().1
    }

    /// What to do about it, in one sentence without a full stop, where more is known than the error's own text says.
    ///
    /// It is made from the error alone, offline.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Bundler(error) => error.remedy(),
            Self::NotSent { source, .. } => source.remedy(),
            Self::Unsettled { source, .. } => source.remedy().or_else(|| {
                Some(
                    "submit the same draft, make the same call again, or resume: all keep the nonce"
                        .to_owned(),
                )
            }),
            Self::Timeout { .. } => Some("wait again by the operation's hash".to_owned()),
            Self::Behind { .. } => Some("wait until the node has caught up, or ask another one".to_owned()),
            _ => None,
        }
    }

    /// The operation that the error is of, where it is of one: what it waits for, or what may get on chain.
    pub const fn user_op_hash(&self) -> Option<B256> {
        match self {
            Self::NotSent { user_op_hash, .. }
            | Self::Unsettled { user_op_hash, .. }
            | Self::UnderWay { user_op_hash }
            | Self::FeesTooLow { user_op_hash }
            | Self::Dead { user_op_hash }
            | Self::Replaced { user_op_hash, .. }
            | Self::NonceUsed { user_op_hash, .. }
            | Self::PaymasterNeeded { user_op_hash, .. }
            | Self::Reverted { user_op_hash, .. }
            | Self::Dropped { user_op_hash, .. }
            | Self::UnknownOperation { user_op_hash, .. }
            | Self::NotTheOwner { user_op_hash, .. }
            | Self::Timeout { user_op_hash, .. } => Some(*user_op_hash),
            _ => None,
        }
    }

    /// Whether the same read may succeed later: a timeout, a busy endpoint, a node that is behind.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Behind { .. } | Self::NoBlock { .. } => true,
            Self::Bundler(error) => error.is_transient(),
            Self::Chain(error) => error.is_transient(),
            Self::Paymaster(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The one table of all of them.
    const fn kind(&self) -> (Concern, &'static str) {
        use Concern::*;
        match self {
            Self::Chain(_) => (Chain, "chain"),
            Self::NoBlock { .. } => (Chain, "no_block"),
            Self::Behind { .. } => (Chain, "behind"),
            Self::OtherChains { .. } => (Input, "other_chains"),
            Self::NoEntryPoint { .. } => (Input, "no_entry_point"),
            #[cfg(feature = "http")]
            Self::Endpoint(_) => (Input, "endpoint"),
            Self::Random(_) => (Signature, "random"),
            Self::Bundler(_) => (Bundler, "bundler"),
            #[cfg(feature = "network")]
            Self::Network(_) => (Network, "network"),
            Self::Signer(_) => (Signature, "signer"),
            Self::Paymaster(_) => (Payment, "paymaster"),
            Self::NoPaymaster => (Payment, "no_paymaster"),
            Self::PaymasterNeeded { .. } => (Payment, "paymaster_needed"),
            Self::AllowanceTooLow { .. } => (Payment, "allowance_too_low"),
            Self::TokenBalanceTooLow { .. } => (Payment, "token_balance_too_low"),
            Self::TooExpensive { .. } => (Payment, "too_expensive"),
            Self::Policy { .. } => (Input, "policy"),
            Self::Contract { .. } => (Chain, "contract"),
            Self::NoPolicy => (Input, "no_policy"),
            Self::Mistake { .. } => (Input, "mistake"),
            Self::UnenforcedCondition { .. } => (Input, "unenforced_condition"),
            Self::ForeignRoot { .. } => (Session, "foreign_root"),
            Self::UnknownTree { .. } => (Session, "unknown_tree"),
            Self::AlteredTree { .. } => (Store, "altered_tree"),
            Self::AlteredOperation { .. } => (Store, "altered_operation"),
            Self::Tree(_) => (Session, "tree"),
            Self::DuplicateLeaf { .. } => (Session, "duplicate_leaf"),
            Self::NothingToRevoke { .. } => (Session, "nothing_to_revoke"),
            Self::UnderWay { .. } => (Operation, "under_way"),
            Self::NotSent { .. } => (Operation, "not_sent"),
            Self::Unsettled { .. } => (Operation, "unsettled"),
            Self::FeesTooLow { .. } => (Operation, "fees_too_low"),
            Self::Dead { .. } => (Operation, "dead"),
            Self::Replaced { .. } => (Operation, "replaced"),
            Self::Dropped { .. } => (Operation, "dropped"),
            Self::NonceUsed { .. } => (Operation, "nonce_used"),
            Self::UnknownOperation { .. } => (Operation, "unknown_operation"),
            Self::NotTheOwner { .. } => (Operation, "not_the_owner"),
            Self::StillLive { .. } => (Session, "still_live"),
            Self::NotExtendable { .. } => (Session, "not_extendable"),
            Self::UnknownModule { .. } => (Session, "unknown_module"),
            Self::WithdrawnTwice { .. } => (Input, "withdrawn_twice"),
            Self::Decode(_) => (Store, "decode"),
            Self::Original(_) => (Store, "original"),
            Self::RootChanged { .. } => (Session, "root_changed"),
            Self::Forbidden { .. } => (Session, "forbidden"),
            Self::NotGranted { .. } => (Session, "not_granted"),
            Self::NoSuchSession { .. } => (Session, "no_such_session"),
            Self::NoSessionAllows { .. } => (Session, "no_session_allows"),
            Self::OtherKey { .. } => (Signature, "other_key"),
            Self::NoNetwork { .. } => (Network, "no_network"),
            Self::ExternalKey { .. } => (Signature, "external_key"),
            Self::OtherSession { .. } => (Session, "other_session"),
            Self::NotDistributed { .. } => (Session, "not_distributed"),
            Self::NoCalls => (Input, "no_calls"),
            Self::AlreadyDeployed { .. } => (Account, "already_deployed"),
            Self::NoOwner { .. } => (Account, "no_owner"),
            Self::NoOwnerModule { .. } => (Account, "no_owner_module"),
            Self::OwnerModuleEnabled { .. } => (Account, "owner_module_enabled"),
            Self::Multichain(_) => (Signature, "multichain"),
            Self::NotDeployed { .. } => (Account, "not_deployed"),
            Self::AllOfNative { .. } => (Input, "all_of_native"),
            Self::OtherTree { .. } => (Session, "other_tree"),
            Self::OtherAccount { .. } => (Account, "other_account"),
            Self::OtherOwner { .. } => (Account, "other_owner"),
            Self::OtherChain { .. } => (Account, "other_chain"),
            Self::Encode(_) => (Input, "encode"),
            Self::Store(_) => (Store, "store"),
            Self::Reverted { .. } => (Operation, "reverted"),
            Self::Timeout { .. } => (Operation, "timeout"),
            Self::Stored { .. } => (Store, "stored"),
            Self::Permissions(_) => (Store, "permissions"),
            Self::Message(_) => (Store, "message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn each_code_is_one_error_s() {
        let source = include_str!("concern.rs");
        let rows =
            source.lines().filter(|line| line.trim_start().starts_with("Self::") && line.contains("=> ("));
        let codes: Vec<&str> = rows.filter_map(|row| row.split('"').nth(1)).collect();
        assert!(codes.len() > 60, "the table is found");
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len(), "{codes:?}");
        assert!(codes.iter().all(|code| code.chars().all(|c| c == '_' || c.is_ascii_lowercase())));
    }
}
