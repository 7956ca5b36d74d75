//! Redeems what was delegated, by transactions of the key's own.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use quorate_core::delegation::{
    CaveatPlace, Context, DelegationCall, Enforcer, Mode, NoRedemption, Redeem, SingleExecution,
};
use quorate_core::{Call, Encode as _, SignedTransaction, Transaction};
use quorate_protocol::{DelegationPermissions, PermittedSubject, Subject};
use quorate_store::{AccountId, Change, Store, StoreError, Transaction as Kept};
use quorate_transport::Transport;

mod error;
mod redelegate;
mod signed;
mod signer;
mod status;

use crate::chain::{self, CaveatEnforcer, Chain, DelegationManager, Price, Receipt};
use alloy_sol_types::SolCall as _;
use quorate_contracts::Erc20;

pub use error::RedeemError;
pub use signer::DelegateSigner;
pub use status::{Ended, Left, Status};

/// Redeems delegations to a key by transactions of the key, which pays for their gas.
///
/// A nonce is reserved in the store before anything is signed with it, and what is signed is stored before it is sent. So of
/// several processes with one store each has nonces of its own, and after a crash the same redemption goes on where it was: until
/// its end was told, the same call is the same redemption.
#[derive(Clone, Debug)]
pub struct Redeemer {
    chain: Chain,
    store: Arc<dyn Store>,
    signer: Arc<dyn DelegateSigner>,
    permissions: DelegationPermissions,
}

/// A redemption that was sent.
#[derive(Clone, Debug)]
pub struct PendingRedemption {
    redeemer: Redeemer,
    nonce: u64,
}

/// What the chain says of a redemption before it is signed.
struct Quote {
    price: Price,
    /// What it takes; the revert's data where it would revert.
    gas: Result<u64, Bytes>,
    /// The key's, in wei.
    balance: U256,
}

/// What has become of a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// One of the transactions that were signed with it is in a block.
    Mined(Receipt),
    /// It was used up by a transaction that redeems nothing ([`Redeemer::free`]).
    Freed(Receipt),
    /// A transaction that this store does not know is in a block: the key was used elsewhere.
    Foreign {
        /// The nonce.
        nonce: u64,
    },
}

/// How long a reserved nonce waits for its signature: a network needs seconds.
const RESERVATION: Duration = Duration::from_secs(120);

/// How long the first wait between two questions is; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(8);

/// How often the node is asked for a receipt, at least.
const PAUSE: Duration = Duration::from_millis(250);

/// How often a receipt is asked for before a transaction is called somebody else's.
const RECEIPT_QUESTIONS: usize = 8;

/// How much more gas is asked for than the node estimates, in hundredths.
const GAS: u64 = 125;

/// By how much a node wants the fees of a replacement to be higher, in hundredths.
const BUMP: u128 = 110;

impl Redeemer {
    /// Redeems by these permissions, which are registered with the key's network.
    pub fn new(
        transport: Arc<dyn Transport>,
        store: Arc<dyn Store>,
        signer: Arc<dyn DelegateSigner>,
        permissions: DelegationPermissions,
    ) -> Self {
        Self { chain: Chain(transport), store, signer, permissions }
    }

    /// The transaction that redeems for a call, without gas and fees: for who signs and sends it in another way.
    ///
    /// # Errors
    /// None only where permissions were made by hand whose context cannot be read.
    pub fn transaction(&self, call: Call<'_>, nonce: u64) -> Option<Transaction<Vec<u8>>> {
        Some(self.calling_manager(nonce, self.data_of(call)?, 0, 0))
    }

    /// Whether the chain would take a redemption now, whatever the key's permissions say.
    ///
    /// # Errors
    /// [`RedeemError::Caveat`] with the caveat on which it would revert, [`RedeemError::Reverts`] for what reverts elsewhere, and
    /// what has ended.
    pub async fn ask_chain(&self, call: Call<'_>) -> Result<(), RedeemError> {
        self.check_delegations().await?;
        let data = self.data_of(call).unwrap_or_default();
        self.gas(&data).await.map(|_| ())
    }

    /// Whether a redemption for the same call was signed here, and its end was not told.
    ///
    /// # Errors
    /// The store.
    pub async fn has_under_way(&self, call: Call<'_>) -> Result<bool, RedeemError> {
        let data = self.data_of(call).unwrap_or_default();
        Ok(self.kept_for(&data).await?.is_some())
    }

    /// Whether the key's permissions allow a call, by this machine's clock, gas and what was spent before left aside.
    ///
    /// # Errors
    /// [`RedeemError::Forbidden`], with the caveat.
    pub fn check(&self, call: Call<'_>) -> Result<(), RedeemError> {
        let data = self.data_of(call).unwrap_or_default();
        self.judge(&self.calling_manager(0, data, 0, 0)).map(|_| ())
    }

    /// What the key may sign.
    pub const fn permissions(&self) -> &DelegationPermissions {
        &self.permissions
    }

    /// Has the delegator's account make a call.
    ///
    /// # Errors
    /// [`RedeemError`]: what the permissions forbid, what the chain would revert on, with the caveat, and gas that the key cannot pay
    /// for. Nothing is signed then, and no nonce is used up. Where the node does not take what was signed, it stays in the store, and
    /// the next call of the same goes on with it.
    pub async fn redeem(&self, call: Call<'_>) -> Result<PendingRedemption, RedeemError> {
        let data = self.data_of(call).unwrap_or_default();
        if let Some(pending) = self.under_way(&data).await? {
            return Ok(pending);
        }
        // Before the chain is asked: what the permissions forbid is said in their words.
        self.judge(&self.calling_manager(0, data.clone(), 0, 0))?;
        let quote = self.quote(&data).await;
        if !matches!(&quote, Ok(Quote { gas: Ok(_), .. })) {
            self.check_delegations().await?;
        }
        self.start(data, quote?).await
    }

    /// The call data of the manager; none for a context that cannot be read, which permissions do not have.
    fn data_of(&self, call: Call<'_>) -> Option<Vec<u8>> {
        let execution = SingleExecution(call).to_vec();
        Some(Redeem { context: self.context()?, mode: Mode::SINGLE, execution: &execution }.to_vec())
    }

    /// Has the delegator's account transfer a token: `transfer(address,uint256)`.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem).
    pub async fn transfer(
        &self,
        token: Address,
        to: Address,
        amount: U256,
    ) -> Result<PendingRedemption, RedeemError> {
        let data = Erc20::transferCall { to, amount }.abi_encode();
        self.redeem(Call { to: token, value: U256::ZERO, data: &data }).await
    }

    /// Signs once more what was sent with a nonce, with fees that are a tenth higher at least, and sends that.
    ///
    /// # Errors
    /// A nonce that nothing was signed with here, and fees over what the key may pay.
    pub async fn bump(&self, nonce: u64) -> Result<PendingRedemption, RedeemError> {
        let kept = self.kept(nonce).await?;
        self.replace(kept.clone(), &kept.data).await
    }

    /// Uses up a nonce that is stuck, for fees alone: it redeems nothing. What was signed with the nonce before may still get into a
    /// block instead.
    ///
    /// # Errors
    /// As [`bump`](Self::bump).
    pub async fn free(&self, nonce: u64) -> Result<PendingRedemption, RedeemError> {
        self.replace(self.kept(nonce).await?, &NoRedemption.to_vec()).await
    }

    async fn replace(&self, kept: Kept, data: &[u8]) -> Result<PendingRedemption, RedeemError> {
        let quote = self.quote(data).await?;
        let (fee, tip) = match kept.signed.last().and_then(|text| signed::read(text)) {
            Some(last) => {
                (raised(last.transaction.max_fee_per_gas), raised(last.transaction.max_priority_fee_per_gas))
            }
            None => (0, 0),
        };
        let (fee, tip) = (fee.max(self.fee_at(quote.price)), tip.max(quote.price.tip));
        let transaction = self.priced(&quote, data, fee, tip).await?;
        let signed = self.sign(Transaction { nonce: kept.nonce, ..transaction }).await?;
        self.keep_and_send(&signed, kept.data).await?;
        Ok(self.pending(kept.nonce))
    }

    /// Says what has become of the nonces that this store has something signed with, and forgets those that are over. What the node
    /// has lost is sent again.
    ///
    /// # Errors
    /// The store, or the chain's node.
    pub async fn settle(&self) -> Result<Vec<Settled>, RedeemError> {
        let (mined, _) = self.chain.transaction_counts(self.signer.address()).await?;
        let mut settled = Vec::new();
        for kept in self.store.transactions(self.key()).await? {
            if kept.nonce < mined {
                settled.push(self.settled(&kept).await?);
                self.forget(kept.nonce).await?;
            } else {
                self.send_again(&kept).await?;
            }
        }
        Ok(settled)
    }

    /// What was signed for the same call and is not told yet. Where the node has lost it, it is sent again.
    async fn under_way(&self, data: &[u8]) -> Result<Option<PendingRedemption>, RedeemError> {
        let Some(same) = self.kept_for(data).await? else { return Ok(None) };
        self.send_again(&same).await?;
        Ok(Some(self.pending(same.nonce)))
    }

    /// What the chain says before a transaction is made, asked all at once.
    async fn quote(&self, data: &[u8]) -> Result<Quote, RedeemError> {
        let (key, manager) = (self.signer.address(), self.permissions.deployment.manager());
        let (price, gas, balance) = tokio::try_join!(
            self.chain.price(),
            self.chain.gas(key, manager, data),
            self.chain.balance(key),
        )?;
        Ok(Quote { price, gas, balance })
    }

    async fn start(&self, data: Vec<u8>, quote: Quote) -> Result<PendingRedemption, RedeemError> {
        self.check_price(quote.price)?;
        let fee = self.fee_at(quote.price);
        let transaction = self.priced(&quote, &data, fee, quote.price.tip).await?;
        let nonce = self.reserve(&data).await?;
        match self.sign(Transaction { nonce, ..transaction }).await {
            Ok(signed) => self.keep_and_send(&signed, data).await.map(|()| self.pending(nonce)),
            Err(error) => {
                self.store.apply(self.key(), vec![Change::ReleaseNonce { nonce, data }]).await?;
                Err(error)
            }
        }
    }

    /// The lowest nonce that nobody has. What the node has lost of the lower ones it gets again, as they come first.
    async fn reserve(&self, data: &[u8]) -> Result<u64, RedeemError> {
        let kept = self.store.transactions(self.key()).await?;
        for kept in &kept {
            self.send_again(kept).await?;
        }
        let now = now();
        let is_taken = |nonce: u64| kept.iter().any(|kept| kept.nonce == nonce && !kept.is_free(now));
        // After the store: a nonce that is free there by now may be in a block.
        let (_, mut nonce) = self.chain.transaction_counts(self.signer.address()).await?;
        loop {
            if !is_taken(nonce) {
                let reserved_until = now + RESERVATION.as_secs();
                let transaction = Kept { nonce, data: data.to_vec(), reserved_until, signed: Vec::new() };
                match self.store.apply(self.key(), vec![Change::ReserveNonce { transaction, now }]).await {
                    Ok(()) => return Ok(nonce),
                    Err(StoreError::NonceTaken { .. }) => {}
                    Err(StoreError::SameData { nonce, .. }) => return Err(RedeemError::UnderWay { nonce }),
                    Err(error) => return Err(error.into()),
                }
            }
            nonce += 1;
        }
    }

    /// What was signed is stored before it is sent, with what the nonce was reserved for.
    async fn keep_and_send(
        &self,
        signed: &SignedTransaction<Vec<u8>>,
        data: Vec<u8>,
    ) -> Result<(), RedeemError> {
        let nonce = signed.transaction.nonce;
        let keep = Change::AddSigned { nonce, data, encoded: signed::write(signed) };
        self.store.apply(self.key(), vec![keep]).await?;
        self.chain.send(&signed.to_vec()).await
    }

    /// The transaction with its gas and fees, of nonce 0: what the key's permissions allow, and its balance can pay for.
    async fn priced(
        &self,
        quote: &Quote,
        data: &[u8],
        fee: u128,
        tip: u128,
    ) -> Result<Transaction<Vec<u8>>, RedeemError> {
        let gas = match &quote.gas {
            Ok(gas) => gas.saturating_mul(GAS) / 100,
            Err(revert) => return Err(self.cause(data, revert).await?),
        };
        let transaction = Transaction { gas_limit: gas, ..self.calling_manager(0, data.to_vec(), fee, tip) };
        self.judge(&transaction)?;
        let (key, found) = (self.signer.address(), quote.balance);
        let needed = U256::from(gas).saturating_mul(U256::from(fee));
        if found < needed {
            return Err(RedeemError::Balance { key, found, needed });
        }
        Ok(transaction)
    }

    async fn sign(
        &self,
        transaction: Transaction<Vec<u8>>,
    ) -> Result<SignedTransaction<Vec<u8>>, RedeemError> {
        let subject = Subject::Transaction(transaction.clone());
        let signature = self.signer.sign(&subject).await.map_err(RedeemError::Signer)?;
        let (y_parity, r, s) = (signature.v(), signature.r(), signature.s());
        Ok(SignedTransaction { transaction, y_parity, r, s })
    }

    fn calling_manager(&self, nonce: u64, data: Vec<u8>, fee: u128, tip: u128) -> Transaction<Vec<u8>> {
        Transaction {
            chain_id: self.permissions.chain_id.get(),
            nonce,
            max_priority_fee_per_gas: tip,
            max_fee_per_gas: fee,
            gas_limit: 0,
            to: self.permissions.deployment.manager(),
            value: U256::ZERO,
            data,
        }
    }

    /// What a call of the manager takes.
    async fn gas(&self, data: &[u8]) -> Result<u64, RedeemError> {
        match self.chain.gas(self.signer.address(), self.permissions.deployment.manager(), data).await? {
            Ok(gas) => Ok(gas),
            Err(revert) => Err(self.cause(data, &revert).await?),
        }
    }

    fn judge(&self, transaction: &Transaction<Vec<u8>>) -> Result<PermittedSubject, RedeemError> {
        let subject = Subject::Transaction(transaction.clone());
        Ok(self.permissions.judge(&subject, self.signer.address(), now())?)
    }

    /// The caveat whose enforcer reverts; a text names the enforcer, and not which of several caveats.
    async fn cause(&self, data: &[u8], revert: &[u8]) -> Result<RedeemError, RedeemError> {
        let other = || RedeemError::Reverts { reason: chain::words(revert) };
        let (Some(context), Ok(DelegationCall::Redeem(redeem))) =
            (self.context(), DelegationCall::decode(data))
        else {
            return Ok(other());
        };
        let (key, manager) = (self.signer.address(), self.permissions.deployment.manager());
        for (place, delegation) in context.delegations().enumerate() {
            for (caveat, read) in delegation.caveats.iter().enumerate() {
                let hook = CaveatEnforcer::beforeHookCall {
                    terms: Bytes::copy_from_slice(read.terms),
                    args: Bytes::new(),
                    mode: redeem.mode.word(),
                    executionCalldata: Bytes::copy_from_slice(redeem.execution),
                    delegationHash: delegation.hash(),
                    delegator: delegation.delegator,
                    redeemer: key,
                };
                if let Some(revert) = self.chain.revert(manager, read.enforcer, hook).await? {
                    let place = CaveatPlace { delegation: place, caveat };
                    return Ok(RedeemError::Caveat { place, reason: chain::words(&revert) });
                }
            }
        }
        Ok(other())
    }

    /// What has ended on chain, whatever the nodes would sign.
    async fn check_delegations(&self) -> Result<(), RedeemError> {
        let manager = self.permissions.deployment.manager();
        if self.chain.read(manager, DelegationManager::pausedCall {}).await? {
            return Err(RedeemError::Paused { manager });
        }
        for (delegation, hash) in self.permissions.context.hashes().iter().copied().enumerate() {
            let call = DelegationManager::disabledDelegationsCall { delegationHash: hash };
            if self.chain.read(manager, call).await? {
                return Err(RedeemError::Disabled { delegation, hash });
            }
        }
        for (delegator, pinned) in &self.permissions.nonces {
            for enforcer in self.nonce_enforcers() {
                let current = self.current_nonce(enforcer, *delegator).await?;
                if current != *pinned {
                    let (delegator, pinned) = (*delegator, *pinned);
                    return Err(RedeemError::NonceMoved { delegator, pinned, current });
                }
            }
        }
        Ok(())
    }

    fn nonce_enforcers(&self) -> Vec<Address> {
        let enforcers = self.permissions.deployment.enforcers();
        let delegations = self.context().into_iter().flat_map(|context| context.delegations());
        let caveats = delegations.flat_map(|delegation| delegation.caveats.iter());
        let addresses = caveats.map(|caveat| caveat.enforcer);
        let mut of_nonces: Vec<_> =
            addresses.filter(|address| enforcers.at(*address) == Some(Enforcer::Nonce)).collect();
        of_nonces.dedup();
        of_nonces
    }

    fn check_price(&self, price: Price) -> Result<(), RedeemError> {
        let (now, most) = (U256::from(price.base) + U256::from(price.tip), self.permissions.fees.fee_per_gas);
        if now > most { Err(RedeemError::Price { price: now, most }) } else { Ok(()) }
    }

    /// Good for some rising blocks, and not over what the key may pay.
    fn fee_at(&self, price: Price) -> u128 {
        let most: u128 = self.permissions.fees.fee_per_gas.saturating_to();
        price.base.saturating_mul(2).saturating_add(price.tip).min(most)
    }

    /// Sends the newest transaction of a nonce where the node has lost it.
    async fn send_again(&self, kept: &Kept) -> Result<(), RedeemError> {
        match encodings(kept).last() {
            Some(encoded) if !self.chain.is_known(keccak256(&encoded)).await? => {
                self.chain.send(&encoded).await
            }
            _ => Ok(()),
        }
    }

    /// What the chain has with a nonce that is in a block. A node may know the nonce before the receipt, so that nothing is called
    /// foreign at once.
    async fn settled(&self, kept: &Kept) -> Result<Settled, RedeemError> {
        for _ in 0..RECEIPT_QUESTIONS {
            if let Some(settled) = self.mined(kept).await? {
                return Ok(settled);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Settled::Foreign { nonce: kept.nonce })
    }

    /// What one of the transactions that were signed with a nonce has come to, if one is in a block.
    async fn mined(&self, kept: &Kept) -> Result<Option<Settled>, RedeemError> {
        for signed in kept.signed.iter().filter_map(|text| signed::read(text)) {
            if let Some(receipt) = self.chain.receipt(keccak256(signed.to_vec())).await? {
                let redeems = signed.transaction.data == kept.data;
                return Ok(Some(if redeems { Settled::Mined(receipt) } else { Settled::Freed(receipt) }));
            }
        }
        Ok(None)
    }

    /// What was signed for a call. Also where it is in a block: whoever asks for it again has not heard of that.
    async fn kept_for(&self, data: &[u8]) -> Result<Option<Kept>, RedeemError> {
        let kept = self.store.transactions(self.key()).await?;
        Ok(kept.into_iter().find(|kept| kept.data == data && !kept.signed.is_empty()))
    }

    async fn kept(&self, nonce: u64) -> Result<Kept, RedeemError> {
        let kept = self.store.transactions(self.key()).await?;
        kept.into_iter().find(|kept| kept.nonce == nonce).ok_or(RedeemError::UnknownNonce { nonce })
    }

    async fn forget(&self, nonce: u64) -> Result<(), RedeemError> {
        Ok(self.store.apply(self.key(), vec![Change::RemoveTransaction(nonce)]).await?)
    }

    fn key(&self) -> AccountId {
        AccountId { chain_id: self.permissions.chain_id.get(), address: self.signer.address() }
    }

    fn pending(&self, nonce: u64) -> PendingRedemption {
        PendingRedemption { redeemer: self.clone(), nonce }
    }

    fn context(&self) -> Option<Context<'_>> {
        Context::parse(self.permissions.context.as_bytes()).ok()
    }
}

impl PendingRedemption {
    /// The key's nonce that it has.
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// The hashes of what was signed with the nonce, the newest last.
    ///
    /// # Errors
    /// The store, or a nonce that is over.
    pub async fn hashes(&self) -> Result<Vec<B256>, RedeemError> {
        let kept = self.redeemer.kept(self.nonce).await?;
        Ok(encodings(&kept).map(keccak256).collect())
    }

    /// Waits until a transaction with the nonce is in a block, and forgets it. Dropping the future stops waiting, and nothing else.
    ///
    /// # Errors
    /// The store, or the chain's node.
    pub async fn wait(&self) -> Result<Settled, RedeemError> {
        let Self { redeemer, nonce } = self;
        let mut kept = redeemer.kept(*nonce).await?;
        let mut pause = FIRST_PAUSE;
        let settled = loop {
            let counts = async { Ok(redeemer.chain.transaction_counts(redeemer.signer.address()).await?) };
            let (settled, (mined, _)) = tokio::try_join!(redeemer.mined(&kept), counts)?;
            if mined > *nonce {
                // It may have been bumped meanwhile.
                kept = redeemer.kept(*nonce).await.unwrap_or(kept);
                break match settled {
                    Some(settled) => settled,
                    None => redeemer.settled(&kept).await?,
                };
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        };
        redeemer.forget(*nonce).await?;
        Ok(settled)
    }
}

/// A fee as nodes want it of a replacement.
const fn raised(fee: u128) -> u128 {
    fee.saturating_mul(BUMP).div_ceil(100)
}

/// What was signed with a nonce, as it is sent.
fn encodings(kept: &Kept) -> impl Iterator<Item = Vec<u8>> {
    kept.signed.iter().filter_map(|text| signed::read(text)).map(|signed| signed.to_vec())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
