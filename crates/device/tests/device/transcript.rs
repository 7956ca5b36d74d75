//! `tests/vectors/device-transcript.json`: the serial protocol to the byte and the screen to the letter, for whoever
//! writes another end of it.

use alloy_primitives::hex;
use quorate_core::{Initialization, KnownFunction, OperationHead};
use quorate_device::host::{GrantedSession, OperationRequest};
use quorate_device::{Decision, KeyRequestFrame, ToDevice};
use serde_json::{Value, json};

use crate::rig::{Answer, Button, FUNCTIONS, Rig, SECRET, begin, frame, grant, read};
use crate::versions::grants;
use crate::{attacks, key_requests};

/// A step of a host, or of the person in front of the device.
enum Step {
    Frame(&'static str, Vec<u8>),
    Press(Decision),
}

fn operation(request: &OperationRequest, press: Option<Decision>) -> Vec<Step> {
    let mut steps = vec![Step::Frame("Begin", frame(1, begin(request)))];
    for session in &request.sessions {
        let GrantedSession::Shown(leaf) = session else { continue };
        steps.push(Step::Frame("Session", frame(1, ToDevice::session(&leaf.borrow()))));
    }
    for piece in request.operation.call_data().chunks(100) {
        steps.push(Step::Frame("CallData", frame(1, ToDevice::CallData(piece))));
    }
    steps.push(Step::Frame("End", frame(1, ToDevice::End)));
    steps.extend(press.map(Step::Press));
    steps
}

fn key_request() -> Vec<Step> {
    let text = key_requests::request("");
    let metadata = [
        Some((text.metadata[0].0, text.metadata[0].1.as_str())),
        Some((text.metadata[1].0, text.metadata[1].1.as_str())),
        None,
    ];
    let message = KeyRequestFrame { threshold: 3, nodes: 5, metadata, challenge: &text.challenge };
    vec![
        Step::Frame("KeyRequest", frame(1, ToDevice::KeyRequest(message))),
        Step::Frame("End", frame(1, ToDevice::End)),
        Step::Press(Decision::Approve),
    ]
}

/// What the device shows and answers at each step. What a refusal leaves of the host's steps is not sent.
fn transcript(name: &str, steps: Vec<Step>) -> Value {
    let mut rig = Rig::new(Button::default());
    let mut told = Vec::new();
    for step in steps {
        let before = rig.screen.lines().len();
        let (what, answer) = match step {
            Step::Frame(means, bytes) => {
                (json!({ "frame": hex::encode(&bytes), "means": means }), rig.send_bytes(&bytes))
            }
            Step::Press(decision) => {
                rig.button.press(decision);
                (json!({ "button": format!("{decision:?}") }), rig.send_bytes(&[]))
            }
        };
        let answers: Vec<_> = answer
            .split_inclusive(|byte| *byte == 0)
            .map(|frame| json!({ "frame": hex::encode(frame), "means": meaning(frame) }))
            .collect();
        let is_refused = read(&answer).iter().any(|(_, answer)| matches!(answer, Answer::Refused(_)));
        told.push(json!({ "host": what, "screen": rig.screen.lines()[before..], "device": answers }));
        if is_refused {
            break;
        }
    }
    json!({ "name": name, "steps": told })
}

fn meaning(frame: &[u8]) -> String {
    match &read(frame)[0] {
        (number, Answer::Address(address)) => format!("{number} Address {address}"),
        (number, Answer::Ready) => format!("{number} Ready"),
        (number, Answer::Waiting(hash)) => format!("{number} Waiting {hash}"),
        (number, Answer::Signature(signature)) => format!("{number} Signature {}", hex::encode(signature)),
        (number, Answer::Refused(reason)) => format!("{number} Refused {reason}"),
    }
}

fn transcripts() -> Value {
    let mut transcripts = vec![
        transcript("the device's address", vec![Step::Frame("Address", frame(1, ToDevice::Address))]),
        transcript("a grant that is approved", operation(&grant(), Some(Decision::Approve))),
        transcript("a grant that is rejected", operation(&grant(), Some(Decision::Reject))),
    ];
    for request in grants().iter().skip(1) {
        let version = request.operation.head().version();
        let name = format!("a grant at EntryPoint {version}, {}", initialization(request));
        transcripts.push(transcript(&name, operation(request, Some(Decision::Approve))));
    }
    transcripts.push(transcript("a request for a distributed key", key_request()));
    let given_up = [operation(&grant(), None), vec![Step::Frame("Cancel", frame(1, ToDevice::Cancel))]];
    transcripts.push(transcript("a grant that the host gives up", given_up.into_iter().flatten().collect()));
    let end = vec![Step::Frame("End", frame(1, ToDevice::End))];
    transcripts.push(transcript("the end before anything was shown", end));
    for (name, request, _) in attacks::refused() {
        transcripts.push(transcript(&format!("refused: {name}"), operation(&request, None)));
    }
    for (name, request, _) in attacks::dangerous() {
        transcripts.push(transcript(&format!("danger: {name}"), operation(&request, Some(Decision::Reject))));
    }
    json!({
        "meta": {
            "source": "quorate-device against itself: postcard in COBS, each frame ended by a zero byte. An empty line on \
                       the screen is where it was cleared",
            "key": hex::encode(SECRET),
            "trusted": "the canonical contracts",
            "functions": FUNCTIONS.iter().map(KnownFunction::signature).collect::<Vec<_>>(),
        },
        "transcripts": transcripts,
    })
}

fn initialization(request: &OperationRequest) -> &'static str {
    match request.operation.head() {
        OperationHead::V0_7(operation) | OperationHead::V0_8(operation) | OperationHead::V0_9(operation) => {
            match operation.init {
                Initialization::Deployed => "of an account that is there",
                Initialization::Factory { .. } => "by a factory",
                Initialization::Delegated { .. } => "of an EIP-7702 account",
            }
        }
        OperationHead::V0_6(_) => "",
    }
}

/// Where the protocol changes on purpose, the file that this test writes takes the other's place.
#[test]
fn the_transcript_holds() {
    let transcripts = transcripts();
    let path = "../../tests/vectors/device-transcript.json";
    let kept = std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    if kept.as_ref() != Some(&transcripts) {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/device-transcript.json");
        std::fs::write(new, serde_json::to_string_pretty(&transcripts).unwrap() + "\n").unwrap();
        panic!("the protocol differs from {path}; as it is now, it is in {new}");
    }
}
