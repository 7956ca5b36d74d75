//! What single nodes have signed, until there is enough of it to rely on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quorate_protocol::NodeIndex;

/// The genuine signatures of nodes that were heard of, by what they sign; in memory only, and bounded.
pub(crate) struct Heard<K, V>(Mutex<Signatures<K, V>>);

struct Signatures<K, V> {
    by_subject: HashMap<K, BTreeMap<NodeIndex, V>>,
    /// Oldest first.
    order: VecDeque<K>,
}

/// Of how many things signatures are remembered; beyond that the oldest have to be asked about again.
const MOST_HEARD: usize = 256;

impl<K: Clone + Eq + Hash, V: Clone> Heard<K, V> {
    /// Adds signatures; all that are known then.
    pub(crate) fn add(&self, subject: &K, signatures: BTreeMap<NodeIndex, V>) -> BTreeMap<NodeIndex, V> {
        let mut heard = self.lock();
        if signatures.is_empty() {
            return heard.by_subject.get(subject).cloned().unwrap_or_default();
        }
        if !heard.by_subject.contains_key(subject) {
            heard.order.push_back(subject.clone());
            if heard.order.len() > MOST_HEARD
                && let Some(oldest) = heard.order.pop_front()
            {
                heard.by_subject.remove(&oldest);
            }
        }
        let known = heard.by_subject.entry(subject.clone()).or_default();
        known.extend(signatures);
        known.clone()
    }

    /// Whose signatures are known of what.
    pub(crate) fn nodes(&self) -> Vec<(K, Vec<NodeIndex>)> {
        let subjects = &self.lock().by_subject;
        let nodes = |(subject, signatures): (&K, &BTreeMap<NodeIndex, V>)| {
            (subject.clone(), signatures.keys().copied().collect())
        };
        subjects.iter().map(nodes).collect()
    }

    /// Forgets them.
    pub(crate) fn take(&self, subject: &K) -> BTreeMap<NodeIndex, V> {
        let mut heard = self.lock();
        heard.order.retain(|other| other != subject);
        heard.by_subject.remove(subject).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Signatures<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Heard<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Signatures { by_subject: HashMap::new(), order: VecDeque::new() }))
    }
}
