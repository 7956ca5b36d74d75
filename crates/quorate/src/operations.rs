//! What an account's owner does with it besides granting sessions.

use alloy_primitives::{Address, B256, U256};
use alloy_signer::Signer;
use alloy_sol_types::SolCall as _;
use quorate_bundler::{Fees, GasEstimate};
use quorate_contracts::{EcdsaOwnershipModule, Erc20, account};
use quorate_core::{Call, DUMMY_SESSION_SIGNATURE, Encode as _, Execute, ExecuteBatch};
use quorate_protocol::OperationMessage;
use quorate_signer::{SIGNATURE_LEN, SignerError, sign_as_owner, verify_signature};

use crate::client::draft;
use crate::{Error, Options, PendingOperation, SmartAccount};

/// An operation of an account that waits for its owner's signature.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationDraft {
    owner: Address,
    operation: OperationMessage,
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

    /// The next nonce of one of the account's parallel streams.
    ///
    /// # Errors
    /// The node gives no answer: an account without one has the nonce 0, and no other failure is taken for that.
    pub async fn nonce(&self, key: u64) -> Result<U256, Error> {
        self.client.chain.nonce(self.address, key).await
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
        let draft = self.draft_operation(Vec::new(), options).await?;
        self.sign_operation(draft, owner).await
    }

    /// Has the account make calls, one as `execute` and several as `executeBatch`.
    ///
    /// # Errors
    /// [`Error::NoCalls`]; what a node, the bundler or the signer says.
    pub async fn send_calls<S: Signer + Sync + ?Sized>(
        &self,
        calls: &[Call<'_>],
        owner: &S,
        options: &Options,
    ) -> Result<PendingOperation, Error> {
        let draft = self.prepare_calls(calls, options).await?;
        self.sign_operation(draft, owner).await
    }

    /// Builds the operation that makes calls, and deploys the account where it does not exist.
    ///
    /// # Errors
    /// [`Error::NoCalls`]; what a node or the bundler says.
    pub async fn prepare_calls(
        &self,
        calls: &[Call<'_>],
        options: &Options,
    ) -> Result<OperationDraft, Error> {
        self.draft_operation(encode(calls, options)?, options).await
    }

    /// Sends an operation that its owner signed.
    ///
    /// # Errors
    /// A signature that is not the owner's over this draft, or a bundler that does not take the operation.
    pub async fn submit_calls(
        &self,
        draft: OperationDraft,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<PendingOperation, Error> {
        if draft.owner != self.owner {
            return Err(SignerError::Unverified { address: self.owner }.into());
        }
        verify_signature(self.owner, draft.user_op_hash(), signature)?;
        self.client.send(draft.operation.operation, self.owner_signature(signature)).await
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
    /// to `recipient` otherwise.
    ///
    /// # Errors
    /// [`Error::AllOfNative`] for all native coin, of which the account pays the gas; [`Error::NoCalls`] where there is
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
            match (withdrawal.asset, withdrawal.amount) {
                (Asset::Native, None) => return Err(Error::AllOfNative { withdrawal: place }),
                (Asset::Native, Some(wei)) => moves.push((recipient, wei, Vec::new())),
                (Asset::Token(token), amount) => {
                    let amount = match amount {
                        Some(amount) => amount,
                        None => self.client.chain.token_balance(token, self.address).await?,
                    };
                    let data = Erc20::transferCall { to: recipient, amount }.abi_encode();
                    moves.push((token, U256::ZERO, data));
                }
            }
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

    async fn draft_operation(&self, call_data: Vec<u8>, options: &Options) -> Result<OperationDraft, Error> {
        let deployment = *self.client.deployment();
        let (deployed, nonce) =
            tokio::try_join!(self.is_deployed(), self.client.nonce(self.address, 0, options))?;
        let mut operation = draft(self.address, nonce, call_data);
        if !deployed {
            operation.init_code = account::init_code(&deployment, self.creator, self.index).to_vec();
        }
        let dummy = self.owner_signature(&DUMMY_SESSION_SIGNATURE);
        let operation = self.client.size(operation, dummy, options).await?;
        let entry_point = deployment.entry_point;
        let operation = OperationMessage { operation, entry_point, chain_id: self.client.chain_id() };
        Ok(OperationDraft { owner: self.owner, operation })
    }

    async fn sign_operation<S: Signer + Sync + ?Sized>(
        &self,
        draft: OperationDraft,
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        let signature = sign_as_owner(owner, draft.user_op_hash()).await?;
        self.submit_calls(draft, &signature).await
    }
}

fn encode(calls: &[Call<'_>], options: &Options) -> Result<Vec<u8>, Error> {
    match calls {
        [] => Err(Error::NoCalls),
        [call] if options.forced_batch() != Some(true) => Ok(Execute(*call).to_vec()),
        calls => Ok(ExecuteBatch(calls).to_vec()),
    }
}

impl OperationDraft {
    /// What the owner signs as a message (EIP-191, `personal_sign` of these 32 bytes).
    pub fn user_op_hash(&self) -> B256 {
        self.operation.operation.hash(self.operation.entry_point, self.operation.chain_id)
    }

    /// The whole operation that the owner signs, for a device that reviews it.
    pub const fn operation(&self) -> &OperationMessage {
        &self.operation
    }
}
