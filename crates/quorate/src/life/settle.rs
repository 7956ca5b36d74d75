//! What becomes of an operation: by its own nonce, whatever the root is.

use alloy_primitives::{B256, U256};
use quorate_bundler::Fees;
use quorate_core::UserOperation;
use quorate_store::{Answer, Change, Operation, SessionId};

use crate::draft::SignedOperation;
use crate::life::facts::Facts;

/// An operation's nonce: one place in one of the account's parallel streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nonce {
    /// The upper 192 bits.
    pub(crate) stream: U256,
    /// The lower 64.
    pub(crate) sequence: u64,
}

impl From<U256> for Nonce {
    fn from(nonce: U256) -> Self {
        Self { stream: nonce >> 64, sequence: nonce.as_limbs()[0] }
    }
}

impl From<Nonce> for U256 {
    fn from(nonce: Nonce) -> Self {
        (nonce.stream << 64) | Self::from(nonce.sequence)
    }
}

/// What can still become of an operation, as one block has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It can get on chain as it is.
    Open,
    /// It can get on chain, and would then replace a tree that it was not made for.
    Conflicting,
    /// Some operation with its nonce is on chain: this one, a replacement, or another's.
    Consumed,
    /// It is refused for ever: it carries the account's creation, and the account is there; or its time is over.
    Dead,
}

impl Fate {
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Consumed | Self::Dead)
    }
}

/// The fate of an operation, which stands in the store as `signed`.
pub(crate) fn fate(operation: &Operation, signed: &SignedOperation, facts: &Facts) -> Fate {
    let nonce = Nonce::from(operation.nonce);
    let creates = !signed.message.operation.init_code.is_empty();
    let is_over = signed.valid_until != 0 && signed.valid_until < facts.block.timestamp;
    if facts.sequence(nonce.stream) > nonce.sequence {
        Fate::Consumed
    } else if creates && facts.deployed || is_over {
        Fate::Dead
    } else if operation.root_change.is_some_and(|change| change.replaces != facts.root) {
        Fate::Conflicting
    } else {
        Fate::Open
    }
}

/// Whether the chain will still take an operation when a bundler has it in a block: a minute of its time is left.
pub(crate) const fn has_time_left(signed: &SignedOperation, facts: &Facts) -> bool {
    signed.valid_until == 0 || signed.valid_until >= facts.block.timestamp.saturating_add(60)
}

/// The owner's operation that is under way and has the next nonce of its stream, so that another one would take its
/// place; none where a bundler refused it, which may have to be made again.
pub(crate) fn under_way<'a>(
    operations: &'a [Operation],
    stream: U256,
    facts: &Facts,
    supersedes: &[B256],
) -> Option<&'a Operation> {
    operations.iter().find(|operation| {
        let nonce = Nonce::from(operation.nonce);
        nonce.stream == stream
            && nonce.sequence == facts.sequence(stream)
            && !matches!(operation.answer, Answer::Refused | Answer::Abandoned)
            && !supersedes.contains(&operation.user_op_hash)
    })
}

/// The operation that made the same call before, and of which nobody was told that it is under way or over: its sending
/// was never answered for, or refused.
pub(crate) fn unsettled_call<'a>(
    operations: &'a [Operation],
    session: Option<&SessionId>,
    is_same: impl Fn(&UserOperation<Vec<u8>>) -> bool,
) -> Option<&'a Operation> {
    operations.iter().rfind(|operation| {
        let signed = || SignedOperation::read(&operation.message, operation.user_op_hash);
        operation.session.as_ref() == session
            && operation.root_change.is_none()
            && !operation.told
            && operation.answer != Answer::Abandoned
            && signed().is_ok_and(|signed| is_same(&signed.message.operation))
    })
}

/// The fees of an operation that takes the place of others with its nonce: a tenth more than each of theirs, both of
/// them, rounded up, and no less than today's.
pub(crate) fn replacement_fees(today: Fees, replaced: impl IntoIterator<Item = Fees>) -> Fees {
    let raised = |fee: U256| fee.saturating_mul(U256::from(11)).div_ceil(U256::from(10));
    replaced.into_iter().fold(today, |fees, other| Fees {
        max_fee_per_gas: fees.max_fee_per_gas.max(raised(other.max_fee_per_gas)),
        max_priority_fee_per_gas: fees.max_priority_fee_per_gas.max(raised(other.max_priority_fee_per_gas)),
    })
}

/// Whether an operation's fees pay for the next block: its base fee, which is at most an eighth more than the last one's,
/// and the tip.
pub(crate) fn pays_enough(fees: Fees, facts: &Facts) -> bool {
    let Some(base_fee) = facts.block.base_fee else { return true };
    let next = base_fee.saturating_add(base_fee.div_ceil(U256::from(8)));
    fees.max_fee_per_gas >= next.saturating_add(fees.max_priority_fee_per_gas)
        || fees.max_fee_per_gas >= next && fees.max_priority_fee_per_gas == fees.max_fee_per_gas
}

/// How many blocks an operation that is over stays stored, where fewer confirmations were asked for: a
/// reorganisation within them brings it back.
pub(crate) const KEPT_BLOCKS: u64 = 64;

/// What of an operation changes in the store.
///
/// It is forgotten when it was over for as many blocks as count. Not while the root on chain is unknown and it sets one:
/// its tree may then be under what another device made. And not while nobody was told what became of its calls: who made
/// them may come back and make them again.
pub(crate) fn close(
    operation: &Operation,
    fate: Fate,
    facts: &Facts,
    root_is_known: bool,
    confirmations: u64,
) -> Option<Change> {
    let user_op_hash = operation.user_op_hash;
    match (operation.closed_at_block, fate.is_over()) {
        (None, true) => Some(Change::SetClosed { user_op_hash, block: Some(facts.block.number) }),
        (Some(_), false) => Some(Change::SetClosed { user_op_hash, block: None }),
        (Some(closed), true) => {
            let last = closed.saturating_add(confirmations.max(KEPT_BLOCKS));
            let needed = match operation.root_change {
                Some(_) => !root_is_known,
                None => fate == Fate::Consumed && !operation.told && operation.answer != Answer::Abandoned,
            };
            (facts.block.number >= last && !needed).then_some(Change::RemoveOperation(user_op_hash))
        }
        (None, false) => None,
    }
}

/// The trees that nothing needs any more: no operation that is stored sets or replaces them, and they are neither under
/// the latest nor under the settled root. Where the latest root is not known, all stay: another device may come back to
/// one of them.
pub(crate) fn forgotten_trees(
    roots: &[B256],
    operations: &[Operation],
    facts: &Facts,
    root_is_known: bool,
) -> Vec<Change> {
    if !root_is_known {
        return Vec::new();
    }
    let needed = |root: &B256| {
        *root == facts.root
            || *root == facts.settled_root
            || operations
                .iter()
                .filter_map(|operation| operation.root_change)
                .any(|change| change.sets == *root || change.replaces == *root)
    };
    roots.iter().filter(|root| !needed(root)).map(|root| Change::RemoveTree(*root)).collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use quorate_protocol::OperationMessage;
    use quorate_store::RootChange;

    use super::*;
    use crate::life::facts::Block;

    const R1: B256 = B256::repeat_byte(1);
    const R2: B256 = B256::repeat_byte(2);
    const R3: B256 = B256::repeat_byte(3);

    fn operation(sequence: u64, root_change: Option<(B256, B256)>) -> Operation {
        Operation {
            user_op_hash: B256::repeat_byte(9),
            nonce: U256::from(sequence),
            session: None,
            root_change: root_change.map(|(replaces, sets)| RootChange { replaces, sets }),
            answer: Answer::Taken,
            told: true,
            signed_at_block: 0,
            closed_at_block: None,
            message: String::new(),
        }
    }

    fn facts(sequence: u64, root: B256, deployed: bool) -> Facts {
        Facts {
            block: Block { number: 100, hash: B256::ZERO, timestamp: 1_700_000_000, base_fee: None },
            root,
            settled_root: root,
            deployed,
            sequences: [(U256::ZERO, sequence)].into(),
            enabled: Vec::new(),
        }
    }

    /// The sequences of the rules: the root decides nothing before the nonce has.
    #[test]
    fn an_operation_s_fate_is_its_nonce_s() {
        for (what, operation, creates, facts, expected) in [
            ("waits", operation(5, Some((R1, R2))), false, facts(5, R1, true), Fate::Open),
            ("queued", operation(7, None), false, facts(5, R1, true), Fate::Open),
            ("the node lags", operation(5, Some((R1, R2))), false, facts(4, R1, true), Fate::Open),
            (
                "the same root was there all the time",
                operation(5, Some((R1, R1))),
                false,
                facts(5, R1, true),
                Fate::Open,
            ),
            ("landed", operation(5, Some((R1, R2))), false, facts(6, R2, true), Fate::Consumed),
            (
                "landed, then changed by others",
                operation(5, Some((R1, R2))),
                false,
                facts(7, R3, true),
                Fate::Consumed,
            ),
            ("reverted", operation(5, Some((R1, R2))), false, facts(6, R1, true), Fate::Consumed),
            (
                "another stream set a root",
                operation(5, Some((R1, R2))),
                false,
                facts(5, R3, true),
                Fate::Conflicting,
            ),
            ("somebody else deployed the account", operation(0, None), true, facts(0, R1, true), Fate::Dead),
            ("deploys", operation(0, None), true, facts(0, R1, false), Fate::Open),
            ("deployed by itself", operation(0, None), true, facts(1, R1, true), Fate::Consumed),
        ] {
            let signed = signed(if creates { &[1] } else { &[] }, 0);
            assert_eq!(fate(&operation, &signed, &facts), expected, "{what}");
        }
        let facts = facts(5, R1, true);
        assert_eq!(fate(&operation(5, None), &signed(&[], 1_700_000_000), &facts), Fate::Open);
        assert_eq!(
            fate(&operation(5, None), &signed(&[], 1_699_999_999), &facts),
            Fate::Dead,
            "its time is over"
        );
    }

    fn signed(init_code: &[u8], valid_until: u64) -> SignedOperation {
        let mut operation = crate::fill::unsigned(Address::ZERO, U256::ZERO, Vec::new());
        operation.init_code = init_code.to_vec();
        let message = OperationMessage { operation, entry_point: Address::ZERO, chain_id: 1 };
        SignedOperation { message, signature: vec![1], root: None, valid_until, simulation: None }
    }

    #[test]
    fn both_fees_of_a_replacement_are_a_tenth_up() {
        let fees = |max: u64, priority: u64| Fees {
            max_fee_per_gas: U256::from(max),
            max_priority_fee_per_gas: U256::from(priority),
        };
        assert_eq!(replacement_fees(fees(100, 5), []), fees(100, 5));
        assert_eq!(replacement_fees(fees(100, 5), [fees(100, 5)]), fees(110, 6), "rounded up");
        assert_eq!(replacement_fees(fees(100, 50), [fees(95, 5), fees(50, 60)]), fees(105, 66));
    }

    #[test]
    fn fees_have_to_pay_for_the_next_block() {
        let fees = |max: u64, priority: u64| Fees {
            max_fee_per_gas: U256::from(max),
            max_priority_fee_per_gas: U256::from(priority),
        };
        let mut facts = facts(0, R1, true);
        assert!(pays_enough(fees(1, 1), &facts), "no base fee is known");
        facts.block.base_fee = Some(U256::from(80));
        assert!(pays_enough(fees(95, 5), &facts));
        assert!(!pays_enough(fees(94, 5), &facts));
    }

    #[test]
    fn another_operation_of_the_owner_does_not_take_a_pending_one_s_place_unsaid() {
        let facts = facts(5, R1, true);
        let [taken, open] =
            [Answer::Taken, Answer::Open].map(|answer| Operation { answer, ..operation(5, None) });
        let refused = Operation { answer: Answer::Refused, ..operation(5, None) };
        let is_under_way = |operation: &Operation, supersedes: &[B256]| {
            under_way(std::slice::from_ref(operation), U256::ZERO, &facts, supersedes).is_some()
        };
        assert!(is_under_way(&taken, &[]) && is_under_way(&open, &[]));
        assert!(!is_under_way(&taken, &[taken.user_op_hash]), "named");
        assert!(!is_under_way(&refused, &[]), "its owner was told");
        assert!(!is_under_way(&operation(4, None), &[]), "it is over");
        assert!(
            !is_under_way(&operation(6, None), &[]),
            "after a reorganisation, its turn comes after this one's"
        );
    }

    #[test]
    fn streams_are_apart() {
        let mut facts = facts(5, R1, true);
        let stream = (U256::from(1) << 191) | U256::from(7);
        let other = Operation { nonce: (stream << 64) | U256::from(3), ..operation(0, None) };
        let again: U256 = Nonce::from(other.nonce).into();
        assert_eq!(again, other.nonce);
        facts.sequences.insert(stream, 3);
        assert_eq!(fate(&other, &signed(&[], 0), &facts), Fate::Open);
        facts.sequences.insert(stream, 4);
        assert_eq!(fate(&other, &signed(&[], 0), &facts), Fate::Consumed);
    }

    #[test]
    fn what_is_over_is_forgotten_at_a_depth_and_comes_back_before() {
        let open = operation(5, Some((R1, R2)));
        let closed = |block| Operation { closed_at_block: Some(block), ..open.clone() };
        let facts = facts(6, R2, true);
        let change =
            |operation: &Operation, fate, known, depth| match close(operation, fate, &facts, known, depth) {
                None => "nothing".to_owned(),
                Some(Change::SetClosed { block, .. }) => format!("closed {block:?}"),
                Some(Change::RemoveOperation(_)) => "removed".to_owned(),
                Some(other) => panic!("{other:?}"),
            };
        assert_eq!(change(&open, Fate::Open, true, 0), "nothing");
        assert_eq!(change(&open, Fate::Conflicting, true, 0), "nothing");
        assert_eq!(change(&open, Fate::Consumed, true, 0), "closed Some(100)");
        assert_eq!(
            change(&closed(99), Fate::Consumed, true, 0),
            "nothing",
            "a reorganisation may bring it back"
        );
        assert_eq!(change(&closed(99), Fate::Open, true, 0), "closed None", "and it did");
        assert_eq!(change(&closed(100 - KEPT_BLOCKS), Fate::Dead, true, 0), "removed");
        assert_eq!(
            change(&closed(1), Fate::Consumed, true, 100),
            "nothing",
            "more confirmations were asked for"
        );
        assert_eq!(change(&closed(0), Fate::Consumed, true, 100), "removed");
        assert_eq!(
            change(&closed(0), Fate::Consumed, false, 0),
            "nothing",
            "its leaves may be under the foreign root"
        );
        let call = |told| Operation { told, root_change: None, ..closed(0) };
        assert_eq!(change(&call(true), Fate::Consumed, false, 0), "removed");
        assert_eq!(change(&call(false), Fate::Consumed, true, 0), "nothing", "nobody was told");
    }

    #[test]
    fn a_tree_is_forgotten_by_its_state_and_never_by_its_age() {
        let mut roots: Vec<B256> = (10..60).map(B256::repeat_byte).collect();
        roots.extend([R1, R2, R3]);
        let pending = [operation(5, Some((R1, R2)))];
        let facts = facts(5, R3, true);
        let kept = |known| {
            let gone = forgotten_trees(&roots, &pending, &facts, known);
            roots.len() - gone.len()
        };
        assert_eq!(kept(true), 3, "replaced by a pending operation, set by it, on chain");
        assert_eq!(kept(false), roots.len());
    }
}
