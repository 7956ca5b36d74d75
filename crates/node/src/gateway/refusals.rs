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

    /// Whether another key may do instead of the one that was offered: so many nodes say that they did not come to a result, and none
    /// has a reason that is for good.
    pub(super) fn are_of_key(&self, quorum: u8) -> bool {
        let unfinished =
            self.0.iter().filter(|refusal| matches!(refusal, Refusal::Unfinished { .. })).count();
        self.are_transient() && unfinished >= usize::from(quorum)
    }

    /// Whether a challenge is over at some nodes, and nothing else stands in the way for good.
    pub(super) fn are_of_challenge(&self) -> bool {
        let is_challenge = |refusal: &Refusal| *refusal == Refusal::Challenge;
        self.0.iter().any(is_challenge)
            && self.0.iter().all(|refusal| is_challenge(refusal) || refusal.is_transient())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_may_do_where_enough_nodes_say_nothing_else() {
        let taken = || Refusal::Unfinished { reason: "key 0a is not free".into() };
        let are_of_key = |refusals: Vec<Refusal>| Refusals(refusals).are_of_key(4);
        assert!(are_of_key(vec![taken(), taken(), taken(), taken(), Refusal::Busy]));
        assert!(
            !are_of_key(vec![taken(), taken(), taken(), Refusal::Busy, Refusal::Busy]),
            "they would be with any key"
        );
        assert!(!are_of_key(vec![taken(), taken(), taken(), taken(), Refusal::Challenge]), "it is for good");
        assert!(!are_of_key(vec![taken()]), "the others have not answered");
    }
}
