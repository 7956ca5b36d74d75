//! What gateway and node count alike, and how it is written.
//!
//! Families have labels of fixed sets only: operations, codes of refusals, reasons, and the network's own nodes.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use quorate_protocol::{Answer, NodeIndex};

/// Requests, as they are answered.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    answered: Family<Outcome, Counter>,
    durations: Family<Operation, Histogram, fn() -> Histogram>,
}

/// Frames that did not reach whom they were for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames(Family<Reason, Counter>);

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It is no frame of this version.
    Unreadable,
    /// Too much waits for its receiver.
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// One of the network's nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfNode {
    node: u8,
}

/// What becomes of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfState {
    pub(super) state: &'static str,
}

/// In seconds: a signature takes some tens of milliseconds, a key that is made while its owner waits some seconds.
const DURATIONS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0];

/// The outcome of a request that nothing forbids.
const OK: &str = "ok";

impl Requests {
    /// The counters, registered.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let durations = Family::new_with_constructor((|| Histogram::new(DURATIONS)) as fn() -> Histogram);
        let requests = Self { answered: Family::default(), durations };
        let help = "Requests answered, by operation and by what came of them: ok, or the refusal's code";
        registry.register("requests", help, requests.answered.clone());
        let help = "From a request's last frame to its answer, by operation";
        registry.register_with_unit("request_duration", help, Unit::Seconds, requests.durations.clone());
        requests
    }

    /// Counts what came of a request.
    pub(crate) fn answered(&self, operation: &'static str, outcome: &'static str) {
        self.answered.get_or_create(&Outcome { operation, outcome }).inc();
    }

    /// Notes how long an operation took, however it ended.
    pub(crate) fn took(&self, operation: &'static str, duration: Duration) {
        self.durations.get_or_create(&Operation { operation }).observe(duration.as_secs_f64());
    }
}

impl Frames {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let frames = Self::default();
        let help = "Frames dropped: unreadable, or full where too much waited for their receiver";
        registry.register("frames_dropped", help, frames.0.clone());
        for reason in [Dropped::Unreadable, Dropped::Full] {
            drop(frames.of(reason));
        }
        frames
    }

    /// Counts a frame that is dropped.
    pub(crate) fn dropped(&self, reason: Dropped) {
        self.of(reason).inc();
    }

    fn of(&self, reason: Dropped) -> Counter {
        let reason = match reason {
            Dropped::Unreadable => "unreadable",
            Dropped::Full => "full",
        };
        self.0.get_or_create_owned(&Reason { reason })
    }
}

impl OfNode {
    pub(super) fn new(node: NodeIndex) -> Self {
        Self { node: node.get() }
    }
}

/// The code of a refusal, or that it is none.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Refused(refusal) => refusal.code(),
        _ => OK,
    }
}

/// A registry of a role's metrics; all names begin with the program's.
pub(super) fn registry() -> Registry {
    Registry::with_prefix("quorate")
}

/// All metrics of a registry.
pub(super) fn page(registry: &Registry) -> String {
    let mut page = String::new();
    if encode(&mut page, registry).is_err() {
        // Writing into memory does not fail.
        page.clear();
    }
    page
}
