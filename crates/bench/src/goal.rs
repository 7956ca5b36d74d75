use std::fmt;

use crate::ratio::Interval;

/// A measured number and what it should be.
#[derive(Debug)]
pub(crate) struct Goal {
    name: &'static str,
    measured: f64,
    /// Between which bounds the number lies but for chance; none where only the number itself is judged.
    interval: Option<Interval>,
    /// None for a number that depends on the machine, and is only shown.
    bound: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// `measured` should be `most` or less.
    pub(crate) const fn at_most(name: &'static str, measured: f64, most: f64) -> Self {
        Self { name, measured, interval: None, bound: Some(Bound::AtMost(most)) }
    }

    /// `measured` should be `least` or more.
    pub(crate) const fn at_least(name: &'static str, measured: f64, least: f64) -> Self {
        Self { name, measured, interval: None, bound: Some(Bound::AtLeast(least)) }
    }

    /// The median should be `most` or less; it is missed only where the whole interval is above.
    pub(crate) const fn interval_at_most(name: &'static str, interval: Interval, most: f64) -> Self {
        Self { name, measured: interval.median, interval: Some(interval), bound: Some(Bound::AtMost(most)) }
    }

    /// `measured` is shown beside the goals.
    pub(crate) const fn shown(name: &'static str, measured: f64) -> Self {
        Self { name, measured, interval: None, bound: None }
    }

    pub(crate) fn is_met(&self) -> bool {
        let judged = self.interval.map_or(self.measured, |interval| interval.low);
        match self.bound {
            None => true,
            Some(Bound::AtMost(most)) => judged <= most,
            Some(Bound::AtLeast(least)) => judged >= least,
        }
    }
}

/// `name  measured  goal  ok|missed  interval`.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, interval, bound } = self;
        write!(f, "{name:<56}  {measured:>8.2}  ")?;
        let verdict = if self.is_met() { "ok" } else { "missed" };
        match bound {
            Some(Bound::AtMost(most)) => write!(f, "≤ {most:<6}  {verdict}")?,
            Some(Bound::AtLeast(least)) => write!(f, "≥ {least:<6}  {verdict}")?,
            None => f.write_str("no goal")?,
        }
        match interval {
            Some(Interval { low, high, .. }) => write!(f, "  95 %: {low:.2} to {high:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_when_the_whole_interval_is_above() {
        let goal =
            |low, median, high| Goal::interval_at_most("", Interval { low, median, high }, 0.0).is_met();
        assert!(goal(-2.0, 1.0, 3.0) && goal(-3.0, -2.0, -1.0));
        assert!(!goal(0.5, 1.0, 3.0));
    }

    #[test]
    fn a_least_number_is_reached_from_below() {
        assert!(Goal::at_least("", 100.0, 100.0).is_met() && !Goal::at_least("", 99.0, 100.0).is_met());
        assert!(!Goal::at_least("", f64::NAN, 1.0).is_met(), "nothing was measured");
    }
}
