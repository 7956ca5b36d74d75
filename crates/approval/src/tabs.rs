//! Which of the page's tabs is the one to sign in.

use std::time::{Duration, Instant};

/// How long a tab that was heard of last may be silent before another takes its place: between two of its requests, a tab is
/// silent for a moment.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The tab that signs: the first one, until it is closed.
#[derive(Debug, Default)]
pub(crate) struct Tabs {
    lead: Option<Lead>,
}

#[derive(Debug)]
struct Lead {
    tab: String,
    /// Its requests that wait for an answer.
    waiting: usize,
    heard: Instant,
}

impl Tabs {
    /// A request of a tab's has come; says whether it is the one that signs.
    pub(crate) fn arrive(&mut self, tab: &str, now: Instant) -> bool {
        if !self.is_open(now) && !self.leads(tab) {
            self.lead = Some(Lead { tab: tab.to_owned(), waiting: 0, heard: now });
        }
        match &mut self.lead {
            Some(lead) if lead.tab == tab => {
                lead.waiting += 1;
                lead.heard = now;
                true
            }
            _ => false,
        }
    }

    /// A request of a tab's was answered, or its connection was closed.
    pub(crate) fn depart(&mut self, tab: &str, now: Instant) {
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.tab == tab) {
            lead.waiting = lead.waiting.saturating_sub(1);
            lead.heard = now;
        }
    }

    /// A tab says that it closes.
    pub(crate) fn close(&mut self, tab: &str) {
        self.lead.take_if(|lead| lead.tab == tab);
    }

    /// Whether this is the tab that signs.
    pub(crate) fn leads(&self, tab: &str) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.tab == tab)
    }

    /// Whether there is a tab that signs.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        let is_heard = |lead: &Lead| lead.waiting > 0 || now.duration_since(lead.heard) < GRACE;
        self.lead.as_ref().is_some_and(is_heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tab_signs_until_it_is_closed() {
        let (mut tabs, start) = (Tabs::default(), Instant::now());
        assert!(tabs.arrive("one", start) && !tabs.arrive("two", start));
        // A request that waits keeps it, however long.
        assert!(!tabs.arrive("two", start + 100 * GRACE));
        tabs.depart("one", start + 100 * GRACE);
        assert!(!tabs.arrive("two", start + 100 * GRACE + GRACE / 2), "it may only be between two requests");
        assert!(tabs.arrive("two", start + 101 * GRACE));
        assert!(!tabs.leads("one") && !tabs.arrive("one", start + 101 * GRACE));
    }

    #[test]
    fn a_tab_that_says_so_gives_its_place_at_once() {
        let (mut tabs, now) = (Tabs::default(), Instant::now());
        tabs.arrive("one", now);
        tabs.close("two");
        assert!(tabs.leads("one"));
        tabs.close("one");
        assert!(!tabs.is_open(now) && tabs.arrive("two", now));
        // The connection of the former is closed late.
        tabs.depart("one", now);
        assert!(tabs.leads("two") && tabs.is_open(now + 2 * GRACE));
    }

    #[test]
    fn a_tab_that_was_silent_goes_on_where_no_other_has_come() {
        let (mut tabs, now) = (Tabs::default(), Instant::now());
        tabs.arrive("one", now);
        tabs.depart("one", now);
        assert!(!tabs.is_open(now + GRACE) && tabs.arrive("one", now + 5 * GRACE));
    }
}
