//! Places at which a test delays a node, loses its frames, ends its process or has it lie: every durable write, every frame
//! that it sends, its disk, its clock, and what it says of its ledgers.
//!
//! Without the feature `fail-points` nothing happens there.

use std::fmt;

use quorate_protocol::NodeIndex;

pub use crate::storage::Write;
use crate::wire;
pub use crate::wire::FrameKind;

/// A place in what a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// A transaction is about to be made durable.
    Writing(Write),
    /// A transaction is durable.
    Written(Write),
    /// A frame is about to be sent.
    Sending(FrameKind),
    /// A frame was handed to the socket.
    Sent(FrameKind),
}

/// What a node that is bad from inside tells the other signers of an operation; such a node holds no operation against the
/// limits either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It has charged nothing since it was read last.
    NothingCharged,
    /// Its whole ledger, whatever the others have read of it already.
    ReadAgain,
    /// It charged everything [`EARLIER`](Self::EARLIER) seconds before it did.
    ChargedEarlier,
}

impl Lie {
    /// How much earlier, in seconds.
    pub const EARLIER: u64 = 500;

    /// The lie's name at one node; the action `return` has it told there.
    pub fn at(self, node: NodeIndex) -> String {
        match self {
            Self::NothingCharged => format!("nothing charged at node {node}"),
            Self::ReadAgain => format!("read again at node {node}"),
            Self::ChargedEarlier => format!("charged earlier at node {node}"),
        }
    }
}

impl Point {
    /// All points.
    pub fn all() -> impl Iterator<Item = Self> {
        let writes = Write::ALL.into_iter().flat_map(|write| [Self::Writing(write), Self::Written(write)]);
        let frames = FrameKind::ALL.into_iter().flat_map(|kind| [Self::Sending(kind), Self::Sent(kind)]);
        writes.chain(frames)
    }

    /// The point's name at one node; the action `return` ends the process there.
    pub fn at(self, node: NodeIndex) -> String {
        format!("{self} at node {node}")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writing(write) => write!(f, "writing {write}"),
            Self::Written(write) => write!(f, "written {write}"),
            Self::Sending(kind) => write!(f, "sending {kind}"),
            Self::Sent(kind) => write!(f, "sent {kind}"),
        }
    }
}

/// The name of the point at which a node's frames of a kind are lost by the action `return`.
pub fn losing(kind: FrameKind, node: NodeIndex) -> String {
    format!("losing {kind} at node {node}")
}

/// Reaches a point.
#[cfg(feature = "fail-points")]
pub(crate) fn reach(point: Point, node: NodeIndex) {
    fail::fail_point!(&point.at(node), |_| std::process::abort());
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn reach(_: Point, _: NodeIndex) {}

/// Whether a frame is lost.
#[cfg(feature = "fail-points")]
pub(crate) fn is_lost(kind: FrameKind, node: NodeIndex) -> bool {
    fail::eval(&losing(kind, node), |_| ()).is_some()
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn is_lost(_: FrameKind, _: NodeIndex) -> bool {
    false
}

/// The name of the point at which the action `return` has a node find its disk full: its database stays as large as it is when
/// it is opened.
pub fn full_disk(node: NodeIndex) -> String {
    format!("full disk at node {node}")
}

/// Whether a node's disk is full.
#[cfg(feature = "fail-points")]
pub(crate) fn is_disk_full(node: NodeIndex) -> bool {
    fail::eval(&full_disk(node), |_| ()).is_some()
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn is_disk_full(_: NodeIndex) -> bool {
    false
}

/// The point at which the action `return(seconds)` has the process's clock be so far ahead; behind, if the number is negative.
pub const CLOCK: &str = "clock";

/// How far the process's clock is ahead, in seconds.
#[cfg(feature = "fail-points")]
pub(crate) fn clock_ahead() -> i64 {
    let seconds = fail::eval(CLOCK, |seconds| seconds.and_then(|seconds| seconds.parse().ok()));
    seconds.flatten().unwrap_or_default()
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn clock_ahead() -> i64 {
    0
}

/// The point at which the action `return` ends every challenge under which no request waits for a key.
pub const CHALLENGES_OVER: &str = "challenges over";

/// Whether challenges are over, however young.
#[cfg(feature = "fail-points")]
pub(crate) fn are_challenges_over() -> bool {
    fail::eval(CHALLENGES_OVER, |_| ()).is_some()
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn are_challenges_over() -> bool {
    false
}

/// The name of the point at which the action `return` has a node speak the oldest version of the frames alone, as an older
/// program would.
pub fn older(node: NodeIndex) -> String {
    format!("older at node {node}")
}

/// The name of the point at which the action `return` has gateways speak the oldest version of the frames alone.
pub const OLDER_GATEWAY: &str = "older at gateways";

/// The newest version of the frames that a node speaks.
#[cfg(feature = "fail-points")]
pub(crate) fn newest_version(node: NodeIndex) -> u8 {
    fail::eval(&older(node), |_| wire::OLDEST).unwrap_or(wire::VERSION)
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn newest_version(_: NodeIndex) -> u8 {
    wire::VERSION
}

/// The newest version of the frames that a gateway speaks.
#[cfg(feature = "fail-points")]
pub(crate) fn newest_version_of_gateways() -> u8 {
    fail::eval(OLDER_GATEWAY, |_| wire::OLDEST).unwrap_or(wire::VERSION)
}

#[cfg(not(feature = "fail-points"))]
pub(crate) const fn newest_version_of_gateways() -> u8 {
    wire::VERSION
}

/// Takes what is to happen at which point from the environment variable `FAILPOINTS` (`point=action;…`), once.
#[cfg(feature = "fail-points")]
pub(crate) fn arm() {
    static ARMED: std::sync::Once = std::sync::Once::new();
    ARMED.call_once(|| {
        let actions = std::env::var("FAILPOINTS").unwrap_or_default();
        for (point, action) in actions.split(';').filter_map(|action| action.split_once('=')) {
            if let Err(error) = fail::cfg(point, action) {
                tracing::error!(point, action, error, "no such action at a fail point");
            }
        }
    });
}
