//! A redemption that was sent, and what becomes of it.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use quorate_store::Transaction as Kept;
use quorate_transport::TransportError;

use super::carrier::OnChain;
use super::signed::Signed;
use super::{RedeemError, Redeemer};
use crate::chain::Receipt;

/// A redemption that was sent.
#[derive(Clone, Debug)]
pub struct PendingRedemption {
    pub(super) redeemer: Redeemer,
    pub(super) nonce: U256,
}

/// What has become of a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Something that was signed with it is in a block.
    Mined(Receipt),
    /// It was used up by a call that redeems nothing ([`Redeemer::free`]).
    Freed(Receipt),
    /// Something that this store does not know is in a block: the key was used elsewhere.
    Foreign {
        /// The nonce.
        nonce: U256,
    },
    /// Something is in a block, and nobody says what: the bundler has forgotten it, and the node does not look so far back; or its end
    /// was told to another process. The call may have been made.
    Unknown {
        /// The nonce.
        nonce: U256,
    },
}

/// How long the first wait between two questions is; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(8);

/// How often a receipt is asked for, at least.
const PAUSE: Duration = Duration::from_millis(250);

/// After so long without a block it is sent again.
const RESENDING: Duration = Duration::from_secs(10);

/// How often a receipt is asked for before what used the nonce is called somebody else's.
const RECEIPT_QUESTIONS: usize = 8;

impl PendingRedemption {
    /// The nonce that it has: the key's, or that of its account, with its stream in the upper 192 bits.
    pub const fn nonce(&self) -> U256 {
        self.nonce
    }

    /// The hashes of what was signed with the nonce, the newest last: of transactions, or of user operations.
    ///
    /// # Errors
    /// The store, or a nonce that is over.
    pub async fn hashes(&self) -> Result<Vec<B256>, RedeemError> {
        let kept = self.redeemer.kept(self.nonce).await?;
        Ok(signed(&kept).map(|signed| self.redeemer.carrier.hash(&signed)).collect())
    }

    /// Waits until something with the nonce is in a block, and forgets it. What is lost meanwhile is sent again, and an operation that
    /// nobody takes any more is signed anew with its nonce. Dropping the future stops waiting, and nothing else.
    ///
    /// # Errors
    /// The store, the chain's node, or the bundler, and what keeps an operation from being signed anew.
    pub async fn wait(&self) -> Result<Settled, RedeemError> {
        let Self { redeemer, nonce } = self;
        let mut kept = redeemer.kept(*nonce).await?;
        let (mut pause, mut resending, mut sent) = (FIRST_PAUSE, RESENDING, Instant::now());
        let settled = loop {
            let (settled, is_used) =
                tokio::try_join!(redeemer.mined(&kept), redeemer.carrier.is_used(*nonce))?;
            if is_used {
                break match settled {
                    Some(settled) => settled,
                    None => redeemer.settled_of(kept).await?,
                };
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
            if sent.elapsed() >= resending {
                kept = redeemer.resent(kept).await?;
                (resending, sent) = (resending * 2, Instant::now());
            }
        };
        redeemer.forget(*nonce).await?;
        Ok(settled)
    }
}

impl Redeemer {
    /// Goes on with what is kept of a nonce by now, and gives that. What a node says of a transaction that it is given again tells
    /// nothing of the one that it has.
    async fn resent(&self, known: Kept) -> Result<Kept, RedeemError> {
        let nonce = known.nonce;
        let Some(newest) = self.find(nonce).await? else { return Ok(known) };
        match self.go_on(newest).await {
            Ok(()) | Err(RedeemError::Transport(TransportError::Rpc { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(self.find(nonce).await?.unwrap_or(known))
    }

    /// What has become of a nonce that is used, of which something may have been signed meanwhile, or its end told elsewhere.
    async fn settled_of(&self, known: Kept) -> Result<Settled, RedeemError> {
        let nonce = known.nonce;
        match self.find(nonce).await? {
            Some(newest) => self.settled(&newest).await,
            None => match self.settled(&known).await? {
                Settled::Foreign { .. } => Ok(Settled::Unknown { nonce }),
                settled => Ok(settled),
            },
        }
    }

    /// What the chain has with a nonce that is used. The nonce may be known before the receipt, so that nothing is called foreign at
    /// once.
    pub(super) async fn settled(&self, kept: &Kept) -> Result<Settled, RedeemError> {
        for _ in 0..RECEIPT_QUESTIONS {
            for signed in signed(kept) {
                match self.carrier.receipt_on_chain(&signed).await? {
                    OnChain::In(receipt) => return Ok(told(kept, &signed, receipt)),
                    OnChain::Nowhere => {}
                    OnChain::Unknown => return Ok(Settled::Unknown { nonce: kept.nonce }),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Settled::Foreign { nonce: kept.nonce })
    }

    /// What something that was signed with a nonce has come to, if it is in a block.
    async fn mined(&self, kept: &Kept) -> Result<Option<Settled>, RedeemError> {
        for signed in signed(kept) {
            if let Some(receipt) = self.carrier.receipt(&signed).await? {
                return Ok(Some(told(kept, &signed, receipt)));
            }
        }
        Ok(None)
    }
}

fn told(kept: &Kept, signed: &Signed, receipt: Receipt) -> Settled {
    if signed.data() == kept.data { Settled::Mined(receipt) } else { Settled::Freed(receipt) }
}

fn signed(kept: &Kept) -> impl Iterator<Item = Signed> {
    kept.signed.iter().filter_map(|text| Signed::read(text))
}
