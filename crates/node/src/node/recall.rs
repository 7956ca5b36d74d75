//! What a node tells one that was restored from a backup: all that it knows of a key, part by part, signed.

use quorate_ledger::PageRequest;
use quorate_protocol::NodeIndex;

use super::error::TaskError;
use super::member::Member;
use super::peers::Peers;
use crate::wire::{KeyMemory, Recall, RecallPart, Recalled, fitting};

/// How many statements are told at once.
const STATEMENTS: u32 = 64;

/// The answer to a question of `asker`.
pub(super) async fn tell(peers: &Peers, asker: NodeIndex, question: Recall) -> Result<Recalled, TaskError> {
    let key_id = question.key_id.as_str();
    let memory = match question.part {
        RecallPart::Owner => KeyMemory::Owner {
            evidence: peers.assignments.evidence(key_id).await?,
            bans: peers.storage.kept_bans(key_id, asker).await?,
        },
        RecallPart::Statements { after } => {
            let mut statements = peers.storage.statements_of_after(key_id, after, STATEMENTS).await?;
            let (found, fits) =
                (statements.len(), fitting(statements.iter().map(|(_, statement)| statement)));
            statements.truncate(fits);
            KeyMemory::Statements { statements, more: found > fits || found == STATEMENTS as usize }
        }
        RecallPart::Ledger { after } => ledger(peers, key_id, after).await?,
    };
    let Member { network, index, identity } = &*peers.member;
    let is_quarantined = peers.storage.is_quarantined();
    Ok(Recalled::sign(network.id(), (*index, identity), asker, question, is_quarantined, memory))
}

async fn ledger(peers: &Peers, key_id: &str, after: PageRequest) -> Result<KeyMemory, TaskError> {
    let page = match key_id.parse() {
        Ok(key) => peers.ledgers.catch_up_page(key, after).await?.encode(),
        Err(_) => Vec::new(),
    };
    Ok(KeyMemory::Ledger { page: page.into() })
}
