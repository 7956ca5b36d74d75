//! What an operation may cost at most: a multiple of an estimate that does not rest on the bundler's word, and an
//! absolute amount.

use alloy_primitives::U256;
use quorate_bundler::Fees;
use quorate_core::UserOperation;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What an operation is expected to cost, from the chain's node alone and from rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedCost {
    /// For the call, in gas: half more than the node estimates, or 2 000 000 where it cannot.
    pub call_gas: U256,
    /// For validation, in gas: a rule of what the operation has.
    pub verification_gas: U256,
    /// For the bundler, in gas: a rule of the operation's length.
    pub pre_verification_gas: U256,
    /// The price of a unit of gas, in wei: twice the next block's base fee, and a tip.
    pub fee_per_gas: U256,
    /// What a layer two charges for its data, in wei; zero elsewhere.
    pub data_fee: U256,
}

/// How much more than expected an operation may cost, unless the options say otherwise.
pub(crate) const DEFAULT_FACTOR: u32 = 5;

/// An operation is never expected to cost less per unit of gas, since a chain whose gas is free today need not be
/// tomorrow.
const LEAST_FEE: u64 = 1_000_000_000;

impl ExpectedCost {
    /// The whole, in wei.
    pub fn total(&self) -> U256 {
        let gas =
            self.call_gas.saturating_add(self.verification_gas).saturating_add(self.pre_verification_gas);
        gas.saturating_mul(self.fee_per_gas).saturating_add(self.data_fee)
    }

    /// The same at another price.
    #[must_use]
    pub(crate) const fn at(mut self, fee_per_gas: U256) -> Self {
        self.fee_per_gas = fee_per_gas;
        self
    }
}

/// What the rules of [`ExpectedCost`] look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Sessions that the batched router proves.
    pub(crate) router_entries: usize,
    pub(crate) creates: bool,
    pub(crate) has_paymaster: bool,
    /// The operation's ABI encoding, in bytes.
    pub(crate) encoded_len: usize,
}

impl Shape {
    pub(crate) fn of(
        operation: &UserOperation<Vec<u8>>,
        signature_len: usize,
        router_entries: usize,
        has_paymaster: bool,
    ) -> Self {
        let dynamic = |len: usize| 32 + len.div_ceil(32) * 32;
        let lens = [
            operation.init_code.len(),
            operation.call_data.len(),
            operation.paymaster_and_data.len(),
            signature_len,
        ];
        Self {
            router_entries,
            creates: !operation.init_code.is_empty(),
            has_paymaster,
            encoded_len: 11 * 32 + lens.into_iter().map(dynamic).sum::<usize>(),
        }
    }

    /// In gas.
    pub(crate) fn verification_gas(&self) -> U256 {
        let creation = if self.creates { 600_000 } else { 0 };
        let paymaster = if self.has_paymaster { 200_000 } else { 0 };
        U256::from(300_000 + creation + paymaster) + U256::from(30_000) * U256::from(self.router_entries)
    }

    /// In gas.
    pub(crate) fn pre_verification_gas(&self) -> U256 {
        U256::from(21_000 + 30_000) + U256::from(16) * U256::from(self.encoded_len)
    }
}

/// The price of gas as the node has it, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    /// The next block's base fee, and what builders were paid lately.
    Market { base_fee: U256, tip: U256 },
    /// One price, from a node that knows no fee history.
    Legacy { gas_price: U256 },
}

impl Price {
    /// From `eth_feeHistory`: the base fees, of which the last is the next block's, each block's reward, and the node's
    /// own tip.
    pub(crate) fn from_history(base_fees: &[U256], rewards: &[U256], node_tip: Option<U256>) -> Option<Self> {
        let base_fee = *base_fees.last()?;
        let mut paid: Vec<U256> = rewards.iter().copied().filter(|reward| !reward.is_zero()).collect();
        paid.sort_unstable();
        let usual = paid.get(paid.len() * 3 / 4).copied().unwrap_or_default();
        Some(Self::Market { base_fee, tip: usual.max(node_tip.unwrap_or_default()) })
    }

    /// What is offered where the bundler names no fees: the base fee may double before the operation is in a block.
    pub(crate) fn fees(self) -> Fees {
        match self {
            Self::Market { base_fee, tip } => Fees {
                max_fee_per_gas: base_fee.saturating_mul(U256::from(2)).saturating_add(tip),
                max_priority_fee_per_gas: tip,
            },
            Self::Legacy { gas_price } => Fees {
                max_fee_per_gas: gas_price.saturating_mul(U256::from(2)),
                max_priority_fee_per_gas: gas_price,
            },
        }
    }

    /// The same with the tip that a bundler names.
    pub(crate) fn fees_with_tip(self, tip: U256) -> Fees {
        match self {
            Self::Market { base_fee, .. } => Self::Market { base_fee, tip }.fees(),
            Self::Legacy { .. } => {
                let fees = self.fees();
                Fees { max_fee_per_gas: fees.max_fee_per_gas.max(tip), max_priority_fee_per_gas: tip }
            }
        }
    }

    /// What [`ExpectedCost`] counts with.
    pub(crate) fn expected(self) -> U256 {
        self.fees().max_fee_per_gas.max(U256::from(LEAST_FEE))
    }
}

/// The most that an operation can cost whoever pays for it, in wei: EntryPoint v0.6 holds back the verification's gas
/// three times where a paymaster pays, since it bounds what the paymaster does after the call, too.
pub(crate) fn worst(operation: &UserOperation<Vec<u8>>) -> U256 {
    let times = if operation.paymaster_and_data.is_empty() { 1 } else { 3 };
    let verification = operation.verification_gas_limit.saturating_mul(U256::from(times));
    let gas =
        operation.call_gas_limit.saturating_add(verification).saturating_add(operation.pre_verification_gas);
    gas.saturating_mul(operation.max_fee_per_gas)
}

/// Refuses an operation that may cost more than `factor` times what is expected, or than `most` wei.
///
/// # Errors
/// [`Error::TooExpensive`].
pub(crate) fn check(
    operation: &UserOperation<Vec<u8>>,
    expected: &ExpectedCost,
    factor: u32,
    most: Option<U256>,
) -> Result<(), Error> {
    let worst = worst(operation);
    let relative = expected.total().saturating_mul(U256::from(factor));
    let (limit, setter) = match most {
        Some(most) if most < relative => (most, "with_max_cost"),
        _ => (relative, "with_max_cost_factor"),
    };
    if worst <= limit {
        return Ok(());
    }
    Err(Error::TooExpensive { worst, limit, setter, expected: Box::new(*expected) })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    const GWEI: u64 = 1_000_000_000;

    fn operation(gas: [u64; 3], fee: u64) -> UserOperation<Vec<u8>> {
        let [pre_verification, verification, call] = gas.map(U256::from);
        UserOperation {
            sender: Address::ZERO,
            nonce: U256::ZERO,
            init_code: Vec::new(),
            call_data: vec![0; 100],
            call_gas_limit: call,
            verification_gas_limit: verification,
            pre_verification_gas: pre_verification,
            max_fee_per_gas: U256::from(fee),
            max_priority_fee_per_gas: U256::from(fee),
            paymaster_and_data: Vec::new(),
        }
    }

    fn expected(price: Price, data_fee: u64) -> ExpectedCost {
        let shape = Shape::of(&operation([0; 3], 0), 65, 0, false);
        ExpectedCost {
            call_gas: U256::from(100_000),
            verification_gas: shape.verification_gas(),
            pre_verification_gas: shape.pre_verification_gas(),
            fee_per_gas: price.expected(),
            data_fee: U256::from(data_fee),
        }
    }

    fn market(base_fee: u64, tip: u64) -> Price {
        Price::Market { base_fee: U256::from(base_fee), tip: U256::from(tip) }
    }

    #[test]
    fn what_is_usual_passes_and_what_is_out_of_proportion_does_not() {
        let usual = [50_000, 120_000, 90_000];
        for (what, operation, price, data_fee, is_taken) in [
            ("usual", operation(usual, 30 * GWEI), market(14 * GWEI, 2 * GWEI), 0, true),
            ("a chain without a base fee", operation(usual, 7), market(0, 0), 0, true),
            ("a private chain at a gwei", operation(usual, GWEI), market(0, 0), 0, true),
            (
                "a node without a fee history",
                operation(usual, 30 * GWEI),
                Price::Legacy { gas_price: U256::from(15 * GWEI) },
                0,
                true,
            ),
            // 0.005 ether of data on a chain whose own gas is next to nothing.
            (
                "data of a layer two",
                operation([5_000_000, 120_000, 90_000], GWEI / 1000),
                market(GWEI / 2000, 0),
                5_000_000 * GWEI / 1000,
                true,
            ),
            (
                "gas out of proportion",
                operation([5_000_000_000, 120_000, 90_000], GWEI / 1000),
                market(GWEI / 2000, 0),
                0,
                false,
            ),
            ("a price twentyfold", operation(usual, 20 * 30 * GWEI), market(14 * GWEI, 2 * GWEI), 0, false),
            (
                "gas twentyfold",
                operation(usual.map(|gas| gas * 20), 30 * GWEI),
                market(14 * GWEI, 2 * GWEI),
                0,
                false,
            ),
            (
                "a spike of four that is over",
                operation(usual, 4 * 30 * GWEI),
                market(14 * GWEI, 2 * GWEI),
                0,
                true,
            ),
        ] {
            let outcome = check(&operation, &expected(price, data_fee), DEFAULT_FACTOR, None);
            assert_eq!(outcome.is_ok(), is_taken, "{what}: {outcome:?}");
        }
    }

    #[test]
    fn the_absolute_limit_holds_whatever_is_expected() {
        let operation = operation([50_000, 120_000, 90_000], 30 * GWEI);
        let cost = U256::from(260_000) * U256::from(30 * GWEI);
        assert_eq!(worst(&operation), cost);
        let expected = expected(market(14 * GWEI, 2 * GWEI), 0);
        let check = |most| check(&operation, &expected, DEFAULT_FACTOR, Some(most));
        assert!(check(cost).is_ok());
        let refused = check(cost - U256::from(1)).unwrap_err();
        assert!(refused.to_string().contains("with_max_cost"), "{refused}");
    }

    #[test]
    fn a_paymaster_holds_back_verification_three_times() {
        let mut operation = operation([1, 10, 100], 1);
        operation.paymaster_and_data = vec![1; 20];
        assert_eq!(worst(&operation), U256::from(131));
        operation.max_fee_per_gas = U256::MAX;
        assert_eq!(worst(&operation), U256::MAX, "no overflow");
    }

    #[test]
    fn prices_come_from_the_next_base_fee_and_what_was_paid() {
        let wei = |values: &[u64]| values.iter().map(|value| U256::from(*value)).collect::<Vec<_>>();
        let price = Price::from_history(&wei(&[10, 11, 12]), &wei(&[0, 4, 1, 3, 2, 0]), Some(U256::from(1)));
        assert_eq!(price, Some(market(12, 4)), "three quarters of 1, 2, 3, 4");
        assert_eq!(Price::from_history(&wei(&[7]), &[], None), Some(market(7, 0)));
        assert_eq!(Price::from_history(&wei(&[7]), &[], Some(U256::from(9))), Some(market(7, 9)));
        assert_eq!(Price::from_history(&[], &[], None), None);
        let fees = market(12, 4).fees();
        assert_eq!((fees.max_fee_per_gas, fees.max_priority_fee_per_gas), (U256::from(28), U256::from(4)));
    }
}
