//! How nodes speak to each other through a relay that nobody trusts.
//!
//! Each run begins with a [`Hello`] of every participant: a fresh X25519 key and 32 random bytes, signed by the
//! node's Ed25519 identity together with the request, the attempt and the participants. The session id is the
//! hash of all of them, so no participant and no gateway chooses it. Every ordered pair of nodes then has a key of
//! its own, from the two fresh keys and the session id; a message is sealed under it with its round as the nonce.
//! The fresh keys are wiped when the run ends, so recorded traffic stays closed to whoever takes a node later.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use quorate_protocol::{NetworkDescriptor, NodeIndex, Transcript};
use quorate_seal::Channel;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

/// What is agreed before a run starts, and signed by each participant's [`Hello`].
#[derive(Clone, Debug)]
pub(crate) struct Agenda {
    pub(crate) network: B256,
    pub(crate) purpose: Purpose,
    pub(crate) request: B256,
    pub(crate) attempt: u32,
    pub(crate) participants: BTreeSet<NodeIndex>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Keygen,
    Signature,
}

/// A participant's opening message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    public_key: [u8; 32],
    random: [u8; 32],
    /// What the participant has to say to each peer, by the peer; the gateway reads it, too.
    remarks: BTreeMap<NodeIndex, Vec<u8>>,
    signature: Vec<u8>,
}

/// A node's side of a run before the others' hellos are in.
pub(crate) struct Opening {
    agenda: Agenda,
    me: NodeIndex,
    secret: StaticSecret,
    hello: Hello,
}

/// The sealed channels of a run, one key for each direction of each pair.
pub(crate) struct Channels {
    session: B256,
    me: NodeIndex,
    sending: BTreeMap<NodeIndex, Channel>,
    receiving: BTreeMap<NodeIndex, Channel>,
}

impl Agenda {
    fn digest(&self, node: NodeIndex, hello: &Hello) -> B256 {
        let purpose = match self.purpose {
            Purpose::Keygen => "keygen hello",
            Purpose::Signature => "signature hello",
        };
        let transcript = Transcript::new(purpose)
            .field(self.network.as_slice())
            .field(self.request.as_slice())
            .number(self.attempt.into())
            .number(self.participants.len() as u64);
        let transcript =
            self.participants.iter().fold(transcript, |hash, node| hash.number(node.get().into()));
        let transcript = transcript
            .number(node.get().into())
            .field(&hello.public_key)
            .field(&hello.random)
            .number(hello.remarks.len() as u64);
        let remark = |hash: Transcript, (peer, remark): (&NodeIndex, &Vec<u8>)| {
            hash.number(peer.get().into()).field(remark)
        };
        hello.remarks.iter().fold(transcript, remark).finish()
    }

    /// Whether `hello` is `node`'s own, for this agenda.
    pub(crate) fn admits(&self, network: &NetworkDescriptor, node: NodeIndex, hello: &Hello) -> bool {
        network.has_signed(node, self.digest(node, hello), &hello.signature)
    }
}

impl Opening {
    /// Draws the run's fresh key and random bytes. The remarks go with the hello.
    pub(crate) fn new(
        agenda: Agenda,
        me: NodeIndex,
        identity: &SigningKey,
        remarks: BTreeMap<NodeIndex, Vec<u8>>,
    ) -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        let mut random = [0; 32];
        getrandom::fill(secret.as_mut_slice())?;
        getrandom::fill(&mut random)?;
        let secret = StaticSecret::from(*secret);
        let public_key = PublicKey::from(&secret).to_bytes();
        let mut hello = Hello { public_key, random, remarks, signature: Vec::new() };
        hello.signature = identity.sign(agenda.digest(me, &hello).as_slice()).to_bytes().to_vec();
        Ok(Self { agenda, me, secret, hello })
    }

    pub(crate) const fn hello(&self) -> &Hello {
        &self.hello
    }

    pub(crate) const fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    /// Derives the session id and the channels from the admitted hellos of all other participants.
    ///
    /// # Errors
    /// The peer whose key is degenerate.
    pub(crate) fn open(self, peers: &BTreeMap<NodeIndex, Hello>) -> Result<Channels, NodeIndex> {
        let session = self.session_id(peers);
        let mut channels =
            Channels { session, me: self.me, sending: BTreeMap::new(), receiving: BTreeMap::new() };
        for (&peer, hello) in peers {
            let shared = self.secret.diffie_hellman(&PublicKey::from(hello.public_key));
            if !shared.was_contributory() {
                return Err(peer);
            }
            let (mut extracted, keys) = Hkdf::<Sha256>::extract(Some(session.as_slice()), shared.as_bytes());
            extracted.as_mut_slice().zeroize();
            channels.sending.insert(peer, channel(&keys, self.me, peer));
            channels.receiving.insert(peer, channel(&keys, peer, self.me));
        }
        Ok(channels)
    }

    fn session_id(&self, peers: &BTreeMap<NodeIndex, Hello>) -> B256 {
        let mut all: BTreeMap<_, _> = peers.iter().map(|(peer, hello)| (*peer, hello)).collect();
        all.insert(self.me, &self.hello);
        let transcript = Transcript::new("session")
            .field(self.agenda.network.as_slice())
            .field(self.agenda.request.as_slice())
            .number(self.agenda.attempt.into());
        all.into_iter()
            .fold(transcript, |hash, (node, hello)| {
                hash.number(node.get().into()).field(&hello.public_key).field(&hello.random)
            })
            .finish()
    }
}

impl Hello {
    /// What the participant says to a peer; nothing where there is nothing to say.
    pub(crate) fn remark_to(&self, peer: NodeIndex) -> &[u8] {
        self.remarks.get(&peer).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Channels {
    /// The run's id, to which every participant contributed.
    pub(crate) const fn session(&self) -> B256 {
        self.session
    }

    /// Seals one round's message to a peer. A round is sealed once, so no nonce is used twice under a key.
    /// A message to nobody of the run is empty, and opens nowhere.
    pub(crate) fn seal(&self, peer: NodeIndex, round: u8, plaintext: &[u8]) -> Vec<u8> {
        let binding = self.binding(round, self.me, peer);
        self.sending.get(&peer).map(|channel| channel.seal(round, &binding, plaintext)).unwrap_or_default()
    }

    /// Opens one round's message of a peer; none for whatever does not authenticate.
    pub(crate) fn unseal(&self, peer: NodeIndex, round: u8, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.receiving.get(&peer)?.open(round, &self.binding(round, peer, self.me), sealed)
    }

    fn binding(&self, round: u8, sender: NodeIndex, receiver: NodeIndex) -> Vec<u8> {
        [self.session.as_slice(), &[round, sender.get(), receiver.get()]].concat()
    }
}

/// # Panics
/// Never: HKDF-SHA-256 expands to 255 × 32 bytes.
fn channel(keys: &Hkdf<Sha256>, sender: NodeIndex, receiver: NodeIndex) -> Channel {
    let mut key = Zeroizing::new([0; 32]);
    let info = [b"quorate channel".as_slice(), &[sender.get(), receiver.get()]].concat();
    if let Err(error) = keys.expand(&info, key.as_mut_slice()) {
        unreachable!("32 bytes are no valid length: {error}");
    }
    Channel::new(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn node(index: u8) -> NodeIndex {
        NodeIndex::new(index).unwrap()
    }

    fn network() -> NetworkDescriptor {
        let nodes = (1..=3).map(|seed| identity(seed).verifying_key()).collect();
        NetworkDescriptor::new(2, nodes, vec!["ws://localhost:1".parse().unwrap()]).unwrap()
    }

    fn agenda(attempt: u32) -> Agenda {
        let participants = [node(1), node(2)].into();
        Agenda {
            network: network().id(),
            purpose: Purpose::Signature,
            request: B256::repeat_byte(7),
            attempt,
            participants,
        }
    }

    fn channels(attempts: [u32; 2]) -> [Channels; 2] {
        let [one, two] = [(1, attempts[0]), (2, attempts[1])].map(|(index, attempt)| {
            Opening::new(agenda(attempt), node(index), &identity(index), BTreeMap::new()).unwrap()
        });
        let hellos = (one.hello().clone(), two.hello().clone());
        [one.open(&[(node(2), hellos.1)].into()).unwrap(), two.open(&[(node(1), hellos.0)].into()).unwrap()]
    }

    #[test]
    fn what_one_seals_the_other_opens_and_nobody_else() {
        let [one, two] = channels([0, 0]);
        assert_eq!(one.session(), two.session());
        let sealed = one.seal(node(2), 3, b"fragment");
        assert_eq!(two.unseal(node(1), 3, &sealed).unwrap().as_slice(), b"fragment");
        assert!(two.unseal(node(1), 4, &sealed).is_none(), "another round");
        assert!(one.unseal(node(2), 3, &sealed).is_none(), "reflected to its sender");
        let mut flipped = sealed;
        flipped[0] ^= 1;
        assert!(two.unseal(node(1), 3, &flipped).is_none(), "changed");
    }

    #[test]
    fn runs_have_keys_of_their_own() {
        let [first, _] = channels([0, 0]);
        let [_, second] = channels([0, 0]);
        assert_ne!(first.session(), second.session());
        assert!(second.unseal(node(1), 1, &first.seal(node(2), 1, b"recorded")).is_none());
    }

    #[test]
    fn a_hello_is_good_for_its_sender_request_and_attempt_only() {
        let network = network();
        let hello = Opening::new(agenda(1), node(1), &identity(1), BTreeMap::new()).unwrap().hello().clone();
        assert!(agenda(1).admits(&network, node(1), &hello));
        assert!(!agenda(1).admits(&network, node(2), &hello), "another node");
        assert!(!agenda(2).admits(&network, node(1), &hello), "another attempt");
        let other = Agenda { request: B256::repeat_byte(8), ..agenda(1) };
        assert!(!other.admits(&network, node(1), &hello), "another request");
        let more = Agenda { participants: [node(1), node(2), node(3)].into(), ..agenda(1) };
        assert!(!more.admits(&network, node(1), &hello), "other participants");
        let forged = Opening::new(agenda(1), node(1), &identity(9), BTreeMap::new()).unwrap().hello().clone();
        assert!(!agenda(1).admits(&network, node(1), &forged), "another identity");
        let keygen = Agenda { purpose: Purpose::Keygen, ..agenda(1) };
        assert!(!keygen.admits(&network, node(1), &hello), "another purpose");
        let mut altered = hello;
        altered.remarks.insert(node(2), vec![1]);
        assert!(!agenda(1).admits(&network, node(1), &altered), "another remark");
    }
}
