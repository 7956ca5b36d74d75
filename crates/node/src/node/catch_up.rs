//! What the signers of an operation tell each other before they sign: what the key's owner has said, and what the key's
//! earlier operations have come to.
//!
//! Each has charged the operation durably before its hello left. Then each reads what the others' ledgers hold beyond its
//! own bookmark, so that all of them know every charge that any of them let through. An entry is a request that the client
//! signed, so a bad node can withhold entries, and invent none. With the hello goes where each wants to read on, and the
//! digest of its statements; two signers who have the same statements and nothing to count tell each other nothing.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use quorate_ledger::{Entry, Judgement, KeyId, Page, PageRequest, SigningRun};
use quorate_protocol::{NodeIndex, SignedRequest};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::error::TaskError;
use super::judge::{self, Requested};
use super::ledgers::{LedgerError, Ledgers};
#[cfg(feature = "fail-points")]
use super::lies;
use super::run::Run;
use super::statements::{KeyStatements, Registration, Statements};
use crate::error::reasons;
use crate::observe::Occasionally;
use crate::storage::{Storage, StoredKey};
use crate::wire::{self, ShownStatement, fitting};

/// What a signer says to each other one with its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remark {
    /// Of the statements about the key.
    pub(crate) statements: B256,
    /// Where it reads on in the other's ledger; none where nothing is counted.
    pub(crate) reads: Option<PageRequest>,
}

/// What one signer tells another after the hellos.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Told {
    statements: Vec<ShownStatement>,
    page: Option<ByteBuf>,
    more: bool,
}

/// A key and one operation of it that is about to be signed, at one node.
#[derive(Clone, Copy)]
pub(crate) struct CatchUp<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) ledgers: &'a Ledgers,
    pub(crate) statements: &'a Statements,
    pub(crate) key: &'a StoredKey,
    pub(crate) operation: &'a Requested,
    /// This node.
    pub(crate) me: NodeIndex,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What this node still has to tell a signer, and whether that one has told all.
struct Pair {
    statements: Vec<ShownStatement>,
    /// What the other asks for next.
    asked: Option<PageRequest>,
}

/// The most messages that two signers tell each other in one run.
const MOST_MESSAGES: usize = 64;

static NOT_GENUINE: Occasionally = Occasionally::new();

impl CatchUp<'_> {
    /// Tells the other signers and is told, until nobody has more; then the run's operation can be settled.
    pub(crate) async fn perform(
        &self,
        run: &mut Run<'_>,
        own_digest: B256,
        mut counted: Option<&mut SigningRun>,
    ) -> Result<(), TaskError> {
        let mut pairs = self.pairs(run, own_digest, counted.is_some()).await?;
        for _ in 0..MOST_MESSAGES {
            if pairs.is_empty() {
                return Ok(());
            }
            let (mut outgoing, mut has_more) = (BTreeMap::new(), BTreeMap::new());
            for (peer, pair) in &mut pairs {
                let told = self.tell(pair, counted.as_deref()).await?;
                has_more.insert(*peer, told.more);
                outgoing.insert(*peer, Zeroizing::new(wire::encode(&told)));
            }
            let incoming = run.round_trip(outgoing).await?;
            let told = incoming.iter().map(|(peer, bytes)| Ok((*peer, read::<Told>(*peer, bytes)?)));
            let told = told.collect::<Result<Vec<_>, TaskError>>()?;
            for (peer, told) in &told {
                self.take_statements(*peer, &told.statements).await?;
            }
            let statements = self.statements.of(&self.operation.key_id, self.key).await?;
            for (peer, told) in told {
                if let (Some(run), Some(page)) = (counted.as_deref_mut(), &told.page) {
                    self.take_page(run, peer, page, &statements).await?;
                }
                if !told.more && has_more.get(&peer) == Some(&false) {
                    pairs.remove(&peer);
                }
            }
        }
        match pairs.into_keys().next() {
            None => Ok(()),
            Some(peer) => {
                Err(TaskError::Peer { peer, reason: "its ledger does not come to an end".to_owned() })
            }
        }
    }

    /// The signers with whom there is something to talk about.
    async fn pairs(
        &self,
        run: &Run<'_>,
        own_digest: B256,
        is_counted: bool,
    ) -> Result<BTreeMap<NodeIndex, Pair>, TaskError> {
        let mut pairs = BTreeMap::new();
        for peer in run.peers() {
            let remark: Remark = read(peer, run.remark_of(peer, self.me))?;
            let differ = remark.statements != own_digest;
            if remark.reads.is_some() != is_counted {
                let reason = "it does not agree whether the key's operations are counted".to_owned();
                return Err(TaskError::Peer { peer, reason });
            }
            if is_counted || differ {
                let statements = match differ {
                    true => self.storage.statements_of(&self.operation.key_id).await?,
                    false => Vec::new(),
                };
                pairs.insert(peer, Pair { statements, asked: remark.reads });
            }
        }
        Ok(pairs)
    }

    /// The next message for a signer: statements first, since entries are judged by them.
    async fn tell(&self, pair: &mut Pair, counted: Option<&SigningRun>) -> Result<Told, TaskError> {
        let mut told = Told::default();
        let rest = pair.statements.split_off(fitting(&pair.statements));
        told.statements = std::mem::replace(&mut pair.statements, rest);
        if !pair.statements.is_empty() {
            told.more = true;
            return Ok(told);
        }
        if let (Some(run), Some(asked)) = (counted, pair.asked.take()) {
            #[cfg(feature = "fail-points")]
            let asked = lies::asked(self.me, self.storage.journal(), asked);
            let (page, next) = self.ledgers.page(self.operation.key, run, asked).await?;
            told.page = Some(page.encode().into());
            told.more = next.is_some();
            pair.asked = next;
        }
        Ok(told)
    }

    async fn take_statements(&self, peer: NodeIndex, statements: &[ShownStatement]) -> Result<(), TaskError> {
        for statement in statements {
            match self.statements.learn(statement, self.key, self.now).await {
                Ok(_) => {}
                Err(TaskError::Refused(refusal)) => {
                    return Err(TaskError::Peer { peer, reason: reasons(&refusal) });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn take_page(
        &self,
        run: &mut SigningRun,
        peer: NodeIndex,
        page: &[u8],
        statements: &KeyStatements,
    ) -> Result<(), TaskError> {
        let unusable = |error: &dyn std::error::Error| TaskError::Peer { peer, reason: reasons(error) };
        let page = Page::decode(page).map_err(|error| unusable(&error))?;
        let Requested { key_id, key: id, .. } = self.operation;
        let judge = EntryJudge { key_id, id: *id, key: self.key, statements };
        let page = page.judge(peer, |entry| judge.judge(peer, entry));
        let page = page.map_err(|withheld| unusable(&withheld))?;
        match self.ledgers.merge(self.operation.key, run, page, self.now).await {
            Err(LedgerError::Page(error)) => Err(unusable(&error)),
            merged => Ok(merged?),
        }
    }
}

/// By what the entries of other nodes' ledgers of one key are judged.
#[derive(Clone, Copy)]
pub(crate) struct EntryJudge<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) id: KeyId,
    pub(crate) key: &'a StoredKey,
    pub(crate) statements: &'a KeyStatements,
}

impl EntryJudge<'_> {
    /// Judges an entry by the key's permissions and by what is said about the key; time is no matter: it was let through
    /// while its ephemeral key and its policy were valid.
    pub(crate) fn judge(&self, peer: NodeIndex, entry: &Entry) -> Judgement {
        let request = postcard::from_bytes::<SignedRequest>(&entry.request).ok();
        let operation = request.and_then(|request| judge::requested(&request).ok());
        let Some(operation) = operation.filter(|operation| operation.key == self.id) else {
            return self.not_genuine(peer, entry);
        };
        match self.statements.registers(entry.statement, operation.ephemeral.as_bytes()) {
            Registration::Unknown => return Judgement::StatementMissing,
            Registration::OfAnother => return self.not_genuine(peer, entry),
            Registration::Genuine => {}
        }
        match operation.ever_permitted(self.key, entry.charged_at.get()) {
            Some((nonce, amounts)) => Judgement::Genuine { nonce, amounts },
            None => self.not_genuine(peer, entry),
        }
    }

    fn not_genuine(&self, peer: NodeIndex, entry: &Entry) -> Judgement {
        let (key_id, place) = (self.key_id, entry.place.get());
        if let Some(times) = NOT_GENUINE.count() {
            tracing::warn!(%key_id, %peer, place, times, "left out an entry that is not genuine");
        }
        Judgement::NotGenuine
    }
}

impl wire::Frame for Remark {}

impl wire::Frame for Told {}

impl Remark {
    /// As it stands in a hello.
    pub(crate) fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }
}

fn read<T: serde::de::DeserializeOwned>(peer: NodeIndex, bytes: &[u8]) -> Result<T, TaskError> {
    wire::decode(bytes).map_err(|error| TaskError::Peer { peer, reason: error.to_string() })
}
