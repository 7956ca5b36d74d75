//! An owner's request for a distributed key is shown and signed as typed data.

use alloy_primitives::{Signature, keccak256};
use quorate_core::{B256, KeyRequest, TaggedValue};
use quorate_device::host::KeyRequestText;
use quorate_device::{Decision, KeyRequestFrame, ToDevice};

use crate::rig::{Answer, Button, Rig};

const KEY: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";

pub(crate) fn ephemeral() -> String {
    format!(r#"{{"ephId":"app","ephPK":"{KEY}","expiry":1900000000}}"#)
}

/// A request for a key that may do what the permissions say, by their hash.
pub(crate) fn request(permissions: &str) -> KeyRequestText {
    let hash = keccak256(permissions);
    let claim = format!(r#"{{"network":"{KEY}","chainId":137,"permissions":"{hash}"}}"#);
    KeyRequestText {
        threshold: 3,
        nodes: 5,
        metadata: vec![(2, ephemeral()), (4, claim)],
        challenge: "9f9f".to_owned(),
        permissions: permissions.to_owned(),
    }
}

fn message(request: &KeyRequestText) -> ToDevice<'_> {
    let mut metadata = [None; 3];
    for (place, (tag, value)) in metadata.iter_mut().zip(&request.metadata) {
        *place = Some((*tag, value.as_str()));
    }
    let KeyRequestText { threshold, nodes, challenge, .. } = request;
    ToDevice::KeyRequest(KeyRequestFrame { threshold: *threshold, nodes: *nodes, metadata, challenge })
}

pub(crate) fn sign(rig: &mut Rig, request: &KeyRequestText) -> Answer {
    let permissions = request.permissions.as_bytes().chunks(10).map(ToDevice::Permissions);
    rig.send_all([message(request)].into_iter().chain(permissions).chain([ToDevice::End]))
}

/// The digest as the core has it, entry by entry.
fn digest(request: &KeyRequestText) -> B256 {
    let entries: Vec<_> =
        request.metadata.iter().map(|(tag, value)| TaggedValue { tag: *tag, value }).collect();
    let KeyRequestText { threshold, nodes, challenge, .. } = request;
    KeyRequest { threshold: *threshold, nodes: *nodes, metadata: &entries, challenge }.digest()
}

#[test]
fn a_request_is_shown_and_its_digest_signed_without_a_prefix() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    let mut wanted = request("");
    wanted.metadata.pop();
    let Answer::Signature(bytes) = sign(&mut rig, &wanted) else { panic!("{:?}", rig.screen.lines()) };
    let signature = Signature::from_raw(&bytes).unwrap();
    let signer = signature.recover_address_from_prehash(&digest(&wanted)).unwrap();
    assert_eq!(signer, rig.device.address());
    assert_eq!(rig.button.asked(), [digest(&wanted)]);
    let lines = rig.screen.lines();
    assert!(lines.contains(&"New session key, made by a number of nodes: 5".to_owned()), "{lines:?}");
    assert!(lines.contains(&format!("Hash of all this {}", digest(&wanted))), "{lines:?}");
}

#[test]
fn permissions_that_are_not_given_are_a_danger() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    let mut wanted = request("{}");
    wanted.permissions.clear();
    assert!(matches!(sign(&mut rig, &wanted), Answer::Signature(_)));
    let lines = rig.screen.lines();
    assert!(
        lines.iter().any(|line| line.contains("DANGER: what the key may sign is not shown")),
        "{lines:?}"
    );
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let good = || request("");
    let with = |change: fn(&mut KeyRequestText)| {
        let mut request = good();
        change(&mut request);
        request
    };
    let requests = [
        (with(|request| request.threshold = 0), "cannot sign"),
        (with(|request| request.threshold = 6), "cannot sign"),
        (with(|request| request.metadata.push((9, String::new()))), "tag 9"),
        (with(|request| request.metadata.push((2, ephemeral()))), "tag 2 twice"),
        (with(|request| request.metadata.clear()), "no ephemeral key"),
        (with(|request| request.challenge = "9".repeat(257)), "challenge"),
        (with(|request| request.permissions = "{\"version\":2".to_owned()), "permissions"),
        (with(|request| request.permissions = "{\"version\":1".to_owned()), "permissions"),
    ];
    for (request, reason) in requests {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        let Answer::Refused(told) = sign(&mut rig, &request) else { panic!("{request:?} is signed") };
        assert!(told.contains(reason), "{told}");
        assert!(rig.screen.text().starts_with("REFUSED: "), "{}", rig.screen.text());
        assert!(rig.button.asked().is_empty());
    }
}

#[test]
fn an_operation_after_a_request_for_a_key_is_shown_and_the_other_way_round() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    let mut wanted = request("");
    wanted.metadata.pop();
    for _ in 0..2 {
        rig.send_all([message(&wanted)]);
        assert!(matches!(rig.sign(&crate::rig::grant()), Answer::Signature(_)));
        rig.send_all([crate::rig::begin(&crate::rig::grant())]);
        assert!(matches!(sign(&mut rig, &wanted), Answer::Signature(_)));
    }
}
