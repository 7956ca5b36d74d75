//! Amounts by dimension, the limits on them, and amounts placed in their windows.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use quorate_protocol::Counter;
use serde::{Deserialize, Serialize};

use crate::dimension::CounterId;
use crate::{Dimension, Timestamp, UnknownDimension};

/// What one operation comes to, by dimension, in the dimension's unit.
///
/// ```
/// # use alloy_primitives::U256;
/// # use quorate_ledger::{Amounts, Dimension};
/// let amounts: Amounts =
///     [(Dimension::Uses, U256::ONE), (Dimension::NativeValue, U256::from(5))].into_iter().collect();
/// assert_eq!(amounts.get(Dimension::NativeValue), Some(U256::from(5)));
/// assert_eq!(amounts.get(Dimension::GasCost), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amounts(BTreeMap<Dimension, U256>);

/// The most that a key's operations may come to, by dimension, in the dimension's unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<Dimension, U256>);

/// Amounts placed in the windows of one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Counted(BTreeMap<CounterId, U256>);

impl Amounts {
    /// The amount of a dimension; none where it was not counted.
    pub fn get(&self, dimension: Dimension) -> Option<U256> {
        self.0.get(&dimension).copied()
    }

    /// How many dimensions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn at(&self, time: Timestamp) -> Counted {
        Counted(self.0.iter().map(|(dimension, amount)| (dimension.counter(time), *amount)).collect())
    }
}

/// The larger amount counts where a dimension is named twice.
impl FromIterator<(Dimension, U256)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (Dimension, U256)>>(amounts: I) -> Self {
        let mut by_dimension = BTreeMap::<Dimension, U256>::new();
        for (dimension, amount) in amounts {
            let largest = by_dimension.entry(dimension).or_default();
            *largest = amount.max(*largest);
        }
        Self(by_dimension)
    }
}

impl Limits {
    /// The limit on a dimension; none where it is not limited.
    pub fn get(&self, dimension: Dimension) -> Option<U256> {
        self.0.get(&dimension).copied()
    }

    /// Every limited dimension with its limit.
    pub fn iter(&self) -> impl Iterator<Item = (Dimension, U256)> {
        self.0.iter().map(|(dimension, limit)| (*dimension, *limit))
    }

    /// Takes over what the protocol's limits count.
    ///
    /// ```
    /// # use alloy_primitives::U256;
    /// # use quorate_ledger::{Dimension, Limits};
    /// let permitted = quorate_protocol::Limits { uses: Some(3), ..Default::default() };
    /// let limits = Limits::from_counters(&permitted.counters())?;
    /// assert_eq!(limits.get(Dimension::Uses), Some(U256::from(3)));
    /// # Ok::<(), quorate_ledger::UnknownDimension>(())
    /// ```
    ///
    /// # Errors
    /// A dimension that this version cannot store; the key must not sign then.
    pub fn from_counters(counters: &[Counter]) -> Result<Self, UnknownDimension> {
        let limit = |counter: &Counter| Ok((Dimension::try_from(counter.dimension)?, counter.limit));
        counters.iter().map(limit).collect()
    }
}

/// The smaller limit holds where a dimension is named twice.
impl FromIterator<(Dimension, U256)> for Limits {
    fn from_iter<I: IntoIterator<Item = (Dimension, U256)>>(limits: I) -> Self {
        let mut by_dimension = BTreeMap::<Dimension, U256>::new();
        for (dimension, limit) in limits {
            let smallest = by_dimension.entry(dimension).or_insert(limit);
            *smallest = limit.min(*smallest);
        }
        Self(by_dimension)
    }
}

impl Counted {
    /// The amount of one counter; nothing where it was not counted.
    pub(crate) fn get(&self, counter: CounterId) -> U256 {
        self.0.get(&counter).copied().unwrap_or_default()
    }

    /// The counters of a dimension with their amounts: for an operation at most one, for a nonce one for each window.
    pub(crate) fn of(&self, dimension: Dimension) -> impl Iterator<Item = (CounterId, U256)> {
        self.iter().filter(move |(counter, _)| counter.dimension == dimension)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (CounterId, U256)> {
        self.0.iter().map(|(counter, amount)| (*counter, *amount))
    }

    /// Raises one counter to an amount, and gives by how much.
    pub(crate) fn raise(&mut self, counter: CounterId, amount: U256) -> U256 {
        let before = self.0.entry(counter).or_default();
        let by = amount.saturating_sub(*before);
        *before = amount.max(*before);
        by
    }

    /// Leaves out the counters that do not satisfy a condition.
    pub(crate) fn retain(&mut self, mut condition: impl FnMut(CounterId) -> bool) {
        self.0.retain(|counter, _| condition(*counter));
    }
}
