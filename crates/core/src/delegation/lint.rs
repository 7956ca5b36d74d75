//! What is legal in a delegation, and what most owners would not sign.

use alloy_primitives::{Address, U256};

use super::{Caveat, Delegation, Enforcer, Enforcers, Terms};
use crate::{lint::severity::Severity, policy::epoch::SessionEpoch, texts};

/// What is found in a delegation. Caveats are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DelegationLint {
    /// Whoever calls the manager may redeem it.
    Open,
    /// There are no caveats at all.
    Unbounded,
    /// A contract that nobody here knows the rules of.
    UnknownEnforcer {
        /// Which caveat.
        caveat: usize,
        /// The contract.
        enforcer: Address,
    },
    /// No caveat says which contracts are called.
    AnyContract,
    /// No caveat says which functions are called.
    AnyFunction,
    /// No caveat bounds the coin that calls send.
    AnyValue,
    /// Several contracts and several functions: each of these may be called on each of those.
    Pairs {
        /// The contracts.
        contracts: usize,
        /// The functions.
        functions: usize,
    },
    /// A caveat that looks at the selector, where arguments are meant.
    LooksAtSelector {
        /// Which caveat.
        caveat: usize,
    },
    /// A second caveat of an enforcer that counts: both count each redemption, in one counter.
    CountsTwice {
        /// The second one.
        caveat: usize,
        /// Its enforcer.
        enforcer: Enforcer,
    },
    /// Times between which there is no second.
    NeverValid {
        /// Which caveat.
        caveat: usize,
    },
    /// No caveat ends it.
    NoEnd,
}

texts!(DelegationLint {
    Open => "anybody may use it, and use it up",
    Unbounded => "it has no bounds: the key may do anything with the account",
    UnknownEnforcer { caveat, enforcer } => "caveat {} is of a contract that is not known here: {}",
    AnyContract => "it may call any contract",
    AnyFunction => "it may call any function",
    AnyValue => "its calls may send any amount of the chain's coin",
    Pairs { contracts, functions } => "each of {} contracts may be called with each of {} functions",
    LooksAtSelector { caveat } => "caveat {} looks at the function's selector, not at an argument",
    CountsTwice { caveat, enforcer } => "caveat {} is a second {}: each use is counted twice",
    NeverValid { caveat } => "caveat {} has no time between its start and its end",
    NoEnd => "it has no end",
});

impl DelegationLint {
    /// Its name for other programs: lower case, with hyphens.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Unbounded => "unbounded",
            Self::UnknownEnforcer { .. } => "unknown-enforcer",
            Self::AnyContract => "any-contract",
            Self::AnyFunction => "any-function",
            Self::AnyValue => "any-value",
            Self::Pairs { .. } => "pairs",
            Self::LooksAtSelector { .. } => "looks-at-selector",
            Self::CountsTwice { .. } => "counts-twice",
            Self::NeverValid { .. } => "never-valid",
            Self::NoEnd => "no-end",
        }
    }

    /// How bad it is.
    pub const fn level(&self) -> Severity {
        match self {
            Self::Open
            | Self::Unbounded
            | Self::UnknownEnforcer { .. }
            | Self::AnyContract
            | Self::AnyFunction
            | Self::AnyValue => Severity::Danger,
            _ => Severity::Warning,
        }
    }
}

impl Delegation<'_> {
    /// Points out what most owners would not sign. Terms that cannot be read are passed over: nothing could be redeemed under them.
    ///
    /// ```
    /// use quorate_core::delegation::*;
    /// use quorate_core::{Address, U256};
    ///
    /// let [owner, key, nft] = [1, 2, 3].map(Address::repeat_byte);
    /// let caveats = [Caveat { enforcer: Enforcer::AllowedTargets.address_v1_3_0(), terms: nft.as_slice() }];
    /// let delegation = Delegation {
    ///     delegate: key,
    ///     delegator: owner,
    ///     authority: ROOT_AUTHORITY,
    ///     caveats: Caveats::from(&caveats[..]),
    ///     salt: U256::ZERO,
    ///     signature: &[],
    /// };
    /// let mut found = Vec::new();
    /// delegation.lint(&Enforcers::V1_3_0, &mut |lint| found.push(lint.name()));
    /// assert_eq!(found, ["any-function", "any-value", "no-end"]);
    /// ```
    pub fn lint(&self, enforcers: &Enforcers<'_>, found: &mut dyn FnMut(DelegationLint)) {
        if self.is_open() {
            found(DelegationLint::Open);
        }
        if self.caveats.is_empty() {
            return found(DelegationLint::Unbounded);
        }
        let mut bounds = Bounds::default();
        for (place, caveat) in self.caveats.iter().enumerate() {
            match enforcers.at(caveat.enforcer) {
                None => found(DelegationLint::UnknownEnforcer { caveat: place, enforcer: caveat.enforcer }),
                Some(enforcer) => {
                    if enforcer.counts() && self.has_before(place, &caveat) {
                        found(DelegationLint::CountsTwice { caveat: place, enforcer });
                    }
                    if let Some(terms) = Terms::read(enforcer, caveat.terms) {
                        bounds.take(place, terms, found);
                    }
                }
            }
        }
        bounds.lint(found);
    }

    /// Whether an earlier caveat has the same enforcer.
    fn has_before(&self, place: usize, caveat: &Caveat<'_>) -> bool {
        self.caveats.iter().take(place).any(|earlier| earlier.enforcer == caveat.enforcer)
    }
}

impl Enforcer {
    /// Whether it keeps a sum for each delegation.
    const fn counts(self) -> bool {
        matches!(
            self,
            Self::LimitedCalls
                | Self::NativeTokenTransferAmount
                | Self::ERC20TransferAmount
                | Self::NativeTokenPeriodTransfer
                | Self::ERC20PeriodTransfer
                | Self::NativeTokenStreaming
                | Self::ERC20Streaming
        )
    }
}

/// What the caveats bound so far.
#[derive(Default)]
struct Bounds {
    /// How many contracts are listed; none where another caveat says what is called.
    contracts: Option<usize>,
    functions: Option<usize>,
    calls_bounded: bool,
    functions_bounded: bool,
    value_bounded: bool,
    ends: bool,
}

impl Bounds {
    fn take(&mut self, caveat: usize, terms: Terms<'_>, found: &mut dyn FnMut(DelegationLint)) {
        match terms {
            Terms::Targets(contracts) => {
                self.calls_bounded = true;
                self.contracts = Some(contracts.len().min(self.contracts.unwrap_or(usize::MAX)));
            }
            Terms::Methods(functions) => {
                self.functions_bounded = true;
                self.functions = Some(functions.len().min(self.functions.unwrap_or(usize::MAX)));
            }
            Terms::CallData { start, .. } if start < U256::from(SELECTOR) => {
                found(DelegationLint::LooksAtSelector { caveat });
            }
            Terms::ExactCallData(data) => {
                self.functions_bounded = true;
                // Without data nothing is called, and coin is sent.
                self.calls_bounded |= data.is_empty();
            }
            Terms::Value { limit } => self.value_bounded |= is_bound(limit),
            Terms::Times { after, before } => {
                self.ends |= (1..=u128::from(SessionEpoch::MAX_TIME)).contains(&before);
                if before != 0 && before <= after.saturating_add(1) {
                    found(DelegationLint::NeverValid { caveat });
                }
            }
            Terms::Total { token: None, limit: most }
            | Terms::Period { token: None, amount: most, .. }
            | Terms::Stream { token: None, max: most, .. } => self.value_bounded |= is_bound(most),
            Terms::Total { .. } | Terms::Period { .. } | Terms::Stream { .. } => {
                (self.calls_bounded, self.functions_bounded) = (true, true);
            }
            Terms::Revocations(_) => {
                (self.calls_bounded, self.functions_bounded, self.value_bounded) = (true, true, true);
            }
            _ => {}
        }
    }

    fn lint(self, found: &mut dyn FnMut(DelegationLint)) {
        if !self.calls_bounded {
            found(DelegationLint::AnyContract);
        }
        if !self.functions_bounded {
            found(DelegationLint::AnyFunction);
        }
        if !self.value_bounded {
            found(DelegationLint::AnyValue);
        }
        if let (Some(contracts @ 2..), Some(functions @ 2..)) = (self.contracts, self.functions) {
            found(DelegationLint::Pairs { contracts, functions });
        }
        if !self.ends {
            found(DelegationLint::NoEnd);
        }
    }
}

/// Whether there could be more of the chain's coin, in wei.
fn is_bound(most: U256) -> bool {
    most < U256::from(1_u128 << 96)
}

/// The bytes of a selector.
const SELECTOR: u64 = 4;
