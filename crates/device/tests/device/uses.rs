//! A device that holds a session key shows what its session allows, and refuses what it forbids.

use quorate_core::{Address, Leaf, signing_hash};
use quorate_device::host::{DeviceSigner, OperationRequest, SigningRequest, UseRequest};
use quorate_device::{Decision, MAX_USE_CALL_DATA};

use crate::rig::{Button, FRIEND, NFT, Rig, operation, session};

fn mint(to: Address) -> OperationRequest {
    let data = [&[0x40, 0xd0, 0x97, 0xc3], to.into_word().as_slice()].concat();
    operation(&[(NFT, &data)])
}

fn request(OperationRequest { domain, operation, .. }: OperationRequest, session: Leaf) -> SigningRequest {
    SigningRequest::Use(UseRequest { domain, operation, session })
}

#[tokio::test]
async fn a_use_that_the_session_allows_is_shown_and_signed() {
    let (stream, screen, _) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let wanted = request(mint(FRIEND), session());
    let hash = wanted.hash().unwrap();
    let signature = device.sign(&wanted).await.unwrap();
    assert_eq!(signature.recover_address_from_prehash(&signing_hash(hash)).unwrap(), device.address());
    let lines = screen.lines();
    assert!(lines.contains(&"Use of a session".to_owned()), "{lines:?}");
    assert!(lines.contains(&format!("Hash of all this {hash}")), "{lines:?}");
}

#[tokio::test]
async fn what_the_session_forbids_or_cannot_be_held_is_refused() {
    let (stream, screen, button) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let long = operation(&[(NFT, &vec![1; MAX_USE_CALL_DATA])]);
    for (operation, reason) in [(mint(NFT), "the session forbids the call"), (long, "is longer than")] {
        let error = device.sign(&request(operation, session())).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(screen.text().starts_with("REFUSED: "), "{}", screen.text());
    }
    assert!(button.asked().is_empty());
    device.sign(&request(mint(FRIEND), session())).await.unwrap();
}
