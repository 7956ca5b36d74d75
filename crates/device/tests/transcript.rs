//! `tests/vectors/device-transcript.json`: the serial protocol to the byte, for whoever writes another end of it.

#![cfg(feature = "host")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::collections::VecDeque;

use alloy_primitives::{Address, U256, hex};
use k256::ecdsa::SigningKey;
use quorate_core::{
    Call, Condition, Encode as _, Execute, Known, OperationHead, Policy, Rule, SessionEpoch, SessionKeyData,
    SessionLeaf, UserOperation,
};
use quorate_device::{Device, FrameBuffer, FromDevice, Link, MAX_FRAME, ToDevice, encode};
use serde_json::{Value, json};

const MANAGER: Address = Address::repeat_byte(0x0e);
const MODULE: Address = Address::repeat_byte(0x0f);
const FUNCTIONS: &[&str] = &["safeMint(address to)"];
const KEY: [u8; 32] = [7; 32];

/// Gives the device one frame after the other, and keeps what it says after each.
struct Tape {
    frames: VecDeque<Vec<u8>>,
    reading: VecDeque<u8>,
    said: Vec<Vec<u8>>,
}

impl Link for Tape {
    /// The tape's end.
    type Error = ();

    fn read(&mut self) -> Result<u8, ()> {
        if self.reading.is_empty() {
            self.reading = self.frames.pop_front().ok_or(())?.into();
            self.said.push(Vec::new());
        }
        self.reading.pop_front().ok_or(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.said.last_mut().unwrap().extend(bytes);
        Ok(())
    }
}

/// A mint to a friend, until 2030.
fn session_key_data() -> Vec<u8> {
    let policy: Policy = Policy::new(Address::repeat_byte(0xaa), "safeMint(address)".parse().unwrap())
        .with_rule(Rule::new(0, Condition::Equal, Address::repeat_byte(0xcc)))
        .unwrap();
    SessionKeyData::new(Address::repeat_byte(0xbb), &policy).to_vec()
}

fn leaf(data: &[u8]) -> SessionLeaf<'_> {
    let epoch = SessionEpoch::new(0, 1_900_000_000).unwrap();
    SessionLeaf { epoch, validation_module: MODULE, session_key_data: data }
}

/// A host's frames for a grant of `shown`, where the operation grants the session as it should be.
fn grant(shown: &[u8], button: ToDevice<'static>) -> Vec<(&'static str, Vec<u8>)> {
    let right = session_key_data();
    let set_root = [&[0x7c, 0xb6, 0x47, 0x59], leaf(&right).hash().as_slice()].concat();
    let call_data = Execute(Call { to: MANAGER, value: U256::ZERO, data: &set_root }).to_vec();
    let operation = UserOperation::<&[u8]> {
        sender: Address::repeat_byte(0xac),
        call_gas_limit: U256::from(100_000),
        max_fee_per_gas: U256::from(1_000_000_000),
        ..UserOperation::default()
    };
    let head = OperationHead::V0_6(operation.with_call_data(()));
    let begin = ToDevice::Begin { entry_point: [0xee; 20], chain_id: 137, head: head.into() };
    let mut frames = vec![("Begin", frame(&begin)), ("Session", frame(&ToDevice::session(&leaf(shown))))];
    frames.extend(call_data.chunks(100).map(|piece| ("CallData", frame(&ToDevice::CallData(piece)))));
    frames.push(("End", frame(&ToDevice::End)));
    let name = if button == ToDevice::Approve { "Approve" } else { "Reject" };
    frames.push((name, frame(&button)));
    frames
}

fn frame(frame: &ToDevice<'_>) -> Vec<u8> {
    encode(frame, &mut [0; MAX_FRAME]).unwrap().to_vec()
}

/// What the device says to each frame.
fn transcript(name: &str, frames: Vec<(&str, Vec<u8>)>) -> Value {
    let known =
        Known { session_key_manager: MANAGER, abi_session_validation_module: MODULE, functions: FUNCTIONS };
    let device = Device::new(SigningKey::from_slice(&KEY).unwrap(), known);
    let bytes = frames.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut tape = Tape { frames: bytes, reading: VecDeque::new(), said: Vec::new() };
    device.serve(&mut tape, &mut Default::default()).unwrap_err();
    let steps = frames.iter().zip(&tape.said).map(|((name, bytes), said)| {
        let answers = said.split_inclusive(|byte| *byte == 0);
        let answers: Vec<_> =
            answers.map(|frame| json!({ "frame": hex::encode(frame), "means": meaning(frame) })).collect();
        json!({ "host": { "frame": hex::encode(bytes), "means": name }, "device": answers })
    });
    json!({ "name": name, "steps": steps.collect::<Vec<_>>() })
}

fn meaning(frame: &[u8]) -> String {
    let mut buffer = FrameBuffer::new();
    for byte in frame {
        buffer.push(*byte);
    }
    match buffer.decode().unwrap() {
        FromDevice::Address(address) => format!("Address {}", Address::from(address)),
        FromDevice::Line(line) => format!("Line {line}"),
        FromDevice::Ready => "Ready".to_owned(),
        FromDevice::Approval(hash) => format!("Approval {}", hex::encode(hash)),
        FromDevice::Signature(signature) => format!("Signature {}", hex::encode(signature)),
        FromDevice::Refused(reason) => format!("Refused {reason}"),
    }
}

/// Where the protocol changes on purpose, the file that this test writes takes the other's place.
#[test]
fn the_transcript_holds() {
    let right = session_key_data();
    let mut altered = right.clone();
    // Another address to mint to.
    *altered.last_mut().unwrap() ^= 1;
    let mut early = vec![("Approve", frame(&ToDevice::Approve))];
    early.extend(grant(&right, ToDevice::Approve));
    let transcripts = json!({
        "meta": {
            "source": "quorate-device against itself: postcard in COBS, each frame ended by a zero byte",
            "key": hex::encode(KEY),
            "sessionKeyManager": MANAGER.to_string(),
            "abiSessionValidationModule": MODULE.to_string(),
            "functions": FUNCTIONS,
        },
        "transcripts": [
            transcript("the device's address", vec![("Address", frame(&ToDevice::Address))]),
            transcript("a grant that is approved", grant(&right, ToDevice::Approve)),
            transcript("a grant that is rejected", grant(&right, ToDevice::Reject)),
            transcript("an altered session", grant(&altered, ToDevice::Approve)),
            transcript("the button before anything was shown", early),
        ],
    });
    let path = "../../tests/vectors/device-transcript.json";
    let kept = std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    if kept.as_ref() != Some(&transcripts) {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/device-transcript.json");
        std::fs::write(new, serde_json::to_string_pretty(&transcripts).unwrap() + "\n").unwrap();
        panic!("the protocol differs from {path}; as it is now, it is in {new}");
    }
}
