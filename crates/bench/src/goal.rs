use std::fmt;

/// A measured number and the most that it should be.
#[derive(Debug)]
pub(crate) struct Goal {
    name: &'static str,
    measured: f64,
    most: f64,
}

impl Goal {
    /// `measured` should be `most` or less.
    pub(crate) const fn at_most(name: &'static str, measured: f64, most: f64) -> Self {
        Self { name, measured, most }
    }

    pub(crate) fn is_met(&self) -> bool {
        self.measured <= self.most
    }
}

/// `name  measured  goal  ok|missed`.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, most } = self;
        let verdict = if self.is_met() { "ok" } else { "missed" };
        write!(f, "{name:<56}  {measured:>8.2}  ≤ {most:<6}  {verdict}")
    }
}
