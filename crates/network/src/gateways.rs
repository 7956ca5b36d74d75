//! Which of a network's gateways is asked, and which next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use quorate_protocol::{NetworkDescriptor, gateway_name};
use rustls::ClientConfig;
use url::Url;

use crate::NetworkError;
use crate::connection::{Call, Connection};

/// The gateways of a network, and which of them is asked first: the one that worked last, and at the beginning any, so that
/// clients spread over them. Clones share what they learn.
#[derive(Clone, Debug)]
pub(crate) struct Gateways {
    urls: Arc<Vec<Url>>,
    first: Arc<AtomicUsize>,
    /// None where the platform's root certificates are enough.
    tls: Option<Arc<ClientConfig>>,
}

/// One turn at the gateways, each of which is asked once.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    gateways: &'a Gateways,
    untried: VecDeque<usize>,
}

/// How long a gateway has to take a connection before the next one is dialled as well.
const HEAD_START: Duration = Duration::from_millis(500);

impl Gateways {
    pub(crate) fn new(network: &NetworkDescriptor) -> Self {
        let urls = network.gateways().to_vec();
        let first = usize::try_from(getrandom::u32().unwrap_or_default()).unwrap_or_default() % urls.len();
        Self { urls: Arc::new(urls), first: Arc::new(AtomicUsize::new(first)), tls: None }
    }

    /// Believes gateways by these certificates.
    pub(crate) fn believe(&mut self, tls: Arc<ClientConfig>) {
        self.tls = Some(tls);
    }

    pub(crate) const fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }

    pub(crate) fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// A turn that begins with the gateway that worked last.
    pub(crate) fn round(&self) -> Round<'_> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.urls.len());
        Round { gateways: self, untried: (first..first + count).map(|place| place % count).collect() }
    }

    /// The gateway that is asked first, for errors.
    pub(crate) fn first_name(&self) -> String {
        self.name(self.first.load(Ordering::Relaxed))
    }

    pub(crate) fn name(&self, place: usize) -> String {
        self.urls.get(place).map(gateway_name).unwrap_or_default()
    }

    /// Notes how a gateway did: the next turn begins with it, or after it.
    pub(crate) fn note(&self, place: usize, did_well: bool) {
        if did_well {
            self.first.store(place, Ordering::Relaxed);
        } else {
            let next = (place + 1) % self.urls.len();
            // What another call has noted meanwhile is newer.
            let _ = self.first.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl Round<'_> {
    /// Whether each gateway was asked.
    pub(crate) fn is_over(&self) -> bool {
        self.untried.is_empty()
    }

    /// The first connection that a gateway takes which was not asked yet, and the gateway's place. Each has a head start over
    /// the next one, and none is given up for that: one that is slow costs no more than the head start.
    ///
    /// # Errors
    /// The last gateway's, where none takes one.
    pub(crate) async fn connect(&mut self, call: Call<'_>) -> Result<(usize, Connection), NetworkError> {
        let (urls, mut waiting) = (Arc::clone(&self.gateways.urls), self.untried.clone());
        let (urls, tls, mut dials) = (urls.as_slice(), self.gateways.tls(), FuturesUnordered::new());
        let mut failed = None;
        loop {
            match waiting.pop_front() {
                Some(place) => {
                    dials.push(async move { (place, Connection::dial(&urls[place], call, tls).await) });
                }
                None if dials.is_empty() => break,
                None => {}
            }
            tokio::select! {
                biased;
                Some((place, dialled)) = dials.next() => {
                    self.untried.retain(|other| *other != place);
                    match dialled {
                        Ok(connection) => return Ok((place, connection)),
                        Err(error) => {
                            self.gateways.note(place, false);
                            failed = Some(error);
                        }
                    }
                }
                () = tokio::time::sleep(HEAD_START), if !waiting.is_empty() => {}
            }
        }
        Err(failed.unwrap_or_else(|| NetworkError::Closed { reason: String::new() }))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn gateways() -> Gateways {
        let nodes = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key()).to_vec();
        let urls = ["ws://a", "ws://b", "ws://c"].map(|url| url.parse().unwrap()).to_vec();
        Gateways::new(&NetworkDescriptor::new(2, nodes, urls).unwrap())
    }

    #[test]
    fn a_turn_begins_with_the_gateway_that_worked_last_and_asks_each_once() {
        let gateways = gateways();
        gateways.note(2, true);
        assert_eq!(gateways.round().untried, [2, 0, 1]);
        gateways.note(2, false);
        assert_eq!(gateways.clone().round().untried, [0, 1, 2]);
        gateways.note(2, false);
        assert_eq!(gateways.round().untried, [0, 1, 2], "it was not the first any more");
    }

    #[test]
    fn clients_begin_anywhere() {
        let firsts: std::collections::BTreeSet<_> =
            (0..100).map(|_| gateways().first.load(Ordering::Relaxed)).collect();
        assert_eq!(firsts.len(), 3);
    }
}
