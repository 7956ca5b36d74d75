//! The owner's signature against the original SDK's answer, and what the check refuses.

use alloy_primitives::{Address, B256, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use quorate_signer::{LocalSessionKey, SessionSigner as _, SignerError, sign_as_owner, verify_signature};

#[tokio::test]
async fn an_owner_signs_as_the_original_does() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/reference-sdk.json")).unwrap();
    let vector = &vectors["ecdsaSignature"];
    let text = |field: &str| vector[field].as_str().unwrap();
    let owner: PrivateKeySigner = text("privateKey").parse().unwrap();
    let signature = sign_as_owner(&owner, text("userOpHash").parse().unwrap()).await.unwrap();
    assert_eq!(hex::encode_prefixed(signature), text("moduleSignature"));
}

#[tokio::test]
async fn signatures_of_others_high_s_and_odd_v_are_not_used() {
    let owner = PrivateKeySigner::random();
    let hash = B256::repeat_byte(9);
    let good = sign_as_owner(&owner, hash).await.unwrap();
    verify_signature(owner.address(), hash, &good).unwrap();

    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16);
    let s = U256::from_be_slice(&good[32..64]);
    let mut high_s = good;
    high_s[32..64].copy_from_slice(&(order.unwrap() - s).to_be_bytes::<32>());
    high_s[64] = 27 + 28 - good[64];
    let mut odd_v = good;
    odd_v[64] -= 27;
    for (address, hash, signature) in [
        (Address::ZERO, hash, good),
        (owner.address(), B256::ZERO, good),
        (owner.address(), hash, high_s),
        (owner.address(), hash, odd_v),
        (owner.address(), hash, [0; 65]),
    ] {
        let refused = verify_signature(address, hash, &signature).unwrap_err();
        assert!(matches!(refused, SignerError::Unverified { .. }));
    }
}

#[test]
fn a_local_key_never_shows_its_secret() {
    let signer = PrivateKeySigner::random();
    let secret = hex::encode(signer.to_bytes());
    let key = LocalSessionKey::new(signer.clone());
    assert_eq!(key.address(), signer.address());
    assert!(!format!("{key:?}").contains(&secret));
}
