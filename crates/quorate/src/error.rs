use std::time::Duration;

use alloy_primitives::{Address, B256};
use quorate_bundler::BundlerError;
use quorate_core::{EncodeError, Mistake};
use quorate_network::NetworkError;
use quorate_protocol::{MessageError, PermissionsError};
use quorate_signer::SignerError;
use quorate_store::{InvalidSessionId, SessionId, StoreError};
use quorate_transport::{BuildError, TransportError};

use crate::CallRefusal;

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain's node.
    #[error("the chain's node gave no answer")]
    Chain(#[from] TransportError),
    /// An endpoint's URL, or the system's HTTP client.
    #[error(transparent)]
    Endpoint(#[from] BuildError),
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The bundler.
    #[error(transparent)]
    Bundler(#[from] BundlerError),
    /// The signing network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Whoever was to sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A contract answered something else than its ABI says.
    #[error("{contract} did not answer {function} as it should; is it deployed on this chain?")]
    Contract {
        /// What was called.
        function: &'static str,
        /// Where.
        contract: Address,
        /// What is wrong with the answer.
        source: alloy_sol_types::Error,
    },
    /// A grant without a policy.
    #[error("a session needs at least one policy")]
    NoPolicy,
    /// A policy that is evidently not what was meant.
    #[error("policy {policy}: {mistake}; allow mistakes explicitly if this is meant")]
    Mistake {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// What is odd about it.
        mistake: Mistake,
    },
    /// The account has sessions that this grant does not know of, and that it would end.
    #[error(
        "the account's session root on chain is {found}, expected {expected}: another device made sessions that this \
         change would end; import their leaves to keep them, or name this root as one to replace"
    )]
    ForeignRoot {
        /// The root of the leaves given; zero where there are none.
        expected: B256,
        /// The root on chain.
        found: B256,
    },
    /// The account's sessions changed after the operation was prepared; nothing was sent.
    #[error(
        "the account's session root on chain is {found}, and the prepared operation expects to replace {expected}: \
         the sessions changed in between; prepare it again"
    )]
    RootChanged {
        /// The root that the operation was prepared for.
        expected: B256,
        /// The root on chain.
        found: B256,
    },
    /// No policy of the session allows the call; nothing was sent.
    #[error("the session forbids call {call}: {refusal}")]
    Forbidden {
        /// The call's place, from 0.
        call: usize,
        /// What the policy nearest to allowing it found.
        refusal: CallRefusal,
    },
    /// The session's leaf is not under the account's root.
    #[error(
        "the session of {session_key} is not among those of account {account} on chain: it was revoked or replaced, \
             or its grant is not in a block yet"
    )]
    NotGranted {
        /// The account.
        account: Address,
        /// The session's key.
        session_key: Address,
    },
    /// No session at this place.
    #[error("session {index} was asked for, the account has {len}, counted from 0")]
    NoSuchSession {
        /// The place asked for.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// No active session allows the calls.
    #[error("no active session of the account allows the calls{}", refusal.as_ref().map(|refusal| format!("; the nearest refuses: {refusal}")).unwrap_or_default())]
    NoSessionAllows {
        /// What the nearest found; none where no session is active.
        refusal: Option<CallRefusal>,
    },
    /// The stored key is another's.
    #[error("the store's key of session {session} is not the key of {address}")]
    OtherKey {
        /// The session.
        session: SessionId,
        /// The session's key.
        address: Address,
    },
    /// A network holds the key, and the client has none.
    #[error("a signing network holds key {key_id}; give the client that network")]
    NoNetwork {
        /// The key's id there.
        key_id: String,
    },
    /// The key is in no store.
    #[error("the key {address} of session {session} is not in the store; use the session with its signer")]
    KeyElsewhere {
        /// The session.
        session: SessionId,
        /// The session's key.
        address: Address,
    },
    /// Two sessions that cannot be used together.
    #[error("one batch is signed by one session key for one account; {one} and {other} are two")]
    OtherSession {
        /// One of them.
        one: Address,
        /// The other.
        other: Address,
    },
    /// A network's nodes know rules of calls, and not the token module's.
    #[error(
        "a signing network does not judge sessions of the ERC-20 module; write the transfer as a policy with rules"
    )]
    NotDistributable,
    /// No call to make.
    #[error("an operation needs at least one call")]
    NoCalls,
    /// Nothing to deploy.
    #[error("account {account} is deployed already")]
    AlreadyDeployed {
        /// The account.
        account: Address,
    },
    /// Nothing there to act.
    #[error(
        "account {account} is not deployed on chain {chain_id}; deploy it first, which a grant does as well"
    )]
    NotDeployed {
        /// The account.
        account: Address,
        /// The chain.
        chain_id: u64,
    },
    /// All native coin, less what the operation costs, which is not known before.
    #[error(
        "withdrawal {withdrawal} asks for all native coin, of which the account pays the gas; give an amount"
    )]
    AllOfNative {
        /// The withdrawal's place, from 0.
        withdrawal: usize,
    },
    /// A session whose leaves nobody else has.
    #[error(
        "the leaves given have the root {given}, and the account's root on chain is {found}; give all of its leaves in order"
    )]
    OtherTree {
        /// The root of the leaves given.
        given: B256,
        /// The root on chain.
        found: B256,
    },
    /// A stored draft of another account.
    #[error("the draft is for account {draft} on chain {draft_chain}, not for {account} on chain {chain}")]
    OtherAccount {
        /// The draft's account.
        draft: Address,
        /// Its chain.
        draft_chain: u64,
        /// This account.
        account: Address,
        /// This chain.
        chain: u64,
    },
    /// A session of another chain.
    #[error("the session is granted on chain {session}, and this client's chain is {chain}")]
    OtherChain {
        /// The session's chain.
        session: u64,
        /// The client's chain.
        chain: u64,
    },
    /// A value that has no encoding.
    #[error(transparent)]
    Encode(EncodeError),
    /// A stored id that is none.
    #[error(transparent)]
    SessionId(InvalidSessionId),
    /// The session store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operation is in a block, and its call reverted.
    #[error("user operation {user_op_hash} is in a block, but its call reverted{}", reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Reverted {
        /// The operation.
        user_op_hash: B256,
        /// Why, where the bundler says so.
        reason: Option<String>,
    },
    /// Not in a block yet. The operation may still get there: wait again by its hash.
    #[error("user operation {user_op_hash} is not in a block after {} s; wait again later", after.as_secs())]
    Timeout {
        /// The operation.
        user_op_hash: B256,
        /// How long was waited.
        after: Duration,
    },
    /// Something stored that cannot be read.
    #[error("the stored {what} cannot be read")]
    Stored {
        /// What it should be.
        what: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The stored permissions.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
    /// The stored operation.
    #[error(transparent)]
    Message(#[from] MessageError),
}
