//! What the signers of an operation tell each other of a key's earlier ones before they sign.
//!
//! Each has charged the operation in its own database first. Then each reads what the others' journals hold beyond its
//! own bookmark, so that all of them know every charge that any of them let through, and refuses if that is more than
//! a limit allows. Two quorums have a node in common (2t > n, which counted limits require), so two requests for the
//! last of a limit meet in it. What a peer still holds, and may withdraw, counts for this decision and is not
//! remembered.
//!
//! An entry is a request that the client signed, so a bad node can withhold entries, and invent none.

use alloy_primitives::{B256, U256};
use quorate_protocol::{
    Authentication, Counter, NodeIndex, OperationMessage, Permissions, Refusal, Setup, SignedRequest,
};
use serde::{Deserialize, Serialize};

use crate::node::rounds::CeremonyError;
use crate::node::run::Run;
use crate::storage::{Bookmark, Charge, Entry, Storage, StorageError};
use crate::wire;

/// A key whose operations are counted, at one node.
#[derive(Clone, Copy)]
pub(crate) struct Journal<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) key_id: &'a str,
    pub(crate) permissions: &'a Permissions,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What one signer tells another.
#[derive(Serialize, Deserialize)]
struct Page {
    journal: B256,
    entries: Vec<Entry>,
    /// Whether the rest did not fit.
    more: bool,
}

/// An entry whose request a registered client signed.
struct Genuine {
    at: u64,
    request: SignedRequest,
    nonce: U256,
    amounts: Vec<U256>,
}

/// What a page holds, apart from a single large entry.
const PAGE: usize = 512 * 1024;
impl Journal<'_> {
    /// Reads the other signers' journals, and gives the refusal if together they exceed a limit.
    pub(crate) async fn exchange(&self, run: &mut Run) -> Result<Option<Refusal>, CeremonyError> {
        let counters = self.permissions.limits.counters();
        if counters.is_empty() {
            return Ok(None);
        }
        let own = self.storage.journal().await?;
        let mut bookmarks = Vec::new();
        for peer in run.peers() {
            let bookmark = self.storage.bookmark(self.key_id, peer).await?;
            bookmarks.push((peer, wire::encode(&bookmark).into()));
        }
        let asked = run.exchange(bookmarks.into_iter().collect()).await?;

        let mut pages = Vec::new();
        for (peer, bookmark) in asked {
            let bookmark: Bookmark = wire::decode(&bookmark).unwrap_or_default();
            let (entries, more) = self.storage.entries_after(self.key_id, bookmark, PAGE).await?;
            pages.push((peer, wire::encode(&Page { journal: own, entries, more }).into()));
        }
        let told = run.exchange(pages.into_iter().collect()).await?;

        let mut behind = None;
        let mut held = Vec::new();
        for (peer, page) in told {
            // A page that cannot be read is as good as one that was withheld.
            if let Ok(page) = wire::decode::<Page>(&page) {
                behind = behind.or(page.more.then_some(peer));
                held.extend(self.take(peer, page, &counters).await?);
            }
        }
        if let Some(peer) = behind {
            let reason = format!("a signer has not read all of node {peer}'s journal yet");
            return Ok(Some(Refusal::Unfinished { reason: reason.into() }));
        }
        let held = self.charges(&held, &counters);
        Ok(self.storage.excess_with(self.key_id, &counters, &held, self.now).await?.map(Refusal::from))
    }

    /// Adds what a peer's page tells, apart from what the peer may yet withdraw, which is given.
    async fn take(
        &self,
        peer: NodeIndex,
        page: Page,
        counters: &[Counter],
    ) -> Result<Vec<Genuine>, CeremonyError> {
        let read_until = page.entries.iter().take_while(|entry| !entry.held).last();
        let bookmark = read_until.map(|entry| Bookmark { journal: page.journal, place: entry.place });
        let (mut kept, mut held) = (Vec::new(), Vec::new());
        for Entry { at, request, held: is_held, .. } in page.entries {
            match self.read(&request).await? {
                Some((nonce, amounts)) => {
                    let genuine = Genuine { at: at.min(self.now), request, nonce, amounts };
                    if is_held { held.push(genuine) } else { kept.push(genuine) }
                }
                None => tracing::warn!(key_id = self.key_id, %peer, "left out an entry that is not genuine"),
            }
        }
        self.storage.add_charges(&self.charges(&kept, counters)).await?;
        if let Some(bookmark) = bookmark {
            self.storage.set_bookmark(self.key_id, peer, bookmark);
        }
        Ok(held)
    }

    fn charges<'g>(&'g self, genuine: &'g [Genuine], counters: &'g [Counter]) -> Vec<Charge<'g>> {
        let charge = |Genuine { at, request, nonce, amounts }: &'g Genuine| Charge {
            key_id: self.key_id,
            counters,
            nonce: *nonce,
            amounts,
            request,
            at: *at,
        };
        genuine.iter().map(charge).collect()
    }

    /// The nonce and the amounts of a request that a registered client signed for this key.
    ///
    /// That its ephemeral key may have ended and its policy too is no matter: it was let through while they had not.
    async fn read(&self, request: &SignedRequest) -> Result<Option<(U256, Vec<U256>)>, StorageError> {
        let Ok(Setup::Sign(setup)) = Setup::parse(request.operation, &request.setup) else { return Ok(None) };
        let client = Authentication::parse(&request.authentication)
            .and_then(|authentication| authentication.verify_ephemeral(&request.setup, &request.challenge()));
        let Some(client) = client.ok().filter(|_| setup.key_id == self.key_id) else { return Ok(None) };
        if self.storage.ephemeral_key_ends(self.key_id, &client).await?.is_none() {
            return Ok(None);
        }
        let Ok(message) = OperationMessage::from_json(&setup.message) else { return Ok(None) };
        let OperationMessage { operation, entry_point, chain_id } = message;
        let amounts = self.permissions.amounts(&operation, entry_point, chain_id).ok();
        Ok(amounts.map(|amounts| (operation.nonce, amounts)))
    }
}
