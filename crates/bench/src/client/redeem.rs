//! A redemption of a delegation against the same transaction as any wallet sends it, in turns.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, Signature, U64, U256, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use quorate::delegation::{
    DelegateSigner, DelegationPermissions, Deployment, FeeCaps, PolicyCaveats, Redeemer, Settled,
    UnsignedDelegation,
};
use quorate::{Limits, MemoryStore, Policy};
use quorate_core::{Call, Encode as _, FunctionSelector, SignedTransaction, Transaction};
use quorate_protocol::Subject;
use quorate_transport::{Transport, TransportExt as _};
use serde_json::{Value, json};

use super::Rounds;
use super::local_chain::{LocalChain, mint};
use crate::goal::Goal;
use crate::progress::Progress;
use crate::ratio::median;

/// A key in this process: a network's signature comes on top of what is measured.
#[derive(Debug)]
struct LocalKey(PrivateKeySigner);

#[async_trait]
impl DelegateSigner for LocalKey {
    fn address(&self) -> Address {
        self.0.address()
    }

    async fn sign(&self, subject: &Subject) -> Result<Signature, Box<dyn std::error::Error + Send + Sync>> {
        let Subject::Transaction(transaction) = subject else { return Err("no transaction".into()) };
        Ok(self.0.sign_hash_sync(&transaction.signing_hash())?)
    }
}

pub(super) async fn run(
    chain: &LocalChain,
    rounds: Rounds,
    progress: &Progress,
) -> anyhow::Result<Vec<Goal>> {
    const WHAT: &str = "redemption";
    progress.begin(WHAT);
    let (key, friend) = (PrivateKeySigner::random(), PrivateKeySigner::random().address());
    chain.fund(key.address()).await?;
    let permissions = delegate(chain, key.address()).await?;
    let node = chain.node()?;
    let (store, signer) = (Arc::new(MemoryStore::new()), Arc::new(LocalKey(key.clone())));
    let redeemer = Redeemer::new(Arc::clone(&node), store, signer, permissions);
    let data = mint(friend);
    let call = Call { to: chain.devnet().nft(), value: U256::ZERO, data: &data };
    let (mut redeemed, mut raw) = (Vec::new(), Vec::new());
    for pair in 0..rounds.redeemed {
        progress.round(WHAT, pair, rounds.redeemed);
        for turn in [pair.is_multiple_of(2), !pair.is_multiple_of(2)] {
            let start = Instant::now();
            if turn {
                let settled = redeemer.redeem(call).await?.wait().await?;
                anyhow::ensure!(
                    matches!(settled, Settled::Mined(receipt) if receipt.is_executed()),
                    "it reverted"
                );
            } else {
                let subject = redeemer.subject(call, U256::ZERO);
                let Some(Subject::Transaction(transaction)) = subject else { bail!("{subject:?}") };
                send_as_a_wallet(&*node, &key, transaction).await?;
            }
            let times = if turn { &mut redeemed } else { &mut raw };
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let ratios = redeemed.iter().zip(&raw).map(|(redeemed, raw)| redeemed / raw);
    Ok(vec![
        Goal::at_most("a redemption without its signature, in a wallet's sending", median(ratios), 1.15),
        Goal::shown("a redemption, milliseconds", median(redeemed.iter().copied())),
        Goal::shown("the same sent by a wallet, milliseconds", median(raw.iter().copied())),
    ])
}

/// An account of the framework's lets the key mint.
async fn delegate(chain: &LocalChain, key: Address) -> anyhow::Result<DelegationPermissions> {
    let (devnet, owner) = (chain.devnet(), PrivateKeySigner::random());
    devnet.make_delegator(owner.address()).await?;
    let policy = Policy::new(devnet.nft(), FunctionSelector::parse("safeMint(address)")?);
    let limits = Limits { uses: Some(1_000_000), ..Limits::default() };
    let caveats = PolicyCaveats::of(&[policy], &limits, 0)?;
    let (chain_id, deployment) =
        (NonZeroU64::new(devnet.chain_id()).context("no chain")?, Deployment::V1_3_0);
    let delegation =
        UnsignedDelegation::new(chain_id, &deployment, owner.address(), key, &caveats.caveats, U256::ZERO);
    let delegation = delegation.map_err(|enforcer| anyhow::anyhow!("no {enforcer}"))?;
    let signature = owner.sign_hash_sync(&delegation.typed_data().digest())?.as_bytes();
    let ether = U256::from(10).pow(U256::from(18));
    Ok(DelegationPermissions {
        owner: owner.address(),
        chain_id,
        deployment,
        context: delegation.signed(&signature)?,
        redeemer: quorate_protocol::Redeemer::Key,
        nonces: Default::default(),
        unjudged: Default::default(),
        fees: FeeCaps { gas_limit: 1_000_000, fee_per_gas: ether, total: ether },
        given_up: Default::default(),
        epoch: caveats.epoch,
        limits: caveats.limits,
    })
}

/// What a wallet does for a transaction: nonce, fees and gas are asked at once, it is signed, sent, and its receipt asked for.
async fn send_as_a_wallet(
    node: &dyn Transport,
    key: &PrivateKeySigner,
    transaction: Transaction<Vec<u8>>,
) -> anyhow::Result<()> {
    let call =
        json!({ "from": key.address(), "to": transaction.to, "data": Bytes::from(transaction.data.clone()) });
    let (nonce, head, tip, gas) = tokio::try_join!(
        node.call::<U64>("eth_getTransactionCount", (key.address(), "pending")),
        node.call::<Value>("eth_getBlockByNumber", ("latest", false)),
        node.call::<U256>("eth_maxPriorityFeePerGas", ()),
        node.call::<U64>("eth_estimateGas", (call,)),
    )?;
    let base: U256 = serde_json::from_value(head["baseFeePerGas"].clone())?;
    let tip: u128 = tip.saturating_to();
    let transaction = Transaction {
        nonce: nonce.to(),
        gas_limit: gas.to::<u64>() * 5 / 4,
        max_fee_per_gas: base.saturating_to::<u128>() * 2 + tip,
        max_priority_fee_per_gas: tip,
        ..transaction
    };
    let signature = key.sign_hash_sync(&transaction.signing_hash())?;
    let (y_parity, r, s) = (signature.v(), signature.r(), signature.s());
    let encoded = Bytes::from(SignedTransaction { transaction, y_parity, r, s }.to_vec());
    let hash = keccak256(&encoded);
    node.call::<B256>("eth_sendRawTransaction", (encoded,)).await?;
    while node.call::<Value>("eth_getTransactionReceipt", (hash,)).await?.is_null() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
