//! What an account's owner does with it besides granting sessions.

use alloy_primitives::aliases::U192;
use alloy_primitives::{Address, B256, U256};
use alloy_signer::Signer;
use alloy_sol_types::SolCall as _;
use quorate_bundler::{Fees, GasEstimate};
use quorate_contracts::{EcdsaOwnershipModule, Erc20};
use quorate_core::{Call, Encode as _, Execute, ExecuteBatch};
use quorate_store::{Answer, Change, Operation, SessionId};
use serde::{Deserialize, Serialize};

use crate::life::facts::Query;
use crate::life::resume::OwnerDraft;
use crate::life::update::{OwnerIntent, TreeUpdate};
use crate::{Draft, Error, Options, PendingOperation, SmartAccount};

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
    /// Each token asked for, in its smallest unit.
    pub tokens: Vec<(Address, U256)>,
}

/// What is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// Native coin, in wei.
    Native,
    /// A token, in its smallest unit.
    Token(Address),
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
    /// In wei: all of the gas at the highest fee.
    pub wei: U256,
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

    /// Whose signature the account obeys on chain; reverts before the account is deployed.
    ///
    /// # Errors
    /// The node gives no answer, or the account has no owner.
    pub async fn owner_on_chain(&self) -> Result<Address, Error> {
        self.client.chain.owner(self.address).await
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
        let native = chain.balance(self.address).await?;
        let mut balances = Vec::with_capacity(tokens.len());
        for token in tokens {
            balances.push((*token, chain.token_balance(*token, self.address).await?));
        }
        Ok(Balances { native, tokens: balances })
    }

    /// Deploys the account. Whatever else it is sent for the first time does that as well.
    ///
    /// # Errors
    /// [`Error::AlreadyDeployed`]; what a node, the bundler or the signer says.
    pub async fn deploy<S: Signer + Sync + ?Sized>(
        &self,
        owner: &S,
        options: &Options,
    ) -> Result<PendingOperation, Error> {
        if self.is_deployed().await? {
            return Err(Error::AlreadyDeployed { account: self.address });
        }
        self.send_call_data(Vec::new(), owner, options).await
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
        calls: &[Call<'_>],
        owner: &S,
        options: &Options,
    ) -> Result<PendingOperation, Error> {
        self.send_call_data(encode(calls, options)?, owner, options).await
    }

    /// Builds the operation that makes calls, and deploys the account where it does not exist.
    ///
    /// # Errors
    /// [`Error::NoCalls`]; [`Error::UnderWay`] where the same calls were sent before and their fate is not known, unless
    /// the options have [`Options::with_repetition`]; what a node or the bundler says.
    pub async fn prepare_calls(&self, calls: &[Call<'_>], options: &Options) -> Result<Draft<Calls>, Error> {
        let call_data = encode(calls, options)?;
        match self.unsettled_calls(&call_data, options).await? {
            Some(stored) => Err(Error::UnderWay { user_op_hash: stored.user_op_hash }),
            None => self.prepare_call_data(call_data, options).await,
        }
    }

    /// Makes somebody else the account's owner. Sessions stay; go on with
    /// [`with_owner`](Self::with_owner).
    ///
    /// # Errors
    /// What a node, the bundler or the signer says; a contract cannot be an owner.
    pub async fn transfer_ownership<S: Signer + Sync + ?Sized>(
        &self,
        new_owner: Address,
        owner: &S,
        options: &Options,
    ) -> Result<PendingOperation, Error> {
        let data = EcdsaOwnershipModule::transferOwnershipCall { owner: new_owner }.abi_encode();
        let to = self.client.deployment().ecdsa_ownership_module;
        self.send_calls(&[Call { to, value: U256::ZERO, data: &data }], owner, options).await
    }

    /// Moves native coin and tokens out of the account, in one operation: each to its own recipient where it names one,
    /// to `recipient` otherwise. All of a token is what the other withdrawals of it leave.
    ///
    /// # Errors
    /// [`Error::AllOfNative`] for all native coin, of which the account pays the gas; [`Error::WithdrawnTwice`] where two
    /// withdrawals ask for all of one token, or the others for more than there is; [`Error::NoCalls`] where there is
    /// nothing to move; what a node, the bundler or the signer says.
    pub async fn withdraw<S: Signer + Sync + ?Sized>(
        &self,
        withdrawals: &[Withdrawal],
        recipient: Address,
        owner: &S,
        options: &Options,
    ) -> Result<PendingOperation, Error> {
        let mut moves = Vec::with_capacity(withdrawals.len());
        for (place, withdrawal) in withdrawals.iter().enumerate() {
            let recipient = withdrawal.recipient.unwrap_or(recipient);
            let amount = match (withdrawal.asset, withdrawal.amount) {
                (Asset::Native, None) => return Err(Error::AllOfNative { withdrawal: place }),
                (_, Some(amount)) => amount,
                (Asset::Token(token), None) => {
                    let balance = self.client.chain.token_balance(token, self.address).await?;
                    rest(withdrawals, place, token, balance)?
                }
            };
            if amount == U256::ZERO {
                continue;
            }
            moves.push(match withdrawal.asset {
                Asset::Native => (recipient, amount, Vec::new()),
                Asset::Token(token) => {
                    (token, U256::ZERO, Erc20::transferCall { to: recipient, amount }.abi_encode())
                }
            });
        }
        let calls: Vec<_> =
            moves.iter().map(|(to, value, data)| Call { to: *to, value: *value, data }).collect();
        self.send_calls(&calls, owner, options).await
    }

    /// What an operation that makes these calls would take at most.
    ///
    /// # Errors
    /// The bundler rejects the calls; a node or the bundler gives no answer.
    pub async fn estimate(&self, calls: &[Call<'_>], options: &Options) -> Result<Cost, Error> {
        let op = self.prepare_calls(calls, options).await?.operation.operation;
        let gas = GasEstimate {
            pre_verification_gas: op.pre_verification_gas,
            verification_gas_limit: op.verification_gas_limit,
            call_gas_limit: op.call_gas_limit,
        };
        let fees = Fees {
            max_fee_per_gas: op.max_fee_per_gas,
            max_priority_fee_per_gas: op.max_priority_fee_per_gas,
        };
        let total = [gas.pre_verification_gas, gas.verification_gas_limit, gas.call_gas_limit]
            .into_iter()
            .fold(U256::ZERO, U256::saturating_add);
        Ok(Cost { gas, fees, wei: total.saturating_mul(fees.max_fee_per_gas) })
    }

    /// Makes calls, or goes on with those that were made before and whose fate the caller does not know: the same bytes,
    /// or where the bundler refused them an operation at the same nonce.
    async fn send_call_data<S: Signer + Sync + ?Sized>(
        &self,
        call_data: Vec<u8>,
        owner: &S,
        options: &Options,
    ) -> Result<PendingOperation, Error> {
        let Some(stored) = self.unsettled_calls(&call_data, options).await? else {
            let draft = self.prepare_call_data(call_data, options).await?;
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

    /// The owner's operation with the same calls of which nobody was told what became.
    async fn unsettled_calls(&self, call_data: &[u8], options: &Options) -> Result<Option<Operation>, Error> {
        if options.repetition() == Some(true) || options.nonce().is_some() {
            return Ok(None);
        }
        self.client.unsettled_call(self.id(), None, call_data).await
    }

    async fn prepare_call_data(&self, call_data: Vec<u8>, options: &Options) -> Result<Draft<Calls>, Error> {
        let client = &self.client;
        let operations = client.store.operations(self.id()).await?;
        let mut query = Query::of_operations(&operations);
        query.streams.extend(options.nonce_key().map(U256::from));
        let (facts, fees) = tokio::try_join!(client.facts(self.address, &query), client.fees())?;
        let slot = self.owner_slot(&facts, &operations, Vec::new(), options)?;
        self.fill_owner_s(&facts, slot, call_data, fees, options, Calls {}).await
    }
}

/// What the other withdrawals of a token leave of its balance to the one at `place`, which asks for all.
fn rest(withdrawals: &[Withdrawal], place: usize, token: Address, balance: U256) -> Result<U256, Error> {
    let others = withdrawals
        .iter()
        .enumerate()
        .filter(|(other, withdrawal)| *other != place && withdrawal.asset == Asset::Token(token));
    let mut rest = balance;
    for (_, other) in others {
        let taken = other.amount.and_then(|amount| rest.checked_sub(amount));
        rest = taken.ok_or(Error::WithdrawnTwice { withdrawal: place, token })?;
    }
    Ok(rest)
}

fn encode(calls: &[Call<'_>], options: &Options) -> Result<Vec<u8>, Error> {
    match calls {
        [] => Err(Error::NoCalls),
        [call] if options.forced_batch() != Some(true) => Ok(Execute(*call).to_vec()),
        calls => Ok(ExecuteBatch(calls).to_vec()),
    }
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
            super::rest(withdrawals, place, gold, U256::from(balance)).ok()
        };
        assert_eq!(rest(&[of(gold, 5), of(iron, 50), all], 2, 30), Some(U256::from(25)));
        assert_eq!(rest(&[all, of(gold, 30)], 0, 30), Some(U256::ZERO));
        assert_eq!(rest(&[all, of(gold, 31)], 0, 30), None, "there is not so much");
        assert_eq!(rest(&[all, all], 0, 30), None, "who gets it?");
    }
}
