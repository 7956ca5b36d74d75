use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use quorate_bundler::BundlerError;
use quorate_core::merkle::TreeError;
use quorate_core::{Condition, DecodeError, EncodeError, Lint, PolicyErrors};
#[cfg(feature = "network")]
use quorate_network::NetworkError;
use quorate_paymaster::PaymasterError;
use quorate_protocol::{MessageError, PermissionsError};
use quorate_signer::SignerError;
use quorate_store::original::OriginalError;
use quorate_store::{AccountId, SessionId, StoreError};
#[cfg(feature = "http")]
use quorate_transport::BuildError;
use quorate_transport::TransportError;

use crate::multichain::MultichainError;
use crate::{Asset, CallRefusal, ExpectedCost, OwnerModule, Status};

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain's node.
    #[error("the chain's node gives no result: {0}")]
    Chain(#[from] TransportError),
    /// The node has no such block.
    #[error("the chain's node has no block {block}")]
    NoBlock {
        /// The block asked for.
        block: String,
    },
    /// The node is behind: what it says now is older than what was seen before.
    #[error(
        "the chain's node is at block {found}, and block {newest} was seen before; nothing is decided by it"
    )]
    Behind {
        /// The newest block that it has.
        found: u64,
        /// The newest block that was seen.
        newest: u64,
    },
    /// Node and bundler do not belong together.
    #[error("the node serves chain {node}, and the bundler chain {bundler}; give the URLs of one chain")]
    OtherChains {
        /// The node's chain.
        node: u64,
        /// The bundler's.
        bundler: u64,
    },
    /// The bundler serves other entry points.
    #[error("the bundler does not serve the entry point {needed}, but {served:?}")]
    NoEntryPoint {
        /// The entry point of the accounts.
        needed: Address,
        /// What it serves.
        served: Vec<Address>,
    },
    /// An endpoint's URL, or the system's HTTP client.
    #[error(transparent)]
    #[cfg(feature = "http")]
    Endpoint(#[from] BuildError),
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The bundler.
    #[error(transparent)]
    Bundler(#[from] BundlerError),
    /// The signing network.
    #[error(transparent)]
    #[cfg(feature = "network")]
    Network(#[from] NetworkError),
    /// Whoever was to sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The paymaster, or its service.
    #[error("the paymaster does not pay: {0}")]
    Paymaster(#[source] Box<PaymasterError>),
    /// Somebody else is to pay, and nobody was named.
    #[error("no paymaster is named; give the options one (`sponsored_by`), or the client (`with_paymaster`)")]
    NoPaymaster,
    /// An operation that a paymaster paid for, to be made anew by who would have the account pay.
    #[error(
        "paymaster {paymaster} was to pay for user operation {user_op_hash}; to make it anew, name a paymaster in the \
         options, or cancel it"
    )]
    PaymasterNeeded {
        /// The operation.
        user_op_hash: B256,
        /// Its paymaster.
        paymaster: Address,
    },
    /// A token's paymaster would take more than the account allows it; nothing was sent.
    #[error(
        "the paymaster {spender} may take {allowance} of token {token}, and needs up to {needed}; have the owner grant an \
         allowance (`paid_in(token).up_to(amount)`)"
    )]
    AllowanceTooLow {
        /// The token.
        token: Address,
        /// The paymaster's contract.
        spender: Address,
        /// What it may take, in the token's smallest unit.
        allowance: U256,
        /// The most that it would take.
        needed: U256,
    },
    /// The account has not enough of the token; nothing was sent.
    #[error("the account has {balance} of token {token}, and the operation takes up to {needed}")]
    TokenBalanceTooLow {
        /// The token.
        token: Address,
        /// What the account has, in the token's smallest unit.
        balance: U256,
        /// The most that would be taken.
        needed: U256,
    },
    /// An operation that may cost more than it should; nothing was signed.
    #[error(
        "the operation may cost {worst} wei, and the limit is {limit} wei: expected are {} wei ({} gas for the call, {} \
         for validation and {} for the bundler at {} wei, and {} wei for data); if that is meant, raise the limit by \
         `Options::{setter}`",
        expected.total(), expected.call_gas, expected.verification_gas, expected.pre_verification_gas,
        expected.fee_per_gas, expected.data_fee
    )]
    TooExpensive {
        /// The most that it may cost, in wei.
        worst: U256,
        /// The limit, in wei.
        limit: U256,
        /// The options' method that sets the limit.
        setter: &'static str,
        /// What it should cost, in parts.
        expected: Box<ExpectedCost>,
    },
    /// A policy that cannot be built.
    #[error("policy {policy}: {errors}")]
    Policy {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// All that is wrong with it.
        errors: PolicyErrors,
    },
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
        mistake: Lint,
    },
    /// A rule that the chain's session validation module lets pass whatever the argument is.
    #[error(
        "policy {policy}, rule {rule}: the session validation module of this chain does not enforce the condition \
         {condition:?}; write the rule by other conditions, or allow mistakes explicitly if this is meant"
    )]
    UnenforcedCondition {
        /// The policy's place in the list, from 0.
        policy: usize,
        /// The rule's place in the policy, from 0.
        rule: usize,
        /// The condition.
        condition: Condition,
    },
    /// The account has sessions that this grant does not know of, and that it would end.
    #[error(
        "the account's session root on chain is {found}, and the store does not know its leaves: another device changed \
         the sessions, and this update would end some; import the leaves to keep them, or name this root as one to replace"
    )]
    ForeignRoot {
        /// The root of the leaves given; zero where there are none.
        expected: B256,
        /// The root on chain.
        found: B256,
    },
    /// The tree on chain is another device's, so that nothing here can be proved against it.
    #[error(
        "the store does not know the leaves under the root {root} of {account}: another device changed the sessions; \
         take its leaves in (`import_leaves`) to go on using those made here"
    )]
    UnknownTree {
        /// The account.
        account: AccountId,
        /// The root on chain.
        root: B256,
    },
    /// A stored tree that somebody else wrote.
    #[error("the tree of {account} stored under the root {root} was altered; take its leaves in again")]
    AlteredTree {
        /// The account.
        account: AccountId,
        /// The root that it is stored under.
        root: B256,
    },
    /// A stored operation that somebody else wrote.
    #[error("the operation stored as {stored} was altered: it hashes to {found}")]
    AlteredOperation {
        /// The hash that it is stored under.
        stored: B256,
        /// Its hash.
        found: B256,
    },
    /// A tree that cannot be hashed.
    #[error(transparent)]
    Tree(TreeError),
    /// A leaf that was granted before. It has no salt, so that the two sessions would be one.
    #[error(
        "the leaf {leaf} is or was one of the account's sessions{}; choose another start (`validAfter`), key or rule",
        session.as_ref().map(|id| format!(", {id}")).unwrap_or_default()
    )]
    DuplicateLeaf {
        /// The leaf.
        leaf: B256,
        /// The session that has it; none where another device made it, or where it is given twice.
        session: Option<SessionId>,
    },
    /// A revocation that would change nothing; nothing was sent.
    #[error(
        "none of the sessions is in the account's tree on chain, so that there is nothing to revoke: {sessions:?}"
    )]
    NothingToRevoke {
        /// The sessions asked for.
        sessions: Vec<SessionId>,
    },
    /// Another operation of the owner's is on its way, and this one would take its place.
    #[error(
        "user operation {user_op_hash} of the owner's is under way, and this one would have its nonce; wait for it, \
         resume, rebuild or cancel it first"
    )]
    UnderWay {
        /// The operation.
        user_op_hash: B256,
    },
    /// Nothing left this machine, and nothing is left in the store.
    #[error("user operation {user_op_hash} was not sent: {source}")]
    NotSent {
        /// The operation.
        user_op_hash: B256,
        /// Why.
        source: Box<Self>,
    },
    /// The operation was sent, or may have been, and can get on chain or not. Sending it again is safe by the same
    /// draft, the same call, or [`resume`](crate::SmartAccount::resume): all keep its nonce.
    #[error("user operation {user_op_hash} may get on chain or not: {source}")]
    Unsettled {
        /// The operation.
        user_op_hash: B256,
        /// What the bundler or the connection said.
        source: Box<Self>,
    },
    /// An operation whose fees do not pay for the next block any more.
    #[error(
        "the fees of user operation {user_op_hash} are below the market's; rebuild it, and have its owner sign it"
    )]
    FeesTooLow {
        /// The operation.
        user_op_hash: B256,
    },
    /// An operation that is refused for ever.
    #[error(
        "user operation {user_op_hash} can never get on chain: it would create the account, which exists, or its time is \
         over; rebuild it"
    )]
    Dead {
        /// The operation.
        user_op_hash: B256,
    },
    /// Another operation took the nonce.
    #[error("user operation {by} in transaction {transaction} took the place of {user_op_hash}")]
    Replaced {
        /// The operation that was waited for.
        user_op_hash: B256,
        /// The one that is on chain.
        by: B256,
        /// Its transaction.
        transaction: B256,
    },
    /// The nonce is used, and not by this operation.
    #[error(
        "the nonce {nonce:#x} of user operation {user_op_hash} is used, so that it cannot get on chain any more"
    )]
    NonceUsed {
        /// The operation.
        user_op_hash: B256,
        /// Its nonce.
        nonce: U256,
    },
    /// No such operation in the store.
    #[error("the store has no user operation {user_op_hash} of {account}")]
    UnknownOperation {
        /// The account.
        account: AccountId,
        /// The hash asked for.
        user_op_hash: B256,
    },
    /// An operation that a session made, and not the owner.
    #[error(
        "user operation {user_op_hash} is one of session {session}, which makes it anew by itself: resume it"
    )]
    NotTheOwner {
        /// The operation.
        user_op_hash: B256,
        /// The session.
        session: SessionId,
    },
    /// A session that would be lost.
    #[error("session {session} is {status}; only a session that has ended or never began can be forgotten")]
    StillLive {
        /// The session.
        session: SessionId,
        /// Where it stands.
        status: Status,
    },
    /// A network judges by the permissions that its key was made with.
    #[error(
        "a signing network holds the key {key_id} and signs until the end that it was made for; grant a session with a \
         new key instead"
    )]
    NotExtendable {
        /// The key's id there.
        key_id: String,
    },
    /// A module of which it is not known where a session's key stands in its data.
    #[error(
        "where the session's key stands in the data of module {module} is not known; grant a new session"
    )]
    UnknownModule {
        /// The module.
        module: Address,
    },
    /// Two withdrawals that cannot both be had.
    #[error(
        "withdrawal {withdrawal} asks for what is left of {asset:?}, and the others leave nothing certain"
    )]
    WithdrawnTwice {
        /// The withdrawal's place, from 0.
        withdrawal: usize,
        /// What is withdrawn.
        asset: Asset,
    },
    /// Stored call data that is none of the account's.
    #[error(transparent)]
    Decode(DecodeError),
    /// The original's documents.
    #[error(transparent)]
    Original(OriginalError),
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
    /// A key of another session.
    #[error("the key given for session {session} is not its key, {address}")]
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
    ExternalKey {
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
    /// A session whose key no network holds.
    #[error("no signing network holds the key of session {session}")]
    NotDistributed {
        /// The session.
        session: SessionId,
    },
    /// No call to make.
    #[error("an operation needs at least one call")]
    NoCalls,
    /// Nothing to deploy.
    #[error("account {account} is deployed already")]
    AlreadyDeployed {
        /// The account.
        account: Address,
    },
    /// An account that obeys nobody.
    #[error("the {module} names no owner of account {account}")]
    NoOwner {
        /// The account.
        account: Address,
        /// The module.
        module: OwnerModule,
    },
    /// An account that obeys no module that is known.
    #[error("account {account} has neither the ECDSA ownership module nor the multichain module enabled")]
    NoOwnerModule {
        /// The account.
        account: Address,
    },
    /// Nothing to enable.
    #[error("the {module} is enabled on account {account} already; go on `with_owner_module`")]
    OwnerModuleEnabled {
        /// The account.
        account: Address,
        /// The module.
        module: OwnerModule,
    },
    /// Operations that cannot be signed together.
    #[error(transparent)]
    Multichain(#[from] MultichainError),
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
        "withdrawal {withdrawal} asks for all native coin, of which the account pays the gas; give an amount, or have a \
         paymaster pay"
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
    /// A draft, or a session, of another account.
    #[error("this belongs to {draft}, not to {account}")]
    OtherAccount {
        /// The account of what was given.
        draft: AccountId,
        /// This account.
        account: AccountId,
    },
    /// A draft that another owner was to sign.
    #[error(
        "the draft is for the signature of {draft}, and the account's owner is {account}: the ownership was transferred; \
         prepare it again"
    )]
    OtherOwner {
        /// The draft's owner.
        draft: Address,
        /// The account's owner.
        account: Address,
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
    /// The bundler let it go before it was in a block. Others may still have its bytes.
    #[error(
        "the bundler dropped user operation {user_op_hash}{}; submit the same draft or make the same call again, which goes \
         on at the same nonce, or `resume`",
        reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default()
    )]
    Dropped {
        /// The operation.
        user_op_hash: B256,
        /// Why, where the bundler says so.
        reason: Option<String>,
    },
    /// Not in a block yet. The operation may still get there: wait again by its hash.
    #[error(
        "user operation {user_op_hash} is not in a block with the confirmations asked for after {} s; wait again later{}",
        after.as_secs(),
        source.as_ref().map(|source| format!(" (the last look failed: {source})")).unwrap_or_default()
    )]
    Timeout {
        /// The operation.
        user_op_hash: B256,
        /// How long was waited.
        after: Duration,
        /// Why the last look that failed did.
        source: Option<Box<Self>>,
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

impl From<PaymasterError> for Error {
    fn from(error: PaymasterError) -> Self {
        Self::Paymaster(Box::new(error))
    }
}

impl Error {
    /// Leaves an operation's fate open, whatever went wrong with it.
    pub(crate) fn unsettled(user_op_hash: B256, source: Self) -> Self {
        match source {
            source @ Self::Unsettled { .. } => source,
            source => Self::Unsettled { user_op_hash, source: Box::new(source) },
        }
    }
}
