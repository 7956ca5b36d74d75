//! Which keys nobody can have any more, since nodes gave them to different requests: a gateway offered them so, or two did.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use quorate_protocol::NodeIndex;

/// Which nodes attest to which key for which request, as far as one node knows.
#[derive(Default)]
pub(crate) struct Attested(BTreeMap<(String, B256), BTreeSet<NodeIndex>>);

impl Attested {
    pub(crate) fn add(&mut self, key_id: String, request: B256, nodes: impl IntoIterator<Item = NodeIndex>) {
        self.0.entry((key_id, request)).or_default().extend(nodes);
    }

    /// The requests that a key was given to.
    pub(crate) fn requests_of(&self, key_id: &str) -> BTreeSet<B256> {
        self.0.keys().filter(|(key, _)| key == key_id).map(|(_, request)| *request).collect()
    }

    /// The keys that a request was given.
    pub(crate) fn keys_of(&self, request: B256) -> BTreeSet<String> {
        self.0.keys().filter(|(_, of)| *of == request).map(|(key, _)| key.clone()).collect()
    }

    /// Whether no request can get a bind quorum's attestations for the key: an honest node gives a key to one request, and a
    /// request one key, for good.
    pub(crate) fn is_dead(&self, key_id: &str, nodes: &BTreeSet<NodeIndex>, quorum: u8) -> bool {
        let is_enough = |nodes: BTreeSet<NodeIndex>| nodes.len() >= usize::from(quorum);
        let can_have = |request: &B256| {
            let own = self.nodes(|key, of| key == key_id && of == request);
            let given_otherwise = self.nodes(|key, of| (key == key_id) != (of == request));
            is_enough(&(nodes - &given_otherwise) | &own)
        };
        let can_another_have = is_enough(nodes - &self.nodes(|key, _| key == key_id));
        !can_another_have && !self.requests_of(key_id).iter().any(can_have)
    }

    fn nodes(&self, is_meant: impl Fn(&str, &B256) -> bool) -> BTreeSet<NodeIndex> {
        let meant = self.0.iter().filter(|((key, request), _)| is_meant(key, request));
        meant.flat_map(|(_, nodes)| nodes).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether key `a` is dead in a network of 3 of 5 nodes, by which keys nodes give to which requests.
    fn is_dead(attested: &[(&str, u8, &[u8])]) -> bool {
        let nodes = |indices: &[u8]| -> BTreeSet<_> {
            indices.iter().map(|index| NodeIndex::new(*index).unwrap()).collect()
        };
        let mut known = Attested::default();
        for (key, request, indices) in attested {
            known.add((*key).to_owned(), B256::repeat_byte(*request), nodes(indices));
        }
        known.is_dead("a", &nodes(&[1, 2, 3, 4, 5]), 4)
    }

    #[test]
    fn a_key_lives_as_long_as_some_request_can_have_it() {
        assert!(!is_dead(&[]), "it is free");
        assert!(!is_dead(&[("a", 1, &[1])]));
        assert!(!is_dead(&[("a", 1, &[1, 2, 3, 4])]), "it is somebody's");
        assert!(!is_dead(&[("a", 1, &[1, 2, 3]), ("a", 2, &[4])]), "node 5 may give it to the first");
        assert!(!is_dead(&[("a", 1, &[1]), ("b", 1, &[2, 3, 4, 5])]), "another request may have it of four");
    }

    #[test]
    fn a_key_that_is_given_to_two_requests_or_beside_another_one_is_dead() {
        assert!(is_dead(&[("a", 1, &[1, 2]), ("a", 2, &[3, 4])]));
        assert!(is_dead(&[("a", 1, &[1, 2, 3]), ("a", 2, &[4, 5])]));
        assert!(is_dead(&[("a", 1, &[1, 2]), ("b", 1, &[3, 4, 5])]), "three are left for another request");
        assert!(is_dead(&[("a", 1, &[1, 2, 3]), ("b", 1, &[4]), ("a", 2, &[5])]));
    }

    #[test]
    fn one_bad_node_ends_no_key_whatever_it_attests_to() {
        assert!(!is_dead(&[("a", 1, &[5]), ("a", 2, &[5]), ("b", 1, &[5])]), "free at the others");
        assert!(!is_dead(&[("a", 1, &[1, 2, 3, 4]), ("a", 2, &[5]), ("b", 1, &[5])]), "somebody's");
        assert!(!is_dead(&[("a", 1, &[1, 2, 3]), ("a", 2, &[5]), ("b", 1, &[5])]), "on its way");
    }
}
