use std::fmt;

/// A measured number and the most that it should be.
#[derive(Debug)]
pub(crate) struct Goal {
    name: &'static str,
    measured: f64,
    /// None for a number that depends on the machine, and is only shown.
    most: Option<f64>,
}

impl Goal {
    /// `measured` should be `most` or less.
    pub(crate) const fn at_most(name: &'static str, measured: f64, most: f64) -> Self {
        Self { name, measured, most: Some(most) }
    }

    /// `measured` is shown beside the goals.
    pub(crate) const fn shown(name: &'static str, measured: f64) -> Self {
        Self { name, measured, most: None }
    }

    pub(crate) fn is_met(&self) -> bool {
        self.most.is_none_or(|most| self.measured <= most)
    }
}

/// `name  measured  goal  ok|missed`.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, most } = self;
        write!(f, "{name:<56}  {measured:>8.2}  ")?;
        let verdict = if self.is_met() { "ok" } else { "missed" };
        match most {
            Some(most) => write!(f, "≤ {most:<6}  {verdict}"),
            None => f.write_str("no goal"),
        }
    }
}
