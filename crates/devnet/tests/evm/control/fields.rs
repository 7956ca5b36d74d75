//! All fields of an operation but its call data.

use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use proptest::sample::Index;
use quorate_core::UserOperation;

use super::chain::{AT, PAYMASTER, init_code};
use crate::machine::Hex;

const GWEI: u64 = 1_000_000_000;

/// Who acts, and who pays for it how much.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    /// The account that is not there.
    pub(crate) is_absent: bool,
    pub(crate) paymaster: PaymasterData,
    init_code: Hex,
    nonce_key: u64,
    /// In wei.
    fee: u64,
    /// Of call gas, verification gas and gas before that, one that is too much for the entry point.
    too_much: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) enum PaymasterData {
    Bytes(Hex),
    /// Of the paymaster, with its signature; bytes may come after that.
    Sponsored {
        then: Hex,
    },
}

impl Fields {
    /// Of an account that is there and pays for itself.
    pub(crate) fn plain() -> Self {
        Self {
            is_absent: false,
            paymaster: PaymasterData::Bytes(Hex(Vec::new())),
            init_code: Hex(Vec::new()),
            nonce_key: 0,
            fee: GWEI,
            too_much: None,
        }
    }

    pub(crate) fn operation(self, sender: Address, call_data: Vec<u8>) -> UserOperation<Vec<u8>> {
        let mut gas = [2_000_000, 1_500_000, 50_000].map(U256::from);
        if let Some(too_much) = self.too_much.and_then(|which| gas.get_mut(which)) {
            *too_much = U256::ONE << 120;
        }
        let [call_gas_limit, verification_gas_limit, pre_verification_gas] = gas;
        UserOperation {
            sender,
            nonce: U256::from(self.nonce_key) << 64,
            init_code: self.init_code.0,
            call_data,
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas,
            max_fee_per_gas: U256::from(self.fee),
            max_priority_fee_per_gas: U256::from(self.fee),
            paymaster_and_data: Vec::new(),
        }
    }
}

pub(crate) fn plain() -> BoxedStrategy<Fields> {
    Just(Fields::plain()).boxed()
}

/// Paid by whomever.
pub(crate) fn paid() -> BoxedStrategy<Fields> {
    (paymaster(), fee()).prop_map(|(paymaster, fee)| Fields { paymaster, fee, ..Fields::plain() }).boxed()
}

/// Deployed by whatever.
pub(crate) fn deployed() -> BoxedStrategy<Fields> {
    (any::<bool>(), deployment(), short_or_long())
        .prop_map(|(is_absent, deployment, other)| {
            let init_code = if is_absent { deployment } else { other };
            Fields { is_absent, init_code, ..Fields::plain() }
        })
        .boxed()
}

pub(crate) fn any_fields() -> BoxedStrategy<Fields> {
    let too_much = prop::option::weighted(0.02, 0..3_usize);
    let nonce_key = prop_oneof![3 => Just(0), 1 => any::<u64>()];
    let rarely = prop::bool::weighted(0.03);
    let who = prop_oneof![8 => Just(false), 1 => Just(true)];
    let paymaster = prop_oneof![2 => Just(Fields::plain().paymaster), 1 => paymaster()];
    (who, deployment(), rarely, short_or_long(), paymaster, fee(), nonce_key, too_much)
        .prop_map(|(is_absent, deployment, spoilt, other, paymaster, fee, nonce_key, too_much)| {
            let init_code = match (is_absent, spoilt) {
                (true, _) => deployment,
                (false, true) => other,
                (false, false) => Hex(Vec::new()),
            };
            Fields { is_absent, paymaster, init_code, nonce_key, fee, too_much }
        })
        .boxed()
}

/// More than the deposit holds, too, so that the account pays in what is missing.
fn fee() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(GWEI), 2 => Just(4_000 * GWEI), 1 => Just(0)]
}

fn paymaster() -> BoxedStrategy<PaymasterData> {
    let some = || prop::collection::vec(any::<u8>(), 1..100);
    let of = |paymaster: Address| {
        move |data: Vec<u8>| PaymasterData::Bytes(Hex([paymaster.as_slice(), &data].concat()))
    };
    let bytes = |bytes: Vec<u8>| PaymasterData::Bytes(Hex(bytes));
    prop_oneof![
        2 => Just(bytes(Vec::new())),
        2 => prop::collection::vec(any::<u8>(), 1..20).prop_map(bytes),
        2 => Just(bytes(vec![0; 20])),
        2 => some().prop_map(of(Address::ZERO)),
        1 => some().prop_map(of(PAYMASTER)),
        1 => some().prop_map(of(Address::repeat_byte(0x6a))),
        5 => Just(PaymasterData::Sponsored { then: Hex(Vec::new()) }),
        1 => some().prop_map(|then| PaymasterData::Sponsored { then: Hex(then) }),
    ]
    .boxed()
}

/// The right `initCode`, or almost.
fn deployment() -> BoxedStrategy<Hex> {
    let cut = any::<Index>().prop_map(|at| {
        let mut bytes = init_code();
        bytes.truncate(at.index(bytes.len()));
        Hex(bytes)
    });
    let longer =
        prop::collection::vec(any::<u8>(), 1..=64).prop_map(|more| Hex([init_code(), more].concat()));
    prop_oneof![6 => Just(Hex(init_code())), 2 => longer, 1 => cut, 3 => short_or_long()].boxed()
}

/// Too short for a factory's address, or of some factory.
fn short_or_long() -> BoxedStrategy<Hex> {
    let some = || prop::collection::vec(any::<u8>(), 0..60);
    let of = |factory: Address| move |data: Vec<u8>| Hex([factory.as_slice(), &data].concat());
    prop_oneof![
        1 => Just(Hex(Vec::new())),
        4 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Hex),
        1 => some().prop_map(of(Address::ZERO)),
        1 => some().prop_map(of(AT.account_factory)),
    ]
    .boxed()
}
