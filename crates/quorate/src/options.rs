use alloy_primitives::U256;
use alloy_primitives::aliases::U192;
use quorate_core::UserOperation;

/// How an operation is made, where it should differ from what is usual.
///
/// Each setting is made by a method, and of two [`merged`](Self::merged) options the later one's settings count.
///
/// ```
/// use quorate::{Options, Percent, U256};
///
/// let careful = Options::new().with_verification_gas_offset(Percent::new(10)?);
/// let first = Options::new().with_nonce(U256::ZERO).with_verification_gas_offset(Percent::new(50)?);
/// let both = careful.merged(first);
/// assert_eq!(both.nonce(), Some(U256::ZERO), "0 is a nonce like any other");
/// assert_eq!(both.verification_gas_offset(), Some(Percent::new(50)?), "the later one counts");
/// # Ok::<(), quorate::PercentError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    gas: Offsets,
    nonce_key: Option<U192>,
    nonce: Option<U256>,
    force_batch: Option<bool>,
    repeated: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offsets {
    call_gas_limit: Option<Percent>,
    verification_gas_limit: Option<Percent>,
    pre_verification_gas: Option<Percent>,
    max_fee_per_gas: Option<Percent>,
    max_priority_fee_per_gas: Option<Percent>,
}

/// So much more of something, from 1 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Nothing but what is usual.
    pub const fn new() -> Self {
        Self {
            gas: Offsets {
                call_gas_limit: None,
                verification_gas_limit: None,
                pre_verification_gas: None,
                max_fee_per_gas: None,
                max_priority_fee_per_gas: None,
            },
            nonce_key: None,
            nonce: None,
            force_batch: None,
            repeated: None,
        }
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
        let Self { gas, nonce_key, nonce, force_batch, repeated } = later;
        Self {
            gas: Offsets {
                call_gas_limit: gas.call_gas_limit.or(self.gas.call_gas_limit),
                verification_gas_limit: gas.verification_gas_limit.or(self.gas.verification_gas_limit),
                pre_verification_gas: gas.pre_verification_gas.or(self.gas.pre_verification_gas),
                max_fee_per_gas: gas.max_fee_per_gas.or(self.gas.max_fee_per_gas),
                max_priority_fee_per_gas: gas.max_priority_fee_per_gas.or(self.gas.max_priority_fee_per_gas),
            },
            nonce_key: nonce_key.or(self.nonce_key),
            nonce: nonce.or(self.nonce),
            force_batch: force_batch.or(self.force_batch),
            repeated: repeated.or(self.repeated),
        }
    }

    /// Adds the offsets to what was estimated.
    pub(crate) fn apply_offsets(&self, mut operation: UserOperation<Vec<u8>>) -> UserOperation<Vec<u8>> {
        let Offsets {
            call_gas_limit,
            verification_gas_limit,
            pre_verification_gas,
            max_fee_per_gas,
            max_priority_fee_per_gas,
        } = self.gas;
        for (amount, offset) in [
            (&mut operation.call_gas_limit, call_gas_limit),
            (&mut operation.verification_gas_limit, verification_gas_limit),
            (&mut operation.pre_verification_gas, pre_verification_gas),
            (&mut operation.max_fee_per_gas, max_fee_per_gas),
            (&mut operation.max_priority_fee_per_gas, max_priority_fee_per_gas),
        ] {
            if let Some(offset) = offset {
                *amount = offset.on_top_of(*amount);
            }
        }
        // No builder can be paid more than is paid in all.
        operation.max_fee_per_gas = operation.max_fee_per_gas.max(operation.max_priority_fee_per_gas);
        operation
    }
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
