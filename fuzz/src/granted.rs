use quorate_core::{
    AccountCall, Address, B256, Domain, EntryPointVersion, OperationHead, ReviewError, ReviewState,
    SessionEpoch, SessionLeaf, Text, TrustedContext, UserOperation, address, merkle,
};

const ABI_MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");
const ERC20_MODULE: Address = address!("000000D50C68705bd6897B2d17c7de32FB519fDA");
const MANAGER: Address = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
const SET_MERKLE_ROOT: [u8; 4] = [0x7c, 0xb6, 0x47, 0x59];
/// Stands in the call data for the root of the sessions.
const ROOT: [u8; 32] = [0xee; 32];

/// Whatever the sessions and the call data are: a grant that is reviewed to its end sets the root of the sessions that were shown,
/// once, and no other root in that module; and its keys are shown.
///
/// The bytes are the number of sessions in one byte, each session's kind in one byte, the length of its data in two and the data,
/// and the account's call data, in which 32 bytes 0xee stand for the root of the sessions.
pub fn grant(bytes: &[u8]) -> bool {
    let Some((leaves, call_data)) = read(bytes) else { return false };
    let hashes: Vec<B256> = leaves.iter().map(SessionLeaf::hash).collect();
    let root = merkle::root(&hashes).unwrap_or_default();
    let call_data = with_root(call_data, root);
    let mut lines = String::new();
    let Ok(hash) = review(&leaves, &call_data, &mut lines) else { return false };

    let operation = UserOperation::<&[u8]> { call_data: &call_data, ..UserOperation::default() };
    let domain = domain();
    assert_eq!(hash, operation.hash(domain.entry_point, domain.chain_id));
    for leaf in &leaves {
        let at = if leaf.validation_module == ABI_MODULE { 0 } else { 12 };
        let key = Address::from_slice(&leaf.session_key_data[at..at + 20]);
        assert!(lines.contains(&key.to_string()), "{key} is not in {lines}");
    }
    let calls: Vec<_> = AccountCall::decode(&call_data).map_or(Vec::new(), |calls| calls.calls().collect());
    let roots: Vec<&[u8]> = calls
        .iter()
        .filter(|call| call.to == MANAGER && call.data.starts_with(&SET_MERKLE_ROOT))
        .map(|call| &call.data[4..])
        .collect();
    assert!(roots.len() <= 1 && roots.iter().all(|set| *set == root.as_slice()), "{roots:02x?}");
    !leaves.is_empty() && roots.len() == 1
}

fn domain() -> Domain {
    Domain { entry_point: EntryPointVersion::V0_6.address(), chain_id: 137 }
}

fn review(leaves: &[SessionLeaf<'_>], call_data: &[u8], lines: &mut String) -> Result<B256, ReviewError> {
    let mut state: ReviewState<'_, _> =
        ReviewState::new(TrustedContext::CANONICAL, Text(lines)).with_lints(None, &[]);
    state.begin(domain(), &OperationHead::V0_6(UserOperation::default()))?;
    leaves.iter().try_for_each(|leaf| state.session(leaf))?;
    state.call_data(call_data)?;
    state.finish()
}

fn read(bytes: &[u8]) -> Option<(Vec<SessionLeaf<'_>>, &[u8])> {
    let (count, mut rest) = bytes.split_first()?;
    let mut leaves = Vec::new();
    for _ in 0..count % 4 {
        let (&[kind, high, low], after) = rest.split_first_chunk()?;
        let (session_key_data, after) = after.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        rest = after;
        let validation_module = if kind % 2 == 0 { ABI_MODULE } else { ERC20_MODULE };
        leaves.push(SessionLeaf { epoch: SessionEpoch::UNLIMITED, validation_module, session_key_data });
    }
    Some((leaves, rest))
}

fn with_root(call_data: &[u8], root: B256) -> Vec<u8> {
    let mut call_data = call_data.to_vec();
    while let Some(at) = call_data.windows(ROOT.len()).position(|window| window == ROOT) {
        call_data[at..at + ROOT.len()].copy_from_slice(root.as_slice());
        if root.0 == ROOT {
            break;
        }
    }
    call_data
}
