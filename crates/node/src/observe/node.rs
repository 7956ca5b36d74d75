//! What a node counts, and what it says of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex, Refusal, gateway_name};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::listener::Observed;
use super::metrics::{self, Frames, OfNode, OfState, Requests};
use super::{Clocks, disk};
use crate::clock;
use crate::error::reasons;
use crate::node::{Member, Quarantine};
use crate::storage::{Storage, StorageError};

/// A node's metrics, and what it knows of gateways, peers and its disk.
pub(crate) struct NodeObserver {
    node: NodeIndex,
    network: NetworkDescriptor,
    storage: Arc<Storage>,
    quarantine: Arc<Quarantine>,
    database: PathBuf,
    began: Instant,
    registry: Registry,
    pub(crate) requests: Requests,
    pub(crate) frames: Frames,
    charges_refused: Family<Code, Counter>,
    keys: Family<OfState, Gauge>,
    bans: Gauge,
    journal_ages: Family<OfNode, Gauge<f64, AtomicU64>>,
    skews: Family<OfGateway, Gauge<f64, AtomicU64>>,
    gateways: Mutex<Vec<Gateway>>,
    clocks: Clocks<usize>,
    /// When each peer's journal was read to its end.
    readings: Mutex<BTreeMap<NodeIndex, Instant>>,
    disk: disk::Probe,
}

struct Gateway {
    url: Url,
    /// Since when it is connected, in seconds since 1970.
    since: Option<u64>,
}

/// A node's connection to a gateway, as long as it lasts.
pub(crate) struct ConnectedGateway {
    observer: Arc<NodeObserver>,
    /// The gateway's place in the list.
    gateway: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// A gateway by its place in the node's list, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGateway {
    gateway: u64,
}

impl NodeObserver {
    pub(crate) fn new(
        member: &Member,
        gateways: &[Url],
        storage: Arc<Storage>,
        quarantine: Arc<Quarantine>,
        database: PathBuf,
    ) -> Self {
        let mut registry = metrics::registry();
        let (requests, frames) = (Requests::register(&mut registry), Frames::register(&mut registry));
        let charges_refused = Family::default();
        let help = "Operations that the limits of their keys refused, by the refusal's code";
        registry.register("charges_refused", help, charges_refused.clone());
        let keys = Family::default();
        let help = "Keys by what has become of them at this node";
        registry.register("keys", help, keys.clone());
        let bans = Gauge::default();
        registry.register("bans", "Pairs of a key and a node that cheated this one over it", bans.clone());
        let journal_ages = Family::default();
        let help = "How long ago the owners' statements that a node holds were read to their end";
        registry.register_with_unit("journal_age", help, Unit::Seconds, journal_ages.clone());
        let skews = Family::default();
        let help = "How far a gateway's clock is ahead of this one";
        registry.register_with_unit("clock_skew", help, Unit::Seconds, skews.clone());
        let gateways = gateways.iter().map(|url| Gateway { url: url.clone(), since: None }).collect();
        Self {
            node: member.index,
            network: member.network.clone(),
            storage,
            quarantine,
            disk: disk::Probe::new(&database),
            database,
            began: Instant::now(),
            registry,
            requests,
            frames,
            charges_refused,
            keys,
            bans,
            journal_ages,
            skews,
            gateways: Mutex::new(gateways),
            clocks: Clocks::default(),
            readings: Mutex::default(),
        }
    }

    /// Counts what came of a task, and how long it took.
    pub(crate) fn answered(&self, operation: &'static str, answer: &Answer, took: Duration) {
        self.requests.answered(operation, metrics::outcome(answer));
        self.requests.took(operation, took);
        let Answer::Refused(refusal) = answer else { return };
        if let Refusal::Limit { .. } | Refusal::Contended { .. } | Refusal::JournalFull { .. } = refusal {
            self.charges_refused.get_or_create(&Code { code: refusal.code() }).inc();
        }
    }

    /// Notes that a gateway is connected, until what is given is dropped.
    pub(crate) fn connected(self: &Arc<Self>, url: &Url) -> ConnectedGateway {
        let mut gateways = self.gateways();
        let gateway = gateways.iter().position(|gateway| gateway.url == *url).unwrap_or_else(|| {
            gateways.push(Gateway { url: url.clone(), since: None });
            gateways.len() - 1
        });
        if let Some(gateway) = gateways.get_mut(gateway) {
            gateway.since = Some(clock::now());
        }
        drop(gateways);
        ConnectedGateway { observer: self.clone(), gateway }
    }

    /// Notes that all of a peer's statements are read.
    pub(crate) fn read_journal(&self, of: NodeIndex) {
        self.readings().insert(of, Instant::now());
    }

    /// How long ago each peer's statements were read to their end; since the start where they never were.
    fn journal_ages(&self) -> BTreeMap<NodeIndex, Duration> {
        let readings = self.readings();
        let peers = self.network.nodes().map(|(node, _)| node).filter(|node| *node != self.node);
        peers.map(|peer| (peer, readings.get(&peer).unwrap_or(&self.began).elapsed())).collect()
    }

    async fn take_stock(&self) -> Result<(), StorageError> {
        let census = self.storage.census(self.network.bind_quorum()).await?;
        for (state, keys) in census.keys() {
            self.keys.get_or_create(&OfState { state }).set(gauge(keys));
        }
        self.bans.set(gauge(census.bans));
        Ok(())
    }

    fn gateways_said(&self) -> Vec<Value> {
        let skews = self.clocks.differences();
        let said = |(place, gateway): (usize, &Gateway)| {
            json!({
                "url": gateway_name(&gateway.url),
                "connected": gateway.since.is_some(),
                "since": gateway.since,
                "clockSkew": skews.get(&place),
            })
        };
        self.gateways().iter().enumerate().map(said).collect()
    }

    fn gateways(&self) -> MutexGuard<'_, Vec<Gateway>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<NodeIndex, Instant>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observed for NodeObserver {
    /// It is ready if it can take part in signatures: by a gateway, with a disk, and not in quarantine.
    async fn readiness(&self) -> (bool, Value) {
        let disk = self.disk.check(&self.storage).await;
        let is_connected = self.gateways().iter().any(|gateway| gateway.since.is_some());
        let quarantine = self.quarantine.progress();
        let is_ready = is_connected && quarantine.is_none() && disk.is_ok();
        let ages = self.journal_ages().into_iter().map(|(peer, age)| (peer, age.as_secs()));
        let said = json!({
            "ready": is_ready,
            "node": self.node,
            "gateways": self.gateways_said(),
            "quarantine": quarantine,
            "disk": { "writable": disk.is_ok(), "reason": disk.err() },
            "clock": clock::now(),
            "journalAges": ages.collect::<BTreeMap<_, _>>(),
        });
        (is_ready, said)
    }

    async fn metrics(&self) -> String {
        if let Err(error) = self.take_stock().await {
            tracing::error!(database = %self.database.display(), error = reasons(&error), "the keys cannot be counted");
        }
        for (peer, age) in self.journal_ages() {
            self.journal_ages.get_or_create(&OfNode::new(peer)).set(age.as_secs_f64());
        }
        for (place, seconds) in self.clocks.differences() {
            self.skews.get_or_create(&OfGateway { gateway: place as u64 + 1 }).set(seconds);
        }
        metrics::page(&self.registry)
    }
}

impl ConnectedGateway {
    /// Notes what time it is at the gateway, in milliseconds since 1970.
    pub(crate) fn clock(&self, sent_at: u64) {
        self.observer.clocks.note(self.gateway, sent_at);
    }

    /// Counts a frame that is dropped.
    pub(crate) fn dropped(&self, reason: metrics::Dropped) {
        self.observer.frames.dropped(reason);
    }
}

impl Drop for ConnectedGateway {
    fn drop(&mut self) {
        if let Some(gateway) = self.observer.gateways().get_mut(self.gateway) {
            gateway.since = None;
        }
    }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
