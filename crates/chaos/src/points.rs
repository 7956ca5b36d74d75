//! What makes a node come to each of its points.

use std::fmt;

use quorate_node::fail_points::{FrameKind, Point, Write};

/// What leads a node to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It starts.
    Start,
    /// It starts with a key that not all nodes have confirmed.
    StartWithPendingKey,
    /// It starts, and lacks what the other node attests of a key.
    StartWithoutAttestation,
    /// The other node starts.
    StartOfPeer,
    /// It signs.
    Sign,
    /// It signs behind a gateway that knows no key.
    SignForNewGateway,
    /// It signs, and a message of the other node is lost.
    SignUnheard,
    /// It signs with a node that cheats.
    SignWithCheat,
    /// Somebody whom the owner did not register asks for a signature.
    SignForStranger,
    /// It makes a key, and gives it to an owner.
    MakeKey,
    /// The owner registers an ephemeral key.
    Register,
}

/// A place where a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub(crate) point: Point,
    /// How often it passes there before.
    pub(crate) passes: usize,
    pub(crate) way: Way,
}

/// How many messages a signer sends the other one in a run: a hello, what they tell each other, and the rounds.
const MESSAGES: usize = 5;

/// All ends: one at each point, and one at each message of a signature.
pub(crate) fn ends() -> impl Iterator<Item = End> {
    Point::all().flat_map(|point| {
        let is_message = matches!(point, Point::Sending(FrameKind::Relay) | Point::Sent(FrameKind::Relay));
        let times = if is_message { MESSAGES } else { 1 };
        let way = way_to(point);
        (0..times).filter_map(move |passes| Some(End { point, passes, way: way? }))
    })
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, the {}. time", self.point, self.passes + 1)
    }
}

fn way_to(point: Point) -> Option<Way> {
    match point {
        Point::Writing(write) | Point::Written(write) => way_to_write(write),
        Point::Sending(kind) | Point::Sent(kind) => way_to_frame(kind),
    }
}

const fn way_to_write(write: Write) -> Option<Way> {
    match write {
        Write::Start | Write::Life => Some(Way::Start),
        Write::PendingKey | Write::Confirmations | Write::Key | Write::Assignment | Write::Attestations => {
            Some(Way::MakeKey)
        }
        Write::Statement => Some(Way::Register),
        Write::Charge => Some(Way::Sign),
        Write::Withdrawal => Some(Way::SignUnheard),
        Write::Ban => Some(Way::SignWithCheat),
        // The one takes a week, the other a gateway that gives a key to two requests.
        Write::Removal | Write::DeadKey => None,
        // What one keeps for another comes of the other's end; the others are of a node that is restored, or does not run.
        Write::SignedBan | Write::Seal | Write::Restored | Write::Release => None,
    }
}

const fn way_to_frame(kind: FrameKind) -> Option<Way> {
    Some(match kind {
        FrameKind::Hello | FrameKind::Free | FrameKind::StatementsAfter => Way::Start,
        FrameKind::Nonce | FrameKind::Relay | FrameKind::Done => Way::Sign,
        FrameKind::KeyRecord => Way::SignForNewGateway,
        FrameKind::Waiting => Way::SignUnheard,
        FrameKind::WhichStatements => Way::SignForStranger,
        FrameKind::WhichKey | FrameKind::Assignment => Way::MakeKey,
        FrameKind::WhoseKey => Way::StartWithoutAttestation,
        FrameKind::Confirmations => Way::StartWithPendingKey,
        FrameKind::Statements => Way::Register,
        FrameKind::StatementPage => Way::StartOfPeer,
        // One that leaves ends anyway. A ban is told at once, and again at each start until all keep it, which depends on the ends
        // before; the others are answers, or of a node that is restored.
        FrameKind::Leaving
        | FrameKind::Ban
        | FrameKind::BanKept
        | FrameKind::Recall
        | FrameKind::Recalled => return None,
    })
}
