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

    /// Whether they may be about the key that was offered, so that another one may do: all but so many say that they did not come to
    /// a result, and the rest is transient.
    pub(super) fn are_of_key(&self, most_others: usize) -> bool {
        let unfinished =
            self.0.iter().filter(|refusal| matches!(refusal, Refusal::Unfinished { .. })).count();
        self.are_transient() && unfinished > 0 && self.0.len() - unfinished <= most_others
    }

    pub(super) fn contain(&self, refusal: &Refusal) -> bool {
        self.0.contains(refusal)
    }

    /// Whether a node is busy, and nothing else stands in the way for long.
    pub(super) fn are_busy(&self) -> bool {
        self.are_transient() && self.contain(&Refusal::Busy)
    }

    pub(super) fn worst(self) -> Refusal {
        let mut refusals = self.0;
        refusals.sort_by_key(Refusal::is_transient);
        let nothing = Refusal::Unfinished { reason: "no node answered in time".into() };
        refusals.into_iter().next().unwrap_or(nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_may_do_where_enough_nodes_say_nothing_else() {
        let taken = || Refusal::Unfinished { reason: "key 0a is not free".into() };
        let are_of_key = |refusals: Vec<Refusal>| Refusals(refusals).are_of_key(1);
        assert!(are_of_key(vec![taken(), taken(), taken(), taken(), Refusal::Busy]));
        assert!(
            !are_of_key(vec![taken(), taken(), taken(), Refusal::Busy, Refusal::Busy]),
            "they would be with any key"
        );
        assert!(!are_of_key(vec![taken(), taken(), Refusal::Challenge]), "it is for good");
        assert!(!are_of_key(vec![]), "nobody has answered");
    }
}
