//! Places for open sockets: so many at a listener, and so many of them for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::admission::network_of;
use crate::config::ClientLimits;

/// The places at one listener.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    limits: ClientLimits,
    /// Addresses that many clients come from.
    shared: Arc<[IpAddr]>,
}

/// A place at a listener, as long as a socket is open.
pub(super) struct Place {
    places: Places,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

/// How many sockets are open at once at one listener; the next ones wait to be accepted.
const MOST_SOCKETS: usize = 4096;

/// For each socket that is being served, an address may have as many that are just opened or closed.
const SPARE: usize = 4;

impl Places {
    /// The places at a listener. Proxies have as many as they like.
    pub(super) fn new(limits: &ClientLimits, proxies: &[IpAddr]) -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST_SOCKETS)),
            by_address: Arc::default(),
            limits: *limits,
            shared: proxies.into(),
        }
    }

    /// Waits until there is a place; then a socket may be accepted.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// Gives the place to a socket; none if its address has as many as one may have.
    pub(super) fn take(&self, permit: OwnedSemaphorePermit, from: IpAddr) -> Option<Place> {
        let is_exempt = self.shared.contains(&from) || self.limits.exempt(from);
        let address = (!is_exempt).then(|| network_of(from));
        if let Some(address) = address {
            let mut by_address = self.by_address();
            let open = by_address.entry(address).or_default();
            if *open >= self.limits.sockets.saturating_mul(SPARE) {
                return None;
            }
            *open += 1;
        }
        Some(Place { places: self.clone(), address, _permit: permit })
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut by_address = self.places.by_address();
        if let Some(open) = by_address.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_its_share_of_the_places_and_gets_them_back() {
        let limits = ClientLimits { sockets: 1, ..ClientLimits::default() };
        let (greedy, other, proxy) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), [10, 0, 0, 3].into());
        let places = Places::new(&limits, &[proxy]);
        let take = async |from: IpAddr| places.take(places.free().await.unwrap(), from);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(take(greedy).await.unwrap());
        }
        assert!(take(greedy).await.is_none());
        assert!(take(other).await.is_some());
        held.pop();
        held.push(take(greedy).await.unwrap());
        for _ in 0..10 {
            held.push(take(proxy).await.unwrap());
            held.push(take(IpAddr::from([127, 0, 0, 1])).await.unwrap());
        }
        drop(held);
        assert!(places.by_address().is_empty());
    }
}
