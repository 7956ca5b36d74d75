use quorate_core::{
    Encode, KeyRequest, KeyRequestReview, ModuleSignature, MultichainSignature, TaggedValue, Text,
    TrustedContext,
};

/// A signature that is read is the encoding of what it is read as: an operation's, and what the multichain module is given.
pub fn signature(bytes: &[u8]) -> bool {
    let module = ModuleSignature::parse(bytes);
    if let Some(signature) = &module {
        assert_eq!(signature.to_vec(), bytes);
    }
    let multichain = MultichainSignature::parse(bytes);
    if let Ok(signature) = &multichain {
        assert_eq!(signature.to_vec(), bytes);
    }
    module.is_some() || multichain.is_ok()
}

/// A request for a key that is reviewed to its end has the digest of its fields, forges no line, and shows the permissions that it
/// names, or says that it does not.
///
/// The bytes are lines: the threshold and the number of nodes in one byte each, the ephemeral key's entry, the claim or nothing,
/// the challenge, and what remains are the permissions. `HASH` in the claim stands for the keccak-256 of the permissions.
pub fn key_request(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut lines = text.splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (numbers, ephemeral, claim, challenge, permissions) = (line(), line(), line(), line(), line());
    let [threshold, nodes] = [0, 1].map(|at| numbers.as_bytes().get(at).map_or(0, |byte| u32::from(*byte)));
    let hash = quorate_core::Keccak256::new();
    let hash = [permissions].iter().fold(hash, |mut hash, text| {
        hash.update(text);
        hash
    });
    let claim = claim.replace("HASH", &hash.finalize().to_string());
    let entries = [
        TaggedValue { tag: TaggedValue::EPHEMERAL_KEY, value: ephemeral },
        TaggedValue { tag: TaggedValue::PERMISSIONS_CLAIM, value: &claim },
    ];
    let metadata = &entries[..if claim.is_empty() { 1 } else { 2 }];
    let request = KeyRequest { threshold, nodes, metadata, challenge };

    let mut shown = String::new();
    let mut review = KeyRequestReview::new(TrustedContext::CANONICAL, Text(&mut shown));
    let digest = review.begin(&request).and_then(|()| {
        permissions.as_bytes().chunks(31).try_for_each(|piece| review.permissions(piece))?;
        review.finish()
    });
    assert!(
        shown.chars().all(|letter| letter == '\n' || letter.is_ascii_graphic() || letter == ' '),
        "{shown:?}"
    );
    let Ok(digest) = digest else { return false };
    assert_eq!(digest, request.digest());
    assert!((1..=nodes).contains(&threshold));
    let says_unseen = shown.contains("what the key may sign is not");
    assert_eq!(says_unseen, permissions.is_empty() || claim.is_empty(), "{shown}");
    !says_unseen
}
