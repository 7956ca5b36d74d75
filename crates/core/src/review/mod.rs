//! What is about to be signed, as lines of text, from the exact bytes that will be signed.
//!
//! A device that shows what an app *says* signs whatever the app wants. [`Review`] reads the user operation itself:
//! the lines come from the bytes as they are hashed, and the hash to sign comes after the last of them, from that
//! same pass. For a grant it first shows the sessions and then checks that they are what the operation's root
//! stands for. What it cannot read it does not pass over: it refuses, or where asked to says that it is blind.
//!
//! ```
//! use quorate_core::*;
//!
//! # let manager = Address::repeat_byte(0x0e);
//! # let module = Address::repeat_byte(0x0f);
//! let known = Known {
//!     session_key_manager: manager,
//!     abi_session_validation_module: module,
//!     functions: &["safeMint(address to)"],
//! };
//!
//! // A session for one policy …
//! let friend = Address::repeat_byte(0xcc);
//! let policy = Policy::new(Address::repeat_byte(0xaa), "safeMint(address)".parse()?)
//!     .with_rule(Rule::new(0, Condition::Equal, friend))?;
//! let mut session_key_data = heapless::Vec::<u8, 128>::new();
//! SessionKeyData::new(Address::repeat_byte(0xbb), &policy).write_to(&mut session_key_data)?;
//! let leaf = SessionLeaf { epoch: policy.epoch(), validation_module: module, session_key_data: &session_key_data };
//!
//! // … and the operation that grants it.
//! let set_merkle_root = FunctionSelector::parse("setMerkleRoot(bytes32)")?;
//! let set_root = [set_merkle_root.as_bytes().as_slice(), leaf.hash().as_slice()].concat();
//! let mut call_data = heapless::Vec::<u8, 256>::new();
//! Execute(Call { to: manager, value: U256::ZERO, data: &set_root }).write_to(&mut call_data)?;
//! let operation = UserOperation::<&[u8]> { call_data: &call_data, ..UserOperation::default() };
//!
//! let target = Domain { entry_point: Address::repeat_byte(0xee), chain_id: 1 };
//! let mut shown = String::new();
//! let head = OperationHead::V0_6(operation.without_call_data());
//! let mut review: Review<'_, _> = Review::begin(known, target, head, &mut shown);
//! review.session(&leaf)?;
//! for piece in call_data.chunks(50) {
//!     review.call_data(piece)?;
//! }
//! let hash = review.finish()?;
//! assert_eq!(hash, operation.hash(target.entry_point, target.chain_id));
//! assert!(shown.contains("safeMint(address to)"));
//! assert!(shown.contains(&format!("only if to is equal to {friend}")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call_stream;
pub(crate) mod context;
pub(crate) mod key_request;
mod multichain;

use core::fmt;

use alloy_primitives::{Address, B256, Keccak256, U256};

pub use self::multichain::{MultichainReview, MultichainReviewError, OperationReview};

use self::call_stream::{CallHead, CallStream, Event};
use crate::{
    abi::{
        selector::FunctionSelector,
        signature_text::{self, Argument},
    },
    operation::{
        HashError,
        initialization::Initialization,
        unpacked::UnpackedUserOperation,
        v0_6::{CallDataDigest as _, Digest, UserOperation},
    },
    session::{
        evaluate::{Refusal, evaluate},
        leaf::SessionLeaf,
        merkle::RootBuilder,
        session_key_data::{MalformedSessionKeyData, ParsedSessionKeyData},
    },
    show::{Ether, Lines, Safe, Time, Word},
};

/// What the reviewer knows by itself, and is not told by whoever asks for a signature.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The module that keeps the roots of accounts' sessions.
    pub session_key_manager: Address,
    /// The session validation module whose policies can be shown.
    pub abi_session_validation_module: Address,
    /// Signatures of functions with the names of their arguments, which are shown for their selectors.
    pub functions: &'a [&'a str],
}

/// Where an operation is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The entry point.
    pub entry_point: Address,
    /// The chain.
    pub chain_id: u64,
}

/// A user operation of some entry point, all but its call data, which comes in pieces.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum OperationHead<'a> {
    V0_6(UserOperation<&'a [u8], ()>),
    V0_7(UnpackedUserOperation<&'a [u8], ()>),
    V0_8(UnpackedUserOperation<&'a [u8], ()>),
    V0_9(UnpackedUserOperation<&'a [u8], ()>),
}

/// Why a review does not end in a hash to sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// The lines cannot be written.
    #[error("the review cannot be shown")]
    Show(#[from] fmt::Error),
    /// Call data that is not in the one layout in which it can mean only one thing.
    #[error(
        "the call data cannot be read from byte {at} on: it is not calls of the account in canonical encoding"
    )]
    Unreadable {
        /// The first byte of what does not belong there.
        at: usize,
    },
    /// The call data ends within a call.
    #[error("the call data ends at byte {at}, within a call")]
    Ends {
        /// Its length.
        at: usize,
    },
    /// More calls than can be kept in mind.
    #[error("the operation makes {calls} calls, at most {limit} can be reviewed")]
    TooManyCalls {
        /// The number of calls.
        calls: u64,
        /// The reviewer's room.
        limit: usize,
    },
    /// The sessions shown are not what the operation's root stands for.
    #[error(
        "the sessions shown make the root {shown}, but the operation sets {set}: other sessions would be granted"
    )]
    OtherRoot {
        /// The root of the sessions shown.
        shown: B256,
        /// The root in the call data.
        set: B256,
    },
    /// The operation sets a root, and no sessions came with it.
    #[error("the operation sets the session root {set}, but the sessions under it were not given")]
    SessionsMissing {
        /// The root in the call data.
        set: B256,
    },
    /// Sessions were given, and the operation sets no root, or more than one.
    #[error("sessions were given, but the operation sets {times} session roots instead of one")]
    NotOneRoot {
        /// How often it sets one.
        times: u32,
    },
    /// A session that another module checks, or data that is no policy.
    #[error(
        "session {session} is checked by {module}, which is unknown here: what it allows cannot be shown"
    )]
    UnknownModule {
        /// Which session, counted from 0.
        session: usize,
        /// Its session validation module.
        module: Address,
    },
    /// Session key data that cannot be read.
    #[error("session {session}")]
    Session {
        /// Which session, counted from 0.
        session: usize,
        /// What is wrong with it.
        source: MalformedSessionKeyData,
    },
    /// A session that comes when it can no longer be compared with the call data.
    #[error("a session comes after the call data has begun; all sessions come before it")]
    LateSession,
    /// More sessions than a tree has.
    #[error("there are more sessions than a tree can hold")]
    TooManySessions,
    /// The session does not allow the call.
    #[error("the session forbids the call")]
    Forbidden(#[source] Refusal),
    /// The entry point would not take the operation.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// What to do with call data that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Refuse the operation.
    #[default]
    Refuse,
    /// Say so, and leave the decision to whoever reads it. A grant is refused all the same.
    Show,
}

/// The review of one operation: [`begin`](Self::begin), each [`session`](Self::session) of a grant, the
/// [`call_data`](Self::call_data) in pieces, [`finish`](Self::finish).
///
/// It takes some 3 KiB with its room for 8 calls, whatever the number of sessions and the length of the call data.
pub struct Review<'a, W, const CALLS: usize = 8> {
    target: Domain,
    head: OperationHead<'a>,
    hasher: Keccak256,
    stream: CallStream<CALLS>,
    sessions: usize,
    root: RootBuilder,
    reader: Reader<'a, W>,
    head_shown: bool,
    on_unreadable: OnUnreadable,
    unreadable: bool,
}

impl<'a, W: fmt::Write, const CALLS: usize> Review<'a, W, CALLS> {
    /// The review of an operation. The first step shows who acts, and who pays how much.
    // What takes kilobytes is made in its place and handed on by address, for the stack's sake: this cannot fail, since
    // a result would be moved; and inlined, the parts that it is made of would lie beside it.
    #[inline(never)]
    pub fn begin(known: Known<'a>, target: Domain, head: OperationHead<'a>, out: W) -> Self {
        Self {
            target,
            head,
            hasher: Keccak256::new(),
            stream: CallStream::new(),
            sessions: 0,
            root: RootBuilder::default(),
            reader: Reader {
                known,
                sender: head.sender(),
                shown_root: None,
                roots_set: 0,
                call: CurrentCall::default(),
                lines: Lines(out),
            },
            head_shown: false,
            on_unreadable: OnUnreadable::Refuse,
            unreadable: false,
        }
    }

    /// Shows the next session that the account is to have. They come before the call data: all of them, in the order
    /// of their tree, and none for an operation that grants nothing.
    ///
    /// # Errors
    /// A session that cannot be shown.
    pub fn session(&mut self, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        if self.stream.has_begun() {
            return Err(ReviewError::LateSession);
        }
        self.show_head_first()?;
        let Reader { known, lines, .. } = &mut self.reader;
        lines.line(format_args!("Session {}:", self.sessions + 1))?;
        show_session(lines, *known, self.sessions, leaf)?;
        self.sessions += 1;
        self.root.push(leaf.hash()).map_err(|_| ReviewError::TooManySessions)?;
        self.reader.shown_root = self.root.root();
        Ok(())
    }

    /// Says what to do with call data that cannot be read; it is refused unless something else is said.
    #[must_use]
    pub const fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.on_unreadable = on_unreadable;
        self
    }

    /// Takes the next piece of the call data, and shows the calls that are whole.
    ///
    /// # Errors
    /// Call data that cannot be read, or a root that is not that of the sessions shown. Nothing may be signed then.
    pub fn call_data(&mut self, piece: &[u8]) -> Result<(), ReviewError> {
        self.show_head_first()?;
        self.hasher.update(piece);
        if self.unreadable {
            return Ok(());
        }
        let Self { stream, reader, .. } = self;
        let read = stream.push(piece, &mut |event| reader.take(event));
        self.or_blind(read)
    }

    /// Ends the review, and gives the operation's hash: what is signed if the lines are approved.
    ///
    /// # Errors
    /// Call data that ends within a call, sessions that are not granted, or an operation that the entry point would
    /// not take.
    // Not by value, which would copy it.
    #[inline(never)]
    pub fn finish(&mut self) -> Result<B256, ReviewError> {
        self.show_head_first()?;
        if !self.unreadable {
            let read = self.stream.finish();
            self.or_blind(read)?;
        }
        let times = self.reader.roots_set;
        if times > 1 || (self.reader.shown_root.is_some() && times != 1) {
            return Err(ReviewError::NotOneRoot { times });
        }
        let hash = self.head.hash(Digest(self.hasher.clone().finalize()), self.target)?;
        self.reader.lines.line(format_args!("Hash of all this: {hash}"))?;
        Ok(hash)
    }

    #[inline(never)]
    fn show_head_first(&mut self) -> fmt::Result {
        if !self.head_shown {
            self.head_shown = true;
            show_head(&mut self.reader.lines, self.target, &self.head)?;
        }
        Ok(())
    }

    /// Goes on without reading where that is wanted, and where no sessions depend on it.
    fn or_blind(&mut self, read: Result<(), ReviewError>) -> Result<(), ReviewError> {
        match read {
            Err(
                error @ (ReviewError::Unreadable { .. }
                | ReviewError::Ends { .. }
                | ReviewError::TooManyCalls { .. }),
            ) if self.on_unreadable == OnUnreadable::Show && self.reader.shown_root.is_none() => {
                self.unreadable = true;
                let sender = self.reader.sender;
                self.reader.lines.line(format_args!("UNREADABLE: {error}"))?;
                self.reader.lines.line(format_args!("  Nobody can say here what {sender} will do."))?;
                Ok(())
            }
            read => read,
        }
    }
}

impl<W, const CALLS: usize> fmt::Debug for Review<'_, W, CALLS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Review")
            .field("target", &self.target)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Reviews the use of a session: shows the policy and the call, and refuses what the policy forbids.
///
/// It gives the operation's hash. Rules look at any word of the call's data, so that all of it has to be there.
///
/// # Errors
/// As [`Review`], and [`ReviewError::Forbidden`].
pub fn review_use<W: fmt::Write>(
    known: Known<'_>,
    target: Domain,
    head: OperationHead<'_>,
    call_data: &[u8],
    leaf: &SessionLeaf<'_>,
    mut out: W,
) -> Result<B256, ReviewError> {
    let mut lines = Lines(&mut out);
    lines.line(format_args!("Use of a session:"))?;
    show_session(&mut lines, known, 0, leaf)?;
    evaluate(leaf.session_key_data, call_data).map_err(ReviewError::Forbidden)?;
    let mut review: Review<'_, _, 1> = Review::begin(known, target, head, out);
    review.call_data(call_data)?;
    review.finish()
}

impl OperationHead<'_> {
    /// The account that acts.
    pub const fn sender(&self) -> Address {
        match self {
            Self::V0_6(operation) => operation.sender,
            Self::V0_7(operation) | Self::V0_8(operation) | Self::V0_9(operation) => operation.sender,
        }
    }

    /// The operation's hash with the digest of its call data.
    ///
    /// # Errors
    /// A paymaster's signature that the entry point would not take.
    pub fn hash(&self, call_data: Digest, target: Domain) -> Result<B256, HashError> {
        let Domain { entry_point, chain_id } = target;
        match self {
            Self::V0_6(operation) => Ok(operation.with_call_data(call_data).hash(entry_point, chain_id)),
            Self::V0_7(operation) => operation.with_call_data(call_data).hash_v0_7(entry_point, chain_id),
            Self::V0_8(operation) => Ok(operation.with_call_data(call_data).hash_v0_8(entry_point, chain_id)),
            Self::V0_9(operation) => operation.with_call_data(call_data).hash_v0_9(entry_point, chain_id),
        }
    }

    const fn version(&self) -> &'static str {
        match self {
            Self::V0_6(_) => "v0.6",
            Self::V0_7(_) => "v0.7",
            Self::V0_8(_) => "v0.8",
            Self::V0_9(_) => "v0.9",
        }
    }
}

fn show_head<W: fmt::Write>(lines: &mut Lines<W>, target: Domain, head: &OperationHead<'_>) -> fmt::Result {
    lines.line(format_args!("Account {} on chain {}", head.sender(), target.chain_id))?;
    lines.line(format_args!("  entry point {} {}", head.version(), target.entry_point))?;
    match head {
        OperationHead::V0_6(operation) => {
            lines.line(format_args!("  nonce {:#x}", operation.nonce))?;
            if let Some((factory, data)) = operation.init_code.split_first_chunk::<20>() {
                show_deployment(lines, Address::from(*factory), data)?;
            }
            let paymaster = operation.paymaster_and_data.split_first_chunk::<20>();
            let verifications = U256::from(if paymaster.is_some() { 3 } else { 1 });
            let gas = operation
                .call_gas_limit
                .saturating_add(operation.verification_gas_limit.saturating_mul(verifications))
                .saturating_add(operation.pre_verification_gas);
            show_fees(lines, gas, operation.max_fee_per_gas)?;
            match paymaster {
                Some((paymaster, data)) => show_paymaster(lines, Address::from(*paymaster), data),
                None => lines.line(format_args!("  paid by the account")),
            }
        }
        OperationHead::V0_7(operation) | OperationHead::V0_8(operation) | OperationHead::V0_9(operation) => {
            lines.line(format_args!("  nonce {:#x}", operation.nonce))?;
            match operation.init {
                Initialization::Deployed => {}
                Initialization::Factory { factory, data } => show_deployment(lines, factory, data)?,
                Initialization::Delegated { delegate, data } => {
                    lines.line(format_args!("  runs the code of {delegate} (EIP-7702)"))?;
                    lines.line(format_args!(
                        "    {} bytes for its start, keccak {}",
                        data.len(),
                        data.keccak256()
                    ))?;
                }
            }
            let paymaster = operation.paymaster.as_ref();
            let gas = [
                Some(operation.call_gas_limit),
                Some(operation.verification_gas_limit),
                paymaster.map(|paymaster| paymaster.verification_gas_limit),
                paymaster.map(|paymaster| paymaster.post_op_gas_limit),
            ];
            let gas = gas
                .into_iter()
                .flatten()
                .fold(operation.pre_verification_gas, |sum, limit| sum.saturating_add(U256::from(limit)));
            show_fees(lines, gas, U256::from(operation.max_fee_per_gas))?;
            match paymaster {
                Some(paymaster) => show_paymaster(lines, paymaster.paymaster, paymaster.data),
                None => lines.line(format_args!("  paid by the account")),
            }
        }
    }
}

fn show_deployment<W: fmt::Write>(lines: &mut Lines<W>, factory: Address, data: &[u8]) -> fmt::Result {
    lines.line(format_args!("  deployed first, by the factory {factory}"))?;
    lines.line(format_args!("    {} bytes for it, keccak {}", data.len(), data.keccak256()))
}

fn show_fees<W: fmt::Write>(lines: &mut Lines<W>, gas: U256, max_fee_per_gas: U256) -> fmt::Result {
    lines.line(format_args!("  fees of at most {}", Ether(gas.saturating_mul(max_fee_per_gas))))
}

fn show_paymaster<W: fmt::Write>(lines: &mut Lines<W>, paymaster: Address, data: &[u8]) -> fmt::Result {
    lines.line(format_args!("  paid by the paymaster {paymaster}"))?;
    lines.line(format_args!("    {} bytes for it, keccak {}", data.len(), data.keccak256()))
}

/// One session: the key, and its policy in words.
fn show_session<W: fmt::Write>(
    lines: &mut Lines<W>,
    known: Known<'_>,
    session: usize,
    leaf: &SessionLeaf<'_>,
) -> Result<(), ReviewError> {
    if leaf.validation_module != known.abi_session_validation_module {
        return Err(ReviewError::UnknownModule { session, module: leaf.validation_module });
    }
    let malformed = |source| ReviewError::Session { session, source };
    let data = ParsedSessionKeyData::parse(leaf.session_key_data).map_err(malformed)?;
    let function = known.function(data.selector());

    lines.line(format_args!("  the key {}", data.session_key()))?;
    lines.line(format_args!("  may call {}", data.contract()))?;
    lines.line(format_args!("  function {}", ShownFunction(data.selector(), function)))?;
    lines.line(format_args!("  with a value of at most {}", Ether(U256::from(data.value_limit()))))?;
    let mut rules = 0;
    for rule in data.strict_rules() {
        let rule = rule.map_err(malformed)?;
        let subject = Subject { function, offset: usize::from(rule.offset()) };
        let value = Word(rule.reference().word(), subject.argument().and_then(|argument| argument.kind));
        lines.line(format_args!("  only if {subject} is {} {value}", rule.condition().words()))?;
        rules += 1;
    }
    if rules == 0 {
        lines.line(format_args!("  with any arguments"))?;
    }
    match leaf.epoch.valid_after() {
        0 => lines.line(format_args!("  from now on"))?,
        start => lines.line(format_args!("  from {}", Time(start)))?,
    }
    match leaf.epoch.valid_until() {
        0 => lines.line(format_args!("  WITHOUT END"))?,
        end => lines.line(format_args!("  until {}", Time(end)))?,
    }
    Ok(())
}

/// Judges and shows the calls as they are read.
struct Reader<'a, W> {
    known: Known<'a>,
    sender: Address,
    /// The root of the sessions that were shown, if there were any.
    shown_root: Option<B256>,
    roots_set: u32,
    call: CurrentCall,
    lines: Lines<W>,
}

/// What is kept of the call that is being read.
#[derive(Default)]
struct CurrentCall {
    number: usize,
    of: usize,
    head: CallHead,
    start: heapless::Vec<u8, KEPT>,
    hasher: Keccak256,
}

/// The selector and the words of a call's data that are shown; the digest stands for the rest.
const KEPT: usize = 4 + 32 * SHOWN_WORDS;
const SHOWN_WORDS: usize = 8;

/// The session key manager's `setMerkleRoot(bytes32)`.
const SET_MERKLE_ROOT: [u8; 4] = [0x7c, 0xb6, 0x47, 0x59];
/// The account's `enableModule(address)`.
const ENABLE_MODULE: [u8; 4] = [0x61, 0x0b, 0x59, 0x25];

impl<W: fmt::Write> Reader<'_, W> {
    fn take(&mut self, event: Event<'_>) -> Result<(), ReviewError> {
        match event {
            Event::Begin { number, of, head } => {
                self.call = CurrentCall { number, of, head, ..CurrentCall::default() };
                Ok(())
            }
            Event::Data(data) => {
                let CurrentCall { start, hasher, .. } = &mut self.call;
                hasher.update(data);
                let room = data.len().min(KEPT - start.len());
                // There is room for that much.
                let _ = start.extend_from_slice(data.get(..room).unwrap_or_default());
                Ok(())
            }
            Event::End => self.show_call(),
        }
    }

    fn show_call(&mut self) -> Result<(), ReviewError> {
        let CallHead { to, value, data_len } = self.call.head;
        let (number, of) = (self.call.number + 1, self.call.of);
        let data = core::mem::take(&mut self.call.start);
        let one_word = data.split_first_chunk::<4>().and_then(|(selector, arguments)| {
            let word: &[u8; 32] = arguments.first_chunk()?;
            (data_len == 36).then_some((*selector, B256::new(*word)))
        });

        self.lines.line(format_args!("Call {number} of {of}:"))?;
        match one_word {
            Some((SET_MERKLE_ROOT, root)) if to == self.known.session_key_manager => {
                self.check_root(root)?;
                self.lines.line(format_args!("  grants the sessions shown, and ends all others"))?;
                self.lines.line(format_args!("  root {root}"))?;
            }
            Some((ENABLE_MODULE, module)) if to == self.sender => {
                let module = Word(module, Some("address"));
                let is_manager =
                    one_word.is_some_and(|(_, word)| word == self.known.session_key_manager.into_word());
                if is_manager {
                    self.lines.line(format_args!("  lets sessions act for the account (module {module})"))?;
                } else {
                    self.lines
                        .line(format_args!("  WARNING: gives full control of the account to {module}"))?;
                }
            }
            _ => {
                if to == self.sender {
                    self.lines.line(format_args!("  WARNING: the account changes itself"))?;
                }
                self.show_other_call(to, &data)?;
            }
        }
        if !value.is_zero() {
            self.lines.line(format_args!("  sends {}", Ether(value)))?;
        }
        Ok(())
    }

    /// The root is that of the sessions that were shown.
    fn check_root(&mut self, set: B256) -> Result<(), ReviewError> {
        self.roots_set += 1;
        match self.shown_root {
            None => Err(ReviewError::SessionsMissing { set }),
            Some(shown) if shown != set => Err(ReviewError::OtherRoot { shown, set }),
            Some(_) => Ok(()),
        }
    }

    fn show_other_call(&mut self, to: Address, data: &[u8]) -> fmt::Result {
        let Self { known, lines, call, .. } = self;
        lines.line(format_args!("  to {to}"))?;
        let Some((selector, arguments)) = data.split_first_chunk::<4>() else {
            return match data {
                [] => lines.line(format_args!("  without data")),
                data => {
                    lines.line(format_args!("  {} bytes of data, keccak {}", data.len(), data.keccak256()))
                }
            };
        };
        let selector = FunctionSelector::new(*selector);
        let function = known.function(selector);
        lines.line(format_args!("  function {}", ShownFunction(selector, function)))?;
        let (words, rest) = arguments.as_chunks::<32>();
        for (index, word) in words.iter().enumerate() {
            let subject = Subject { function, offset: index * 32 };
            let value = Word(B256::new(*word), subject.argument().and_then(|argument| argument.kind));
            lines.line(format_args!("    {subject} = {value}"))?;
        }
        let shown = 4 + 32 * words.len() as u64;
        if call.head.data_len > shown || !rest.is_empty() {
            let hasher = core::mem::take(&mut call.hasher);
            lines.line(format_args!(
                "    and {} bytes more; keccak of all {}: {}",
                call.head.data_len - shown,
                call.head.data_len,
                hasher.finalize()
            ))?;
        }
        Ok(())
    }
}

impl<'a> Known<'a> {
    fn function(&self, selector: FunctionSelector) -> Option<&'a str> {
        self.functions.iter().copied().find(|text| FunctionSelector::parse(text) == Ok(selector))
    }
}

/// A function by its signature if that is known, and by its selector.
struct ShownFunction<'a>(FunctionSelector, Option<&'a str>);

impl fmt::Display for ShownFunction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(selector, Some(signature)) => write!(f, "{} ({selector})", Safe(signature)),
            Self(selector, None) => write!(f, "{selector}, whose name is not known here"),
        }
    }
}

/// A word of a function's arguments, by its name if that is known.
#[derive(Clone, Copy)]
struct Subject<'a> {
    function: Option<&'a str>,
    /// In bytes from the end of the selector.
    offset: usize,
}

impl<'a> Subject<'a> {
    fn argument(&self) -> Option<Argument<'a>> {
        let index = self.offset.is_multiple_of(32).then_some(self.offset / 32)?;
        signature_text::argument(self.function?, index)
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument().and_then(|argument| argument.name) {
            Some(name) => write!(f, "{}", Safe(name)),
            None if self.offset.is_multiple_of(32) => write!(f, "argument word {}", self.offset / 32),
            None => write!(f, "the word at byte {} of the arguments", self.offset),
        }
    }
}
