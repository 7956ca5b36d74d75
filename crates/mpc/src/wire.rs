//! Messages as bytes: the header that binds each to its step, run, sender and receiver, and the checks before
//! any content reaches the protocol.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{Abort, Malformed, PartyIndex, SessionId};

/// What a round has to send: one message for each peer. Broadcast content is repeated inside each.
///
/// The messages hold secrets: encrypt each for its receiver.
pub type Outgoing = BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>;

/// What a round takes in: the one message of each peer, under the party that the transport authenticated.
pub type Incoming = BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>;

/// The most bytes that a message of either protocol has; longer ones are refused unread.
pub const MAX_MESSAGE_LEN: usize = 256 * 1024;

const WIRE_VERSION: u8 = 1;
const SESSION_LEN: usize = 32;
/// Version, step, session id, sender, receiver.
const HEADER_LEN: usize = 2 + SESSION_LEN + 2;

/// The communication step that a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Key generation, round 1: the points of the polynomials.
    KeygenFragments,
    /// Key generation, round 2: the commitments.
    KeygenCommitments,
    /// Key generation, round 3: the echo of the commitments.
    KeygenEcho,
    /// Key generation, round 4: the openings and the set-up of the multiplications.
    KeygenReveal,
    /// Key generation, round 5: the digests of the result.
    KeygenConfirmation,
    /// Signing, round 1: the commitments and the start of the multiplications.
    SigningCommitments,
    /// Signing, round 2: the openings and the end of the multiplications.
    SigningOpenings,
    /// Signing, round 3: the shares of the signature.
    SigningShares,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::KeygenFragments,
        Self::KeygenCommitments,
        Self::KeygenEcho,
        Self::KeygenReveal,
        Self::KeygenConfirmation,
        Self::SigningCommitments,
        Self::SigningOpenings,
        Self::SigningShares,
    ];

    const fn tag(self) -> u8 {
        match self {
            Self::KeygenFragments => 0x11,
            Self::KeygenCommitments => 0x12,
            Self::KeygenEcho => 0x13,
            Self::KeygenReveal => 0x14,
            Self::KeygenConfirmation => 0x15,
            Self::SigningCommitments => 0x21,
            Self::SigningOpenings => 0x22,
            Self::SigningShares => 0x23,
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.tag() == tag)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeygenFragments => "key generation round 1 (fragments)",
            Self::KeygenCommitments => "key generation round 2 (commitments)",
            Self::KeygenEcho => "key generation round 3 (echo)",
            Self::KeygenReveal => "key generation round 4 (reveal)",
            Self::KeygenConfirmation => "key generation round 5 (confirmation)",
            Self::SigningCommitments => "signing round 1 (commitments)",
            Self::SigningOpenings => "signing round 2 (openings)",
            Self::SigningShares => "signing round 3 (shares)",
        })
    }
}

/// The content of one step's message.
pub(crate) trait Body: Serialize + DeserializeOwned {
    const STEP: Step;
    /// At least the encoded length in bytes, so that the buffer never moves and leaves no secret behind.
    const CAPACITY: usize;

    /// Holds the lengths and addresses inside against what the protocol fixes.
    ///
    /// The library reports a wrong length in signing as grounds for a ban. It is found here first and is none:
    /// a length is checked without any secret, so nothing is learnt from it.
    fn check(&self, from: PartyIndex, me: PartyIndex) -> Result<(), Malformed>;
}

/// One party's end of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    pub(crate) session: SessionId,
    pub(crate) me: PartyIndex,
}

impl Endpoint {
    pub(crate) fn encode<B: Body>(&self, to: PartyIndex, body: &B) -> Result<Zeroizing<Vec<u8>>, Abort> {
        let mut message = Vec::with_capacity(HEADER_LEN + B::CAPACITY);
        message.extend_from_slice(&[WIRE_VERSION, B::STEP.tag()]);
        message.extend_from_slice(self.session.as_bytes());
        message.extend_from_slice(&[self.me.get(), to.get()]);
        let message = Zeroizing::new(postcard::to_extend(body, message).map_err(Abort::encoding)?);
        debug_assert!(message.len() <= HEADER_LEN + B::CAPACITY, "{}: {}", B::STEP, message.len());
        Ok(message)
    }

    /// The bodies of exactly the `expected` senders.
    pub(crate) fn decode_all<B: Body>(
        &self,
        incoming: Incoming,
        expected: &BTreeSet<PartyIndex>,
    ) -> Result<BTreeMap<PartyIndex, B>, Abort> {
        check_senders(&incoming, expected, B::STEP)?;
        incoming
            .iter()
            .map(|(from, message)| {
                let body = self.decode(*from, message).map_err(|reason| Abort::Malformed {
                    party: *from,
                    step: B::STEP,
                    reason,
                })?;
                Ok((*from, body))
            })
            .collect()
    }

    fn decode<B: Body>(&self, from: PartyIndex, message: &[u8]) -> Result<B, Malformed> {
        let len = message.len();
        if len > MAX_MESSAGE_LEN {
            return Err(Malformed::TooLong { len, limit: MAX_MESSAGE_LEN });
        }
        let ([version, tag], rest) = message.split_first_chunk().ok_or(Malformed::TooShort { len })?;
        if *version != WIRE_VERSION {
            return Err(Malformed::Version { found: *version, expected: WIRE_VERSION });
        }
        if *tag != B::STEP.tag() {
            return Err(match Step::from_tag(*tag) {
                Some(found) => Malformed::OtherStep { found },
                None => Malformed::UnknownStep { tag: *tag },
            });
        }
        let (session, rest) = rest.split_first_chunk::<SESSION_LEN>().ok_or(Malformed::TooShort { len })?;
        if session != self.session.as_bytes() {
            return Err(Malformed::OtherSession);
        }
        let ([sender, receiver], body) = rest.split_first_chunk().ok_or(Malformed::TooShort { len })?;
        if (*sender, *receiver) != (from.get(), self.me.get()) {
            return Err(Malformed::Misaddressed { sender: *sender, receiver: *receiver });
        }
        let (body, rest) = postcard::take_from_bytes::<B>(body).map_err(|_| Malformed::Encoding)?;
        if !rest.is_empty() {
            return Err(Malformed::TrailingBytes { count: rest.len() });
        }
        body.check(from, self.me)?;
        Ok(body)
    }
}

/// `Debug` for a round: which run and which party, and nothing of its secrets.
macro_rules! redacted_rounds {
    ($($round:ident),+) => {
        $(
            impl core::fmt::Debug for $round {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.debug_struct(stringify!($round))
                        .field("me", &self.run.endpoint.me)
                        .field("session", &self.run.endpoint.session)
                        .finish_non_exhaustive()
                }
            }
        )+
    };
}
pub(crate) use redacted_rounds;

/// Refuses a map with other keys than `expected`, by the first party that is too many or missing.
pub(crate) fn check_senders<M>(
    incoming: &BTreeMap<PartyIndex, M>,
    expected: &BTreeSet<PartyIndex>,
    step: Step,
) -> Result<(), Abort> {
    if let Some(party) = incoming.keys().find(|party| !expected.contains(party)) {
        return Err(Abort::UnexpectedMessage { party: *party, step });
    }
    if let Some(party) = expected.iter().find(|party| !incoming.contains_key(party)) {
        return Err(Abort::MissingMessage { party: *party, step });
    }
    Ok(())
}

pub(crate) fn check_len(list: &'static str, expected: usize, found: usize) -> Result<(), Malformed> {
    if found == expected { Ok(()) } else { Err(Malformed::Dimension { list, expected, found }) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Content(u8);

    impl Body for Content {
        const STEP: Step = Step::KeygenEcho;
        const CAPACITY: usize = 1;

        fn check(&self, _from: PartyIndex, _me: PartyIndex) -> Result<(), Malformed> {
            Ok(())
        }
    }

    fn endpoint(me: u8) -> Endpoint {
        Endpoint { session: SessionId::new([9; 32]), me: PartyIndex::new(me).unwrap() }
    }

    #[test]
    fn a_message_has_this_form() {
        let message = endpoint(1).encode(PartyIndex::new(2).unwrap(), &Content(7)).unwrap();
        let expected = [&[1, 0x13][..], &[9; 32], &[1, 2, 7]].concat();
        assert_eq!(*message, expected);
        assert_eq!(endpoint(2).decode(PartyIndex::new(1).unwrap(), &message), Ok(Content(7)));
    }

    #[test]
    fn a_message_of_elsewhere_is_refused_by_its_header() {
        let from = PartyIndex::new(1).unwrap();
        let message = endpoint(1).encode(PartyIndex::new(2).unwrap(), &Content(7)).unwrap();
        let changed = |at: usize, to: u8| {
            let mut changed = message.to_vec();
            *changed.get_mut(at).unwrap() = to;
            endpoint(2).decode::<Content>(from, &changed)
        };
        assert_eq!(changed(0, 2), Err(Malformed::Version { found: 2, expected: 1 }));
        assert_eq!(changed(1, 0x14), Err(Malformed::OtherStep { found: Step::KeygenReveal }));
        assert_eq!(changed(1, 0x99), Err(Malformed::UnknownStep { tag: 0x99 }));
        assert_eq!(changed(33, 0), Err(Malformed::OtherSession));
        assert_eq!(changed(34, 3), Err(Malformed::Misaddressed { sender: 3, receiver: 2 }));
        assert_eq!(changed(35, 3), Err(Malformed::Misaddressed { sender: 1, receiver: 3 }));
    }

    #[test]
    fn every_other_length_is_refused() {
        let from = PartyIndex::new(1).unwrap();
        let message = endpoint(1).encode(PartyIndex::new(2).unwrap(), &Content(7)).unwrap();
        for len in 0..message.len() {
            assert!(endpoint(2).decode::<Content>(from, message.get(..len).unwrap()).is_err(), "{len}");
        }
        let mut long = message.to_vec();
        long.push(0);
        assert_eq!(endpoint(2).decode::<Content>(from, &long), Err(Malformed::TrailingBytes { count: 1 }));
        long.resize(MAX_MESSAGE_LEN + 1, 0);
        assert_eq!(
            endpoint(2).decode::<Content>(from, &long),
            Err(Malformed::TooLong { len: MAX_MESSAGE_LEN + 1, limit: MAX_MESSAGE_LEN })
        );
    }
}
