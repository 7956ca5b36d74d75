use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alloy_primitives::B256;
use quorate_protocol::{CHALLENGE_LIFETIME, KEY_REQUEST_LIFETIME, Nonce, Refusal};

use crate::fail_points;

/// How many open nonces a node keeps; beyond that the oldest are forgotten, so their requests are refused.
const MAX_NONCES: usize = 100_000;

/// The nonces that this node gave out and that have not expired.
///
/// They live in memory only, and with them which request used each first: after a restart every open challenge is unknown,
/// and the client asks for another. So no nonce is good for two requests, whatever the clock of the day does.
#[derive(Default)]
pub(crate) struct Nonces(Mutex<Given>);

#[derive(Default)]
struct Given {
    nonces: HashMap<Nonce, Open>,
    /// Oldest first.
    order: VecDeque<Nonce>,
    /// Those of `order` that became the oldest and are kept for longer, oldest first.
    held: VecDeque<Nonce>,
}

struct Open {
    given: Instant,
    /// Its request is to be given a key.
    is_held: bool,
    /// The hash of the request that uses it.
    request: Option<B256>,
}

impl Nonces {
    /// Gives out a fresh one.
    pub(crate) fn give(&self) -> Result<Nonce, getrandom::Error> {
        let mut nonce = Nonce::ZERO;
        getrandom::fill(nonce.as_mut_slice())?;
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.make_room();
        given.nonces.insert(nonce, Open { given: Instant::now(), is_held: false, request: None });
        given.order.push_back(nonce);
        Ok(nonce)
    }

    /// Uses up a nonce for a request. The same request may use it again, with other quorums; another one may not.
    ///
    /// # Errors
    /// A nonce that this node has not given out or that is too old, or one that another request has used.
    pub(crate) fn spend(&self, nonce: &Nonce, request: B256) -> Result<(), Refusal> {
        self.use_for(nonce, request, |_| {})
    }

    /// The same, and keeps the nonce for longer than others.
    ///
    /// # Errors
    /// As [`spend`](Self::spend).
    pub(crate) fn hold(&self, nonce: &Nonce, request: B256) -> Result<(), Refusal> {
        self.use_for(nonce, request, |open| open.is_held = true)
    }

    fn use_for(&self, nonce: &Nonce, request: B256, change: impl FnOnce(&mut Open)) -> Result<(), Refusal> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = given.nonces.get_mut(nonce).filter(|open| !open.is_over()).ok_or(Refusal::Challenge)?;
        if *open.request.get_or_insert(request) != request {
            return Err(Refusal::Replayed);
        }
        change(open);
        Ok(())
    }
}

impl Given {
    /// Forgets nonces that are over, and the oldest others where there are too many.
    fn make_room(&mut self) {
        while let Some(oldest) = self.order.front().copied() {
            match self.nonces.get(&oldest) {
                Some(open) if open.is_held => self.set_aside(oldest),
                Some(open) if !open.is_over() && self.nonces.len() < MAX_NONCES => break,
                _ => drop(self.nonces.remove(&oldest)),
            }
            self.order.pop_front();
        }
        while let Some(oldest) = self.held.front()
            && self.nonces.get(oldest).is_none_or(Open::is_over)
        {
            self.forget_oldest_held();
        }
    }

    /// Half of all at most, so that there is room for others.
    fn set_aside(&mut self, held: Nonce) {
        self.held.push_back(held);
        if self.held.len() > MAX_NONCES / 2 {
            self.forget_oldest_held();
        }
    }

    fn forget_oldest_held(&mut self) {
        if let Some(oldest) = self.held.pop_front() {
            self.nonces.remove(&oldest);
        }
    }
}

impl Open {
    fn is_over(&self) -> bool {
        let age = self.given.elapsed();
        age >= KEY_REQUEST_LIFETIME
            || !self.is_held && (age >= CHALLENGE_LIFETIME || fail_points::are_challenges_over())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_nonce_is_for_the_first_request_that_uses_it_as_often_as_that_likes() {
        let nonces = Nonces::default();
        let (nonce, other) = (nonces.give().unwrap(), nonces.give().unwrap());
        let (first, second) = (B256::repeat_byte(1), B256::repeat_byte(2));
        nonces.spend(&nonce, first).unwrap();
        nonces.spend(&nonce, first).unwrap();
        assert_eq!(nonces.spend(&nonce, second), Err(Refusal::Replayed));
        nonces.spend(&other, second).unwrap();
        assert_eq!(nonces.spend(&Nonce::ZERO, first), Err(Refusal::Challenge), "never given out");
    }

    #[test]
    fn a_nonce_is_good_for_a_minute_and_for_longer_while_its_request_waits_for_a_key() {
        let nonces = Nonces::default();
        let (held, spent, late) = (nonces.give().unwrap(), nonces.give().unwrap(), nonces.give().unwrap());
        let request = B256::repeat_byte(1);
        nonces.hold(&held, request).unwrap();
        nonces.spend(&spent, request).unwrap();
        nonces.pass(CHALLENGE_LIFETIME);
        nonces.spend(&held, request).unwrap();
        assert_eq!(nonces.spend(&held, B256::repeat_byte(2)), Err(Refusal::Replayed));
        assert_eq!(nonces.spend(&spent, request), Err(Refusal::Challenge));
        assert_eq!(nonces.hold(&late, request), Err(Refusal::Challenge), "it was over before");
        nonces.pass(KEY_REQUEST_LIFETIME);
        assert_eq!(nonces.spend(&held, request), Err(Refusal::Challenge));
    }

    impl Nonces {
        /// Has all that were given out be so much older.
        fn pass(&self, time: Duration) {
            let mut given = self.0.lock().unwrap();
            given.nonces.values_mut().for_each(|open| open.given = open.given.checked_sub(time).unwrap());
        }
    }

    #[test]
    fn a_nonce_that_is_kept_for_longer_keeps_no_others() {
        let nonces = Nonces::default();
        let held = nonces.give().unwrap();
        nonces.hold(&held, B256::ZERO).unwrap();
        for _ in 0..10 {
            nonces.give().unwrap();
        }
        nonces.pass(CHALLENGE_LIFETIME);
        nonces.give().unwrap();
        assert_eq!(nonces.0.lock().unwrap().nonces.len(), 2);
        nonces.hold(&held, B256::ZERO).unwrap();
        nonces.pass(KEY_REQUEST_LIFETIME);
        nonces.give().unwrap();
        let given = nonces.0.lock().unwrap();
        assert_eq!((given.nonces.len(), given.order.len(), given.held.len()), (1, 1, 0));
    }

    #[test]
    fn nonces_that_are_kept_for_longer_leave_room_for_others() {
        let nonces = Nonces::default();
        for _ in 0..MAX_NONCES {
            nonces.hold(&nonces.give().unwrap(), B256::ZERO).unwrap();
        }
        let (first, second) = (nonces.give().unwrap(), nonces.give().unwrap());
        nonces.spend(&first, B256::ZERO).unwrap();
        nonces.spend(&second, B256::ZERO).unwrap();
    }

    #[test]
    fn the_oldest_nonces_make_room() {
        let nonces = Nonces::default();
        let oldest = nonces.give().unwrap();
        for _ in 0..MAX_NONCES {
            nonces.give().unwrap();
        }
        assert_eq!(nonces.spend(&oldest, B256::ZERO), Err(Refusal::Challenge));
    }
}
