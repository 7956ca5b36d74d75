//! A device reads and writes frames by code of its own: the same bytes as by serde, for every message.

use proptest::array::{uniform20, uniform32};
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_core::{Initialization, OperationHead, Paymaster, U256, UnpackedUserOperation, UserOperation};
use quorate_device::{
    FrameBuffer, FromDevice, KeyRequestFrame, MAX_FRAME, Numbered, OperationFrame, ToDevice, encode,
    encode_from_device,
};

/// What messages are made of.
#[derive(Clone, Debug)]
struct Parts {
    /// Of variants and options.
    choices: [u8; 4],
    numbers: [u64; 2],
    gas: [u128; 6],
    address: [u8; 20],
    words: [[u8; 32]; 2],
    bytes: [Vec<u8>; 2],
    texts: [String; 2],
}

fn parts() -> impl Strategy<Value = Parts> {
    // Numbers of every length.
    let numbers = any::<[(u64, u8); 2]>().prop_map(|numbers| numbers.map(|(of, by)| of >> (by % 64)));
    let gas = any::<[(u128, u8); 6]>().prop_map(|gas| gas.map(|(of, by)| of >> (by % 128)));
    // Zeros, and long runs without one, are what COBS is about.
    let byte = || prop_oneof![Just(0), any::<u8>(), 1..=255_u8];
    let long_run = || prop_oneof![200 => 1..=255_u8, 1 => Just(0)];
    let address = uniform20(byte());
    let words = [uniform32(byte()), uniform32(byte())];
    let bytes = [vec(long_run(), 0..300), vec(long_run(), 0..600)];
    let texts = [r"\PC{0,20}", r"[a-z]{240,330}"];
    (any::<[u8; 4]>(), numbers, gas, address, words, bytes, texts).prop_map(
        |(choices, numbers, gas, address, words, bytes, texts)| Parts {
            choices,
            numbers,
            gas,
            address,
            words,
            bytes,
            texts,
        },
    )
}

impl Parts {
    fn sent_by_host(&self) -> ToDevice<'_> {
        match self.choices[0] % 14 {
            0 => ToDevice::Address,
            1 => ToDevice::Session {
                valid_after: self.numbers[0],
                valid_until: self.numbers[1],
                validation_module: self.address,
                session_key_data: &self.bytes[0],
            },
            2 => ToDevice::KeptSession { leaf: self.words[0], manager: self.address, proof: &self.bytes[0] },
            3 => ToDevice::CallData(&self.bytes[1]),
            4 | 5 => ToDevice::KeyRequest(self.key_request()),
            6 => ToDevice::Permissions(&self.bytes[0]),
            7 => ToDevice::Use(self.operation()),
            8 => ToDevice::End,
            9 => ToDevice::Cancel,
            10 => ToDevice::Delegation { chain_id: self.numbers[0], manager: self.address },
            _ => ToDevice::Begin(self.operation()),
        }
    }

    fn key_request(&self) -> KeyRequestFrame<'_> {
        let entry = |bit: u8| {
            ((self.choices[1] >> bit) % 2 == 1).then_some((self.numbers[1] as u16, &*self.texts[0]))
        };
        KeyRequestFrame {
            threshold: self.numbers[0] as u32,
            nodes: self.numbers[1] as u32,
            metadata: [entry(0), entry(1), entry(2)],
            challenge: &self.texts[1],
        }
    }

    fn operation(&self) -> OperationFrame<'_> {
        let head = match self.choices[1] % 4 {
            0 => OperationHead::V0_6(self.v0_6()),
            1 => OperationHead::V0_7(self.unpacked()),
            2 => OperationHead::V0_8(self.unpacked()),
            _ => OperationHead::V0_9(self.unpacked()),
        };
        OperationFrame { entry_point: self.address, chain_id: self.numbers[0], head }
    }

    fn v0_6(&self) -> UserOperation<&[u8], ()> {
        UserOperation {
            sender: self.address.into(),
            nonce: U256::from_be_bytes(self.words[0]),
            init_code: &self.bytes[0],
            call_data: (),
            call_gas_limit: U256::from(self.gas[0]),
            verification_gas_limit: U256::from(self.gas[1]),
            pre_verification_gas: U256::from(self.gas[2]),
            max_fee_per_gas: U256::from(self.gas[3]),
            max_priority_fee_per_gas: U256::from_be_bytes(self.words[1]),
            paymaster_and_data: &self.bytes[1],
        }
    }

    fn unpacked(&self) -> UnpackedUserOperation<&[u8], ()> {
        UnpackedUserOperation {
            sender: self.address.into(),
            nonce: U256::from_be_bytes(self.words[0]),
            init: match self.choices[2] % 3 {
                0 => Initialization::Deployed,
                1 => Initialization::Factory { factory: self.address.into(), data: &self.bytes[0] },
                _ => Initialization::Delegated { delegate: self.address.into(), data: &self.bytes[0] },
            },
            call_data: (),
            call_gas_limit: self.gas[0],
            verification_gas_limit: self.gas[1],
            pre_verification_gas: U256::from_be_bytes(self.words[1]),
            max_fee_per_gas: self.gas[2],
            max_priority_fee_per_gas: self.gas[3],
            paymaster: (self.choices[3] % 2 == 1).then_some(Paymaster {
                paymaster: self.address.into(),
                verification_gas_limit: self.gas[4],
                post_op_gas_limit: self.gas[5],
                data: &self.bytes[1],
            }),
        }
    }

    fn sent_by_device(&self) -> FromDevice<'_> {
        match self.choices[0] % 6 {
            0 => FromDevice::Address(self.address),
            1 => FromDevice::Ready,
            2 => FromDevice::Waiting(self.words[1]),
            3 => FromDevice::Signature(&self.bytes[1]),
            _ => FromDevice::Refused(&self.texts[usize::from(self.choices[1] % 2)]),
        }
    }
}

/// The frame of these bytes, which need not be a message.
fn framed(bytes: &[u8]) -> FrameBuffer {
    let mut frame = FrameBuffer::new();
    let mut ends = cobs::encode_vec(bytes).into_iter().chain([0]).filter_map(|byte| frame.push(byte));
    assert_eq!(ends.next(), Some(Ok(())));
    assert_eq!(ends.next(), None);
    drop(ends);
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_device_reads_what_serde_reads(
        parts in parts(),
        change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        more in proptest::option::weighted(0.1, any::<u8>()),
    ) {
        let message = Numbered { request: parts.gas[0] as u32, message: parts.sent_by_host() };
        let mut buffer = [0; MAX_FRAME];
        let mut bytes = postcard::to_slice(&message, &mut buffer).unwrap().to_vec();
        let frame = framed(&bytes);
        prop_assert_eq!(frame.decode_to_device(), Ok(message));
        if let Some((at, byte)) = change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(1 + cut.index(bytes.len()));
        }
        bytes.extend(more);
        let frame = framed(&bytes);
        prop_assert_eq!(frame.decode_to_device(), frame.decode::<Numbered<ToDevice<'_>>>());
    }

    #[test]
    fn a_device_reads_numbers_as_serde_does(more in vec(0x80..=0xff_u8, 0..20), last in 0..0x80_u8) {
        let number = [more, vec![last]].concat();
        // Messages with a number of each width, before and after which all is zero or the shortest.
        let messages: [(&[u8], usize); 6] = [
            (&[], 1),
            (&[1, 2], 22),
            (&[1, 10], 20),
            (&[1, 4], 0),
            (&[1, 5, 0, 0, 1], 4),
            (&[&[1, 1][..], &[0; 21], &[1], &[0; 53]].concat(), 36),
        ];
        for (before, after) in messages {
            let frame = framed(&[before, &number, &vec![0; after]].concat());
            prop_assert_eq!(frame.decode_to_device(), frame.decode::<Numbered<ToDevice<'_>>>());
        }
    }

    #[test]
    fn a_device_writes_what_serde_writes(parts in parts(), room in 0..700_usize) {
        let message = Numbered { request: parts.numbers[0] as u32, message: parts.sent_by_device() };
        let (mut by_serde, mut by_device) = ([0; 700], [0; 700]);
        let by_serde = encode(&message, &mut by_serde[..room]);
        prop_assert_eq!(encode_from_device(&message, &mut by_device[..room]), by_serde);
    }
}
