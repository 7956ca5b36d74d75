use quorate_core::{
    AccountCall, Call, Encode, Execute, ExecuteBatch, ParsedSessionKeyData, SessionEpoch, SessionKeyData,
};

/// Session key data that is read strictly is the encoding of the policy it is read as.
pub fn session_key_data(bytes: &[u8]) -> bool {
    let Ok(parsed) = ParsedSessionKeyData::parse(bytes) else { return false };
    let rules = parsed.rules().take_while(Result::is_ok).count();
    assert!(rules <= usize::from(parsed.rule_count()));
    let Ok(policy) = parsed.to_policy::<64>(SessionEpoch::UNLIMITED) else { return false };
    assert_eq!(policy.rules().len(), rules);
    assert_eq!(SessionKeyData::new(parsed.session_key(), &policy).to_vec(), bytes);
    true
}

/// Call data that is read is the encoding of the calls it is read as.
pub fn call_data(bytes: &[u8]) -> bool {
    let Ok(decoded) = AccountCall::decode(bytes) else { return false };
    let calls: Vec<Call<'_>> = decoded.calls().collect();
    let mut encoded = match (&decoded, calls.as_slice()) {
        (AccountCall::Single(_), [call]) => Execute(*call).to_vec(),
        (AccountCall::Single(_), _) => panic!("a single call is {} calls", calls.len()),
        (AccountCall::Batch(_), calls) => ExecuteBatch(calls).to_vec(),
    };
    // Each function has a twin, and both are read.
    encoded[..4].copy_from_slice(&bytes[..4]);
    assert_eq!(encoded, bytes);
    true
}

/// What is allowed is allowed to the key in the data, whatever follows the rules, and calls the permitted contract.
///
/// The bytes are the length of session key data in two bytes, session key data, and the account's call data.
pub fn evaluate(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk() else { return false };
    let Some((data, call)) = rest.split_at_checked(u16::from_be_bytes(*len).into()) else { return false };
    let Ok(key) = quorate_core::evaluate(data, call) else { return false };
    assert_eq!(key.as_slice(), &data[..20]);
    assert_eq!(quorate_core::evaluate(&[data, &[0xff; 40]].concat(), call), Ok(key));
    if let Ok(decoded) = AccountCall::decode(call) {
        for call in decoded.calls() {
            assert_eq!((call.to.as_slice(), &call.data[..4]), (&data[20..40], &data[40..44]));
        }
    }
    true
}
