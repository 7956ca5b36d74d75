use quorate_core::{
    AccountCall, Address, B256, Domain, OperationHead, ReviewError, ReviewState, Text, TrustedContext,
    UserOperation, known_functions,
};

const TRUSTED: TrustedContext<'_> = TrustedContext {
    functions: known_functions!["safeMint(address to)", "transfer(address to, uint256 amount)"],
    ..TrustedContext::CANONICAL
};
const TARGET: Domain = Domain { entry_point: Address::repeat_byte(0xee), chain_id: 137 };
const CALLS: usize = 8;

/// A review that streams reads what the decoder reads, however the call data is cut, and shows nothing that could
/// be taken for a line of its own.
///
/// The bytes are the length of a piece in one byte, and the account's call data.
pub fn review(bytes: &[u8]) -> bool {
    let Some((piece, call_data)) = bytes.split_first() else { return false };
    let (whole, lines) = shown(call_data, call_data.len().max(1));
    let (in_pieces, same_lines) = shown(call_data, usize::from(*piece).max(1));
    assert_eq!(in_pieces, whole);
    // What was shown before a refusal depends on how much was there when it came.
    if whole.is_ok() {
        assert_eq!(same_lines, lines);
    }
    assert!(lines.chars().all(|letter| letter == '\n' || !letter.is_control()), "{lines:?}");

    let decoded = AccountCall::decode(call_data).map(|decoded| decoded.calls().count());
    match whole {
        Ok(hash) => {
            assert!(call_data.is_empty() || decoded.is_ok_and(|calls| calls <= CALLS));
            let operation = UserOperation::<&[u8]> { call_data, ..UserOperation::default() };
            assert_eq!(hash, operation.hash(TARGET.entry_point, TARGET.chain_id));
            true
        }
        Err(
            ReviewError::SessionsMissing { .. }
            | ReviewError::UnknownControl { .. }
            | ReviewError::NotOneRoot { .. },
        ) => false,
        Err(error) => {
            assert!(decoded.is_err() || decoded.is_ok_and(|calls| calls > CALLS), "{error}");
            false
        }
    }
}

fn shown(call_data: &[u8], piece: usize) -> (Result<B256, ReviewError>, String) {
    let mut lines = String::new();
    let head = OperationHead::V0_6(UserOperation::default());
    let mut state: ReviewState<'_, _, CALLS> = ReviewState::new(TRUSTED, Text(&mut lines));
    let hash = state.begin(TARGET, &head).and_then(|()| {
        call_data.chunks(piece).try_for_each(|piece| state.call_data(piece))?;
        state.finish()
    });
    (hash, lines)
}
