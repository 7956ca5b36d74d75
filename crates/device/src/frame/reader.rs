//! What a device reads of postcard: the messages of a host.
//!
//! It takes the same bytes for the same messages as their own `Deserialize`, in less of a device's flash.

use alloy_primitives::{Address, U256};
use quorate_core::{Initialization, OperationHead, Paymaster, UnpackedUserOperation, UserOperation};

use super::{KeyRequestFrame, MAX_METADATA, Numbered, OperationFrame, ToDevice};

/// Reads a host's message; `None` for bytes that are no message, or more than one.
pub(crate) fn read_message(bytes: &[u8]) -> Option<Numbered<ToDevice<'_>>> {
    let mut reader = Reader { rest: bytes, is_malformed: false };
    let message = Numbered { request: reader.u32(), message: reader.message() };
    (reader.rest.is_empty() && !reader.is_malformed).then_some(message)
}

/// The bytes that are not yet read.
///
/// What cannot be read is zero or empty, so that only the whole message has to be looked at. Fields are read in the order in
/// which their struct declares them.
struct Reader<'a> {
    rest: &'a [u8],
    is_malformed: bool,
}

impl<'a> Reader<'a> {
    fn message(&mut self) -> ToDevice<'a> {
        match self.u32() {
            0 => ToDevice::Address,
            1 => ToDevice::Begin(self.operation()),
            2 => ToDevice::Session {
                valid_after: self.u64(),
                valid_until: self.u64(),
                validation_module: self.array(),
                session_key_data: self.bytes(),
            },
            3 => ToDevice::KeptSession { leaf: self.array(), manager: self.array(), proof: self.bytes() },
            4 => ToDevice::CallData(self.bytes()),
            5 => ToDevice::KeyRequest(self.key_request()),
            6 => ToDevice::Permissions(self.bytes()),
            7 => ToDevice::Use(self.operation()),
            8 => ToDevice::End,
            9 => ToDevice::Cancel,
            10 => ToDevice::Delegation { chain_id: self.u64(), manager: self.array() },
            _ => self.fail(ToDevice::Cancel),
        }
    }

    fn key_request(&mut self) -> KeyRequestFrame<'a> {
        KeyRequestFrame {
            threshold: self.u32(),
            nodes: self.u32(),
            metadata: [(); MAX_METADATA].map(|()| self.is_some().then(|| (self.u16(), self.text()))),
            challenge: self.text(),
        }
    }

    fn operation(&mut self) -> OperationFrame<'a> {
        OperationFrame { entry_point: self.array(), chain_id: self.u64(), head: self.head() }
    }

    fn head(&mut self) -> OperationHead<'a> {
        match self.u32() {
            0 => OperationHead::V0_6(self.v0_6()),
            1 => OperationHead::V0_7(self.unpacked()),
            2 => OperationHead::V0_8(self.unpacked()),
            3 => OperationHead::V0_9(self.unpacked()),
            _ => self.fail(OperationHead::V0_6(UserOperation::default())),
        }
    }

    fn v0_6(&mut self) -> UserOperation<&'a [u8], ()> {
        UserOperation {
            sender: self.address(),
            nonce: self.word(),
            init_code: self.bytes(),
            call_data: (),
            call_gas_limit: self.word(),
            verification_gas_limit: self.word(),
            pre_verification_gas: self.word(),
            max_fee_per_gas: self.word(),
            max_priority_fee_per_gas: self.word(),
            paymaster_and_data: self.bytes(),
        }
    }

    fn unpacked(&mut self) -> UnpackedUserOperation<&'a [u8], ()> {
        UnpackedUserOperation {
            sender: self.address(),
            nonce: self.word(),
            init: match self.u32() {
                0 => Initialization::Deployed,
                1 => Initialization::Factory { factory: self.address(), data: self.bytes() },
                2 => Initialization::Delegated { delegate: self.address(), data: self.bytes() },
                _ => self.fail(Initialization::Deployed),
            },
            call_data: (),
            call_gas_limit: self.u128(),
            verification_gas_limit: self.u128(),
            pre_verification_gas: self.word(),
            max_fee_per_gas: self.u128(),
            max_priority_fee_per_gas: self.u128(),
            paymaster: self.is_some().then(|| Paymaster {
                paymaster: self.address(),
                verification_gas_limit: self.u128(),
                post_op_gas_limit: self.u128(),
                data: self.bytes(),
            }),
        }
    }

    fn is_some(&mut self) -> bool {
        match self.take(1) {
            [0] => false,
            [1] => true,
            _ => self.fail(false),
        }
    }

    fn text(&mut self) -> &'a str {
        core::str::from_utf8(self.bytes()).unwrap_or_else(|_| self.fail(""))
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = self.number(usize::BITS);
        self.take(len as usize)
    }

    fn address(&mut self) -> Address {
        self.array().into()
    }

    fn word(&mut self) -> U256 {
        U256::from_be_bytes::<32>(self.array())
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        self.fill(&mut array);
        array
    }

    fn u16(&mut self) -> u16 {
        self.number(u16::BITS) as u16
    }

    fn u32(&mut self) -> u32 {
        self.number(u32::BITS) as u32
    }

    fn u64(&mut self) -> u64 {
        self.number(u64::BITS) as u64
    }

    fn u128(&mut self) -> u128 {
        self.number(u128::BITS)
    }

    /// A number of at most so many bits: seven of them in each byte, the lowest first; all bytes but the last have their highest
    /// bit set.
    fn number(&mut self, bits: u32) -> u128 {
        let last = self.rest.iter().position(|byte| *byte < 0x80);
        let bytes = self.take(last.map_or(usize::MAX, |last| last + 1));
        let highest = bytes.last().map_or(0, |last| u8::BITS - last.leading_zeros());
        if 7 * last.unwrap_or_default() + highest as usize > bits as usize {
            return self.fail(0);
        }
        bytes.iter().rev().fold(0, |number, byte| number << 7 | u128::from(byte & 0x7f))
    }

    fn fill(&mut self, place: &mut [u8]) {
        let bytes = self.take(place.len());
        place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else { return self.fail(&[]) };
        self.rest = rest;
        taken
    }

    fn fail<T>(&mut self, nothing: T) -> T {
        self.is_malformed = true;
        nothing
    }
}
