//! Who may ask how often. Nothing here reads a clock: times are given as the time since the gateway began.
//!
//! Before a request is verified only its address is known, and afterwards who signed it. A bucket by key id alone would
//! let anybody who knows the id use up what is its owner's, so one is kept for an ephemeral key that nodes took before.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use alloy_primitives::{B256, keccak256};
use quorate_protocol::{Owner, Refusal};

use crate::buckets::Buckets;
use crate::config::ClientLimits;

/// The budgets of all clients.
#[derive(Debug)]
pub(super) struct Admission {
    limits: ClientLimits,
    sockets: HashMap<IpAddr, usize>,
    requests: Buckets<IpAddr>,
    keys_by_address: Buckets<IpAddr>,
    keys_by_owner: Buckets<Owner>,
    signatures: Buckets<B256>,
    registered: Registered,
}

/// The last ephemeral keys that nodes took a request of.
#[derive(Debug, Default)]
struct Registered {
    pairs: BTreeSet<B256>,
    order: VecDeque<B256>,
}

/// How many ephemeral keys are remembered.
const MOST_REGISTERED: usize = 65_536;

impl Admission {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            sockets: HashMap::new(),
            requests: Buckets::new(limits.requests),
            keys_by_address: Buckets::new(limits.keys),
            keys_by_owner: Buckets::new(limits.keys),
            signatures: Buckets::new(limits.signatures),
            registered: Registered::default(),
        }
    }

    /// Counts a socket that an address opens; [`Self::close`] takes it back.
    pub(super) fn open(&mut self, from: IpAddr, now: Duration) -> Result<(), Refusal> {
        if self.is_exempt(from) {
            return Ok(());
        }
        let network = network_of(from);
        let open = self.sockets.get(&network).copied().unwrap_or_default();
        if open >= self.limits.sockets || !self.requests.take(network, now) {
            return Err(Refusal::Busy);
        }
        self.sockets.insert(network, open + 1);
        Ok(())
    }

    pub(super) fn close(&mut self, from: IpAddr) {
        let network = network_of(from);
        if let Some(open) = self.sockets.get_mut(&network) {
            *open -= 1;
            if *open == 0 {
                self.sockets.remove(&network);
            }
        }
    }

    /// Whether an address may ask for a key.
    pub(super) fn key_for_address(&mut self, from: IpAddr, now: Duration) -> Result<(), Refusal> {
        let is_admitted = self.is_exempt(from) || self.keys_by_address.take(network_of(from), now);
        if is_admitted { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Whether an owner, who has signed, may have the nodes do something.
    pub(super) fn owner(&mut self, owner: Owner, now: Duration) -> Result<(), Refusal> {
        if self.keys_by_owner.take(owner, now) { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Whether an ephemeral key, which has signed, may ask for a signature. One that the nodes never took is charged to its
    /// address only.
    pub(super) fn ephemeral(
        &mut self,
        key_id: &str,
        ephemeral: &[u8; 32],
        now: Duration,
    ) -> Result<(), Refusal> {
        let pair = pair_of(key_id, ephemeral);
        let is_admitted = !self.registered.pairs.contains(&pair) || self.signatures.take(pair, now);
        if is_admitted { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Notes that the nodes took a request of this ephemeral key.
    pub(super) fn note_registered(&mut self, key_id: &str, ephemeral: &[u8; 32]) {
        self.registered.insert(pair_of(key_id, ephemeral));
    }

    fn is_exempt(&self, from: IpAddr) -> bool {
        self.limits.exempt(from)
    }
}

impl Registered {
    fn insert(&mut self, pair: B256) {
        if self.pairs.insert(pair) {
            self.order.push_back(pair);
        }
        if self.order.len() > MOST_REGISTERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
    }
}

/// Whose address a request comes from: the peer's, unless that is a trusted proxy, which appends for whom it connects.
pub(super) fn client_address(peer: IpAddr, forwarded: Option<&str>, trusted: &[IpAddr]) -> IpAddr {
    let hops = forwarded.unwrap_or_default().rsplit(',').map(|hop| hop.trim().parse::<IpAddr>());
    let mut client = peer;
    for hop in hops {
        match hop {
            Ok(hop) if trusted.contains(&client) => client = hop,
            _ => break,
        }
    }
    client
}

/// Whoever has an IPv6 address has the 64 bits after its network.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn pair_of(key_id: &str, ephemeral: &[u8; 32]) -> B256 {
    keccak256([ephemeral.as_slice(), key_id.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;

    const RATE: Rate = Rate { burst: 2, per_minute: 60 };
    const NOW: Duration = Duration::from_secs(100);

    fn admission() -> Admission {
        let limits =
            ClientLimits { sockets: 2, requests: RATE, keys: RATE, signatures: RATE, loopback: false };
        Admission::new(limits)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_sockets_and_gets_them_back() {
        let mut admission = admission();
        let (one, same_network) = (ip("2001:db8::1"), ip("2001:db8::2"));
        admission.open(one, NOW).expect("the first");
        admission.open(same_network, NOW).expect("the second");
        assert_eq!(admission.open(one, NOW + Duration::from_secs(60)), Err(Refusal::Busy));
        admission.close(one);
        assert_eq!(admission.open(one, NOW + Duration::from_secs(60)), Ok(()));
        assert_eq!(admission.open(ip("2001:db8:0:1::1"), NOW), Ok(()), "another network");
        for _ in 0..9 {
            assert_eq!(admission.open(ip("127.0.0.1"), NOW), Ok(()), "the machine itself is not limited");
        }
    }

    #[test]
    fn nobody_uses_up_what_is_a_registered_key_s() {
        let mut admission = admission();
        let (own, stranger) = ([1; 32], [2; 32]);
        admission.note_registered("key", &own);
        for _ in 0..9 {
            assert_eq!(admission.ephemeral("key", &stranger, NOW), Ok(()));
        }
        assert_eq!(admission.ephemeral("key", &own, NOW), Ok(()));
        assert_eq!(admission.ephemeral("key", &own, NOW), Ok(()));
        assert_eq!(admission.ephemeral("key", &own, NOW), Err(Refusal::Busy));
        assert_eq!(admission.ephemeral("other key", &own, NOW), Ok(()));
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let (client, proxy, inner) = (ip("198.51.100.7"), ip("10.0.0.1"), ip("10.0.0.2"));
        let address = |peer, forwarded, trusted: &[IpAddr]| client_address(peer, Some(forwarded), trusted);
        assert_eq!(address(client, "203.0.113.9", &[proxy]), client);
        assert_eq!(address(proxy, "203.0.113.9, 198.51.100.7", &[proxy]), client, "the last one was added");
        assert_eq!(address(inner, "203.0.113.9, 198.51.100.7, 10.0.0.1", &[proxy, inner]), client);
        assert_eq!(address(proxy, "nonsense", &[proxy]), proxy);
        assert_eq!(client_address(proxy, None, &[proxy]), proxy);
    }
}
