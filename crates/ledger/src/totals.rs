//! The arithmetic of limits: what is kept, what is live, and whether one more operation fits.
//!
//! The total of a counter is Σ over nonces of max(kept, live): the chain executes at most one operation of each nonce,
//! so retries and fee bumps count once, with their largest amount. Sums saturate at 2^256 − 1, which is beyond every
//! limit but itself.

use std::collections::BTreeMap;

use alloy_primitives::U256;

use crate::amounts::Counted;
use crate::dimension::CounterId;
use crate::{Dimension, Limits, Nonce, Window};

/// Amounts that count for good, by nonce. They only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(crate) struct Kept {
    by_nonce: BTreeMap<Nonce, Counted>,
    /// The sum of each counter over all nonces.
    totals: BTreeMap<CounterId, U256>,
}

/// Why an operation may not be signed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Amounts that count for good leave no room. Asking again changes nothing (for a window: until the next one).
    #[error("the {dimension} would come to {}; the key's limit is {limit}", .kept.saturating_add(*.asked))]
    Refused {
        /// What is limited.
        dimension: Dimension,
        /// The window that it was counted in; none for a dimension without windows.
        window: Option<Window>,
        /// The limit.
        limit: U256,
        /// The total kept for other nonces.
        kept: U256,
        /// What this nonce would come to.
        asked: U256,
    },
    /// Only together with attempts that may yet be withdrawn is the limit exceeded. The same request may succeed later.
    #[error(
        "the {dimension} would come to {}, {live} of it for requests under way; the key's limit is {limit}; try again",
        .kept.saturating_add(*.asked).saturating_add(*.live)
    )]
    Contended {
        /// What is limited.
        dimension: Dimension,
        /// The window that it was counted in; none for a dimension without windows.
        window: Option<Window>,
        /// The limit.
        limit: U256,
        /// The total kept for other nonces.
        kept: U256,
        /// What live attempts, here and at peers, add to it.
        live: U256,
        /// What this nonce would come to without them.
        asked: U256,
    },
}

impl Kept {
    /// Raises a nonce's amounts to at least these.
    pub(crate) fn raise(&mut self, nonce: Nonce, counted: &Counted) {
        let kept = self.by_nonce.entry(nonce).or_default();
        for (counter, amount) in counted.iter() {
            let by = kept.raise(counter, amount);
            let total = self.totals.entry(counter).or_default();
            *total = total.saturating_add(by);
        }
    }

    /// Whether a nonce's amounts are at least these already.
    pub(crate) fn covers(&self, nonce: Nonce, counted: &Counted) -> bool {
        counted.iter().all(|(counter, amount)| amount <= self.of(nonce, counter))
    }

    /// The total of a counter.
    pub(crate) fn total(&self, counter: CounterId) -> U256 {
        self.totals.get(&counter).copied().unwrap_or_default()
    }

    pub(crate) fn of(&self, nonce: Nonce, counter: CounterId) -> U256 {
        self.by_nonce.get(&nonce).map(|kept| kept.get(counter)).unwrap_or_default()
    }

    pub(crate) fn nonces(&self) -> impl Iterator<Item = (Nonce, &Counted)> {
        self.by_nonce.iter().map(|(nonce, counted)| (*nonce, counted))
    }

    /// Takes from the totals what no nonce has, as a wrong withdrawal does.
    #[cfg(test)]
    pub(crate) fn subtract(&mut self, counted: &Counted) {
        for (counter, amount) in counted.iter() {
            let total = self.totals.entry(counter).or_default();
            *total = total.saturating_sub(amount);
        }
    }

    /// The total of a counter without one nonce. A saturated total stays so: what it lacks is not known.
    fn of_others(&self, nonce: Nonce, counter: CounterId) -> U256 {
        let total = self.total(counter);
        if total == U256::MAX { total } else { total.saturating_sub(self.of(nonce, counter)) }
    }
}

/// Whether an operation fits under every limit, beside what is kept and what is live.
///
/// An amount of zero always fits: it adds nothing.
///
/// # Errors
/// [`Denied::Refused`] if kept amounts alone leave no room under some limit, otherwise [`Denied::Contended`] if kept and
/// live ones together do not.
pub(crate) fn check(
    kept: &Kept,
    live: &[(Nonce, &Counted)],
    nonce: Nonce,
    asked: &Counted,
    limits: &Limits,
) -> Result<(), Denied> {
    let limited = || {
        limits.iter().flat_map(|(dimension, limit)| {
            let counters = asked.of(dimension).filter(|(_, amount)| !amount.is_zero());
            counters.map(move |(counter, amount)| (counter, amount.max(kept.of(nonce, counter)), limit))
        })
    };
    for (counter, asked, limit) in limited() {
        let others = kept.of_others(nonce, counter);
        if others.saturating_add(asked) > limit {
            let CounterId { dimension, window } = counter;
            return Err(Denied::Refused { dimension, window, limit, kept: others, asked });
        }
    }
    for (counter, asked, limit) in limited() {
        let others = kept.of_others(nonce, counter);
        let live = added_by(live, counter, |of| if of == nonce { asked } else { kept.of(of, counter) });
        if others.saturating_add(asked).saturating_add(live) > limit {
            let CounterId { dimension, window } = counter;
            return Err(Denied::Contended { dimension, window, limit, kept: others, live, asked });
        }
    }
    Ok(())
}

/// What live attempts add to one counter, beyond what each nonce has without them.
fn added_by(live: &[(Nonce, &Counted)], counter: CounterId, without: impl Fn(Nonce) -> U256) -> U256 {
    let mut largest = BTreeMap::<Nonce, U256>::new();
    for (nonce, counted) in live {
        let amount = largest.entry(*nonce).or_default();
        *amount = counted.get(counter).max(*amount);
    }
    let added = largest.into_iter().map(|(nonce, amount)| amount.saturating_sub(without(nonce)));
    added.fold(U256::ZERO, U256::saturating_add)
}
