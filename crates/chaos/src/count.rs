//! Whether the nodes' ledgers count what was signed.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use quorate_ledger::{Dimension, KeyId, KeyLedger, Nonce, Timestamp};
use quorate_protocol::NodeIndex;

use crate::ChaosError;
use crate::processes::Processes;
use crate::session::{Session, amount};

/// A rule of counting that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Less is counted than was signed.
    #[error(
        "operations were signed with a {dimension} of {signed} in all, and the ledgers together keep {kept}"
    )]
    Uncounted {
        /// What is limited.
        dimension: Dimension,
        /// What was signed.
        signed: U256,
        /// What is kept.
        kept: U256,
    },
    /// A signed operation that too few nodes keep.
    #[error("operation {operation} was signed, and {keepers:?} keep it: {threshold} nodes signed it")]
    Forgotten {
        /// Its number.
        operation: u64,
        /// The nodes that keep it.
        keepers: Vec<NodeIndex>,
        /// How many nodes sign.
        threshold: u8,
    },
    /// A ledger beyond the limit.
    #[error("node {node} keeps a {dimension} of {kept}, and the limit is {limit}")]
    Exceeded {
        /// The node.
        node: NodeIndex,
        /// What is limited.
        dimension: Dimension,
        /// What it keeps.
        kept: U256,
        /// The limit.
        limit: U256,
    },
}

/// What was signed of a limited dimension.
struct Signed<'a> {
    operations: &'a BTreeSet<u64>,
    amount: fn(Dimension, u64) -> U256,
    threshold: u8,
}

/// No limit has windows here, so every time is in the same one.
const ANY_TIME: Timestamp = Timestamp::new(0);

/// Reads the ledgers of nodes that have ended, and checks those of a session's key against the operations that were signed
/// with it.
pub(crate) async fn check_files(
    processes: &Processes,
    session: &Session,
    operations: &BTreeSet<u64>,
    limits: &[(Dimension, U256)],
) -> Result<(), ChaosError> {
    let key_id = session.key_id();
    let key: KeyId = key_id.parse().map_err(|_| ChaosError::KeyId(key_id.to_owned()))?;
    let mut ledgers = BTreeMap::new();
    for node in processes.nodes() {
        let read = quorate_node::read_ledgers(&processes.database(node)).await;
        let mut of_node = read.map_err(|source| ChaosError::Ledger { node, source })?;
        ledgers.extend(of_node.remove(&key).map(|ledger| (node, ledger)));
    }
    let signed = Signed { operations, amount, threshold: processes.descriptor().threshold() };
    Ok(check(&ledgers, &signed, limits)?)
}

/// Checks the ledgers of one key against what was signed with it.
fn check(
    ledgers: &BTreeMap<NodeIndex, KeyLedger>,
    signed: &Signed<'_>,
    limits: &[(Dimension, U256)],
) -> Result<(), Violation> {
    for &(dimension, limit) in limits {
        check_limit(ledgers, dimension, limit)?;
        check_total(ledgers, signed, dimension)?;
        check_keepers(ledgers, signed, dimension)?;
    }
    Ok(())
}

fn check_limit(
    ledgers: &BTreeMap<NodeIndex, KeyLedger>,
    dimension: Dimension,
    limit: U256,
) -> Result<(), Violation> {
    for (&node, ledger) in ledgers {
        let kept = ledger.kept_total(dimension, ANY_TIME);
        if kept > limit {
            return Err(Violation::Exceeded { node, dimension, kept, limit });
        }
    }
    Ok(())
}

fn check_total(
    ledgers: &BTreeMap<NodeIndex, KeyLedger>,
    signed: &Signed<'_>,
    dimension: Dimension,
) -> Result<(), Violation> {
    let mut union = BTreeMap::<Nonce, U256>::new();
    for (nonce, amount) in ledgers.values().flat_map(|ledger| ledger.kept_amounts(dimension, ANY_TIME)) {
        let known = union.entry(nonce).or_default();
        *known = amount.max(*known);
    }
    let kept = union.values().fold(U256::ZERO, |sum, amount| sum + amount);
    let amounts = signed.operations.iter().map(|operation| (signed.amount)(dimension, *operation));
    let signed = amounts.fold(U256::ZERO, |sum, amount| sum + amount);
    if signed > kept { Err(Violation::Uncounted { dimension, signed, kept }) } else { Ok(()) }
}

fn check_keepers(
    ledgers: &BTreeMap<NodeIndex, KeyLedger>,
    signed: &Signed<'_>,
    dimension: Dimension,
) -> Result<(), Violation> {
    let mut keepers = BTreeMap::<(Nonce, U256), Vec<NodeIndex>>::new();
    for (&node, ledger) in ledgers {
        for entry in ledger.kept_amounts(dimension, ANY_TIME) {
            keepers.entry(entry).or_default().push(node);
        }
    }
    for &operation in signed.operations {
        let entry = (Nonce::new(U256::from(operation)), (signed.amount)(dimension, operation));
        let keepers = keepers.remove(&entry).unwrap_or_default();
        if keepers.len() < usize::from(signed.threshold) {
            return Err(Violation::Forgotten { operation, keepers, threshold: signed.threshold });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use quorate_ledger::{JournalId, KeyId, Origin, Place, Row, StatementHash, Stored};

    use super::*;

    /// A ledger with one use of each of these operations.
    fn ledger(operations: &[u64]) -> KeyLedger {
        let place = |number: usize| Place::try_from(number as u64).unwrap();
        let mut rows = BTreeMap::new();
        for (number, &operation) in (1..).zip(operations) {
            let row = Row {
                nonce: Nonce::new(U256::from(operation)),
                amounts: [(Dimension::Uses, U256::ONE)].into_iter().collect(),
                charged_at: ANY_TIME,
                origin: Origin::Own,
                statement: StatementHash::new(B256::ZERO),
                request_bytes: 0,
            };
            rows.insert(place(number), row);
        }
        let stored = Stored { next_place: place(operations.len() + 1), rows, bookmarks: BTreeMap::new() };
        KeyLedger::load(KeyId::new(B256::ZERO), JournalId::new(B256::ZERO), stored).unwrap()
    }

    fn check_uses(ledgers: &[&[u64]], signed: &[u64], limit: u64) -> Result<(), Violation> {
        let nodes = (1..).filter_map(NodeIndex::new);
        let ledgers = nodes.zip(ledgers.iter().map(|operations| ledger(operations))).collect();
        let operations = signed.iter().copied().collect();
        let signed = Signed { operations: &operations, amount: |_, _| U256::ONE, threshold: 2 };
        check(&ledgers, &signed, &[(Dimension::Uses, U256::from(limit))])
    }

    #[test]
    fn what_two_of_three_nodes_keep_may_be_signed() {
        assert_eq!(check_uses(&[&[1, 2], &[2], &[1]], &[1, 2], 2), Ok(()));
        assert_eq!(check_uses(&[&[1, 2], &[2], &[]], &[2], 2), Ok(()), "what was refused may be kept");
    }

    #[test]
    fn each_broken_rule_is_named() {
        let found = check_uses(&[&[1, 2], &[2], &[2]], &[1, 2], 2);
        assert!(matches!(found, Err(Violation::Forgotten { operation: 1, threshold: 2, .. })), "{found:?}");
        let found = check_uses(&[&[2], &[2], &[]], &[1, 2], 2);
        assert!(matches!(found, Err(Violation::Uncounted { .. })), "{found:?}");
        let found = check_uses(&[&[1], &[1, 2, 3], &[]], &[1], 2);
        assert!(matches!(found, Err(Violation::Exceeded { .. })), "{found:?}");
    }
}
