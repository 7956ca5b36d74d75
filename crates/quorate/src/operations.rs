//! What an account's owner does with it besides granting sessions.

use std::fmt;

use alloy_primitives::aliases::U192;
use alloy_primitives::utils::format_units;
use alloy_primitives::{Address, B256, U256};
use alloy_signer::Signer;
use futures_util::future::try_join_all;
use quorate_bundler::{Fees, GasEstimate};
use quorate_contracts::{self as contracts, EcdsaOwnershipModule, Erc20, calls};
use quorate_core::UserOperation;
use quorate_paymaster::{FeeQuotes, TokenList};
use quorate_store::{Answer, Change, Operation, SessionId};
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::Options;
use crate::cost::{self, ExpectedCost};
use crate::fill::{fees_of, gas_of};
use crate::life::facts::Query;
use crate::life::resume::OwnerDraft;
use crate::life::update::{OwnerIntent, TreeUpdate};
use crate::payment::{OwnerCalls, paymaster_of};
use crate::{Call, Draft, Error, OwnerModule, PendingOperation, SmartAccount};

/// Calls that the account's owner has it make. What they are stands in the operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {}

impl OwnerIntent for Calls {
    type Pending = PendingOperation;

    fn tree_update(&self) -> Option<&TreeUpdate> {
        None
    }

    fn session_id(&self) -> Option<&SessionId> {
        None
    }

    fn changes(&self, _: B256, _: &[SessionId]) -> Vec<Change> {
        Vec::new()
    }

    fn pending(self, _: &SmartAccount, operation: PendingOperation) -> PendingOperation {
        operation
    }
}

/// What an account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Native coin, in wei.
    pub native: U256,
    /// Native coin at the entry point, of which operations are paid first, in wei.
    pub deposit: U256,
    /// Each token asked for.
    pub tokens: Vec<TokenBalance>,
}

/// What an account has of a token.
///
/// ```
/// use quorate::{Address, TokenBalance, U256};
///
/// let token = Address::repeat_byte(0x11);
/// let balance = TokenBalance { token, amount: U256::from(12_500_000), decimals: Some(6) };
/// assert_eq!(balance.to_string(), "12.500000");
/// assert_eq!(TokenBalance { decimals: None, ..balance }.to_string(), "12500000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBalance {
    /// The token.
    pub token: Address,
    /// How much, in the token's smallest unit.
    pub amount: U256,
    /// How many digits of the amount stand behind the point; none for a token that does not say.
    pub decimals: Option<u8>,
}

/// The amount in whole tokens, exactly; in the smallest unit where the token names none.
impl fmt::Display for TokenBalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decimals.and_then(|decimals| format_units(self.amount, decimals).ok()) {
            Some(amount) => f.write_str(&amount),
            None => write!(f, "{}", self.amount),
        }
    }
}

/// What is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// Native coin, in wei.
    Native,
    /// A token, in its smallest unit.
    Token(Address),
    /// Native coin that the account has at the entry point, in wei.
    Deposit,
}

/// Something to move out of an account.
///
/// ```
/// use quorate::{Address, Asset, U256, Withdrawal};
///
/// let token = Address::repeat_byte(0x11);
/// let everything = Withdrawal::all(Asset::Token(token));
/// let a_part = Withdrawal::of(Asset::Token(token), U256::from(5)).to(Address::repeat_byte(0x22));
/// assert_eq!((everything.amount, a_part.amount), (None, Some(U256::from(5))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// What.
    pub asset: Asset,
    /// How much; none for all of it.
    pub amount: Option<U256>,
    /// To whom; none for the default recipient.
    pub recipient: Option<Address>,
}

impl Withdrawal {
    /// All that the account has.
    pub const fn all(asset: Asset) -> Self {
        Self { asset, amount: None, recipient: None }
    }

    /// So much.
    pub const fn of(asset: Asset, amount: U256) -> Self {
        Self { asset, amount: Some(amount), recipient: None }
    }

    /// The same to somebody else than the default recipient.
    #[must_use]
    pub const fn to(mut self, recipient: Address) -> Self {
        self.recipient = Some(recipient);
        self
    }
}

/// What an operation would take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// In gas.
    pub gas: GasEstimate,
    /// In wei for each unit of gas.
    pub fees: Fees,
    /// In wei: all of the gas at the highest fee, the verification's three times where a paymaster pays.
    pub wei: U256,
    /// What it should cost, by the chain's node and by rules.
    pub expected: Option<ExpectedCost>,
}

impl SmartAccount {
    /// Whether the account is on chain.
    ///
    /// # Errors
    /// The node gives no answer.
    pub async fn is_deployed(&self) -> Result<bool, Error> {
        self.client.chain.is_deployed(self.address).await
    }

    /// Whether a module may validate the account's operations; none is before the account is deployed.
    ///
    /// # Errors
    /// The node gives no answer.
    pub async fn is_module_enabled(&self, module: Address) -> Result<bool, Error> {
        let chain = &self.client.chain;
        Ok(chain.is_deployed(self.address).await? && chain.is_module_enabled(self.address, module).await?)
    }

    /// The modules that may validate the account's operations, the one enabled last first; none is before the account is
    /// deployed.
    ///
    /// # Errors
    /// The node gives no answer.
    pub async fn modules(&self) -> Result<Vec<Address>, Error> {
        let chain = &self.client.chain;
        if chain.is_deployed(self.address).await? {
            chain.modules(self.address).await
        } else {
            Ok(Vec::new())
        }
    }

    /// The call by which the account lets a module validate its operations. Enabling one again reverts.
    pub fn enable_module_call(&self, module: Address) -> Call {
        Call::from(calls::enable_module(self.address, module).as_call())
    }

    /// Whose signature the account obeys on chain by its [`owner_module`](Self::owner_module).
    ///
    /// # Errors
    /// [`Error::NoOwner`] before the account is deployed, and where the module was not set up for it; the node gives no
    /// answer.
    pub async fn owner_on_chain(&self) -> Result<Address, Error> {
        self.client.owner_by(self.owner_module(), self.address).await
    }

    /// Has the account obey its owner by this module too, whose registry is its own: it is enabled and told of the owner
    /// in one call. Go on with [`with_owner_module`](Self::with_owner_module).
    ///
    /// # Errors
    /// [`Error::OwnerModuleEnabled`]; what a node, the bundler or the signer says.
    pub async fn enable_owner_module<S: Signer + Sync + ?Sized>(
        &self,
        module: OwnerModule,
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        let address = module.address(self.client.deployment());
        if self.is_module_enabled(address).await? {
            return Err(Error::OwnerModuleEnabled { account: self.address, module });
        }
        let setup = calls::setup_and_enable_module(self.address, address, self.owner);
        self.send_calls(&[Call::from(setup.as_call())], owner).await
    }

    /// The next nonce of one of the account's parallel streams, which 192 bits name.
    ///
    /// # Errors
    /// The node gives no answer: an account without one has the nonce 0, and no other failure is taken for that.
    pub async fn nonce(&self, stream: U192) -> Result<U256, Error> {
        self.client.chain.nonce(self.address, stream.to()).await
    }

    /// What the account has of native coin and of these tokens.
    ///
    /// # Errors
    /// The node gives no answer, or a token is none.
    pub async fn balances(&self, tokens: &[Address]) -> Result<Balances, Error> {
        let chain = &self.client.chain;
        let tokens = tokens.iter().map(|token| async {
            let (amount, decimals) =
                tokio::try_join!(chain.token_balance(*token, self.address), chain.decimals(*token))?;
            Ok(TokenBalance { token: *token, amount, decimals })
        });
        let (native, deposit, tokens) =
            tokio::try_join!(chain.balance(self.address), chain.deposit(self.address), try_join_all(tokens))?;
        Ok(Balances { native, deposit, tokens })
    }

    /// What `spender` may take of the account's token, in its smallest unit.
    ///
    /// # Errors
    /// The node gives no answer, or the token is none.
    pub async fn token_allowance(&self, token: Address, spender: Address) -> Result<U256, Error> {
        self.client.chain.allowance(token, self.address, spender).await
    }

    /// Deploys the account. Whatever else it is sent for the first time does that as well.
    ///
    /// # Errors
    /// [`Error::AlreadyDeployed`]; what a node, the bundler or the signer says.
    pub async fn deploy<S: Signer + Sync + ?Sized>(&self, owner: &S) -> Result<PendingOperation, Error> {
        if self.is_deployed().await? {
            return Err(Error::AlreadyDeployed { account: self.address });
        }
        self.send_owner_calls(OwnerCalls::default(), owner).await
    }

    /// Builds the operation that [`deploy`](Self::deploy) sends.
    ///
    /// # Errors
    /// [`Error::AlreadyDeployed`]; what a node or the bundler says.
    pub async fn prepare_deployment(&self) -> Result<Draft<Calls>, Error> {
        if self.is_deployed().await? {
            return Err(Error::AlreadyDeployed { account: self.address });
        }
        self.prepare_owner_calls(OwnerCalls::default()).await
    }

    /// Has the account make calls, one as `execute` and several as `executeBatch`.
    ///
    /// Where the same calls were sent before and their fate is not known, this goes on with that operation, so that a retry
    /// executes nothing twice; [`Options::with_repetition`] makes them a second time.
    ///
    /// # Errors
    /// [`Error::NoCalls`], [`Error::UnderWay`] while another operation of the owner's is; what a node or the signer says;
    /// [`Error::NotSent`] where the bundler could not be reached, and otherwise [`Error::Unsettled`].
    pub async fn send_calls<S: Signer + Sync + ?Sized>(
        &self,
        calls: &[Call],
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        self.send_owner_calls(self.owner_calls(calls)?, owner).await
    }

    /// Builds the operation that makes calls, and deploys the account where it does not exist.
    ///
    /// # Errors
    /// [`Error::NoCalls`]; [`Error::UnderWay`] where the same calls were sent before and their fate is not known, unless
    /// the options have [`Options::with_repetition`]; what a node or the bundler says.
    pub async fn prepare_calls(&self, calls: &[Call]) -> Result<Draft<Calls>, Error> {
        let calls = self.owner_calls(calls)?;
        match self.unsettled_calls(&calls).await? {
            Some(stored) => Err(Error::UnderWay { user_op_hash: stored.user_op_hash }),
            None => self.prepare_owner_calls(calls).await,
        }
    }

    /// Makes somebody else the account's owner, in every owner module that is enabled: otherwise the former owner would
    /// stay in charge by the others. Sessions stay; go on with [`with_owner`](Self::with_owner).
    ///
    /// # Errors
    /// [`Error::NoOwner`] where an enabled module names no owner, so that it cannot be told of another; what a node, the
    /// bundler or the signer says; a contract cannot be an owner.
    pub async fn transfer_ownership<S: Signer + Sync + ?Sized>(
        &self,
        new_owner: Address,
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        let calls = self.ownership_transfer(new_owner).await?;
        self.send_calls(&calls, owner).await
    }

    /// The calls that [`transfer_ownership`](Self::transfer_ownership) makes, for [`prepare_calls`](Self::prepare_calls)
    /// where the owner signs elsewhere.
    ///
    /// # Errors
    /// As [`transfer_ownership`](Self::transfer_ownership) before anything is signed.
    pub async fn ownership_transfer(&self, new_owner: Address) -> Result<Vec<Call>, Error> {
        let client = &self.client;
        let modules = if client.chain.is_deployed(self.address).await? {
            let modules = client.enabled_owner_modules(self.address).await?;
            try_join_all(modules.iter().map(|module| client.owner_by(*module, self.address))).await?;
            modules
        } else {
            vec![self.owner_module()]
        };
        let transfer = || EcdsaOwnershipModule::transferOwnershipCall { owner: new_owner };
        let addresses = modules.iter().map(|module| module.address(client.deployment()));
        Ok(addresses.map(|address| Call::new(address, transfer())).collect())
    }

    /// Moves native coin and tokens out of the account, in one operation: each to its own recipient where it names one,
    /// to `recipient` otherwise. All of a token is what the other withdrawals of it leave.
    ///
    /// # Errors
    /// [`Error::AllOfNative`] for all native coin where the account pays the gas of it; [`Error::WithdrawnTwice`] where two
    /// withdrawals ask for all of one token, or the others for more than there is; [`Error::NoCalls`] where there is
    /// nothing to move; what a node, the bundler or the signer says.
    pub async fn withdraw<S: Signer + Sync + ?Sized>(
        &self,
        withdrawals: &[Withdrawal],
        recipient: Address,
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        self.send_calls(&self.withdrawal(withdrawals, recipient).await?, owner).await
    }

    /// The calls that [`withdraw`](Self::withdraw) makes, for [`prepare_calls`](Self::prepare_calls) where the owner signs
    /// elsewhere.
    ///
    /// # Errors
    /// As [`withdraw`](Self::withdraw) before anything is signed.
    pub async fn withdrawal(
        &self,
        withdrawals: &[Withdrawal],
        recipient: Address,
    ) -> Result<Vec<Call>, Error> {
        let mut calls = Vec::with_capacity(withdrawals.len());
        for (place, withdrawal) in withdrawals.iter().enumerate() {
            let recipient = withdrawal.recipient.unwrap_or(recipient);
            let amount = match (withdrawal.asset, withdrawal.amount) {
                (_, Some(amount)) => amount,
                // Only where somebody else pays, since what the account pays for gas is not known before.
                (Asset::Native, None) if self.options.payment().is_none() => {
                    return Err(Error::AllOfNative { withdrawal: place });
                }
                (asset, None) => rest(withdrawals, place, self.balance(asset).await?)?,
            };
            if amount == U256::ZERO {
                continue;
            }
            calls.push(match withdrawal.asset {
                Asset::Native => Call::transfer(recipient, amount),
                Asset::Token(token) => Call::new(token, Erc20::transferCall { to: recipient, amount }),
                Asset::Deposit => Call::new(
                    self.address,
                    contracts::SmartAccount::withdrawDepositToCall { withdrawAddress: recipient, amount },
                ),
            });
        }
        Ok(calls)
    }

    async fn balance(&self, asset: Asset) -> Result<U256, Error> {
        let chain = &self.client.chain;
        match asset {
            Asset::Native => chain.balance(self.address).await,
            Asset::Token(token) => chain.token_balance(token, self.address).await,
            Asset::Deposit => chain.deposit(self.address).await,
        }
    }

    /// What an operation that makes these calls would take at most. It is not checked against the options' limits.
    ///
    /// # Errors
    /// The bundler rejects the calls; a node, the bundler or the paymaster gives no answer.
    pub async fn estimate(&self, calls: &[Call]) -> Result<Cost, Error> {
        let unlimited = self.options.clone().without_limits();
        let account = Self { options: unlimited, ..self.clone() };
        let draft = account.prepare_calls(calls).await?;
        let operation = &draft.operation.operation;
        Ok(Cost {
            gas: gas_of(operation),
            fees: fees_of(operation),
            wei: cost::worst(operation),
            expected: draft.expected,
        })
    }

    /// What the paymaster would take for an operation that makes these calls, in each of these tokens, or where none is
    /// named in each that it takes.
    ///
    /// # Errors
    /// [`Error::NoPaymaster`]; what a node or the paymaster says.
    pub async fn token_quotes(&self, calls: &[Call], tokens: TokenList) -> Result<FeeQuotes, Error> {
        let calls = self.owner_calls(calls)?;
        let query = Query { streams: vec![U256::ZERO], modules: Vec::new() };
        let (facts, prices) =
            tokio::try_join!(self.client.facts(self.address, &query), self.client.prices(&self.options))?;
        let nonce = U256::from(facts.sequence(U256::ZERO));
        let unfilled = self.unfilled(&facts, nonce, &calls, prices)?;
        self.client.quotes(&unfilled, &tokens, &self.options).await
    }

    fn owner_calls(&self, calls: &[Call]) -> Result<OwnerCalls, Error> {
        if calls.is_empty() {
            return Err(Error::NoCalls);
        }
        let is_batch = calls.len() > 1 || self.options.forced_batch() == Some(true);
        Ok(OwnerCalls { calls: calls.to_vec(), is_batch })
    }

    /// Makes calls, or goes on with those that were made before and whose fate the caller does not know: the same bytes,
    /// or where the bundler refused them an operation at the same nonce.
    async fn send_owner_calls<S: Signer + Sync + ?Sized>(
        &self,
        calls: OwnerCalls,
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        let Some(stored) = self.unsettled_calls(&calls).await? else {
            let draft = self.prepare_owner_calls(calls).await?;
            return self.sign_and_submit(draft, owner).await;
        };
        if stored.answer != Answer::Refused {
            match self.client.resend(self.id(), &stored, true).await {
                Err(Error::Unsettled { source, .. }) if matches!(*source, Error::Dead { .. }) => {}
                sent => return sent,
            }
        }
        match self.rebuild(stored.user_op_hash).await {
            Ok(OwnerDraft::Calls(draft)) => {
                let pending = self.sign_and_submit(draft, owner).await?;
                self.client.told(self.id(), stored.nonce).await?;
                Ok(pending)
            }
            Err(Error::NonceUsed { .. }) => self.client.known(self.id(), &stored, true).await,
            Ok(_) => Err(Error::UnderWay { user_op_hash: stored.user_op_hash }),
            Err(error) => Err(Error::unsettled(stored.user_op_hash, error)),
        }
    }

    /// The owner's operation with the same calls of which nobody was told what became. What it approves for its payment is
    /// none of the calls.
    async fn unsettled_calls(&self, calls: &OwnerCalls) -> Result<Option<Operation>, Error> {
        if self.options.repetition() == Some(true) {
            return Ok(None);
        }
        let is_same = |operation: &UserOperation<Vec<u8>>| {
            let paymaster = paymaster_of(&operation.paymaster_and_data);
            self.options.nonce().is_none_or(|nonce| nonce == operation.nonce)
                && OwnerCalls::decode(&operation.call_data, paymaster)
                    .is_ok_and(|made| made.calls == calls.calls)
        };
        self.client.unsettled_call(self.id(), None, is_same).await
    }

    async fn prepare_owner_calls(&self, calls: OwnerCalls) -> Result<Draft<Calls>, Error> {
        let client = &self.client;
        let operations = client.store.operations(self.id()).await?;
        let mut query = Query::of_operations(&operations);
        query.streams.extend(self.options.nonce_key().map(U256::from));
        let (facts, prices) =
            tokio::try_join!(client.facts(self.address, &query), client.prices(&self.options))?;
        let slot = self.owner_slot(&facts, &operations, Vec::new(), &self.options)?;
        self.fill_owner_s(&facts, slot, calls, prices, Calls {}).await
    }
}

/// What the other withdrawals of an asset leave of its balance to the one at `place`, which asks for all.
fn rest(withdrawals: &[Withdrawal], place: usize, balance: U256) -> Result<U256, Error> {
    let asset = withdrawals[place].asset;
    let others = withdrawals
        .iter()
        .enumerate()
        .filter(|(other, withdrawal)| *other != place && withdrawal.asset == asset);
    let mut rest = balance;
    for (_, other) in others {
        let taken = other.amount.and_then(|amount| rest.checked_sub(amount));
        rest = taken.ok_or(Error::WithdrawnTwice { withdrawal: place, asset })?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_token_is_what_the_other_withdrawals_leave() {
        let (gold, iron) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let of = |token, amount: u64| Withdrawal::of(Asset::Token(token), U256::from(amount));
        let all = Withdrawal::all(Asset::Token(gold));
        let rest = |withdrawals: &[Withdrawal], place, balance: u64| {
            super::rest(withdrawals, place, U256::from(balance)).ok()
        };
        assert_eq!(rest(&[of(gold, 5), of(iron, 50), all], 2, 30), Some(U256::from(25)));
        assert_eq!(rest(&[all, of(gold, 30)], 0, 30), Some(U256::ZERO));
        assert_eq!(rest(&[all, of(gold, 31)], 0, 30), None, "there is not so much");
        assert_eq!(rest(&[all, all], 0, 30), None, "who gets it?");
    }
}
