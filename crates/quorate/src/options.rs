use std::sync::Arc;

use alloy_primitives::aliases::U192;
use alloy_primitives::{Address, U256};
use quorate_bundler::{Fees, Simulation, StateOverride};
use quorate_core::UserOperation;
use quorate_paymaster::{Paymaster, Payment};
use serde::{Deserialize, Serialize};

/// How operations are made, where it should differ from what is usual: who pays for them, what they may cost, and where
/// their nonces, gas and fees come from.
///
/// Accounts and sessions take options by `with_options`, for all that is made through them. Each setting is made by a
/// method, and of two [`merged`](Self::merged) options the later one's settings count.
///
/// Options can be stored as JSON. A paymaster's connection is not part of it: who stores options gives the client a
/// paymaster ([`Quorate::with_paymaster`](crate::Quorate::with_paymaster)).
///
/// ```
/// use quorate::{Options, Percent, U256};
///
/// let careful = Options::new().with_verification_gas_offset(Percent::new(10)?);
/// let first = Options::new().with_nonce(U256::ZERO).with_verification_gas_offset(Percent::new(50)?);
/// let both = careful.merged(first);
/// assert_eq!(both.nonce(), Some(U256::ZERO), "0 is a nonce like any other");
/// assert_eq!(both.verification_gas_offset(), Some(Percent::new(50)?), "the later one counts");
///
/// let stored = serde_json::to_string(&both)?;
/// assert_eq!(serde_json::from_str::<Options>(&stored)?.nonce(), Some(U256::ZERO));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Options {
    #[serde(skip)]
    paymaster: Option<Arc<dyn Paymaster>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_by: Option<PaidBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowance: Option<Allowance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cost: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cost_factor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<Fees>,
    #[serde(skip_serializing_if = "Offsets::is_empty")]
    gas: Offsets,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce_key: Option<U192>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    force_batch: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_override: Option<StateOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulation: Option<Simulation>,
}

/// Who pays for operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PaidBy {
    /// The account, in native coin.
    Account,
    /// A paymaster.
    Paymaster(Payment),
}

/// What a token's paymaster is allowed to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Allowance {
    /// So much in all, in the token's smallest unit.
    UpTo(U256),
    /// What was approved before.
    Existing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Offsets {
    #[serde(skip_serializing_if = "Option::is_none")]
    call_gas_limit: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_gas_limit: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pre_verification_gas: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_gas: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_priority_fee_per_gas: Option<Percent>,
}

impl Offsets {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// So much more of something, from 1 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A number of percent that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a gas offset is 1 to 100 percent, this is {percent}")]
pub struct PercentError {
    /// The number.
    pub percent: u8,
}

impl Percent {
    /// So many percent.
    ///
    /// # Errors
    /// 0, and more than 100.
    pub const fn new(percent: u8) -> Result<Self, PercentError> {
        if percent == 0 || percent > 100 { Err(PercentError { percent }) } else { Ok(Self(percent)) }
    }

    /// The amount and so many percent of it, rounded up.
    fn on_top_of(self, amount: U256) -> U256 {
        let hundredths = amount.saturating_mul(U256::from(100 + u16::from(self.0)));
        hundredths.div_ceil(U256::from(100))
    }
}

impl TryFrom<u8> for Percent {
    type Error = PercentError;

    fn try_from(percent: u8) -> Result<Self, PercentError> {
        Self::new(percent)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

macro_rules! offsets {
    ($($with:ident $name:ident $field:ident $what:literal),* $(,)?) => {$(
        #[doc = concat!("Adds to ", $what, " what was estimated.")]
        #[must_use]
        pub const fn $with(mut self, offset: Percent) -> Self {
            self.gas.$field = Some(offset);
            self
        }

        #[doc = concat!("What is added to ", $what, ".")]
        pub const fn $name(&self) -> Option<Percent> {
            self.gas.$field
        }
    )*};
}

impl Options {
    /// Nothing but what is usual: the account pays, at most five times what is expected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has this paymaster pay.
    #[must_use]
    pub fn sponsored_by(self, paymaster: &(impl Paymaster + Clone + 'static)) -> Self {
        self.with_paymaster(paymaster).sponsored()
    }

    /// Has the paymaster of these options pay, or that of the client.
    #[must_use]
    pub const fn sponsored(mut self) -> Self {
        self.paid_by = Some(PaidBy::Paymaster(Payment::Sponsored));
        self
    }

    /// Pays in this token, which the paymaster of these options takes, or that of the client.
    ///
    /// The paymaster takes it by an allowance. An owner's operation gives it: exactly the quote's maximum, or what
    /// [`up_to`](Self::up_to) says. A session's call gives none, since a key that may set allowances would be a hole: the
    /// owner's grant gives one for them by `up_to`, and each call compares it with the quote before it is signed.
    #[must_use]
    pub const fn paid_in(mut self, token: Address) -> Self {
        self.paid_by = Some(PaidBy::Paymaster(Payment::Token(token)));
        self
    }

    /// Lets the paymaster take so much of the token in all, in its smallest unit: for this operation, and for those of
    /// sessions that are to come.
    #[must_use]
    pub const fn up_to(mut self, amount: U256) -> Self {
        self.allowance = Some(Allowance::UpTo(amount));
        self
    }

    /// Lets the paymaster take all of the token, for ever. The allowance is the only bound that the chain enforces.
    #[must_use]
    pub const fn up_to_any_amount(self) -> Self {
        self.up_to(U256::MAX)
    }

    /// Pays in a token by the allowance that is there, and adds none.
    #[must_use]
    pub const fn with_existing_allowance(mut self) -> Self {
        self.allowance = Some(Allowance::Existing);
        self
    }

    /// Has the account pay, in native coin, where options before these say otherwise.
    #[must_use]
    pub const fn paid_by_account(mut self) -> Self {
        self.paid_by = Some(PaidBy::Account);
        self
    }

    /// The paymaster for what is sponsored or paid in tokens.
    #[must_use]
    pub fn with_paymaster(mut self, paymaster: &(impl Paymaster + Clone + 'static)) -> Self {
        self.paymaster = Some(Arc::new(paymaster.clone()));
        self
    }

    pub(crate) const fn paymaster(&self) -> Option<&Arc<dyn Paymaster>> {
        self.paymaster.as_ref()
    }

    /// What a paymaster takes; none where the account pays.
    pub const fn payment(&self) -> Option<Payment> {
        match self.paid_by {
            Some(PaidBy::Paymaster(payment)) => Some(payment),
            Some(PaidBy::Account) | None => None,
        }
    }

    pub(crate) const fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// Refuses operations that may cost more than so much, in wei, whoever pays for them.
    #[must_use]
    pub const fn with_max_cost(mut self, wei: U256) -> Self {
        self.max_cost = Some(wei);
        self
    }

    /// The most that an operation may cost, in wei.
    pub const fn max_cost(&self) -> Option<U256> {
        self.max_cost
    }

    /// Refuses operations that may cost more than so many times what is expected by the chain's node and by rules; 5
    /// unless set.
    #[must_use]
    pub const fn with_max_cost_factor(mut self, factor: u32) -> Self {
        self.max_cost_factor = Some(factor);
        self
    }

    /// The same without limits of what is made.
    pub(crate) fn without_limits(mut self) -> Self {
        self.max_cost = None;
        self.max_cost_factor = Some(u32::MAX);
        self
    }

    pub(crate) fn max_cost_factor(&self) -> u32 {
        self.max_cost_factor.unwrap_or(crate::cost::DEFAULT_FACTOR)
    }

    /// Offers exactly these fees, whatever bundler and node say. Offsets add to them.
    #[must_use]
    pub const fn with_fees(mut self, fees: Fees) -> Self {
        self.fees = Some(fees);
        self
    }

    /// The fees, where they are set.
    pub const fn fees(&self) -> Option<Fees> {
        self.fees
    }

    /// Estimates gas as if the chain's state were this one.
    #[must_use]
    pub fn with_state_override(mut self, state: StateOverride) -> Self {
        self.state_override = Some(state);
        self
    }

    /// What an estimate assumes instead of the chain's state.
    pub const fn state_override(&self) -> Option<&StateOverride> {
        self.state_override.as_ref()
    }

    /// How a Biconomy bundler simulates an operation that it is sent. Other bundlers are not told.
    #[must_use]
    pub const fn with_simulation(mut self, simulation: Simulation) -> Self {
        self.simulation = Some(simulation);
        self
    }

    /// How a Biconomy bundler simulates.
    pub const fn simulation(&self) -> Option<Simulation> {
        self.simulation
    }

    offsets! {
        with_call_gas_offset call_gas_offset call_gas_limit "the call's gas limit",
        with_verification_gas_offset verification_gas_offset verification_gas_limit "the verification's gas limit",
        with_pre_verification_gas_offset pre_verification_gas_offset pre_verification_gas "the bundler's own gas",
        with_max_fee_offset max_fee_offset max_fee_per_gas "the highest fee",
        with_max_priority_fee_offset max_priority_fee_offset max_priority_fee_per_gas "the builder's fee",
    }

    /// Takes the next nonce of this stream, named by 192 bits: 0 unless set, and for a session's uses a new one at random
    /// each time.
    #[must_use]
    pub const fn with_nonce_key(mut self, key: U192) -> Self {
        self.nonce_key = Some(key);
        self
    }

    /// The nonce's stream.
    pub const fn nonce_key(&self) -> Option<U192> {
        self.nonce_key
    }

    /// Takes this nonce, whatever the chain says: the stream in the upper 192 bits, the sequence in the lower 64.
    #[must_use]
    pub const fn with_nonce(mut self, nonce: U256) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The nonce, where it is set.
    pub const fn nonce(&self) -> Option<U256> {
        self.nonce
    }

    /// Encodes a single call as a batch of one, too.
    #[must_use]
    pub const fn with_forced_batch(mut self, force: bool) -> Self {
        self.force_batch = Some(force);
        self
    }

    /// Whether a single call is encoded as a batch of one.
    pub const fn forced_batch(&self) -> Option<bool> {
        self.force_batch
    }

    /// Has a session make a call a second time where the same call was sent before and its fate is not known. Without it
    /// the second sending goes on with the first one's operation, so that a retry executes nothing twice.
    #[must_use]
    pub const fn with_repetition(mut self, repeat: bool) -> Self {
        self.repeated = Some(repeat);
        self
    }

    /// Whether a call is made a second time where the first one's fate is not known.
    pub const fn repetition(&self) -> Option<bool> {
        self.repeated
    }

    /// Both, where `later` counts for what both set.
    #[must_use]
    pub fn merged(self, later: Self) -> Self {
        let gas = Offsets {
            call_gas_limit: later.gas.call_gas_limit.or(self.gas.call_gas_limit),
            verification_gas_limit: later.gas.verification_gas_limit.or(self.gas.verification_gas_limit),
            pre_verification_gas: later.gas.pre_verification_gas.or(self.gas.pre_verification_gas),
            max_fee_per_gas: later.gas.max_fee_per_gas.or(self.gas.max_fee_per_gas),
            max_priority_fee_per_gas: later
                .gas
                .max_priority_fee_per_gas
                .or(self.gas.max_priority_fee_per_gas),
        };
        Self {
            paymaster: later.paymaster.or(self.paymaster),
            paid_by: later.paid_by.or(self.paid_by),
            allowance: later.allowance.or(self.allowance),
            max_cost: later.max_cost.or(self.max_cost),
            max_cost_factor: later.max_cost_factor.or(self.max_cost_factor),
            fees: later.fees.or(self.fees),
            gas,
            nonce_key: later.nonce_key.or(self.nonce_key),
            nonce: later.nonce.or(self.nonce),
            force_batch: later.force_batch.or(self.force_batch),
            repeated: later.repeated.or(self.repeated),
            state_override: later.state_override.or(self.state_override),
            simulation: later.simulation.or(self.simulation),
        }
    }

    /// The same for an account's sessions, which have nonces and calls of their own.
    pub(crate) fn for_sessions(&self) -> Self {
        Self { nonce_key: None, nonce: None, force_batch: None, repeated: None, ..self.clone() }
    }

    /// Adds the offsets to fees.
    pub(crate) fn offset_fees(&self, fees: Fees) -> Fees {
        let max = offset(fees.max_fee_per_gas, self.gas.max_fee_per_gas);
        let priority = offset(fees.max_priority_fee_per_gas, self.gas.max_priority_fee_per_gas);
        // No builder can be paid more than is paid in all.
        Fees { max_fee_per_gas: max.max(priority), max_priority_fee_per_gas: priority }
    }

    /// Adds the offsets to gas limits that were estimated.
    pub(crate) fn offset_gas(&self, mut operation: UserOperation<Vec<u8>>) -> UserOperation<Vec<u8>> {
        let Offsets { call_gas_limit, verification_gas_limit, pre_verification_gas, .. } = self.gas;
        operation.call_gas_limit = offset(operation.call_gas_limit, call_gas_limit);
        operation.verification_gas_limit = offset(operation.verification_gas_limit, verification_gas_limit);
        operation.pre_verification_gas = offset(operation.pre_verification_gas, pre_verification_gas);
        operation
    }
}

fn offset(amount: U256, percent: Option<Percent>) -> U256 {
    percent.map_or(amount, |percent| percent.on_top_of(amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_exact_integers() {
        let ten = Percent::new(10).unwrap();
        let large = U256::from(u128::MAX);
        // A float would lose the last digits.
        assert_eq!(ten.on_top_of(large), (large * U256::from(110)).div_ceil(U256::from(100)));
        assert_eq!(ten.on_top_of(U256::from(1)), U256::from(2), "rounded up");
        assert_eq!(Percent::new(100).unwrap().on_top_of(U256::from(21_000)), U256::from(42_000));
        assert_eq!([0, 101].map(|percent| Percent::new(percent).is_ok()), [false, false]);
    }
}
