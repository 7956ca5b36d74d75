//! The owner's signature against the original SDK's answer, and what the check refuses.

use alloy_primitives::{Address, B256, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use quorate_core::{UserOperation, routed_hash};
use quorate_signer::{
    AlloySessionKey, LocalSessionKey, SessionSigner, SignerError, normalize_signature, normalized,
    sign_as_owner, verify_signature,
};

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

#[tokio::test]
async fn a_wallets_v_of_0_or_1_and_its_high_s_are_put_right() {
    let order =
        U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let owner = PrivateKeySigner::random();
    let mut parities = [0; 2];
    for round in 0..32 {
        let hash = B256::repeat_byte(round);
        let good = sign_as_owner(&owner, hash).await.unwrap();
        let parity = good[64] - 27;
        parities[usize::from(parity)] += 1;
        let high_s = (order - U256::from_be_slice(&good[32..64])).to_be_bytes::<32>();
        let form = |high: bool, v: u8| {
            let mut form = good;
            if high {
                form[32..64].copy_from_slice(&high_s);
            }
            form[64] = v;
            form
        };
        for (name, given) in [
            ("as it should be", good),
            ("v 0 or 1", form(false, parity)),
            ("high s", form(true, 28 - parity)),
            ("high s and v 0 or 1", form(true, 1 - parity)),
        ] {
            assert_eq!(normalized(&given), good, "{name}");
            assert_eq!(normalize_signature(owner.address(), hash, &given).unwrap(), good, "{name}");
        }
        for (name, given) in [
            ("the other v", form(false, 28 - parity)),
            ("the other v, 0 or 1", form(false, 1 - parity)),
            ("high s, v not flipped", form(true, 27 + parity)),
            ("v 2", form(false, 2)),
            ("v of EIP-155", form(false, 37 + parity)),
            ("zeros", [0; 65]),
            ("beyond the order", [0xff; 65]),
        ] {
            let refused = normalize_signature(owner.address(), hash, &given).unwrap_err();
            assert!(matches!(refused, SignerError::Unverified { .. }), "{name}");
        }
        assert!(normalize_signature(Address::ZERO, hash, &good).is_err(), "another signer");
        assert!(normalize_signature(owner.address(), !hash, &good).is_err(), "another hash");
    }
    assert!(parities.iter().all(|count| *count > 0), "both parities were seen");
}

#[tokio::test]
async fn any_alloy_signer_signs_for_a_session() {
    let operation = UserOperation {
        sender: Address::repeat_byte(1),
        nonce: U256::from(16),
        init_code: Vec::new(),
        call_data: vec![1, 2],
        call_gas_limit: U256::ZERO,
        verification_gas_limit: U256::from(2),
        pre_verification_gas: U256::from(3),
        max_fee_per_gas: U256::from(4),
        max_priority_fee_per_gas: U256::from(5),
        paymaster_and_data: Vec::new(),
    };
    let (entry_point, manager) = (Address::repeat_byte(2), Address::repeat_byte(3));
    let wallet = PrivateKeySigner::random();
    let address = wallet.address();
    let boxed: Box<dyn alloy_signer::Signer + Send + Sync> = Box::new(wallet.clone());
    let signers: [Box<dyn SessionSigner>; 3] = [
        Box::new(AlloySessionKey::new(wallet.clone())),
        Box::new(AlloySessionKey::new(boxed)),
        Box::new(LocalSessionKey::from_bytes(&wallet.to_bytes()).unwrap()),
    ];
    for signer in signers {
        assert_eq!(signer.address(), address);
        let hash = operation.hash(entry_point, 5);
        let single = signer.sign_user_operation(&operation, entry_point, 5).await.unwrap();
        verify_signature(address, hash, &single).unwrap();
        let batch = signer.sign_routed_user_operation(&operation, entry_point, 5, manager).await.unwrap();
        verify_signature(address, routed_hash(hash, manager), &batch).unwrap();
    }
}

/// A local key's own signature is not verified again: it is compared with another library's here.
#[tokio::test]
async fn a_local_key_signs_as_alloy_s_signer_does() {
    for seed in 1..=64 {
        let wallet = PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap();
        let key = LocalSessionKey::from_bytes(&wallet.to_bytes()).unwrap();
        assert_eq!((key.address(), key.to_bytes()[..].to_vec()), (wallet.address(), vec![seed; 32]));
        let operation =
            UserOperation { sender: key.address(), nonce: U256::from(seed), ..UserOperation::default() };
        let other = AlloySessionKey::new(wallet);
        let (entry_point, manager) = (Address::repeat_byte(2), Address::repeat_byte(3));
        let ours = key.sign_user_operation(&operation, entry_point, 5).await.unwrap();
        assert_eq!(ours, other.sign_user_operation(&operation, entry_point, 5).await.unwrap());
        let ours = key.sign_routed_user_operation(&operation, entry_point, 5, manager).await.unwrap();
        assert_eq!(
            ours,
            other.sign_routed_user_operation(&operation, entry_point, 5, manager).await.unwrap()
        );
    }
}

#[test]
fn a_local_key_never_shows_its_secret() {
    let signer = PrivateKeySigner::random();
    let secret = hex::encode(signer.to_bytes());
    let key = LocalSessionKey::from_bytes(&signer.to_bytes()).unwrap();
    assert_eq!(key.address(), signer.address());
    assert!(!format!("{key:?}").contains(&secret));
}
