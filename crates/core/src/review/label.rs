//! What the values of a review are.

macro_rules! labels {
    (
        $($(#[$doc:meta])* $label:ident: $depth:literal $text:literal,)*
        ; of delegations, from $first:literal:
        $(#[$of_first:meta])* $first_label:ident: $first_depth:literal $first_text:literal,
        $($(#[$of_doc:meta])* $of_label:ident: $of_depth:literal $of_text:literal,)*
    ) => {
        /// What an item's value is.
        ///
        /// Its number names it in other languages; new ones are added at the end. Those of delegations have numbers of their own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Label {
            $($(#[$doc])* $label,)*
            $(#[$of_first])*
            #[cfg(feature = "delegation")]
            $first_label = $first,
            $($(#[$of_doc])* #[cfg(feature = "delegation")] $of_label,)*
        }

        impl Label {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[
                $(Self::$label,)*
                #[cfg(feature = "delegation")]
                Self::$first_label,
                $(#[cfg(feature = "delegation")] Self::$of_label,)*
            ];
        }

        /// All texts, one after the other.
        const TEXTS: Texts = Texts {
            first: 0,
            texts: concat!($($text),*),
            shapes: &[$(($depth, short_len($text))),*],
        };

        #[cfg(feature = "delegation")]
        const OF_DELEGATIONS: Texts = Texts {
            first: $first,
            texts: concat!($first_text, $($of_text),*),
            shapes: &[($first_depth, short_len($first_text)), $(($of_depth, short_len($of_text))),*],
        };
    };
}

/// The texts of labels with numbers that follow each other.
struct Texts {
    /// The first number.
    first: usize,
    texts: &'static str,
    /// Of each label its depth and the length of its text.
    shapes: &'static [(u8, u8)],
}

/// A length of less than 256 bytes.
const fn short_len(text: &str) -> u8 {
    let [len, ..] = text.len().to_le_bytes();
    assert!(len as usize == text.len(), "a label is too long");
    len
}

impl Label {
    /// Its text, in English.
    pub fn text(self) -> &'static str {
        let (texts, place) = self.texts();
        let earlier = texts.shapes.iter().take(place).map(|(_, len)| usize::from(*len));
        let start: usize = earlier.sum();
        texts.texts.get(start..start + usize::from(self.shape().1)).unwrap_or_default()
    }

    /// 0 for what begins a part of the review, 1 for what belongs to it, 2 for what belongs to the item before.
    pub fn depth(self) -> usize {
        self.shape().0.into()
    }

    fn shape(self) -> (u8, u8) {
        let (texts, place) = self.texts();
        texts.shapes.get(place).copied().unwrap_or_default()
    }

    /// Where its text is, and at which place.
    const fn texts(self) -> (&'static Texts, usize) {
        let number = self as usize;
        #[cfg(feature = "delegation")]
        if number >= OF_DELEGATIONS.first {
            return (&OF_DELEGATIONS, number - OF_DELEGATIONS.first);
        }
        (&TEXTS, number - TEXTS.first)
    }
}

labels! {
    /// The account that acts: what follows is about its operation.
    Account: 0 "Account",
    /// The chain's id.
    Chain: 1 "chain",
    /// The entry point, which is known.
    EntryPoint: 1 "entry point",
    /// An entry point that is not known.
    UnknownEntryPoint: 1 "entry point that is not known here",
    /// The operation's nonce.
    Nonce: 1 "nonce",
    /// The factory that deploys the account.
    Factory: 1 "deployed first, by the factory",
    /// What the factory is called with.
    FactoryData: 2 "data for it",
    /// The contract whose code the account runs (EIP-7702).
    Delegate: 1 "runs the code of (EIP-7702)",
    /// What the account is called with first.
    DelegateData: 2 "data for its start",
    /// The most that is paid, of the chain's coin.
    Fees: 1 "fees of at most",
    /// The most that one gas costs.
    MaxFeePerGas: 2 "for one gas",
    /// The most of it that goes to the block's builder.
    MaxPriorityFeePerGas: 2 "of it to the block's builder",
    /// Gas of the call.
    CallGas: 2 "gas of the call",
    /// Gas of the account's validation.
    VerificationGas: 2 "gas of validation",
    /// Gas that nobody measures.
    PreVerificationGas: 2 "gas before validation",
    /// Gas of the paymaster's validation.
    PaymasterVerificationGas: 2 "gas of the paymaster's validation",
    /// Gas of what the paymaster does afterwards.
    PostOpGas: 2 "gas of the paymaster's end",
    /// The account pays.
    PaidByAccount: 1 "paid by the account",
    /// The paymaster that pays.
    Paymaster: 1 "paid by the paymaster",
    /// What the paymaster is given.
    PaymasterData: 2 "data for it",
    /// Bytes for a paymaster where there is none.
    IgnoredPaymasterData: 2 "data that nobody reads",
    /// The number of bytes of the paymaster's own signature.
    UnsignedPaymasterBytes: 2 "bytes of its signature, which you do not sign:",
    /// A session that the account is to have.
    Session: 0 "Session",
    /// The key that may act.
    SessionKey: 1 "the key",
    /// The contract that it may call.
    Contract: 1 "may call",
    /// The function that it may call.
    Function: 1 "function",
    /// The most that each call sends.
    ValueLimit: 1 "each call sends at most",
    /// A rule.
    Rule: 1 "only if",
    /// There are no rules.
    AnyArguments: 1 "with any arguments",
    /// There is no start.
    FromNow: 1 "from now on",
    /// The start.
    From: 1 "from",
    /// There is no end.
    WithoutEnd: 1 "WITHOUT END",
    /// The end.
    Until: 1 "until",
    /// The token that the key may call.
    Token: 1 "may move the token, by transfer as well as approve,",
    /// The first argument of these calls.
    Recipient: 1 "to",
    /// The most that each call moves.
    MaxAmount: 1 "each call at most",
    /// A session of another module that an earlier root of this device's holds.
    KeptSession: 1 "unknown session, kept as signed on this device",
    /// What most owners would not allow.
    Lint: 1 "",
    /// A session that may change who controls the account.
    ControlsAccount: 1 "may change who controls the account, or what it has deposited",
    /// A call.
    Call: 0 "Call",
    /// The operation makes no calls.
    NoCalls: 0 "Makes no calls",
    /// The contract or account that is called.
    To: 1 "to",
    /// The function that is called.
    CalledFunction: 1 "function",
    /// A word of its arguments.
    Argument: 2 "",
    /// The call's data is longer than the selector and words that were shown: its length, and the keccak-256 of the operation's
    /// call data up to the call's end.
    MoreData: 2 "and more; with the call data up to here:",
    /// Call data that is shorter than a selector.
    ShortData: 1 "data",
    /// There is no call data.
    WithoutData: 1 "without data",
    /// Value that is sent along.
    Sends: 1 "sends",
    /// The operation sets the root of the sessions that were shown, in this module.
    GrantsSessions: 1 "grants the sessions shown and ends all others, in",
    /// The root.
    Root: 2 "root",
    /// The operation ends all sessions that this module has.
    EndsAllSessions: 1 "ends all sessions, in",
    /// A root in a module that is not known.
    UnknownRoot: 1 "looks like a grant of sessions that are not shown, with the root",
    /// Sessions may act from now on.
    EnablesSessions: 1 "lets sessions act for the account, by the module",
    /// A module that is known.
    EnablesKnownModule: 1 "lets a known module act for the account:",
    /// A module that is not known.
    EnablesModule: 1 "gives full control of the account to the module",
    /// A module that may no longer act.
    DisablesModule: 1 "no longer lets a module act for the account:",
    /// The module before it in the account's list.
    PreviousModule: 2 "which comes after",
    /// The contract that answers calls which the account does not know.
    SetsFallbackHandler: 1 "has calls that the account does not know answered by",
    /// The contract whose code the account runs.
    UpdatesImplementation: 1 "replaces the account's code by that of",
    /// Value that is sent becomes the account's deposit.
    Deposits: 1 "deposits what it sends at the entry point",
    /// Whose deposit it becomes.
    DepositsFor: 1 "deposits what it sends at the entry point, for",
    /// The deposit goes to somebody.
    Withdraws: 1 "withdraws from the account's deposit, to",
    /// How much.
    Amount: 2 "amount",
    /// The deposit is locked as a stake.
    AddsStake: 1 "locks what it sends as a stake, for seconds:",
    /// The stake is unlocked.
    UnlocksStake: 1 "begins to unlock the account's stake",
    /// The stake goes to somebody.
    WithdrawsStake: 1 "withdraws the account's stake, to",
    /// Operations with this nonce key and the next sequence are void.
    IncrementsNonce: 1 "skips a nonce of the key",
    /// The account's owner.
    TransfersOwnership: 1 "MAKES THE OWNER OF THE ACCOUNT",
    /// There is no owner afterwards.
    RenouncesOwnership: 1 "LEAVES THE ACCOUNT WITHOUT OWNER",
    /// The account's first owner in the called module.
    SetsFirstOwner: 1 "names the account's owner in this module:",
    /// Somebody may move tokens.
    Allows: 1 "lets somebody move the account's tokens:",
    /// How many.
    AllowedAmount: 2 "at most",
    /// All of them.
    AllowedWithoutLimit: 2 "without limit",
    /// Somebody may move all tokens of the called contract.
    AllowsAll: 1 "lets somebody move all of the account's tokens of this contract:",
    /// The owner of another contract than the account.
    GivesAwayContract: 1 "makes somebody the owner of the called contract:",
    /// What cannot be read, and is signed all the same.
    Unreadable: 0 "UNREADABLE:",
    /// What the entry point and the chain's nodes know the operation by.
    Hash: 0 "Hash of all this",
    /// One of several operations under one signature.
    Operation: 0 "Operation under one signature:",
    /// The operations' tree.
    OperationsRoot: 0 "Root of all operations",
    /// How a session is used.
    Use: 0 "Use of a session",
    /// Nothing is signed.
    Refused: 0 "REFUSED:",
    /// A request for a key: the number of nodes that make it.
    KeyRequest: 0 "New session key, made by a number of nodes:",
    /// How many of them sign.
    Threshold: 1 "signed with by any",
    /// The key under which signatures are asked for.
    EphemeralKey: 1 "signatures are asked for under the key",
    /// The app's name for it.
    EphemeralName: 2 "named",
    /// There is no end.
    EphemeralWithoutEnd: 2 "for as long as the network lets it",
    /// Its end.
    EphemeralUntil: 2 "until",
    /// The signing network.
    Network: 1 "by the network",
    /// What the key may sign, by its hash.
    Permissions: 1 "under the permissions",
    /// What the key may sign is not shown.
    PermissionsNotShown: 1 "what the key may sign is not shown",
    /// What the key may sign is not part of the request.
    PermissionsNotSigned: 1 "what the key may sign is not covered by this signature",
    /// One node alone can sign.
    OneNodeSigns: 1 "a single node can sign with the key",
    /// The owner that the permissions name.
    PermittedOwner: 1 "asked for by the owner",
    /// The only account that the key may act for.
    PermittedAccount: 1 "for the account",
    /// The only entry point.
    PermittedEntryPoint: 1 "at the entry point",
    /// The module in which the sessions are granted.
    PermittedManager: 1 "with sessions in",
    /// The session validation module.
    ValidationModule: 1 "checked by the module",
    /// A session validation module that is not known.
    UnknownValidationModule: 1 "checked by a module that is not known here",
    /// The most operations that are signed.
    UsesLimit: 0 "Operations in all, at most",
    /// The most operations in each window.
    WindowUsesLimit: 0 "Operations at a time, at most",
    /// How long such a time is.
    WindowSeconds: 1 "seconds of such a time",
    /// The most coins that are sent in all.
    NativeValueLimit: 0 "Sent in all at most",
    /// The most that gas costs in all.
    GasCostLimit: 0 "Gas for at most",
    /// The contract of which an argument's total is limited.
    LimitedContract: 0 "Limited total, of calls to",
    /// The function.
    LimitedFunction: 1 "function",
    /// The argument.
    LimitedArgument: 1 "the total of",
    /// The total.
    LimitedTotal: 1 "is at most",
    /// Every operation needs a paymaster.
    PaymasterRequired: 0 "Only with a paymaster",
    /// No operation may have a paymaster.
    PaymasterForbidden: 0 "Only without a paymaster",
    /// The operator's word for the owner.
    AdmissionToken: 1 "admitted by a token of",
    /// The network's challenge.
    Challenge: 1 "challenge",
    /// The most coins that are sent in each window.
    WindowValueLimit: 0 "Sent at a time, at most",
    /// The most that gas costs in each window.
    WindowGasLimit: 0 "Gas at a time, for at most",
    /// How long the time is in which an argument's total is limited, over and over.
    LimitedWindowSeconds: 1 "in each time of seconds:",

    ; of delegations, from 192:
    /// The account for which a delegate may act.
    Delegator: 0 "Delegation of the account",
    /// The manager that it is redeemed at.
    DelegationManager: 1 "redeemed at the manager",
    /// A manager that is not known.
    UnknownManager: 1 "redeemed at a manager that is not known here:",
    /// Who may act.
    DelegateKey: 1 "lets act for it",
    /// The delegation that is passed on, by its hash.
    PassesOn: 1 "passes on the delegation",
    /// One of its caveats, all of which hold.
    Caveat: 0 "Bound",
    /// A contract that may be called.
    AllowedContract: 1 "may call",
    /// Where bytes of the call data have to stand, from the selector's first byte.
    CallDataAt: 1 "only if the call data from byte",
    /// How many bytes have to stand there.
    CallDataLen: 2 "of so many bytes:",
    /// What has to stand there, of 32 bytes at most.
    CallDataWord: 2 "is",
    /// What has to stand there, of more bytes.
    CallDataBytes: 2 "is",
    /// The whole call data.
    ExactData: 1 "with exactly the data",
    /// Coin is sent, and no function is called.
    SendsOnly: 1 "sends coin, without call data",
    /// How often it may be redeemed.
    RedeemedAtMost: 1 "used at most so many times:",
    /// The most coin in all.
    CoinInAll: 1 "sends in all at most",
    /// A token whose transfers are bounded.
    TransfersToken: 1 "transfers only the token",
    /// The most of it in all.
    TokenInAll: 2 "in all at most",
    /// The most coin in a period.
    CoinInPeriod: 1 "sends in each period at most",
    /// The most of a token in a period.
    TokenInPeriod: 2 "in each period at most",
    /// The length of a period.
    PeriodSeconds: 2 "of so many seconds:",
    /// When the first period, or a stream, starts.
    CountedFrom: 2 "counted from",
    /// What a stream has at its start, of coin.
    CoinAtOnce: 1 "sends at once at most",
    /// The same of a token.
    TokenAtOnce: 2 "at once at most",
    /// What each second adds, of coin.
    CoinPerSecond: 2 "and in each second more",
    /// The same of a token.
    TokenPerSecond: 2 "and in each second more",
    /// The most of a stream of coin.
    CoinOfStream: 2 "in all at most",
    /// Who may redeem.
    Redeemer: 1 "redeemed only by",
    /// The delegator's nonce.
    WhileNonce: 1 "as long as the account's nonce for delegations is",
    /// A number that is used up.
    UsesId: 1 "once, and no other delegation with the number",
    /// The block after which it is valid.
    AfterBlock: 1 "after block",
    /// The block before which it is valid.
    BeforeBlock: 1 "before block",
    /// The kinds of approvals that may be taken back, a bit for each.
    Revocations: 1 "takes back approvals, of the kinds",
    /// A caveat of a contract that is not known.
    UnknownCaveat: 1 "within what a contract says that is not known here:",
    /// Its terms.
    UnknownTerms: 2 "which is given",
    /// What tells it from another.
    Salt: 1 "salt",
    /// The hash by which the chain counts and ends it.
    DelegationHash: 0 "Known on chain by",
}
