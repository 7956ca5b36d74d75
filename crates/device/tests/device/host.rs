//! The host's side over a stream, which may break off at any time.

use std::time::Duration;

use alloy_dyn_abi::TypedData;
use alloy_signer::Signer as _;
use quorate_core::{Address, B256, Leaf, signing_hash};
use quorate_device::host::{Deadlines, DeviceError, DeviceSigner, KeyRequestText, Operation, SigningRequest};
use quorate_device::{Decision, FromDevice, MAX_FRAME, Numbered, encode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::key_requests;
use crate::rig::{Button, MANAGER, NFT, Rig, grant, hash, operation, session, set_root};

/// Lets the device go on until something is so.
async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it is still not so");
}

fn wanted() -> SigningRequest {
    SigningRequest::Operation(grant())
}

#[tokio::test]
async fn what_was_shown_and_approved_is_signed() {
    let (stream, _, button) = Rig::new(Button::default()).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    // Twice, since a device does not stop after one request.
    for asked in 1..=2 {
        let (request, approve) = (wanted(), async {
            until(|| button.asked().len() >= asked).await;
            button.press(Decision::Approve);
        });
        let (signature, ()) = tokio::join!(device.sign(&request), approve);
        let signer = signature.unwrap().recover_address_from_prehash(&signing_hash(hash(&grant()))).unwrap();
        assert_eq!(signer, device.address());
    }
}

#[tokio::test]
async fn what_is_rejected_or_refused_is_told_and_the_device_goes_on() {
    let (stream, _, _) = Rig::new(Button::that(Decision::Reject)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let error = device.sign(&wanted()).await.unwrap_err();
    assert!(error.to_string().contains("rejected on the device"), "{error}");
    let unshown = SigningRequest::Operation(operation(&[(MANAGER, &set_root(B256::repeat_byte(1)))]));
    let error = device.sign(&unshown).await.unwrap_err();
    assert!(error.to_string().contains("were not given"), "{error}");
    let error = device.sign(&wanted()).await.unwrap_err();
    assert!(error.to_string().contains("rejected on the device"), "{error}");
}

#[tokio::test]
async fn nothing_but_the_request_s_own_hash_is_signed() {
    let (stream, _, button) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let signer = device.signer(wanted());
    assert!(signer.sign_message(&[1; 32]).await.unwrap_err().to_string().contains("0x0101"));
    assert!(signer.sign_message(b"any text").await.is_err());
    assert!(signer.sign_hash(&hash(&grant())).await.is_err());
    assert!(device.sign_message(hash(&grant()).as_slice()).await.is_err());
    assert!(device.sign_hash(&hash(&grant())).await.is_err());
    assert!(button.asked().is_empty());
}

#[tokio::test]
async fn a_dropped_future_leaves_the_stream_usable_wherever_it_is_dropped() {
    for steps in (0..200).step_by(7) {
        let (stream, _, button) = Rig::new(Button::default()).plug_in();
        let device = DeviceSigner::connect(stream).await.unwrap();
        let other = SigningRequest::Operation(operation(&[(NFT, &[1, 2, 3, 4])]));
        tokio::select! {
            biased;
            signed = device.sign(&other) => panic!("{signed:?}"),
            () = async { for _ in 0..steps { tokio::task::yield_now().await } } => {}
        }
        let approve = async {
            until(|| button.asked().last() == Some(&hash(&grant()))).await;
            button.press(Decision::Approve);
        };
        let request = wanted();
        let (signature, ()) = tokio::join!(device.sign(&request), approve);
        signature.unwrap_or_else(|error| panic!("after {steps} steps: {error}"));
    }
}

#[tokio::test]
async fn a_dropped_request_is_cancelled_when_that_is_asked_for() {
    let (stream, screen, button) = Rig::new(Button::default()).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let asked = until(|| !button.asked().is_empty());
    let request = wanted();
    tokio::select! {
        signed = device.sign(&request) => panic!("{signed:?}"),
        () = asked => {}
    }
    device.cancel().await.unwrap();
    until(|| screen.text().is_empty()).await;
    let error = device.sign(&SigningRequest::Key(bad_key_request())).await.unwrap_err();
    assert!(error.to_string().contains("cannot sign"), "{error}");
}

fn bad_key_request() -> KeyRequestText {
    KeyRequestText { threshold: 9, ..key_requests::request("") }
}

#[tokio::test(start_paused = true)]
async fn a_button_that_nobody_presses_ends_at_its_deadline_and_on_the_screen() {
    let (stream, screen, button) = Rig::new(Button::default()).plug_in();
    let deadlines = Deadlines { button: Duration::from_secs(120), ..Deadlines::default() };
    let device = DeviceSigner::connect_with(stream, deadlines).await.unwrap();
    let start = tokio::time::Instant::now();
    let error = device.sign(&wanted()).await.unwrap_err();
    assert!(matches!(error, DeviceError::Deadline { .. }), "{error}");
    assert_eq!(start.elapsed().as_secs(), 120);
    until(|| screen.text().is_empty()).await;
    button.press(Decision::Approve);
    let error = device.sign(&SigningRequest::Key(bad_key_request())).await.unwrap_err();
    assert!(error.to_string().contains("cannot sign"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_device_ends_at_its_deadline() {
    let (stream, _open) = tokio::io::duplex(64);
    let error = DeviceSigner::connect(stream).await.unwrap_err();
    assert!(matches!(error, DeviceError::Deadline { .. }), "{error}");
    let (stream, closed) = tokio::io::duplex(64);
    drop(closed);
    let error = DeviceSigner::connect(stream).await.unwrap_err();
    assert!(matches!(error, DeviceError::Connection(_)), "{error}");
}

/// Something at the other end that sends `before` and then answers the request for its address.
async fn impostor(before: Vec<u8>) -> DeviceSigner<tokio::io::DuplexStream> {
    let (stream, mut port) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let mut frame = quorate_device::FrameBuffer::new();
        port.write_all(&before).await.unwrap();
        while let Ok(byte) = port.read_u8().await {
            let Some(Ok(())) = frame.push(byte) else { continue };
            let Numbered { request, message } =
                frame.decode::<Numbered<quorate_device::ToDevice<'_>>>().unwrap();
            let answers: &[FromDevice<'_>] = match message {
                quorate_device::ToDevice::Address => &[FromDevice::Address([9; 20])],
                quorate_device::ToDevice::End => {
                    &[FromDevice::Waiting([1; 32]), FromDevice::Signature(&[1; 65])]
                }
                _ => &[FromDevice::Ready],
            };
            for message in answers {
                let bytes = encode(&Numbered { request, message }, &mut [0; MAX_FRAME]).unwrap().to_vec();
                port.write_all(&bytes).await.unwrap();
            }
        }
    });
    DeviceSigner::connect(stream).await.unwrap()
}

#[tokio::test]
async fn answers_to_others_and_noise_are_skipped() {
    let mut stale = Vec::new();
    for request in [0, 1, 700] {
        for message in [FromDevice::Ready, FromDevice::Address([8; 20]), FromDevice::Refused("stale")] {
            stale.extend_from_slice(encode(&Numbered { request, message }, &mut [0; MAX_FRAME]).unwrap());
        }
    }
    stale.extend([5, 5, 0, 0, 0]);
    assert_eq!(impostor(stale).await.address(), Address::repeat_byte(9));
}

#[tokio::test]
async fn a_device_that_reviews_something_else_signs_nothing() {
    let error = impostor(vec![]).await.sign(&wanted()).await.unwrap_err();
    assert!(matches!(error, DeviceError::OtherHash { .. }), "{error}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let (stream, screen, _) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let with_rules = |rules: u16| -> SigningRequest {
        // The one rule again and again, after the count that stands before it.
        let mut session_key_data = session().session_key_data;
        let rule = session_key_data.split_off(62);
        session_key_data.splice(60.., rules.to_be_bytes());
        (0..rules).for_each(|_| session_key_data.extend(&rule));
        let leaf = Leaf { session_key_data, ..session() };
        let mut request = operation(&[(MANAGER, &set_root(leaf.hash()))]);
        request.sessions = vec![leaf.into()];
        SigningRequest::Operation(request)
    };
    device.sign(&with_rules(29)).await.unwrap();
    let before = screen.lines().len();
    let error = device.sign(&with_rules(31)).await.unwrap_err();
    assert!(matches!(error, DeviceError::TooLong { what: "a session", .. }), "{error}");
    let mut long = grant();
    if let Operation::V0_6(operation) = &mut long.operation {
        operation.init_code = vec![1; 2000];
    }
    let error = device.sign(&SigningRequest::Operation(long)).await.unwrap_err();
    assert!(matches!(error, DeviceError::TooLong { what: "the operation", .. }), "{error}");
    let mut entries = key_requests::request("");
    entries.metadata = vec![(2, key_requests::ephemeral()); 4];
    assert!(device.sign(&SigningRequest::Key(entries)).await.is_err());
    assert_eq!(screen.lines().len(), before);
    device.sign(&wanted()).await.unwrap();
}

#[tokio::test]
async fn call_data_of_any_length_goes_through() {
    let (stream, _, _) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let request = operation(&[(NFT, &vec![9; 100_000])]);
    device.sign(&SigningRequest::Operation(request)).await.unwrap();
}

/// The document that owners of distributed keys are given.
fn document(request: &KeyRequestText) -> TypedData {
    let metadata: Vec<_> =
        request.metadata.iter().map(|(tag, value)| json!({ "tag": tag, "value": value })).collect();
    serde_json::from_value(json!({
        "types": {
            "EIP712Domain": [
                { "name": "name", "type": "string" },
                { "name": "version", "type": "string" },
            ],
            "TaggedValue": [{ "name": "tag", "type": "uint16" }, { "name": "value", "type": "string" }],
            "KeygenSetupOpts": [
                { "name": "t", "type": "uint32" },
                { "name": "n", "type": "uint32" },
                { "name": "metadata", "type": "TaggedValue[]" },
            ],
            "Request": [
                { "name": "setup", "type": "KeygenSetupOpts" },
                { "name": "challenge", "type": "string" },
            ],
        },
        "domain": { "name": "SilentShard authentication", "version": "0.1.0" },
        "primaryType": "Request",
        "message": {
            "setup": { "t": request.threshold, "n": request.nodes, "metadata": metadata },
            "challenge": request.challenge,
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn an_owner_s_request_for_a_key_is_signed_as_typed_data() {
    let (stream, screen, _) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let request = key_requests::request("");
    let signature = device.sign_dynamic_typed_data(&document(&request)).await.unwrap();
    assert_eq!(signature.recover_address_from_prehash(&request.digest()).unwrap(), device.address());
    assert!(screen.lines().contains(&format!("Hash of all this {}", request.digest())));

    // The same by its digest alone, where the request is known.
    let signer = device.signer(SigningRequest::Key(request.clone()));
    assert_eq!(signer.sign_hash(&request.digest()).await.unwrap(), signature);
    assert!(signer.sign_hash(&B256::ZERO).await.is_err());
    assert!(signer.sign_message(request.digest().as_slice()).await.is_err());

    // With permissions that are not the claim's, the device refuses.
    let device = device.with_permissions("{}");
    assert!(device.sign_dynamic_typed_data(&document(&request)).await.is_err());
}

#[tokio::test]
async fn no_other_typed_data_is_signed() {
    let (stream, _, button) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let mut other = document(&key_requests::request(""));
    other.domain.version = Some("0.2.0".into());
    assert!(device.sign_dynamic_typed_data(&other).await.is_err());
    assert!(button.asked().is_empty());
}
