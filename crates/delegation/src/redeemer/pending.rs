//! A redemption that was sent, and what becomes of it.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use quorate_store::Transaction as Kept;

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

    /// Waits until something with the nonce is in a block, and forgets it. What is lost meanwhile is sent again, or signed anew with the
    /// same nonce where nobody takes it any more. Dropping the future stops waiting, and nothing else.
    ///
    /// # Errors
    /// The store, the chain's node, or the bundler; what keeps it from being signed anew; [`RedeemError::UnknownEnd`].
    pub async fn wait(&self) -> Result<Settled, RedeemError> {
        let Self { redeemer, nonce } = self;
        let mut kept = redeemer.kept(*nonce).await?;
        let (mut pause, mut sent) = (FIRST_PAUSE, Instant::now());
        let settled = loop {
            let (settled, is_used) =
                tokio::try_join!(redeemer.mined(&kept), redeemer.carrier.is_used(*nonce))?;
            if is_used {
                // It may have been bumped meanwhile.
                kept = redeemer.kept(*nonce).await.unwrap_or(kept);
                break match settled {
                    Some(settled) => settled,
                    None => redeemer.settled(&kept).await?,
                };
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
            if sent.elapsed() >= RESENDING {
                redeemer.go_on(kept).await?;
                kept = redeemer.kept(*nonce).await?;
                sent = Instant::now();
            }
        };
        redeemer.forget(*nonce).await?;
        Ok(settled)
    }
}

impl Redeemer {
    /// What the chain has with a nonce that is used. The nonce may be known before the receipt, so that nothing is called foreign at
    /// once.
    pub(super) async fn settled(&self, kept: &Kept) -> Result<Settled, RedeemError> {
        for _ in 0..RECEIPT_QUESTIONS {
            for signed in signed(kept) {
                if let Some(receipt) = self.carrier.receipt_on_chain(&signed).await? {
                    return Ok(told(kept, &signed, receipt));
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
