//! A node that was restored from a backup has forgotten what it did since: what it charged, to whom it gave keys, whom it
//! banned, and what owners said. It signs nothing until enough others have told it all that they know of its keys.
//!
//! What comes back is genuine by itself: entries and statements carry their owners' and clients' signatures, assignments
//! the nodes', bans this node's own. That somebody has told all is the teller's word, signed over the journal that was drawn
//! at the restoration; `needed` is chosen so that bad ones cannot hide what an honest one would tell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_ledger::{Page, Reading};
use quorate_protocol::{Ban, NetworkDescriptor, NodeIndex, Refusal};
use serde::Serialize;
use tokio::time::Instant;

use super::assignment::Assignments;
use super::catch_up::EntryJudge;
use super::error::TaskError;
use super::ledgers::{LedgerError, Ledgers};
use super::member::{Member, listed};
use super::statements::Statements;
use crate::clock;
use crate::error::reasons;
use crate::storage::{Storage, StoredKey};
use crate::wire::{Evidence, KeyMemory, Recall, RecallPart, Recalled, ShownStatement};

/// The quarantine of a restored node, and what it reads meanwhile.
pub(crate) struct Quarantine {
    pub(crate) member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) assignments: Arc<Assignments>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) ledgers: Arc<Ledgers>,
    /// The nodes that are not waited for.
    pub(crate) lost: BTreeSet<NodeIndex>,
    /// How many others have to tell all.
    pub(crate) needed: usize,
    pub(crate) readers: tokio::sync::Mutex<BTreeMap<NodeIndex, Reader>>,
    /// Those that have told all.
    pub(crate) answered: Mutex<BTreeSet<NodeIndex>>,
}

/// How far one other node was read.
#[derive(Default)]
pub(crate) struct Reader {
    /// The keys of which it has told all.
    read: BTreeSet<String>,
    /// The keys to ask about.
    next: VecDeque<String>,
    asked: Option<Asked>,
}

/// A question that waits for its answer.
struct Asked {
    question: Recall,
    /// The ledger that is being read.
    reading: Option<Reading>,
    at: Instant,
}

/// What has become of a quarantine, for whoever watches a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    pub(crate) answered: BTreeSet<NodeIndex>,
    pub(crate) missing: BTreeSet<NodeIndex>,
    pub(crate) lost: BTreeSet<NodeIndex>,
    pub(crate) needed: usize,
}

/// After what time a question is asked again.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many others have to tell a restored node all: n−t+1+f of n, where t sign and f are bad, and lost ones are bad besides;
/// or all that are left.
///
/// Of the t − 1 others that signed an operation with this node at least t−1−f are honest, and at most t−2−f are not heard.
pub(crate) fn needed(network: &NetworkDescriptor, bad: Option<u8>, lost: usize) -> usize {
    let (n, t) = (usize::from(network.size()), usize::from(network.threshold()));
    let bad = bad.map_or(t - 1, usize::from);
    (n - t + 1 + bad).min((n - 1).saturating_sub(lost))
}

impl Quarantine {
    /// Refuses if this node is quarantined.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let Some(Progress { answered, needed, .. }) = self.progress() else { return Ok(()) };
        let number = |count| u8::try_from(count).unwrap_or(u8::MAX);
        Err(Refusal::Quarantined {
            node: self.member.index,
            answered: number(answered.len()),
            needed: number(needed),
        })
    }

    /// Who has told all, and who has not; none if this node is not quarantined.
    pub(crate) fn progress(&self) -> Option<Progress> {
        if !self.storage.is_quarantined() {
            return None;
        }
        let (answered, lost) = (self.answered().clone(), self.lost.clone());
        let missing = self.awaited().filter(|peer| !answered.contains(peer)).collect();
        Some(Progress { answered, missing, lost, needed: self.needed })
    }

    /// What to ask whom: of each other node one question waits for its answer.
    pub(crate) async fn questions(&self) -> Result<Vec<(NodeIndex, Recall)>, TaskError> {
        let mut readers = self.readers.lock().await;
        let mut questions = Vec::new();
        for peer in self.awaited() {
            let reader = readers.entry(peer).or_default();
            match &mut reader.asked {
                Some(asked) if asked.at.elapsed() < PATIENCE => {}
                Some(asked) => {
                    asked.at = Instant::now();
                    questions.push((peer, asked.question.clone()));
                }
                None => questions.extend(self.ask_next(reader).await?.map(|question| (peer, question))),
            }
        }
        Ok(questions)
    }

    /// Takes in what a node tells; what to ask it next.
    ///
    /// What cannot be used is logged and asked for again later.
    pub(crate) async fn hear(&self, from: NodeIndex, told: Recalled) -> Result<Option<Recall>, TaskError> {
        if !self.storage.is_quarantined() {
            return Ok(None);
        }
        let mut readers = self.readers.lock().await;
        let Some(reader) = readers.get_mut(&from) else { return Ok(None) };
        let is_answer = reader.asked.as_ref().is_some_and(|asked| asked.question == told.question)
            && told.is_genuine(&self.member.network, from, self.member.index);
        let Some(asked) = reader.asked.take_if(|_| is_answer) else { return Ok(None) };
        let key_id = told.question.key_id.clone();
        // One that was restored itself may tell more, and has not told all.
        let is_whole = !told.is_quarantined;
        match self.take(from, asked, told.memory).await {
            Ok(Heard::More(part, reading)) => {
                return Ok(Some(self.ask(reader, key_id, part, reading)));
            }
            Ok(Heard::Again) => return Ok(None),
            Ok(Heard::All) => {}
            Err(TaskError::Peer { peer, reason }) => {
                tracing::warn!(node = %self.member.index, %peer, key_id, reason, "what a node tells cannot be used");
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        if is_whole {
            reader.read.insert(key_id);
        }
        self.ask_next(reader).await
    }

    /// Ends the quarantine if enough others have told all. Whether it did.
    pub(crate) async fn end_if_possible(&self) -> Result<bool, TaskError> {
        if !self.storage.is_quarantined() {
            return Ok(false);
        }
        let mut readers = self.readers.lock().await;
        let keys = self.storage.all_keys().await?;
        let has_told_all = |peer: &NodeIndex| {
            readers.get(peer).is_some_and(|reader| keys.iter().all(|key| reader.read.contains(key)))
                && !keys.is_empty()
        };
        let answered: BTreeSet<_> = self.awaited().filter(has_told_all).collect();
        let is_news = *self.answered() != answered;
        self.answered().clone_from(&answered);
        let (node, needed) = (self.member.index, self.needed);
        if is_news && let Some(Progress { missing, lost, .. }) = self.progress() {
            let [answered, missing, lost] = [&answered, &missing, &lost].map(listed);
            tracing::warn!(%node, answered, missing, lost, needed, "restored from a backup: this node signs nothing yet");
        }
        if answered.len() < needed && !keys.is_empty() {
            return Ok(false);
        }
        self.storage.release().await?;
        readers.clear();
        let [answered, lost] = [&answered, &self.lost].map(listed);
        tracing::warn!(%node, answered, lost, "the restored node signs again");
        Ok(true)
    }

    /// The next question to a node, about a key of which it has not told all.
    async fn ask_next(&self, reader: &mut Reader) -> Result<Option<Recall>, TaskError> {
        if reader.next.is_empty() {
            let keys = self.storage.all_keys().await?;
            reader.next = keys.into_iter().filter(|key| !reader.read.contains(key)).collect();
        }
        let next = reader.next.pop_front();
        Ok(next.map(|key_id| self.ask(reader, key_id, RecallPart::Owner, None)))
    }

    fn ask(&self, reader: &mut Reader, key_id: String, part: RecallPart, reading: Option<Reading>) -> Recall {
        let question = Recall { journal: self.storage.journal(), key_id, part };
        reader.asked = Some(Asked { question: question.clone(), reading, at: Instant::now() });
        question
    }

    async fn take(&self, from: NodeIndex, asked: Asked, memory: KeyMemory) -> Result<Heard, TaskError> {
        let Asked { question: Recall { key_id, part, .. }, reading, .. } = asked;
        match (part, memory) {
            (RecallPart::Owner, KeyMemory::Owner { evidence, bans }) => {
                self.take_owner(&key_id, evidence, bans).await
            }
            (RecallPart::Statements { after }, KeyMemory::Statements { statements, more }) => {
                self.take_statements(from, &key_id, after, statements, more).await
            }
            (RecallPart::Ledger { .. }, KeyMemory::Ledger { page }) => {
                self.take_page(from, &key_id, reading, &page).await
            }
            _ => Err(unusable(from, "it answers something else than it was asked")),
        }
    }

    async fn take_owner(
        &self,
        key_id: &str,
        evidence: Option<Evidence>,
        bans: Vec<Ban>,
    ) -> Result<Heard, TaskError> {
        for ban in bans {
            if ban.key_id == key_id
                && ban.maker == self.member.index
                && ban.is_genuine(&self.member.network)
                && self.storage.keep_ban(&ban).await?
            {
                tracing::info!(node = %ban.maker, key_id, accused = %ban.accused, "has its own ban back");
            }
        }
        let is_somebody_s = evidence.is_some();
        if let Some(evidence) = evidence {
            self.assignments.learn(key_id, evidence, clock::now()).await?;
        }
        if self.storage.key(key_id).await?.is_some() {
            return Ok(Heard::More(RecallPart::Statements { after: 0 }, None));
        }
        // A pending key that is somebody's is finished elsewhere, and will be here.
        let is_pending =
            self.storage.free_key(key_id).await?.is_none() && !self.storage.is_dead(key_id).await?;
        Ok(if is_somebody_s && is_pending { Heard::Again } else { Heard::All })
    }

    async fn take_statements(
        &self,
        from: NodeIndex,
        key_id: &str,
        after: u64,
        statements: Vec<(u64, ShownStatement)>,
        more: bool,
    ) -> Result<Heard, TaskError> {
        let key = self.key(from, key_id).await?;
        for (_, statement) in &statements {
            match self.statements.learn(statement, &key, clock::now()).await {
                Ok(_) => {}
                Err(TaskError::Refused(refusal)) => return Err(unusable(from, &reasons(&refusal))),
                Err(error) => return Err(error),
            }
        }
        let last = statements.last().map_or(after, |(place, _)| *place);
        if more && last > after {
            return Ok(Heard::More(RecallPart::Statements { after: last }, None));
        }
        let is_counted = key.target.as_ref().is_some_and(|target| !target.counters().is_empty());
        let (true, Ok(id)) = (is_counted, key_id.parse()) else { return Ok(Heard::All) };
        let reading = self.ledgers.catch_up(id, from).await?;
        Ok(Heard::More(RecallPart::Ledger { after: reading.request() }, Some(reading)))
    }

    async fn take_page(
        &self,
        from: NodeIndex,
        key_id: &str,
        reading: Option<Reading>,
        page: &[u8],
    ) -> Result<Heard, TaskError> {
        let (Some(mut reading), Ok(id)) = (reading, key_id.parse()) else { return Ok(Heard::Again) };
        let key = self.key(from, key_id).await?;
        let statements = self.statements.of(key_id, &key).await?;
        let judge = EntryJudge { key_id, id, key: &key, statements: &statements };
        let page = Page::decode(page).map_err(|error| unusable(from, &reasons(&error)))?;
        let page = page.judge(from, |entry| judge.judge(from, entry));
        let page = page.map_err(|withheld| unusable(from, &reasons(&withheld)))?;
        match self.ledgers.merge_catch_up(id, &mut reading, page, clock::now()).await {
            Err(LedgerError::Page(error)) => return Err(unusable(from, &reasons(&error))),
            merged => merged?,
        }
        if reading.is_finished() {
            return Ok(Heard::All);
        }
        Ok(Heard::More(RecallPart::Ledger { after: reading.request() }, Some(reading)))
    }

    async fn key(&self, from: NodeIndex, key_id: &str) -> Result<StoredKey, TaskError> {
        let key = self.storage.key(key_id).await?;
        key.ok_or_else(|| unusable(from, "the key is nobody's here"))
    }

    /// The others, but for those that are lost.
    fn awaited(&self) -> impl Iterator<Item = NodeIndex> {
        self.member.peers().filter(|peer| !self.lost.contains(peer))
    }

    fn answered(&self) -> MutexGuard<'_, BTreeSet<NodeIndex>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of an answer.
enum Heard {
    /// There is more of the key.
    More(RecallPart, Option<Reading>),
    /// That was all of the key.
    All,
    /// The key has to be asked about again.
    Again,
}

fn unusable(peer: NodeIndex, reason: &str) -> TaskError {
    TaskError::Peer { peer, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    #[test]
    fn so_many_have_to_tell_all_that_the_bad_ones_cannot_hide_it() {
        let network = |threshold, size| {
            let identities =
                (1..=size).map(|node| SigningKey::from_bytes(&[node; 32]).verifying_key()).collect();
            NetworkDescriptor::new(threshold, identities, vec!["ws://localhost:1".parse().unwrap()]).unwrap()
        };
        for ((t, n), bad, lost, expected) in [
            ((3, 5), None, 0, 4),
            ((3, 5), Some(2), 0, 4),
            ((3, 5), Some(1), 0, 4),
            ((3, 5), Some(0), 0, 3),
            ((3, 5), None, 1, 3),
            ((3, 5), Some(0), 1, 3),
            ((3, 5), Some(0), 2, 2),
            ((3, 5), None, 4, 0),
            ((5, 9), Some(0), 0, 5),
            ((5, 9), Some(2), 1, 7),
            ((2, 3), None, 0, 2),
        ] {
            assert_eq!(needed(&network(t, n), bad, lost), expected, "{t} of {n}, bad {bad:?}, lost {lost}");
        }
    }
}
