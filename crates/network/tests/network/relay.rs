//! A relay that loses, repeats, swaps and spoils what nodes send: signatures go on, nobody is banned for it, and nothing is
//! charged twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::attacked::bans;
use crate::local::{ACCOUNT, LocalNetwork, free_address, mint_with_nonce, permissions, refusal};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use quorate_network::Refusal;
use quorate_protocol::{Limits, Permissions};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, connect_async};

/// Stands between the nodes and the gateway.
struct Relay {
    gateway: SocketAddr,
    is_faulty: AtomicBool,
    /// Of a xorshift generator, so that a failure can be run again.
    seed: AtomicU64,
    faults: AtomicU64,
}

impl Relay {
    async fn start(gateway: SocketAddr, seed: u64) -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Arc::new(Self {
            gateway,
            is_faulty: AtomicBool::new(false),
            seed: AtomicU64::new(seed),
            faults: AtomicU64::new(0),
        });
        let served = relay.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let relay = served.clone();
                tokio::spawn(async move {
                    let Ok(node) = accept_async(stream).await else { return };
                    let Ok((gateway, _)) = connect_async(format!("ws://{}/node", relay.gateway)).await else {
                        return;
                    };
                    let (to_node, from_node) = node.split();
                    let (to_gateway, from_gateway) = gateway.split();
                    tokio::select! {
                        () = relay.carry(from_node, to_gateway) => {}
                        () = relay.carry(from_gateway, to_node) => {}
                    }
                });
            }
        });
        (relay, address)
    }

    async fn carry(
        &self,
        mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
        mut to: impl Sink<Message, Error = Error> + Unpin,
    ) {
        let mut late = None;
        while let Some(Ok(message)) = from.next().await {
            let Message::Binary(bytes) = &message else { continue };
            let mut sent = match self.draw() % 1000 {
                _ if !self.is_faulty.load(Ordering::Relaxed) => vec![message],
                0..5 => Vec::new(),
                5..10 => {
                    let mut spoilt = bytes.to_vec();
                    let place = usize::try_from(self.draw()).unwrap() % spoilt.len();
                    spoilt[place] ^= 1 << (self.draw() % 8);
                    vec![Message::Binary(spoilt.into())]
                }
                10..60 => vec![message.clone(), message],
                60..80 if late.is_none() => {
                    late = Some(message);
                    continue;
                }
                _ => vec![message],
            };
            if sent.len() != 1 || late.is_some() {
                self.faults.fetch_add(1, Ordering::Relaxed);
            }
            sent.extend(late.take());
            for message in sent {
                if to.send(message).await.is_err() {
                    return;
                }
            }
        }
    }

    fn draw(&self) -> u64 {
        let next = |mut seed: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^ (seed << 17)
        };
        next(self.seed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| Some(next(seed))).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_relay_delays_and_does_nothing_worse() {
    let gateway = free_address();
    let (relay, address) = Relay::start(gateway, 0x51f1_5eed).await;
    let network = LocalNetwork::start_behind(gateway, address).await;
    let limits = Limits { uses: Some(12), ..Limits::default() };
    let session = network.key(|owner| Permissions { limits, ..permissions(owner) }).await;

    relay.is_faulty.store(true, Ordering::Relaxed);
    for nonce in 1..=12 {
        let message = mint_with_nonce(ACCOUNT, nonce);
        let mut tries = 0;
        // What comes back is the session key's signature or none: our client checks.
        while let Err(error) = session.sign(&message).await {
            tries += 1;
            assert!(tries < 10, "operation {nonce} is not signed: {error}");
        }
    }
    relay.is_faulty.store(false, Ordering::Relaxed);
    let faults = relay.faults.load(Ordering::Relaxed);
    assert!(faults > 50, "the relay was not faulty: {faults}");

    // However often each was asked for, each was charged once, and there is not one more.
    let one_more = session.sign(&mint_with_nonce(ACCOUNT, 13)).await.unwrap_err();
    assert!(matches!(refusal(one_more), Refusal::Limit { .. }));
    for index in 1..=5 {
        let banned = bans(&network, index).await;
        assert_eq!(banned, 0, "node {index} has banned somebody for what the relay did");
    }
}
