//! What a bundler's error says of an operation that was sent: a closed table of codes and texts.

/// What became of an operation that was sent.
///
/// None of these is final. A refused operation is still valid bytes in somebody's hands, and can be executed as long as
/// its nonce is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendOutcome {
    /// The bundler has it.
    Taken,
    /// Another operation holds its nonce in that bundler's pool; replacing it takes higher fees.
    Conflict,
    /// It is not in that bundler's pool now. It may be repaired and sent again with the same nonce.
    Refused,
    /// The bundler may have it or not; ask for it by its hash.
    Open,
    /// Nothing was sent.
    NotSent,
}

/// The texts of Alto, Rundler and the reference implementation for an operation that another one in the pool stands
/// against, all with code −32602.
const CONFLICTS: [&str; 6] = [
    "already present in mempool",
    "already being processed",
    "a conflicting useroperation",
    "replacement underpriced",
    "replacement useroperation must have higher maxpriorityfeepergas",
    "replacement useroperation must have higher maxfeepergas",
];

/// The outcome by a JSON-RPC error's code and, in any case of letters, its message.
pub(crate) fn of(code: i64, message: &str) -> SendOutcome {
    let message = message.to_ascii_lowercase();
    let has = |text: &str| message.contains(text);
    match code {
        -32603 => SendOutcome::Open,
        // A module could revert with these words; then they are not the bundler's.
        _ if has("already known") && !has("revert") => SendOutcome::Taken,
        -32602 if CONFLICTS.iter().any(|text| has(text)) => SendOutcome::Conflict,
        // ERC-4337's own, −32505 for a pool's limits among them, and parameters that do not fit.
        -32508..=-32500 | -32521 | -32602 => SendOutcome::Refused,
        // Rundler's.
        -32000 if has("precheck failed") => SendOutcome::Refused,
        _ => SendOutcome::Open,
    }
}

/// Whether the message says that the sender has as many operations waiting as the bundler takes (Alto, by default 10).
pub(crate) fn is_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("maximum number of parallel") || message.contains("maximum number of queued")
}

#[cfg(test)]
mod tests {
    use super::{SendOutcome::*, is_full, of};

    #[test]
    fn a_full_pool_is_told_from_a_wrong_nonce() {
        assert!(is_full(
            "AA25 invalid account nonce: Maximum number of parallel user operations for this sender is 10"
        ));
        assert!(!is_full("AA25 invalid account nonce"));
    }

    #[test]
    fn each_entry_of_the_table_has_its_outcome() {
        for (code, message, expected) in [
            // Taken.
            (-32602, "Already known", Taken),
            (-32602, "already known", Taken),
            (-32602, "ALREADY KNOWN", Taken),
            (-32000, "userOp already known", Taken),
            (-32500, "already known", Taken),
            // Conflict.
            (
                -32602,
                "AA25 invalid account nonce: User operation already present in mempool, bump the gas price by minimum 10%",
                Conflict,
            ),
            (-32602, "AA25 invalid account nonce: User operation is already being processed", Conflict),
            (
                -32602,
                "AA10 sender already constructed: A conflicting userOperation with initCode for this sender is already in the mempool",
                Conflict,
            ),
            (-32602, "replacement underpriced", Conflict),
            (-32602, "Replacement Underpriced", Conflict),
            (
                -32602,
                "Replacement UserOperation must have higher maxPriorityFeePerGas (old=1 new=1)",
                Conflict,
            ),
            (-32602, "Replacement UserOperation must have higher maxFeePerGas (old=1 new=1)", Conflict),
            // Refused.
            (-32500, "AA21 didn't pay prefund", Refused),
            (-32500, "AA25 invalid account nonce", Refused),
            (-32500, "AA10 sender already constructed", Refused),
            (-32500, "AA23 reverted: already known", Refused),
            (-32500, "preVerificationGas is not enough, required: 2, got: 1", Refused),
            (-32501, "AA33 reverted", Refused),
            (-32502, "account uses banned opcode: TIMESTAMP", Refused),
            (-32503, "expires too soon", Refused),
            (-32504, "paymaster is throttled", Refused),
            (-32505, "Max operations (4) reached for entity", Refused),
            (-32506, "unsupported aggregator", Refused),
            (-32507, "AA24 signature error", Refused),
            (-32508, "paymaster deposit too low", Refused),
            (-32521, "execution reverted", Refused),
            (
                -32602,
                "AA25 invalid account nonce: Maximum number of parallel user operations for this sender is 10",
                Refused,
            ),
            (-32602, "AA25 invalid account nonce: Maximum number of queued user operations", Refused),
            (-32602, "Validation error: invalid hex", Refused),
            (-32000, "precheck failed: maxFeePerGas is 1 but must be at least 2", Refused),
            (-32000, "Precheck Failed: nonce too low", Refused),
            // Open.
            (-32603, "Internal error: upstream timed out", Open),
            (-32603, "already known", Open),
            (-32603, "replacement underpriced", Open),
            (-32603, "precheck failed: nonce too low", Open),
            (-32000, "too many requests", Open),
            (-32000, "replacement underpriced", Open),
            (-32005, "limit exceeded", Open),
            (-32600, "invalid request", Open),
            (-32601, "method not found", Open),
            (-32700, "parse error", Open),
            (-32509, "", Open),
            (-32499, "", Open),
            (-32520, "", Open),
            (-32522, "", Open),
            (429, "compute units exceeded", Open),
            (3, "execution reverted", Open),
            (0, "", Open),
        ] {
            assert_eq!(of(code, message), expected, "{code} {message}");
        }
    }
}
