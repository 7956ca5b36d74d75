//! What a quorum of nodes could do that judged nothing: their shares, put together here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{B256, Signature, hex};
use async_trait::async_trait;
use quorate::delegation::DelegateSigner;
use quorate::{Address, DistributedSigner};
use quorate_mpc::signing::Round1;
use quorate_mpc::{Incoming, KeyShare, Outgoing, PartyIndex, SessionId};
use quorate_protocol::Subject;
use quorate_seal::Seal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use crate::local::LocalNetwork;

/// A key whose shares of the first nodes are in this process.
#[derive(Debug)]
pub(crate) struct StolenKey {
    address: Address,
    shares: Vec<Arc<KeyShare>>,
}

impl StolenKey {
    /// Opens the shares of as many nodes as sign together, from their databases and with their seal keys.
    pub(crate) async fn of(network: &LocalNetwork, key: &DistributedSigner) -> Self {
        let descriptor = network.descriptor();
        let mut shares = Vec::new();
        for index in 1..=descriptor.threshold() {
            let context =
                [descriptor.id().as_slice(), &[index], b"shares", key.key().key_id.as_bytes()].concat();
            shares.push(Arc::new(open(&network.home(index), &context, &key.key().key_id).await));
        }
        Self { address: key.key().address, shares }
    }

    fn signed(&self, digest: B256) -> Signature {
        let signers: BTreeSet<PartyIndex> = self.shares.iter().map(|share| share.index()).collect();
        let session = SessionId::new([7; 32]);
        let start = |share: &Arc<KeyShare>| {
            let (round, outgoing) = Round1::start(share.clone(), &signers, session, digest.0).unwrap();
            (share.index(), round, outgoing)
        };
        let started = self.shares.iter().map(start).collect();
        let opened = exchange(started, |round, incoming| round.next(incoming).unwrap());
        let last = exchange(opened, |round, incoming| round.next(incoming).unwrap());
        let (mut incoming, rounds) = delivered(last);
        let signatures =
            rounds.into_iter().map(|(me, round)| round.next(incoming.remove(&me).unwrap()).unwrap());
        let signature = signatures.last().unwrap();
        Signature::from_scalars_and_parity(
            signature.r().into(),
            signature.s().into(),
            signature.recovery_id() == 1,
        )
    }
}

#[async_trait]
impl DelegateSigner for StolenKey {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign(&self, subject: &Subject) -> Result<Signature, Box<dyn std::error::Error + Send + Sync>> {
        let Subject::Transaction(transaction) = subject else { return Err("no transaction".into()) };
        Ok(self.signed(transaction.signing_hash()))
    }
}

async fn open(home: &Path, context: &[u8], key_id: &str) -> KeyShare {
    let options = SqliteConnectOptions::new().filename(home.join("node.db")).read_only(true);
    let mut database = options.connect().await.unwrap();
    let row =
        sqlx::query("SELECT share FROM shares WHERE key_id = ?").bind(key_id).fetch_one(&mut database).await;
    let sealed: Vec<u8> = row.unwrap().get(0);
    let seal = std::fs::read_to_string(home.join("seal.key")).unwrap();
    let seal = Seal::new(&hex::decode_to_array(seal.trim()).unwrap());
    KeyShare::from_bytes(&seal.open(context, &sealed).unwrap()).unwrap()
}

type Sent<R> = Vec<(PartyIndex, R, Outgoing)>;

/// Each signer's next round.
fn exchange<R, N>(sent: Sent<R>, next: impl Fn(R, Incoming) -> (N, Outgoing)) -> Sent<N> {
    let (mut incoming, rounds) = delivered(sent);
    let step = |(me, round)| {
        let (round, outgoing) = next(round, incoming.remove(&me).unwrap());
        (me, round, outgoing)
    };
    rounds.into_iter().map(step).collect()
}

/// What each signer is sent by the others.
fn delivered<R>(sent: Sent<R>) -> (BTreeMap<PartyIndex, Incoming>, Vec<(PartyIndex, R)>) {
    let (mut incoming, mut rounds) = (BTreeMap::<PartyIndex, Incoming>::new(), Vec::new());
    for (from, round, outgoing) in sent {
        for (to, message) in outgoing {
            incoming.entry(to).or_default().insert(from, message);
        }
        rounds.push((from, round));
    }
    (incoming, rounds)
}
