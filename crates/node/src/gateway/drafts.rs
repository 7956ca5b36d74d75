//! Requests for keys that their owners have not signed yet, which a client may take up again on another connection.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use quorate_protocol::{NodeIndex, Nonce};

/// Drafts by their challenges, bounded in bytes. Times are given as the time since the gateway began.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    drafts: HashMap<String, Draft>,
    /// The challenges of `drafts`, the oldest first, and of some that are no longer there.
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Debug)]
struct Draft {
    setup: String,
    nonces: BTreeMap<NodeIndex, Nonce>,
    until: Duration,
}

const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What a draft takes beside its setup.
const OVERHEAD: usize = 1024;

impl Drafts {
    /// Keeps a draft until a time, and forgets the oldest ones for it.
    pub(super) fn insert(
        &mut self,
        challenge: &str,
        setup: &str,
        nonces: &BTreeMap<NodeIndex, Nonce>,
        until: Duration,
    ) {
        if self.drafts.contains_key(challenge) {
            return;
        }
        self.bytes += setup.len() + OVERHEAD;
        let draft = Draft { setup: setup.to_owned(), nonces: nonces.clone(), until };
        self.drafts.insert(challenge.to_owned(), draft);
        self.order.push_back(challenge.to_owned());
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(&oldest);
        }
    }

    /// The nonces under which the setup was challenged.
    pub(super) fn take_up(
        &self,
        challenge: &str,
        setup: &str,
        now: Duration,
    ) -> Option<BTreeMap<NodeIndex, Nonce>> {
        let draft = self.drafts.get(challenge)?;
        (draft.setup == setup && draft.until > now).then(|| draft.nonces.clone())
    }

    /// Keeps a draft for longer.
    pub(super) fn prolong(&mut self, challenge: &str, until: Duration) {
        if let Some(draft) = self.drafts.get_mut(challenge) {
            draft.until = draft.until.max(until);
        }
    }

    /// Forgets a draft that is of no more use.
    pub(super) fn remove(&mut self, challenge: &str) {
        if let Some(draft) = self.drafts.remove(challenge) {
            self.bytes -= draft.setup.len() + OVERHEAD;
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        let over: Vec<_> = self.drafts.iter().filter(|(_, draft)| draft.until <= now).collect();
        let over: Vec<_> = over.into_iter().map(|(challenge, _)| challenge.clone()).collect();
        over.iter().for_each(|challenge| self.remove(challenge));
        self.order.retain(|challenge| self.drafts.contains_key(challenge));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(60);

    fn nonces() -> BTreeMap<NodeIndex, Nonce> {
        NodeIndex::new(1).map(|node| (node, Nonce::repeat_byte(7))).into_iter().collect()
    }

    #[test]
    fn a_draft_is_taken_up_with_its_own_setup_until_its_time_is_over() {
        let mut drafts = Drafts::default();
        drafts.insert("challenge", "setup", &nonces(), LATER);
        assert_eq!(drafts.take_up("challenge", "setup", Duration::ZERO), Some(nonces()));
        assert_eq!(drafts.take_up("challenge", "another", Duration::ZERO), None);
        assert_eq!(drafts.take_up("challenge", "setup", LATER), None);
        drafts.prolong("challenge", 2 * LATER);
        assert_eq!(drafts.take_up("challenge", "setup", LATER), Some(nonces()));
        drafts.expire(2 * LATER);
        assert_eq!((drafts.drafts.len(), drafts.order.len(), drafts.bytes), (0, 0, 0));
    }

    #[test]
    fn the_oldest_drafts_make_room() {
        let mut drafts = Drafts::default();
        let setup = "s".repeat(MOST_BYTES / 4);
        for challenge in ["1", "2", "3", "4"] {
            drafts.insert(challenge, &setup, &nonces(), LATER);
        }
        let is_there = |challenge| drafts.take_up(challenge, &setup, Duration::ZERO).is_some();
        assert_eq!(["1", "2", "3", "4"].map(is_there), [false, true, true, true]);
    }
}
