//! What happens in a model run, step by step.

use proptest::prelude::*;
use quorate::testing::Fault;

/// One of the two devices.
pub(crate) type On = usize;

/// One thing that the owner, an application, a bundler, the chain or fate does. Numbers that choose from a list are taken
/// modulo its length, so that every sequence makes sense and shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new session with one or two policies, which ends after so many seconds; 0 for never.
    Grant {
        on: On,
        policies: usize,
        ends: u64,
        by_draft: bool,
    },
    Revoke {
        on: On,
        session: usize,
    },
    RevokeAll {
        on: On,
    },
    ReplaceKey {
        on: On,
        session: usize,
    },
    /// A session's call, of which there is no other.
    Use {
        on: On,
        session: usize,
        policy: usize,
        by_draft: bool,
    },
    /// The same call as the last one that was taken, meant a second time.
    UseAgain {
        on: On,
    },
    /// The owner's own call: a withdrawal of an amount of which there is no other.
    Withdraw {
        on: On,
        by_draft: bool,
    },
    /// The application does once more what ended in an error.
    Retry {
        on: On,
    },
    Resume {
        on: On,
    },
    List {
        on: On,
    },
    Wait {
        on: On,
    },
    Rebuild {
        on: On,
        operation: usize,
    },
    Cancel {
        on: On,
        operation: usize,
    },
    Abandon {
        on: On,
        operation: usize,
    },
    Forget {
        on: On,
        session: usize,
    },
    ForgetEnded {
        on: On,
    },
    /// The device takes in the other one's leaves.
    Import {
        on: On,
    },
    Restart {
        on: On,
    },
    Mine {
        blocks: u64,
    },
    Automine {
        automine: bool,
    },
    DropAll {
        on: On,
    },
    Hold {
        on: On,
        hold: bool,
    },
    Reorganise {
        depth: u64,
        lost: bool,
    },
    Lag {
        on: On,
        blocks: u64,
    },
    CatchUp,
    BaseFee {
        gwei: u64,
    },
    Advance {
        seconds: u64,
    },
    /// Other software sets a root, past entry point and nonces.
    Foreign {
        root: ForeignRoot,
    },
    /// The request after so many others meets a fault.
    FaultAfter {
        requests: u32,
        fault: Trouble,
        acted: bool,
    },
    /// The next sending meets a fault.
    FaultOnSend {
        fault: Trouble,
        acted: bool,
    },
    CrashAfterRequests {
        requests: u32,
        acted: bool,
    },
    CrashAfterWrites {
        writes: u32,
        written: bool,
    },
    WriteFails {
        writes: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignRoot {
    /// Of a leaf that nobody knows.
    Strange,
    /// Of no leaves.
    Zero,
    /// Of the present leaves without the first.
    WithoutFirst,
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Timeout,
    Unreachable,
    Interrupted,
    BadGateway,
    Busy,
    Internal,
    NoPrefund,
    Paymaster,
    NonceTaken,
    Precheck,
}

impl Trouble {
    pub(crate) fn fault(self, acted: bool) -> Fault {
        let fault = match self {
            Self::Timeout => Fault::Timeout,
            // Nothing left: there is nothing to act on.
            Self::Unreachable => return Fault::Unreachable,
            Self::Interrupted => Fault::Interrupted,
            Self::BadGateway => Fault::Http(502),
            Self::Busy => Fault::RateLimited { retry_after: None, body: true },
            Self::Internal => Fault::rpc(-32603, "Internal error"),
            Self::NoPrefund => Fault::rpc(-32500, "AA21 didn't pay prefund"),
            Self::Paymaster => Fault::rpc(-32501, "paymaster says no"),
            Self::NonceTaken => Fault::rpc(
                -32602,
                "AA25 invalid account nonce: User operation already present in mempool, bump the gas price by minimum 10%",
            ),
            Self::Precheck => Fault::rpc(-32000, "precheck failed: fees"),
        };
        if acted { fault.after_acting() } else { fault }
    }
}

fn trouble() -> impl Strategy<Value = Trouble> {
    use Trouble::{
        BadGateway, Busy, Internal, Interrupted, NoPrefund, NonceTaken, Paymaster, Precheck, Timeout,
        Unreachable,
    };
    prop::sample::select(vec![
        Timeout,
        Unreachable,
        Interrupted,
        BadGateway,
        Busy,
        Internal,
        NoPrefund,
        Paymaster,
        NonceTaken,
        Precheck,
    ])
}

fn on() -> impl Strategy<Value = On> {
    prop::sample::select(vec![0, 0, 0, 1])
}

/// A place in a list, counted from its end.
fn any_of() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![0, 0, 0, 1, 1, 2, 3])
}

fn grant() -> impl Strategy<Value = Step> {
    (on(), 1..3_usize, prop::sample::select(vec![0, 0, 0, 60]), any::<bool>())
        .prop_map(|(on, policies, ends, by_draft)| Step::Grant { on, policies, ends, by_draft })
}

fn call() -> impl Strategy<Value = Step> {
    (on(), any_of(), 0..2_usize, any::<bool>()).prop_map(|(on, session, policy, by_draft)| Step::Use {
        on,
        session,
        policy,
        by_draft,
    })
}

fn withdrawal() -> impl Strategy<Value = Step> {
    (on(), any::<bool>()).prop_map(|(on, by_draft)| Step::Withdraw { on, by_draft })
}

/// What is sent.
fn sending() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => call(),
        2 => withdrawal(),
        3 => grant(),
        1 => (on(), any_of()).prop_map(|(on, session)| Step::Revoke { on, session }),
        1 => (on(), any_of()).prop_map(|(on, session)| Step::ReplaceKey { on, session }),
    ]
}

fn reorganisation() -> impl Strategy<Value = Step> {
    (1..4_u64, any::<bool>()).prop_map(|(depth, lost)| Step::Reorganise { depth, lost })
}

fn fault() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (trouble(), any::<bool>()).prop_map(|(fault, acted)| Step::FaultOnSend { fault, acted }),
        2 => (0..12_u32, trouble(), any::<bool>())
            .prop_map(|(requests, fault, acted)| Step::FaultAfter { requests, fault, acted }),
        1 => (0..12_u32, any::<bool>())
            .prop_map(|(requests, acted)| Step::CrashAfterRequests { requests, acted }),
        2 => (0..3_u32, any::<bool>()).prop_map(|(writes, written)| Step::CrashAfterWrites { writes, written }),
        1 => (0..3_u32).prop_map(|writes| Step::WriteFails { writes }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let foreign =
        || prop::sample::select(vec![ForeignRoot::Strange, ForeignRoot::Zero, ForeignRoot::WithoutFirst]);
    prop_oneof![
        10 => sending(),
        3 => fault(),
        3 => reorganisation(),
        1 => on().prop_map(|on| Step::RevokeAll { on }),
        2 => on().prop_map(|on| Step::UseAgain { on }),
        4 => on().prop_map(|on| Step::Retry { on }),
        3 => on().prop_map(|on| Step::Resume { on }),
        3 => on().prop_map(|on| Step::List { on }),
        2 => on().prop_map(|on| Step::Wait { on }),
        3 => (on(), any_of()).prop_map(|(on, operation)| Step::Rebuild { on, operation }),
        2 => (on(), any_of()).prop_map(|(on, operation)| Step::Cancel { on, operation }),
        1 => (on(), any_of()).prop_map(|(on, operation)| Step::Abandon { on, operation }),
        1 => (on(), any_of()).prop_map(|(on, session)| Step::Forget { on, session }),
        1 => on().prop_map(|on| Step::ForgetEnded { on }),
        3 => on().prop_map(|on| Step::Import { on }),
        2 => on().prop_map(|on| Step::Restart { on }),
        5 => (1..3_u64).prop_map(|blocks| Step::Mine { blocks }),
        3 => any::<bool>().prop_map(|automine| Step::Automine { automine }),
        2 => on().prop_map(|on| Step::DropAll { on }),
        2 => (on(), any::<bool>()).prop_map(|(on, hold)| Step::Hold { on, hold }),
        1 => (1..4_u64).prop_map(|gwei| Step::BaseFee { gwei }),
        1 => (1..100_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => foreign().prop_map(|root| Step::Foreign { root }),
    ]
}

/// Steps that have more to say together.
fn burst() -> impl Strategy<Value = Vec<Step>> {
    let between = || {
        prop_oneof![
            on().prop_map(|on| Step::List { on }),
            on().prop_map(|on| Step::Resume { on }),
            on().prop_map(|on| Step::Restart { on }),
            reorganisation(),
            Just(Step::Mine { blocks: 1 }),
            (on(), any_of()).prop_map(|(on, operation)| Step::Rebuild { on, operation }),
        ]
    };
    prop_oneof![
        6 => step().prop_map(|step| vec![step]),
        3 => (fault(), sending(), prop::option::of(between()), on())
            .prop_map(|(fault, sending, between, on)| {
                [fault, sending].into_iter().chain(between).chain([Step::Retry { on }]).collect()
            }),
        1 => call().prop_map(|step| match step {
            Step::Use { on, .. } => vec![step, Step::UseAgain { on }],
            other => vec![other],
        }),
        1 => (on(), grant()).prop_map(|(on, grant)| vec![Step::Import { on }, grant, Step::Import { on: 1 - on }]),
        1 => (sending(), on(), reorganisation(), on()).prop_map(|(sending, one, reorganisation, other)| {
            vec![sending, Step::List { on: one }, reorganisation, Step::List { on: other }]
        }),
        1 => (on(), 1..4_u64, sending())
            .prop_map(|(on, blocks, sending)| vec![Step::Lag { on, blocks }, sending, Step::CatchUp]),
    ]
}

/// A run: most begin with a session.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let first = Step::Grant { on: 0, policies: 1, ends: 0, by_draft: false };
    let bursts = prop::collection::vec(burst(), 1..32);
    (prop::bool::weighted(0.8), bursts).prop_map(move |(is_granted, bursts)| {
        is_granted.then_some(first).into_iter().chain(bursts.into_iter().flatten()).collect()
    })
}
