//! What nodes write to each other outside a run: about keys that are being made, whose a key is, and what its owner says.
//!
//! The gateway carries these messages and may withhold, repeat or make them up: each carries the signatures that show it,
//! and whoever misses an answer asks again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use quorate_protocol::{NodeIndex, Refusal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::assignment::Assignments;
use super::bans::Bans;
use super::connection::ToGateway;
use super::error::TaskError;
use super::keygen::{KeysBeingMade, StillPending};
use super::ledgers::Ledgers;
use super::member::Member;
use super::peer_queue::PeerQueue;
use super::quarantine::Quarantine;
use super::recall;
use super::statements::Statements;
use crate::clock;
use crate::error::reasons;
use crate::observe::{NodeObserver, Occasionally, one_line};
use crate::storage::{Added, Storage, StorageError, StoredKey};
use crate::wire::{FromNode, KeyConfirmations, PeerMessage, ShownStatement, fitting};

/// The other nodes, as far as this one writes to them on one connection.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) assignments: Arc<Assignments>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) ledgers: Arc<Ledgers>,
    pub(crate) bans: Arc<Bans>,
    pub(crate) quarantine: Arc<Quarantine>,
    /// How far the other nodes' statements were read, by their journals.
    pub(crate) read: Arc<Mutex<BTreeMap<NodeIndex, (B256, u64)>>>,
    /// Told whenever the keys that can be assigned here may be others.
    pub(crate) free_keys: Arc<watch::Sender<()>>,
    pub(crate) observer: Arc<NodeObserver>,
    pub(crate) outgoing: ToGateway,
}

/// How often the other nodes are asked about pending keys and for statements.
const INQUIRY: Duration = Duration::from_secs(15);

/// How often a restored node looks who owes it an answer.
const RECALL: Duration = Duration::from_millis(500);

/// How long they have to answer on a connection before keys that are pending for too long are given up.
const LAST_CHANCE: Duration = Duration::from_secs(600);

/// How many statements are read at once.
const STATEMENTS: u32 = 64;

static NOT_DEALT_WITH: Occasionally = Occasionally::new();
static LEFT_OUT: Occasionally = Occasionally::new();

impl Peers {
    /// A key that is somebody's.
    ///
    /// # Errors
    /// A key that is nobody's here; the others are asked whose it is, and the request may be tried again.
    pub(crate) async fn key(&self, key_id: &str) -> Result<StoredKey, TaskError> {
        if let Some(key) = self.storage.key(key_id).await? {
            return Ok(key);
        }
        if self.storage.free_key(key_id).await?.is_some() {
            self.write_to_all(&PeerMessage::WhoseKey { key_id: key_id.to_owned() }).await;
            let node = self.member.index;
            let reason = format!("node {node} was away when key {key_id} was assigned, and is asking");
            return Err(Refusal::Unfinished { reason: reason.into() }.into());
        }
        // A pending key is asked about again later.
        if let Some(waiting) = StillPending::find(&self.member.network, &self.storage, key_id).await? {
            return Err(Refusal::Unfinished { reason: waiting.to_string().into() }.into());
        }
        // It may have become somebody's between the questions above.
        let assigned = self.storage.key(key_id).await?;
        assigned.ok_or_else(|| Refusal::UnknownKey { key_id: key_id.into() }.into())
    }

    /// Writes to every other node.
    pub(crate) async fn write_to_all(&self, message: &PeerMessage) {
        for to in self.member.peers() {
            self.write(to, message.clone()).await;
        }
    }

    /// Shows all others a ban of this node's own, and waits a little until they keep it.
    pub(crate) async fn show_ban(&self, key_id: &str, accused: NodeIndex) {
        self.write_to_all(&PeerMessage::Ban(self.bans.own(key_id, accused))).await;
        self.bans.wait_until_kept(key_id, accused).await;
    }

    /// Tells every gateway which keys can be assigned here, and this one before anything that is sent to it from now on.
    pub(crate) async fn report_free_keys(&self) {
        self.tell_free_keys().await;
        self.free_keys.send_replace(());
    }

    async fn tell_free_keys(&self) {
        if self.quarantine.check().is_err() {
            return self.outgoing.send(FromNode::Free { keys: Vec::new() }).await;
        }
        match self.storage.free_keys().await {
            Ok(keys) => self.outgoing.send(FromNode::Free { keys }).await,
            Err(error) => {
                tracing::error!(node = %self.member.index, %error, "the free keys cannot be listed")
            }
        }
    }

    /// Shows all others whose a key is.
    pub(crate) async fn tell_whose(&self, key_id: &str) -> Result<(), StorageError> {
        if let Some(evidence) = self.assignments.evidence(key_id).await? {
            let (key_id, evidence) = (key_id.to_owned(), Box::new(evidence));
            self.write_to_all(&PeerMessage::Assignment { key_id, evidence }).await;
        }
        Ok(())
    }

    /// Answers what the others have written, and asks them regularly, as long as the connection lasts.
    pub(crate) async fn correspond(&self, written: &PeerQueue) {
        let mut free_keys = self.free_keys.subscribe();
        self.tell_free_keys().await;
        let mut inquiry = tokio::time::interval(INQUIRY);
        let mut recall = tokio::time::interval(RECALL);
        let mut last_chance = tokio::time::interval_at(Instant::now() + LAST_CHANCE, LAST_CHANCE);
        loop {
            let dealt_with = tokio::select! {
                _ = inquiry.tick() => self.inquire().await,
                _ = recall.tick(), if self.quarantine.check().is_err() => self.recall().await,
                _ = last_chance.tick() => self.being_made().give_up().await.map_err(Into::into),
                (from, message) = written.take() => self.answer(from, message).await,
                _ = free_keys.changed() => {
                    self.tell_free_keys().await;
                    Ok(())
                }
            };
            if let Err(error) = dealt_with
                && let Some(times) = NOT_DEALT_WITH.count()
            {
                let error = one_line(reasons(&error));
                tracing::error!(node = %self.member.index, error, times, "what the other nodes write cannot be dealt with");
            }
        }
    }

    /// Asks about what this node may have missed.
    async fn inquire(&self) -> Result<(), TaskError> {
        self.write_confirmations(self.being_made().inquiries().await?).await;
        for peer in self.member.peers() {
            for key_id in self.assignments.unattested_by(peer, clock::now()).await? {
                self.write(peer, PeerMessage::WhoseKey { key_id }).await;
            }
            for ban in self.bans.not_kept_by(peer).await? {
                self.write(peer, PeerMessage::Ban(ban)).await;
            }
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).copied();
            let (journal, place) = read.unwrap_or_default();
            self.write(peer, PeerMessage::StatementsAfter { journal, place }).await;
        }
        Ok(())
    }

    /// `from` is the gateway's word, and no more than the address of the answer.
    async fn answer(&self, from: NodeIndex, message: PeerMessage) -> Result<(), TaskError> {
        match message {
            PeerMessage::Confirmations(confirmations) => {
                let posts = self.being_made().answer(from, &confirmations).await?;
                self.write_confirmations(posts).await;
                self.report_free_keys().await;
            }
            PeerMessage::WhoseKey { key_id } => {
                if let Some(evidence) = self.assignments.evidence(&key_id).await? {
                    let evidence = Box::new(evidence);
                    self.write(from, PeerMessage::Assignment { key_id, evidence }).await;
                }
            }
            PeerMessage::Assignment { key_id, evidence } => {
                if self.assignments.learn(&key_id, *evidence, clock::now()).await? {
                    self.report_free_keys().await;
                    let known = B256::ZERO;
                    self.write(from, PeerMessage::WhichStatements { key_id, known }).await;
                }
            }
            PeerMessage::WhichStatements { key_id, known } => {
                let set = self.storage.statement_set(&key_id).await?;
                if set.digest() != known {
                    let mut statements = self.storage.statements_of(&key_id).await?;
                    while !statements.is_empty() {
                        let rest = statements.split_off(fitting(&statements));
                        self.write(from, PeerMessage::Statements { statements }).await;
                        statements = rest;
                    }
                }
            }
            PeerMessage::Statements { statements } => {
                for statement in &statements {
                    self.learn(from, statement).await?;
                }
            }
            PeerMessage::StatementsAfter { journal, place } => {
                let own = self.storage.journal();
                let place = if journal == own { place } else { 0 };
                let mut statements = self.storage.statements_after(place, STATEMENTS).await?;
                statements.truncate(fitting(statements.iter().map(|(_, statement)| statement)));
                self.write(from, PeerMessage::StatementPage { journal: own, statements }).await;
            }
            PeerMessage::StatementPage { journal, statements } => {
                self.read_page(from, journal, statements).await?;
            }
            PeerMessage::Ban(ban) => {
                if let Some((maker, kept)) = self.bans.keep(ban).await? {
                    self.write(maker, kept).await;
                }
            }
            PeerMessage::BanKept { key_id, accused } => self.bans.note_kept(from, key_id, accused),
            PeerMessage::Recall(question) => {
                if self.member.network.identity(from).is_some() {
                    let told = recall::tell(self, from, question).await?;
                    self.write(from, PeerMessage::Recalled(Box::new(told))).await;
                }
            }
            PeerMessage::Recalled(told) => {
                if let Some(next) = self.quarantine.hear(from, *told).await? {
                    self.write(from, PeerMessage::Recall(next)).await;
                } else if self.quarantine.end_if_possible().await? {
                    self.report_free_keys().await;
                }
            }
        }
        Ok(())
    }

    /// Asks the others what a restored node has forgotten.
    async fn recall(&self) -> Result<(), TaskError> {
        for (peer, question) in self.quarantine.questions().await? {
            self.write(peer, PeerMessage::Recall(question)).await;
        }
        if self.quarantine.end_if_possible().await? {
            self.report_free_keys().await;
        }
        Ok(())
    }

    /// Takes in a page of another node's statements, up to the first about a key that is nobody's here yet.
    async fn read_page(
        &self,
        from: NodeIndex,
        journal: B256,
        statements: Vec<(u64, ShownStatement)>,
    ) -> Result<(), TaskError> {
        if statements.is_empty() {
            self.observer.read_journal(from);
        }
        let mut last = None;
        for (place, statement) in &statements {
            if !self.learn(from, statement).await? {
                break;
            }
            last = Some(*place);
        }
        if let Some(place) = last {
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(from, (journal, place));
            self.write(from, PeerMessage::StatementsAfter { journal, place }).await;
        }
        Ok(())
    }

    /// Takes in one statement. Whether it could be judged: one about a key that is nobody's here yet cannot. One that too few
    /// nodes vouch for is not waited for: each node that does shows it, and those that have it show all vouchers.
    async fn learn(&self, from: NodeIndex, statement: &ShownStatement) -> Result<bool, TaskError> {
        let Some(key_id) = self.statements.key_id_of(&statement.request) else { return Ok(true) };
        let Some(key) = self.storage.key(&key_id).await? else {
            if self.storage.free_key(&key_id).await?.is_some() {
                self.write(from, PeerMessage::WhoseKey { key_id }).await;
                return Ok(false);
            }
            return Ok(true);
        };
        match self.statements.learn(statement, &key, clock::now()).await {
            Ok(Added::New) => {
                tracing::info!(node = %self.member.index, key_id, "learnt what the key's owner says");
            }
            Ok(_) => {}
            Err(TaskError::Refused(refusal)) => {
                if let Some(times) = LEFT_OUT.count() {
                    let reason = one_line(&refusal);
                    tracing::warn!(node = %self.member.index, key_id, %from, reason, times, "left out a statement");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn being_made(&self) -> KeysBeingMade<'_> {
        KeysBeingMade { member: &self.member, storage: &self.storage, now: clock::now() }
    }

    async fn write_confirmations(&self, posts: Vec<(NodeIndex, KeyConfirmations)>) {
        for (to, confirmations) in posts {
            self.write(to, PeerMessage::Confirmations(confirmations)).await;
        }
    }

    async fn write(&self, to: NodeIndex, message: PeerMessage) {
        self.outgoing.send(FromNode::Peer { to, message }).await;
    }
}
