//! Policies, calls, and what may become of their bytes.

use std::fmt;

use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use proptest::sample::Index;
use quorate_core::{Call, Encode, Execute, ExecuteBatch};

use crate::machine::Hex;
use crate::session_signer;

/// What the module is given.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) session_key_data: Hex,
    pub(crate) call_data: Hex,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_key_data, call_data } = self;
        write!(f, "session key data {session_key_data:?}, call data {call_data:?}")
    }
}

/// A policy, a call that mostly obeys it, and then what a stranger may do to the bytes of both.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let changes = prop_oneof![
        6 => Just(Vec::new()),
        4 => prop::collection::vec(call_change(), 1),
        1 => prop::collection::vec(call_change(), 2),
    ];
    (permission(), request(), key_change(), changes).prop_map(|(permission, request, key_change, changes)| {
        let mut session_key_data = permission.encode();
        key_change.apply(&mut session_key_data);
        let inner = request.inner(&permission);
        let mut call_data = request.encode(&permission, &inner);
        for change in changes {
            change.apply(&mut call_data, inner.len());
        }
        Case { session_key_data: Hex(session_key_data), call_data: Hex(call_data) }
    })
}

/// What session key data says. Written out here, since conditions may be unknown.
#[derive(Debug, Clone)]
struct Permission {
    key: Address,
    contract: Address,
    selector: [u8; 4],
    limit: u128,
    rules: Vec<Demand>,
}

impl Permission {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.key.as_slice(), self.contract.as_slice(), &self.selector].concat();
        bytes.extend(self.limit.to_be_bytes());
        bytes.extend(u16::try_from(self.rules.len()).unwrap().to_be_bytes());
        for rule in &self.rules {
            bytes.extend(rule.offset.to_be_bytes());
            bytes.push(rule.condition);
            bytes.extend(rule.reference.to_be_bytes::<32>());
        }
        bytes
    }
}

fn permission() -> impl Strategy<Value = Permission> {
    let key = prop_oneof![9 => Just(session_signer().address()), 1 => address()];
    let limit = prop_oneof![Just(0), Just(1), Just(u128::MAX), any::<u128>()];
    (key, address(), any::<[u8; 4]>(), limit, prop::collection::vec(demand(), 0..5)).prop_map(
        |(key, contract, selector, limit, rules)| Permission { key, contract, selector, limit, rules },
    )
}

/// A rule, and which of the words around its reference the call has.
#[derive(Debug, Clone)]
struct Demand {
    offset: u16,
    condition: u8,
    reference: U256,
    obeyed: bool,
    side: Index,
}

impl Demand {
    /// One below the reference, the reference, or one above, modulo 2^256.
    fn argument(&self) -> U256 {
        let sides: &[usize] = match self.condition {
            0 if self.obeyed => &[1],
            1 if self.obeyed => &[0, 1],
            2 if self.obeyed => &[0],
            3 if self.obeyed => &[1, 2],
            4 if self.obeyed => &[2],
            5 if self.obeyed => &[0, 2],
            _ => &[0, 1, 2],
        };
        let side = U256::from(*self.side.get(sides));
        self.reference.wrapping_add(side).wrapping_sub(U256::ONE)
    }
}

fn demand() -> impl Strategy<Value = Demand> {
    let offset = prop_oneof![
        24 => (0..WORDS).prop_map(|word| 32 * word),
        2 => 0..32 * WORDS,
        1 => any::<u16>(),
    ];
    let condition = prop_oneof![40 => 0..6_u8, 1 => any::<u8>()];
    let reference = prop_oneof![1 => Just(U256::ZERO), 1 => Just(U256::MAX), 6 => number()];
    (offset, condition, reference, prop::bool::weighted(0.9), any::<Index>()).prop_map(
        |(offset, condition, reference, obeyed, side)| Demand { offset, condition, reference, obeyed, side },
    )
}

/// The arguments of the inner call, before it is cut.
const WORDS: u16 = 6;

/// How a call follows the permission or does not.
#[derive(Debug, Clone)]
struct Request {
    function: Function,
    destination: Option<Address>,
    selector: Option<[u8; 4]>,
    value: Value,
    filling: u8,
    cut: Cut,
}

#[derive(Debug, Clone)]
enum Function {
    Single([u8; 4]),
    Batch([u8; 4]),
}

#[derive(Debug, Clone)]
enum Value {
    Zero,
    BelowLimit,
    Limit,
    AboveLimit,
    Any(U256),
}

/// Where the inner call data ends.
#[derive(Debug, Clone)]
enum Cut {
    Whole,
    /// So many bytes after the word that a rule reads.
    AtTheEndOfARule(Index, i8),
    At(Index),
}

impl Request {
    fn inner(&self, permission: &Permission) -> Vec<u8> {
        let mut inner = self.selector.unwrap_or(permission.selector).to_vec();
        inner.resize(4 + 32 * usize::from(WORDS), self.filling);
        for rule in &permission.rules {
            let at = 4 + usize::from(rule.offset);
            if let Some(word) = inner.get_mut(at..at + 32) {
                word.copy_from_slice(&rule.argument().to_be_bytes::<32>());
            }
        }
        match &self.cut {
            Cut::Whole => {}
            Cut::AtTheEndOfARule(rule, step) if !permission.rules.is_empty() => {
                let end = 4 + usize::from(rule.get(&permission.rules).offset) + 32;
                inner.resize(end.saturating_add_signed((*step).into()).min(300), self.filling);
            }
            Cut::AtTheEndOfARule(index, _) | Cut::At(index) => inner.truncate(index.index(inner.len())),
        }
        inner
    }

    fn encode(&self, permission: &Permission, inner: &[u8]) -> Vec<u8> {
        let limit = U256::from(permission.limit);
        let value = match self.value {
            Value::Zero => U256::ZERO,
            Value::BelowLimit => limit.saturating_sub(U256::ONE),
            Value::Limit => limit,
            Value::AboveLimit => limit + U256::ONE,
            Value::Any(value) => value,
        };
        let call = Call { to: self.destination.unwrap_or(permission.contract), value, data: inner };
        let (selector, mut bytes) = match self.function {
            Function::Single(selector) => (selector, Execute(call).to_vec()),
            Function::Batch(selector) => (selector, ExecuteBatch(&[call]).to_vec()),
        };
        bytes[..4].copy_from_slice(&selector);
        bytes
    }
}

fn request() -> impl Strategy<Value = Request> {
    let function = prop_oneof![
        20 => Just(Function::Single([0x00, 0x00, 0x18, 0x9a])),
        20 => Just(Function::Single([0xb6, 0x1d, 0x27, 0xf6])),
        1 => Just(Function::Batch([0x00, 0x00, 0x46, 0x80])),
        1 => Just(Function::Batch([0x47, 0xe1, 0xda, 0x2a])),
        1 => any::<[u8; 4]>().prop_map(Function::Single),
    ];
    let value = prop_oneof![
        6 => Just(Value::Zero),
        6 => Just(Value::BelowLimit),
        6 => Just(Value::Limit),
        2 => Just(Value::AboveLimit),
        1 => number().prop_map(Value::Any),
    ];
    let cut = prop_oneof![
        12 => Just(Cut::Whole),
        3 => (any::<Index>(), -1..=1_i8).prop_map(|(rule, step)| Cut::AtTheEndOfARule(rule, step)),
        1 => any::<Index>().prop_map(Cut::At),
    ];
    let destination = prop::option::weighted(0.04, address());
    let selector = prop::option::weighted(0.04, any::<[u8; 4]>());
    (function, destination, selector, value, any::<u8>(), cut).prop_map(
        |(function, destination, selector, value, filling, cut)| Request {
            function,
            destination,
            selector,
            value,
            filling,
            cut,
        },
    )
}

/// What happens to session key data.
#[derive(Debug, Clone)]
enum KeyChange {
    None,
    Truncate(Index),
    Append(Vec<u8>),
    Count(i8),
    Flip(Index, u8),
}

impl KeyChange {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Self::Append(more) => bytes.extend(more),
            Self::Count(step) => {
                let count = u16::from_be_bytes([bytes[60], bytes[61]]).wrapping_add_signed((*step).into());
                bytes[60..62].copy_from_slice(&count.to_be_bytes());
            }
            Self::Flip(at, bit) => flip(bytes, *at, *bit),
        }
    }
}

fn key_change() -> impl Strategy<Value = KeyChange> {
    prop_oneof![
        16 => Just(KeyChange::None),
        1 => any::<Index>().prop_map(KeyChange::Truncate),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(KeyChange::Append),
        1 => (-2..3_i8).prop_map(KeyChange::Count),
        1 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| KeyChange::Flip(at, bit)),
    ]
}

/// What happens to the account's call data.
#[derive(Debug, Clone)]
enum CallChange {
    /// Bytes that belong to nothing, before the inner call data.
    Gap(Vec<u8>),
    Pointer(Place),
    Length(Place),
    DirtyDestination(u8),
    Truncate(Index),
    Shorten(usize),
    Append(Vec<u8>),
    Flip(Index, u8),
}

/// A number for a length or an offset.
#[derive(Debug, Clone)]
enum Place {
    /// This far from the end of what is there.
    NearEnd(i8),
    Any(U256),
}

impl Place {
    fn resolve(&self, end: usize) -> U256 {
        match self {
            Self::NearEnd(step) => U256::from(end.saturating_add_signed((*step).into())),
            Self::Any(number) => *number,
        }
    }
}

/// Where the words of the outer call data stand.
const DESTINATION: usize = 4;
const POINTER: usize = 4 + 2 * 32;
const LENGTH: usize = 4 + 3 * 32;

impl CallChange {
    fn apply(&self, bytes: &mut Vec<u8>, inner_len: usize) {
        match self {
            Self::Gap(gap) if bytes.len() > LENGTH => {
                bytes.splice(LENGTH..LENGTH, gap.iter().copied());
                put(bytes, POINTER, U256::from(3 * 32 + gap.len()));
            }
            // The last place with room for a length is this far from the end of the selector.
            Self::Pointer(place) => {
                let pointer = place.resolve(bytes.len().saturating_sub(4 + 32));
                put(bytes, POINTER, pointer);
            }
            Self::Length(place) => put(bytes, LENGTH, place.resolve(inner_len)),
            Self::DirtyDestination(byte) => {
                if let Some(first) = bytes.get_mut(DESTINATION) {
                    *first = *byte;
                }
            }
            Self::Truncate(at) if !bytes.is_empty() => bytes.truncate(at.index(bytes.len())),
            Self::Shorten(by) => bytes.truncate(bytes.len().saturating_sub(*by)),
            Self::Append(more) => bytes.extend(more),
            Self::Flip(at, bit) if !bytes.is_empty() => flip(bytes, *at, *bit),
            Self::Gap(_) | Self::Truncate(_) | Self::Flip(..) => {}
        }
    }
}

fn call_change() -> impl Strategy<Value = CallChange> {
    let some_bytes = || prop::collection::vec(any::<u8>(), 1..70);
    prop_oneof![
        6 => some_bytes().prop_map(CallChange::Gap),
        4 => place().prop_map(CallChange::Pointer),
        8 => place().prop_map(CallChange::Length),
        3 => any::<u8>().prop_map(CallChange::DirtyDestination),
        1 => any::<Index>().prop_map(CallChange::Truncate),
        2 => (1..80_usize).prop_map(CallChange::Shorten),
        4 => some_bytes().prop_map(CallChange::Append),
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| CallChange::Flip(at, bit)),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        3 => (-40..40_i8).prop_map(Place::NearEnd),
        3 => (0..300_u64).prop_map(|number| Place::Any(U256::from(number))),
        // The addition to the place of the arguments wraps.
        2 => prop_oneof![0..8_u64, 0..100_u64].prop_map(|number| Place::Any(U256::MAX - U256::from(number))),
        1 => (16..256_usize, 0..200_u64).prop_map(|(bit, more)| Place::Any((U256::ONE << bit) + U256::from(more))),
        1 => number().prop_map(Place::Any),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn number() -> impl Strategy<Value = U256> {
    any::<[u8; 32]>().prop_map(U256::from_be_bytes)
}

fn put(bytes: &mut [u8], at: usize, word: U256) {
    if let Some(place) = bytes.get_mut(at..at + 32) {
        place.copy_from_slice(&word.to_be_bytes::<32>());
    }
}

fn flip(bytes: &mut [u8], at: Index, bit: u8) {
    let at = at.index(bytes.len());
    bytes[at] ^= 1 << bit;
}
