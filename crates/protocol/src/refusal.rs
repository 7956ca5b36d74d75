use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use crate::short_text::{ELLIPSIS, cut};
use crate::{ContractAccount, Forbidden, NodeIndex, Owner, ShortText};

/// Why the network answers a request with no: what a node or the gateway found, in a form that travels.
///
/// Our own client is given it whole; a third-party client finds its [`close_reason`](Self::close_reason) in the
/// socket's close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Refusal {
    /// A frame that is not what the protocol expects.
    #[error("the request is malformed: {reason}")]
    Malformed {
        /// What is wrong, and where.
        reason: ShortText,
    },
    /// A frame that is longer than any that is needed.
    #[error("the {what} has {len} bytes, at most {limit} are taken")]
    TooLong {
        /// The frame.
        what: ShortText,
        /// Its length in bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// Nobody showed that they may ask.
    #[error("the request is not authenticated: {reason}")]
    Unauthenticated {
        /// What the signature lacks.
        reason: ShortText,
    },
    /// The challenge is too old, or not one that this node took part in.
    #[error("the challenge has expired or is unknown; ask for a new one")]
    Challenge,
    /// The nonce stands in another request already.
    #[error("the challenge was used for another request; ask for a new one")]
    Replayed,
    /// A quorum that the network has not.
    #[error("the request is for {asked}, the network is {has}")]
    Quorum {
        /// As asked for.
        asked: ShortText,
        /// As it is.
        has: ShortText,
    },
    /// No such key.
    #[error("the network holds no key with id {key_id}")]
    UnknownKey {
        /// The id asked for.
        key_id: ShortText,
    },
    /// A key under which nobody registered to ask.
    #[error("the ephemeral key is not registered for key {key_id}, or it has ended")]
    EphemeralKey {
        /// The key that was to sign.
        key_id: ShortText,
    },
    /// An owner's contract on a chain that a node does not ask.
    #[error(
        "node {node} serves no contract owners on chain {chain_id}; ask its operator to configure the chain"
    )]
    UnservedChain {
        /// The node.
        node: NodeIndex,
        /// The contract's chain.
        chain_id: u64,
    },
    /// A node whose RPC is another chain's than configured.
    #[error(
        "the RPC of node {node} for chain {chain_id} is of chain {found}; its operator has to correct it"
    )]
    OtherChain {
        /// The node.
        node: NodeIndex,
        /// The chain configured.
        chain_id: u64,
        /// The chain found.
        found: u64,
    },
    /// A node that gets no answer about the chain of an owner's contract.
    #[error("node {node} gets no answer about chain {chain_id}; try again")]
    ChainUnavailable {
        /// The node.
        node: NodeIndex,
        /// The contract's chain.
        chain_id: u64,
    },
    /// A block that a node's RPC has not seen, or no longer counts to the chain.
    #[error("node {node} does not find block {block} on chain {chain_id} yet; try again")]
    Behind {
        /// The node.
        node: NodeIndex,
        /// The contract's chain.
        chain_id: u64,
        /// The block's hash.
        block: B256,
    },
    /// A block that is too old to ask an owner's contract in.
    #[error("block {block} is {age} blocks old, at most {limit} are taken; name a newer block")]
    OldBlock {
        /// The block's hash.
        block: B256,
        /// How many blocks came after it.
        age: u64,
        /// How many may have come.
        limit: u64,
    },
    /// An owner that is said to be a contract and is none.
    #[error("there is no contract at {account} in block {block}; an undeployed owner cannot sign")]
    NoContract {
        /// The owner.
        account: ContractAccount,
        /// The block's hash.
        block: B256,
    },
    /// Somebody else's key.
    #[error("key {key_id} belongs to {owner}")]
    Owner {
        /// The key.
        key_id: ShortText,
        /// Its owner.
        owner: Owner,
    },
    /// Permissions for a key that has some.
    #[error("key {key_id} has permissions already, and keeps them; make another key")]
    AlreadyPermitted {
        /// The key.
        key_id: ShortText,
    },
    /// An owner whom the nodes do not serve.
    #[error("the network makes no keys for {owner}{}; ask its operator to admit this owner", because(token))]
    NotAdmitted {
        /// The owner.
        owner: Owner,
        /// Why the owner's admission token does not help; none where none was sent, or none is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<ShortText>,
    },
    /// An owner with too many keys.
    #[error("{owner} has {keys} keys, the network allows {limit}")]
    Quota {
        /// The owner.
        owner: Owner,
        /// The keys they have.
        keys: u64,
        /// The keys they may have.
        limit: u64,
    },
    /// A key made without permissions.
    #[error("the key was made without permissions, so it signs nothing; make one with a policy")]
    NoPermissions,
    /// Permissions that the owner did not sign.
    #[error(
        "this network makes no keys whose permissions the owner has not signed; add the signed entry (tag 4)"
    )]
    UnsignedPermissions,
    /// The permissions name another network, chain or owner than the request.
    #[error("the permissions are for another {what}: {found}, not {expected}")]
    OtherPermissions {
        /// Network, chain or owner.
        what: ShortText,
        /// As in the permissions.
        found: ShortText,
        /// As in the request.
        expected: ShortText,
    },
    /// What was asked for is not permitted.
    #[error("{reason}")]
    Forbidden {
        /// Which check failed, with both values.
        reason: ShortText,
        /// The contract's own revert reason, where it would refuse too.
        revert: Option<ShortText>,
    },
    /// A network that cannot count.
    #[error(
        "{threshold} of {size} nodes hold no limits that are counted: two quorums must have a node in common; leave \
         them out"
    )]
    Uncountable {
        /// How many nodes sign.
        threshold: u8,
        /// How many there are.
        size: u8,
    },
    /// A limit of the key's is used up.
    #[error("the {limited} would come to {total}; the key's limit is {limit}")]
    Limit {
        /// What is limited.
        limited: ShortText,
        /// What the operation would bring it to.
        total: U256,
        /// The limit.
        limit: U256,
    },
    /// A limit leaves no room beside requests that are under way and may yet come to nothing.
    #[error(
        "the {limited} would come to {total} with requests under way; the key's limit is {limit}; try again"
    )]
    Contended {
        /// What is limited.
        limited: ShortText,
        /// What the operation would bring it to, with what is under way.
        total: U256,
        /// The limit.
        limit: U256,
    },
    /// The signed requests that a node keeps of a counted key take as much room as they may.
    #[error(
        "node {node} keeps {held} bytes of signed requests of this key, {most} are the most; ask for a new key"
    )]
    JournalFull {
        /// The node.
        node: NodeIndex,
        /// The bytes kept.
        held: u64,
        /// The most bytes.
        most: u64,
    },
    /// The key was revoked by its owner.
    #[error("key {key_id} was revoked by its owner; it signs nothing more")]
    Revoked {
        /// The key.
        key_id: ShortText,
    },
    /// Nodes gave the request different keys, or the key to different requests, so that neither can be attested to by
    /// enough of them.
    #[error(
        "no key can be given to this request any more: nodes have given it to different ones; sign a new request"
    )]
    Split {
        /// The key that was named.
        key_id: ShortText,
    },
    /// Nodes are missing.
    #[error("{needed} nodes are needed and {ready} are ready; missing: {}", list(missing))]
    Nodes {
        /// How many are connected.
        ready: u8,
        /// How many the operation needs.
        needed: u8,
        /// Those that did not answer.
        missing: Vec<NodeIndex>,
    },
    /// One of the chosen signers has banned another.
    #[error(
        "node {node} never uses this key together with node {peer} again, which cheated it; other nodes can sign"
    )]
    Banned {
        /// Who refuses.
        node: NodeIndex,
        /// With whom.
        peer: NodeIndex,
    },
    /// One of the chosen signers waited in vain for another.
    #[error("node {node} heard nothing of node {peer} in time; other nodes can sign, or try again")]
    Silent {
        /// Who waited.
        node: NodeIndex,
        /// For whom.
        peer: NodeIndex,
    },
    /// One of the chosen signers sent another what no honest one sends, or a message that the gateway spoilt.
    #[error(
        "node {node} could not go on with what came from node {peer}: {reason}; other nodes can sign, or try again"
    )]
    Failed {
        /// Who gave up.
        node: NodeIndex,
        /// Whose message it was.
        peer: NodeIndex,
        /// What was wrong with it.
        reason: ShortText,
    },
    /// The nodes did not come to a result; the same request may be tried again.
    #[error("the network did not come to a result: {reason}; try again")]
    Unfinished {
        /// What went wrong.
        reason: ShortText,
    },
    /// The node was restored from a backup, and has not read from enough others yet what it has forgotten.
    #[error(
        "node {node} was restored from a backup and signs nothing before {needed} others have told it what it has \
         forgotten, {answered} of them so far; other nodes can sign"
    )]
    Quarantined {
        /// The node.
        node: NodeIndex,
        /// How many others have told it all.
        answered: u8,
        /// How many have to.
        needed: u8,
    },
    /// Too much at once.
    #[error("the network is busy; try again later")]
    Busy,
}

impl Refusal {
    /// The refusal's stable name, as in the `code` of its JSON form.
    ///
    /// ```
    /// # use quorate_protocol::Refusal;
    /// assert_eq!(Refusal::NoPermissions.code(), "noPermissions");
    /// ```
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::TooLong { .. } => "tooLong",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::Challenge => "challenge",
            Self::Replayed => "replayed",
            Self::Quorum { .. } => "quorum",
            Self::UnknownKey { .. } => "unknownKey",
            Self::EphemeralKey { .. } => "ephemeralKey",
            Self::UnservedChain { .. } => "unservedChain",
            Self::OtherChain { .. } => "otherChain",
            Self::ChainUnavailable { .. } => "chainUnavailable",
            Self::Behind { .. } => "behind",
            Self::OldBlock { .. } => "oldBlock",
            Self::NoContract { .. } => "noContract",
            Self::Owner { .. } => "owner",
            Self::AlreadyPermitted { .. } => "alreadyPermitted",
            Self::NotAdmitted { .. } => "notAdmitted",
            Self::Quota { .. } => "quota",
            Self::NoPermissions => "noPermissions",
            Self::UnsignedPermissions => "unsignedPermissions",
            Self::OtherPermissions { .. } => "otherPermissions",
            Self::Forbidden { .. } => "forbidden",
            Self::Uncountable { .. } => "uncountable",
            Self::Limit { .. } => "limit",
            Self::Contended { .. } => "contended",
            Self::JournalFull { .. } => "journalFull",
            Self::Revoked { .. } => "revoked",
            Self::Split { .. } => "split",
            Self::Nodes { .. } => "nodes",
            Self::Banned { .. } => "banned",
            Self::Silent { .. } => "silent",
            Self::Failed { .. } => "failed",
            Self::Unfinished { .. } => "unfinished",
            Self::Quarantined { .. } => "quarantined",
            Self::Busy => "busy",
        }
    }

    /// Whether the same request may succeed when other nodes are asked.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Banned { .. }
                | Self::Silent { .. }
                | Self::Failed { .. }
                | Self::Contended { .. }
                | Self::Unfinished { .. }
                | Self::Nodes { .. }
                | Self::Busy
                | Self::Behind { .. }
                | Self::ChainUnavailable { .. }
                | Self::Quarantined { .. }
        )
    }

    /// The message, short enough for the reason of a WebSocket close: long hex is cut to its ends first, then the
    /// text to 123 bytes (RFC 6455, section 5.5).
    ///
    /// ```
    /// # use quorate_protocol::Refusal;
    /// let reason = format!("the word is 0x{}, not 0x{}", "0c".repeat(32), "0a".repeat(32));
    /// let refusal = Refusal::Forbidden { reason: reason.into(), revert: None };
    /// assert_eq!(refusal.close_reason(), "the word is 0x0c0c…0c0c, not 0x0a0a…0a0a");
    /// ```
    pub fn close_reason(&self) -> String {
        let whole = self.to_string();
        if whole.len() <= MAX_CLOSE_REASON {
            return whole;
        }
        cut(with_short_hex(&whole), MAX_CLOSE_REASON)
    }
}

const MAX_CLOSE_REASON: usize = 123;

/// The text with every 0x-hex of more than 12 digits cut to its first and last four.
fn with_short_hex(text: &str) -> String {
    let mut pieces = text.split("0x");
    let mut short = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (hex, rest) = piece.split_at(digits);
        let ends = hex.get(..4).zip(hex.get(digits.saturating_sub(4)..)).filter(|_| digits > 12);
        let hex = ends.map_or_else(|| hex.to_owned(), |(first, last)| format!("{first}{ELLIPSIS}{last}"));
        short = format!("{short}0x{hex}{rest}");
    }
    short
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        let enforcer = || Some(forbidden.enforcer_text()?.to_string().into());
        let revert = forbidden.revert_reason().map(ShortText::from).or_else(enforcer);
        Self::Forbidden { reason: forbidden.to_string().into(), revert }
    }
}

/// A reason, where there is one, to follow what it is the reason of.
fn because(reason: &Option<ShortText>) -> String {
    reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// Nodes by their numbers: `2, 5`.
fn list(nodes: &[NodeIndex]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One refusal in JSON for every name that serde takes, which it lists where it takes none.
    fn codes() -> Vec<String> {
        let error = serde_json::from_str::<Refusal>(r#"{"code":"?"}"#).unwrap_err().to_string();
        error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_refusal_is_called_as_in_its_json_form() {
        let codes = codes();
        assert!(codes.len() > 30 && codes.contains(&"busy".to_owned()), "{codes:?}");
        let fields = r#""reason":"","what":"","len":0,"limit":"0x0","asked":"","has":"","keyId":"","node":1,"chainId":1,
            "found":1,"block":"0x0000000000000000000000000000000000000000000000000000000000000000","age":1,
            "account":"eip155:1:0x0000000000000000000000000000000000000000",
            "owner":"0x0000000000000000000000000000000000000000","keys":1,"expected":"","threshold":1,"size":1,
            "limited":"","total":"0x0","held":1,"most":1,"ready":1,"needed":1,"missing":[],"peer":1,"answered":1"#;
        let numbered = fields.replace(r#""limit":"0x0""#, r#""limit":1"#);
        let texts = fields.replace(r#""found":1"#, r#""found":"""#);
        for code in codes {
            let read = |fields: &str| serde_json::from_str(&format!(r#"{{"code":"{code}",{fields}}}"#));
            let read: Result<Refusal, serde_json::Error> =
                read(fields).or_else(|_| read(&numbered)).or_else(|_| read(&texts));
            assert_eq!(read.unwrap().code(), code);
        }
    }
}
