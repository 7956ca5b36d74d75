//! What leaves the device is a correct signature with a low s, whatever the key gives.

use std::cell::Cell;

use alloy_primitives::Signature as EthereumSignature;
use k256::ecdsa::signature;
use k256::ecdsa::signature::hazmat::PrehashSigner;
use k256::ecdsa::{Signature, SigningKey, VerifyingKey};
use quorate_core::signing_hash;
use quorate_device::{Decision, Entropy, Key, NoMemory, SoftwareKey};

use crate::rig::{Answer, Button, Rig, SECRET, grant, hash, key};

/// A key whose signatures are spoilt.
struct Faulty(SoftwareKey, fn(Signature) -> Option<Signature>);

impl PrehashSigner<Signature> for Faulty {
    fn sign_prehash(&self, prehash: &[u8]) -> Result<Signature, signature::Error> {
        (self.1)(self.0.sign_prehash(prehash)?).ok_or_else(signature::Error::new)
    }
}

impl Key for Faulty {
    fn public_key(&self) -> VerifyingKey {
        self.0.public_key()
    }
}

fn signed_by(key: impl Key) -> (Answer, String) {
    let mut rig = Rig::with(key, NoMemory, Button::that(Decision::Approve));
    let answer = rig.sign(&grant());
    (answer, rig.screen.text())
}

#[test]
fn a_high_s_is_made_low() {
    // As a secure element may give it.
    let high = |signature: Signature| {
        let (r, s) = signature.split_scalars();
        Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).ok()
    };
    let (right, _) = signed_by(key());
    let (answer, _) = signed_by(Faulty(key(), high));
    assert_eq!(answer, right);
    let Answer::Signature(bytes) = answer else { panic!("{answer:?}") };
    let signature = EthereumSignature::from_raw(&bytes).unwrap();
    assert!(signature.normalize_s().is_none());
    let signer = signature.recover_address_from_prehash(&signing_hash(hash(&grant()))).unwrap();
    assert_eq!(signer, alloy_signer_local::PrivateKeySigner::from_slice(&SECRET).unwrap().address());
}

#[test]
fn a_wrong_signature_does_not_leave_the_device() {
    let faults: [fn(Signature) -> Option<Signature>; 4] = [
        |signature| {
            let (r, s) = signature.split_scalars();
            Signature::from_scalars(s.to_bytes(), r.to_bytes()).ok()
        },
        |signature| flipped(&signature, 31),
        |signature| flipped(&signature, 63),
        |_| SigningKey::from_slice(&[8; 32]).ok()?.sign_prehash(&[1; 32]).ok(),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let (answer, screen) = signed_by(Faulty(key(), fault));
        let expected = "the key's signature does not verify";
        assert_eq!(answer, Answer::Refused(expected.to_owned()), "{number}");
        assert_eq!(screen, format!("REFUSED: {expected}"), "{number}");
    }
}

fn flipped(signature: &Signature, byte: usize) -> Option<Signature> {
    let mut bytes = signature.to_bytes();
    bytes[byte] ^= 1;
    Signature::from_slice(&bytes).ok()
}

#[test]
fn a_key_that_gives_nothing_is_told() {
    let (answer, screen) = signed_by(Faulty(key(), |_| None));
    assert_eq!(answer, Answer::Refused("the key gave no signature".to_owned()));
    assert_eq!(screen, "REFUSED: the key gave no signature");
}

struct Counter(Cell<u8>);

impl Entropy for Counter {
    fn added(&self) -> Result<Option<[u8; 32]>, signature::Error> {
        self.0.set(self.0.get() + 1);
        Ok(Some([self.0.get(); 32]))
    }
}

struct Broken;

impl Entropy for Broken {
    fn added(&self) -> Result<Option<[u8; 32]>, signature::Error> {
        Err(signature::Error::new())
    }
}

fn secret() -> SigningKey {
    SigningKey::from_slice(&SECRET).unwrap()
}

#[test]
fn added_entropy_changes_each_signature_which_verifies_all_the_same() {
    let mut rig = Rig::with(
        SoftwareKey::new(secret(), Counter(Cell::new(0))),
        NoMemory,
        Button::that(Decision::Approve),
    );
    let plain = signed_by(key()).0;
    let signatures = [rig.sign(&grant()), rig.sign(&grant()), plain.clone()];
    for (at, answer) in signatures.iter().enumerate() {
        let Answer::Signature(bytes) = answer else { panic!("{answer:?}") };
        let signature = EthereumSignature::from_raw(bytes).unwrap();
        let signer = signature.recover_address_from_prehash(&signing_hash(hash(&grant()))).unwrap();
        assert_eq!(signer, rig.device.address());
        assert!(signatures.iter().skip(at + 1).all(|other| other != answer), "{at}");
    }
    // Without entropy it is RFC 6979, as alloy's.
    assert_eq!(signed_by(key()).0, plain);
    let alloy = secret().sign_prehash_recoverable(signing_hash(hash(&grant())).as_slice());
    let Answer::Signature(bytes) = plain else { panic!("{plain:?}") };
    assert_eq!(bytes[..64], *alloy.0.to_bytes());
    assert_eq!(bytes[64], 27 + alloy.1.to_byte());
}

#[test]
fn nothing_is_signed_without_the_entropy_that_was_to_be_added() {
    let (answer, _) = signed_by(SoftwareKey::new(secret(), Broken));
    assert_eq!(answer, Answer::Refused("the key gave no signature".to_owned()));
}

#[test]
fn no_secret_is_printed() {
    let rig = Rig::new(Button::default());
    for text in [format!("{:?}", rig.device), format!("{:?}", key())] {
        assert!(text.contains("[redacted]") && !text.contains("0707") && !text.contains("7, 7"), "{text}");
    }
}
