use quorate_protocol::{Answer, Refusal};

/// The refusals of several nodes; the client is told the one that trying again does not change.
#[derive(Default)]
pub(super) struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Adds what a node answers, if it is a refusal.
    pub(super) fn add(&mut self, answer: Option<Answer>) {
        if let Some(Answer::Refused(refusal)) = answer {
            self.0.push(refusal);
        }
    }

    pub(super) fn add_missing(&mut self, enough: Result<(), Refusal>) {
        self.0.extend(enough.err());
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn are_transient(&self) -> bool {
        self.0.iter().all(Refusal::is_transient)
    }

    /// Whether they may be about the key that was offered: some node did not come to a result, and none has a reason that it
    /// would have with any key.
    pub(super) fn are_of_key(&self) -> bool {
        let is_unfinished = |refusal: &Refusal| matches!(refusal, Refusal::Unfinished { .. });
        self.are_transient() && self.0.iter().any(is_unfinished)
    }

    /// Whether a node is busy, and nothing else stands in the way for long.
    pub(super) fn are_busy(&self) -> bool {
        self.are_transient() && self.0.contains(&Refusal::Busy)
    }

    pub(super) fn worst(self) -> Refusal {
        let mut refusals = self.0;
        refusals.sort_by_key(Refusal::is_transient);
        let nothing = Refusal::Unfinished { reason: "no node answered in time".into() };
        refusals.into_iter().next().unwrap_or(nothing)
    }
}
