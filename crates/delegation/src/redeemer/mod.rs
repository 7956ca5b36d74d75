//! Redeems what was delegated, by transactions of the key's own or by user operations of its account.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use quorate_bundler::{Bundler, BundlerError, SendOutcome};
use quorate_contracts::Erc20;
use quorate_core::delegation::{
    CaveatPlace, Context, DelegationCall, Enforcer, Mode, NoRedemption, Redeem, SingleExecution,
};
use quorate_core::{Call, Encode as _};
use quorate_paymaster::Erc7677;
use quorate_protocol::{DelegationPermissions, PermittedSubject, Subject};
use quorate_store::{AccountId, Change, Store, StoreError, Transaction as Kept};
use quorate_transport::Transport;

use crate::HybridAccount;
use crate::chain::{self, CaveatEnforcer, Chain, DelegationManager, Receipt};

mod carrier;
mod error;
mod operations;
mod pending;
mod redelegate;
mod signed;
mod signer;
mod status;
mod transactions;

use carrier::{Carrier, Draft, Fees, Quote};
use operations::Operations;
use signed::Signed;
use transactions::Transactions;

pub use error::RedeemError;
pub use pending::{PendingRedemption, Settled};
pub use signer::DelegateSigner;
pub use status::{Ended, Left, Status};

/// Redeems delegations to a key: by transactions of the key, which pays for their gas, or by user operations of an account that the
/// key owns ([`by_bundler`](Self::by_bundler)).
///
/// A nonce is reserved in the store before anything is signed with it, and what is signed is stored before it is sent. So of
/// several processes with one store each has nonces of its own, and after a crash the same redemption goes on where it was: until
/// its end was told, the same call is the same redemption.
#[derive(Clone, Debug)]
pub struct Redeemer {
    chain: Chain,
    carrier: Arc<dyn Carrier>,
    store: Arc<dyn Store>,
    signer: Arc<dyn DelegateSigner>,
    permissions: DelegationPermissions,
}

/// How long a reserved nonce waits for its signature: a network needs seconds.
const RESERVATION: Duration = Duration::from_secs(120);

/// How much more gas is asked for than is estimated, in hundredths.
const GAS: u128 = 125;

impl Redeemer {
    /// Redeems by these permissions, which are registered with the key's network.
    pub fn new(
        transport: Arc<dyn Transport>,
        store: Arc<dyn Store>,
        signer: Arc<dyn DelegateSigner>,
        permissions: DelegationPermissions,
    ) -> Self {
        let chain = Chain(transport);
        let (chain_id, manager) = (permissions.chain_id.get(), permissions.deployment.manager());
        let carrier = Transactions { chain: chain.clone(), chain_id, key: signer.address(), manager };
        Self { chain, carrier: Arc::new(carrier), store, signer, permissions }
    }

    /// Redeems by user operations of the key's [`HybridAccount`] at EntryPoint v0.7, which the first of them deploys. The paymaster pays
    /// for gas, or the account where there is none. Delegations are to the account then, and permissions name it.
    #[must_use]
    pub fn by_bundler(self, bundler: Bundler, paymaster: Option<Erc7677>) -> Self {
        let (chain_id, manager) = (self.permissions.chain_id.get(), self.permissions.deployment.manager());
        let account = HybridAccount::of(self.signer.address());
        let carrier =
            Operations { chain: self.chain.clone(), bundler, paymaster, chain_id, account, manager };
        Self { carrier: Arc::new(carrier), ..self }
    }

    /// Who the manager finds to be its caller, to whom delegations are: the key, or its account.
    pub fn delegate(&self) -> Address {
        self.carrier.caller()
    }

    /// What is signed to redeem for a call, without gas and fees: for who signs and sends it in another way. None only where
    /// permissions were made by hand whose context cannot be read.
    pub fn subject(&self, call: Call<'_>, nonce: U256) -> Option<Subject> {
        Some(self.carrier.subject(&Draft { nonce, data: self.data_of(call)?, ..Draft::default() }))
    }

    /// Whether the chain would take a redemption now, whatever the key's permissions say.
    ///
    /// # Errors
    /// [`RedeemError::Caveat`] with the caveat on which it would revert, [`RedeemError::Reverts`] for what reverts elsewhere, and
    /// what has ended.
    pub async fn ask_chain(&self, call: Call<'_>) -> Result<(), RedeemError> {
        self.check_delegations().await?;
        let data = self.data_of(call).unwrap_or_default();
        let manager = self.permissions.deployment.manager();
        match self.chain.gas(self.carrier.caller(), manager, &data).await? {
            Ok(_) => Ok(()),
            Err(revert) => Err(self.cause(&data, &revert).await?),
        }
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
        self.judge(&self.carrier.unpriced(data)).map(|_| ())
    }

    /// What the key may sign.
    pub const fn permissions(&self) -> &DelegationPermissions {
        &self.permissions
    }

    /// Has the delegator's account make a call.
    ///
    /// # Errors
    /// [`RedeemError`]: what the permissions forbid, what the chain would revert on, with the caveat, and gas that nobody pays for.
    /// Nothing is signed for the call then, and no nonce is used up. Where the node or the bundler does not take what was signed, it
    /// stays in the store, and the next call of the same goes on with it. [`RedeemError::Deploying`] while another call deploys the
    /// key's account.
    pub async fn redeem(&self, call: Call<'_>) -> Result<PendingRedemption, RedeemError> {
        let data = self.data_of(call).unwrap_or_default();
        if let Some(pending) = self.under_way(&data).await? {
            return Ok(pending);
        }
        // Before the chain is asked: what the permissions forbid is said in their words.
        self.judge(&self.carrier.unpriced(data.clone()))?;
        let quote = self.carrier.quote(&data).await;
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

    /// Signs once more what was signed last with a nonce, with fees that are a tenth higher at least, and sends that.
    ///
    /// # Errors
    /// A nonce that nothing was signed with here, and fees over what the key may pay.
    pub async fn bump(&self, nonce: U256) -> Result<PendingRedemption, RedeemError> {
        let kept = self.kept(nonce).await?;
        let data = last_data(&kept);
        self.replace(kept, &data, Fees::raised).await
    }

    /// Uses up a nonce that is stuck, for fees alone: it redeems nothing. What was signed with the nonce before may still get into a
    /// block instead.
    ///
    /// # Errors
    /// As [`bump`](Self::bump).
    pub async fn free(&self, nonce: U256) -> Result<PendingRedemption, RedeemError> {
        self.replace(self.kept(nonce).await?, &NoRedemption.to_vec(), Fees::raised).await
    }

    /// Signs anew with a nonce, with what the last fees have to be at least.
    async fn replace(
        &self,
        kept: Kept,
        data: &[u8],
        at_least: impl FnOnce(Fees) -> Fees,
    ) -> Result<PendingRedemption, RedeemError> {
        let quote = self.carrier.quote(data).await?;
        let last = kept.signed.last().and_then(|text| Signed::read(text));
        let least = last.map_or_else(Fees::default, |last| at_least(last.fees()));
        let draft = self.priced(&quote, data, self.fees(&quote).at_least(least)).await?;
        let signed = self.sign(&Draft { nonce: kept.nonce, ..draft }, quote.block).await?;
        self.keep_and_send(kept.nonce, &signed, kept.data).await?;
        Ok(self.pending(kept.nonce))
    }

    /// Says what has become of the nonces that this store has something signed with, and forgets those that are over. The others are
    /// sent again, and operations are signed anew where nobody takes them as they are.
    ///
    /// # Errors
    /// The store, the chain's node, who it is sent to, and what keeps it from being signed; not where the end of another is told.
    pub async fn settle(&self) -> Result<Vec<Settled>, RedeemError> {
        let (mut settled, mut told, mut failed) = (Vec::new(), Vec::new(), None);
        for Kept { nonce, .. } in self.store.transactions(self.id()).await? {
            match self.end_of(nonce).await {
                Ok(None) => {}
                Ok(Some(end)) => {
                    settled.push(end);
                    told.push(Change::RemoveTransaction(nonce));
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        // All at once and at last, so that no end is forgotten that was not told.
        self.store.apply(self.id(), told).await?;
        match failed {
            Some(error) if settled.is_empty() => Err(error),
            _ => Ok(settled),
        }
    }

    /// What has become of a nonce that is over; another goes on.
    async fn end_of(&self, nonce: U256) -> Result<Option<Settled>, RedeemError> {
        let is_used = self.carrier.is_used(nonce).await?;
        // Read now: others may have signed with it, or told its end.
        let Some(kept) = self.find(nonce).await? else { return Ok(None) };
        if is_used {
            return Ok(Some(self.settled(&kept).await?));
        }
        self.go_on(kept).await?;
        Ok(None)
    }

    /// What was signed for the same call and is not told yet.
    async fn under_way(&self, data: &[u8]) -> Result<Option<PendingRedemption>, RedeemError> {
        let Some(same) = self.kept_for(data).await? else { return Ok(None) };
        let nonce = same.nonce;
        self.go_on(same).await?;
        Ok(Some(self.pending(nonce)))
    }

    /// Has what was signed last with a nonce sent where it was lost. An operation that gets into no block as it is, since its paymaster's
    /// data is over, its account is there meanwhile, or it pays too little, is signed anew with the same nonce, for what it costs now.
    async fn go_on(&self, kept: Kept) -> Result<(), RedeemError> {
        match self.send_again(&kept).await {
            Err(RedeemError::Bundler(BundlerError::Rejected { .. })) => {
                let data = last_data(&kept);
                unless_conflicting(self.replace(kept, &data, |last| last).await.map(drop))
            }
            sent => sent,
        }
    }

    async fn start(&self, data: Vec<u8>, quote: Quote) -> Result<PendingRedemption, RedeemError> {
        self.check_price(&quote)?;
        let draft = self.priced(&quote, &data, self.fees(&quote)).await?;
        if quote.deploys {
            self.check_deployment().await?;
        }
        let nonce = self.reserve(&data).await?;
        match self.sign(&Draft { nonce, ..draft }, quote.block).await {
            Ok(signed) => self.keep_and_send(nonce, &signed, data).await.map(|()| self.pending(nonce)),
            Err(error) => {
                self.store.apply(self.id(), vec![Change::ReleaseNonce { nonce, data }]).await?;
                Err(error)
            }
        }
    }

    /// One operation deploys the account. Bundlers take no second one, or put it in the place of the first. One that cannot go on is no
    /// reason to wait.
    async fn check_deployment(&self) -> Result<(), RedeemError> {
        let (account, now) = (self.carrier.caller(), now());
        for kept in self.store.transactions(self.id()).await? {
            let nonce = kept.nonce;
            if kept.is_free(now) {
                continue;
            }
            match self.go_on(kept).await {
                Ok(()) => return Err(RedeemError::Deploying { account, nonce }),
                Err(error @ (RedeemError::Store(_) | RedeemError::Transport(_))) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The first nonce that nobody has. What was lost of those that have to come first is sent again.
    async fn reserve(&self, data: &[u8]) -> Result<U256, RedeemError> {
        let kept = self.store.transactions(self.id()).await?;
        if self.carrier.is_in_order() {
            for kept in &kept {
                self.send_again(kept).await?;
            }
        }
        let now = now();
        let is_taken = |nonce: U256| kept.iter().any(|kept| kept.nonce == nonce && !kept.is_free(now));
        // After the store: a nonce that is free there by now may be in a block.
        let mut nonce = self.carrier.nonce(None).await?;
        loop {
            if !is_taken(nonce) {
                let reserved_until = now + RESERVATION.as_secs();
                let transaction = Kept { nonce, data: data.to_vec(), reserved_until, signed: Vec::new() };
                match self.store.apply(self.id(), vec![Change::ReserveNonce { transaction, now }]).await {
                    Ok(()) => return Ok(nonce),
                    Err(StoreError::NonceTaken { .. }) => {}
                    Err(StoreError::SameData { nonce, .. }) => return Err(RedeemError::UnderWay { nonce }),
                    Err(error) => return Err(error.into()),
                }
            }
            nonce = self.carrier.nonce(Some(nonce)).await?;
        }
    }

    /// What was signed is stored before it is sent, with what the nonce was reserved for.
    async fn keep_and_send(&self, nonce: U256, signed: &Signed, data: Vec<u8>) -> Result<(), RedeemError> {
        let keep = Change::AddSigned { nonce, data, encoded: signed.write() };
        self.store.apply(self.id(), vec![keep]).await?;
        self.carrier.send(signed).await
    }

    /// The call with its gas and fees, of nonce 0: what the key's permissions allow, and its balance can pay for.
    async fn priced(&self, quote: &Quote, data: &[u8], fees: Fees) -> Result<Draft, RedeemError> {
        let gas = match &quote.gas {
            Ok(gas) => *gas,
            Err(revert) => return Err(self.cause(data, revert).await?),
        };
        let (data, deploys, paymaster) = (data.to_vec(), quote.deploys, quote.paymaster.clone());
        let draft = Draft { nonce: U256::ZERO, data, gas, fees, deploys, paymaster };
        self.judge(&draft)?;
        if draft.paymaster.is_some() {
            return Ok(draft);
        }
        let (payer, found) = (self.carrier.caller(), quote.balance);
        let needed = gas.total().saturating_mul(U256::from(fees.fee));
        if found < needed {
            return Err(RedeemError::Balance { payer, found, needed });
        }
        Ok(draft)
    }

    async fn sign(&self, draft: &Draft, block: u64) -> Result<Signed, RedeemError> {
        let subject = self.carrier.subject(&self.carrier.complete(draft).await?);
        let signature = self.signer.sign(&subject).await.map_err(RedeemError::Signer)?;
        Ok(Signed { subject, signature, block })
    }

    fn judge(&self, draft: &Draft) -> Result<PermittedSubject, RedeemError> {
        let subject = self.carrier.subject(draft);
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
        let (redeemer, manager) = (self.carrier.caller(), self.permissions.deployment.manager());
        for (place, delegation) in context.delegations().enumerate() {
            for (caveat, read) in delegation.caveats.iter().enumerate() {
                let hook = CaveatEnforcer::beforeHookCall {
                    terms: Bytes::copy_from_slice(read.terms),
                    args: Bytes::new(),
                    mode: redeem.mode.word(),
                    executionCalldata: Bytes::copy_from_slice(redeem.execution),
                    delegationHash: delegation.hash(),
                    delegator: delegation.delegator,
                    redeemer,
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

    fn check_price(&self, quote: &Quote) -> Result<(), RedeemError> {
        let (price, most) = (U256::from(quote.price), self.permissions.fees.fee_per_gas);
        if price > most { Err(RedeemError::Price { price, most }) } else { Ok(()) }
    }

    /// Good for some rising blocks, and not over what the key may pay.
    fn fees(&self, quote: &Quote) -> Fees {
        let fee = quote.fees.fee.min(self.permissions.fees.fee_per_gas.saturating_to());
        Fees { fee, tip: quote.fees.tip.min(fee) }
    }

    /// Sends what was signed last with a nonce.
    async fn send_again(&self, kept: &Kept) -> Result<(), RedeemError> {
        match kept.signed.last().and_then(|text| Signed::read(text)) {
            Some(signed) => unless_conflicting(self.carrier.send(&signed).await),
            None => Ok(()),
        }
    }

    /// What was signed for a call. Also where it is in a block: whoever asks for it again has not heard of that.
    async fn kept_for(&self, data: &[u8]) -> Result<Option<Kept>, RedeemError> {
        let kept = self.store.transactions(self.id()).await?;
        Ok(kept.into_iter().find(|kept| kept.data == data && !kept.signed.is_empty()))
    }

    async fn kept(&self, nonce: U256) -> Result<Kept, RedeemError> {
        self.find(nonce).await?.ok_or(RedeemError::UnknownNonce { nonce })
    }

    async fn find(&self, nonce: U256) -> Result<Option<Kept>, RedeemError> {
        let kept = self.store.transactions(self.id()).await?;
        Ok(kept.into_iter().find(|kept| kept.nonce == nonce))
    }

    async fn forget(&self, nonce: U256) -> Result<(), RedeemError> {
        Ok(self.store.apply(self.id(), vec![Change::RemoveTransaction(nonce)]).await?)
    }

    fn id(&self) -> AccountId {
        AccountId { chain_id: self.permissions.chain_id.get(), address: self.carrier.caller() }
    }

    fn pending(&self, nonce: U256) -> PendingRedemption {
        PendingRedemption { redeemer: self.clone(), nonce }
    }

    fn context(&self) -> Option<Context<'_>> {
        Context::parse(self.permissions.context.as_bytes()).ok()
    }
}

/// What the manager is called with by what was signed last with a nonce.
fn last_data(kept: &Kept) -> Vec<u8> {
    let last = kept.signed.last().and_then(|text| Signed::read(text));
    last.map_or_else(|| kept.data.clone(), |last| last.data().to_vec())
}

/// Where a conflict is with another of the same nonce, that one is on its way.
fn unless_conflicting(sent: Result<(), RedeemError>) -> Result<(), RedeemError> {
    match sent {
        Err(RedeemError::Bundler(error)) if error.send_outcome() == SendOutcome::Conflict => Ok(()),
        sent => sent,
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
