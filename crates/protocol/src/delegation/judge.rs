//! Whether permissions allow what is asked of a delegate.

use alloy_primitives::{Address, B256, U256, keccak256};
use quorate_core::delegation::{
    BatchExecution, CallType, DelegationCall, Judgement, Missing, NotJudged, Redeem, Redemption,
    SingleExecution, State, Unused,
};
use quorate_core::{Call, EntryPointVersion, Initialization, Transaction, UnpackedUserOperation};

use super::charge::{self, CaveatAmount, ChargeId};
use super::{DelegationPermissions, Redeemer, SessionAccount};
use crate::{AccountOperation, Forbidden, ForbiddenRedemption, ForbiddenTransaction, Subject};

/// What permissions allow to be signed, and what has to be charged before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermittedSubject {
    /// The 32 bytes that the key signs.
    pub digest: B256,
    /// What the charge goes by.
    pub charge: ChargeId,
    /// What it adds to each of the [`counters`](crate::Target::counters).
    pub amounts: Vec<U256>,
    /// What it adds to what the enforcers of the delegations keep, each held to its caveat over all that is charged.
    pub caveats: Vec<CaveatAmount>,
}

/// A call of the manager, however it is sent.
struct ManagerCall<'a> {
    chain_id: u64,
    nonce: U256,
    /// Who the manager finds to be its caller.
    redeemer: Address,
    data: &'a [u8],
    fees: U256,
    /// What is signed for it to be sent.
    digest: B256,
}

impl DelegationPermissions {
    /// Holds what is asked to be signed against the permissions; see [`Target::judge`](crate::Target::judge).
    ///
    /// # Errors
    /// [`Forbidden`], by name.
    pub fn judge(&self, subject: &Subject, key: Address, now: u64) -> Result<PermittedSubject, Forbidden> {
        match (subject, self.redeemer) {
            (Subject::Transaction(transaction), Redeemer::Key) => {
                self.judge_call(&self.transaction(transaction, key)?, now)
            }
            (Subject::AccountOperation(operation), Redeemer::Account(account)) => {
                self.judge_call(&self.account_operation(operation, account)?, now)
            }
            (Subject::Redelegation(redelegation), _) => {
                self.judge_redelegation(redelegation, self.redeemer.address(key), now)
            }
            (subject, Redeemer::Key) => Err(other(subject, "transactions of the key, and redelegations")),
            (subject, Redeemer::Account(_)) => {
                Err(other(subject, "user operations of the session account, and redelegations"))
            }
        }
    }

    fn transaction<'a>(
        &self,
        transaction: &'a Transaction<Vec<u8>>,
        key: Address,
    ) -> Result<ManagerCall<'a>, Forbidden> {
        let (to, manager) = (transaction.to, self.deployment.manager());
        if to != manager {
            return Err(ForbiddenTransaction::Contract { to, manager }.into());
        }
        if !transaction.value.is_zero() {
            return Err(ForbiddenTransaction::Value { value: transaction.value }.into());
        }
        self.check_chain(transaction.chain_id)?;
        self.limits.paymaster.check(None)?;
        let (priority, fee) = (transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas);
        Ok(ManagerCall {
            chain_id: transaction.chain_id,
            nonce: U256::from(transaction.nonce),
            redeemer: key,
            data: &transaction.data,
            fees: self.fees_of(U256::from(transaction.gas_limit), priority, fee)?,
            digest: transaction.signing_hash(),
        })
    }

    /// The account hands what it is called with on to its manager.
    fn account_operation<'a>(
        &self,
        message: &'a AccountOperation,
        account: SessionAccount,
    ) -> Result<ManagerCall<'a>, Forbidden> {
        let AccountOperation { operation, entry_point, chain_id } = message;
        if operation.sender != account.address {
            return Err(Forbidden::Account { sender: operation.sender, permitted: account.address });
        }
        self.check_chain(*chain_id)?;
        let permitted = EntryPointVersion::V0_7.address();
        if *entry_point != permitted {
            return Err(Forbidden::EntryPoint { entry_point: *entry_point, permitted });
        }
        let unpacked =
            operation.unpack(EntryPointVersion::V0_7, None).map_err(ForbiddenTransaction::Operation)?;
        if !account.may_start_by(&unpacked.init) {
            return Err(ForbiddenTransaction::Factory.into());
        }
        let paymaster = unpacked.paymaster.filter(|paymaster| !paymaster.account_pays());
        self.limits.paymaster.check(paymaster.map(|paymaster| paymaster.paymaster))?;
        let (priority, fee) = (unpacked.max_priority_fee_per_gas, unpacked.max_fee_per_gas);
        Ok(ManagerCall {
            chain_id: *chain_id,
            nonce: operation.nonce,
            redeemer: account.address,
            data: &operation.call_data,
            fees: self.fees_of(gas_of(&unpacked), priority, fee)?,
            digest: operation.hybrid_digest(*entry_point, *chain_id),
        })
    }

    pub(super) const fn check_chain(&self, chain_id: u64) -> Result<(), Forbidden> {
        let permitted = self.chain_id.get();
        if chain_id == permitted { Ok(()) } else { Err(Forbidden::Chain { chain_id, permitted }) }
    }

    /// What so much gas costs at most.
    fn fees_of(&self, gas: U256, priority: u128, fee: u128) -> Result<U256, ForbiddenTransaction> {
        let most = self.fees.gas_limit;
        if gas > U256::from(most) {
            return Err(ForbiddenTransaction::GasLimit { gas, most });
        }
        if U256::from(fee) > self.fees.fee_per_gas {
            let most = self.fees.fee_per_gas;
            return Err(ForbiddenTransaction::FeePerGas { fee: U256::from(fee), most });
        }
        if priority > fee {
            return Err(ForbiddenTransaction::PriorityFee { priority, fee });
        }
        let (fees, most) = (gas.saturating_mul(U256::from(fee)), self.fees.total);
        if fees > most { Err(ForbiddenTransaction::Fees { fees, most }) } else { Ok(fees) }
    }

    fn judge_call(&self, call: &ManagerCall<'_>, now: u64) -> Result<PermittedSubject, Forbidden> {
        let charge = ChargeId::of_redemption(call.chain_id, call.nonce, call.data);
        let (amounts, caveats) = match DelegationCall::decode(call.data).map_err(ForbiddenRedemption::from)? {
            DelegationCall::Redeem(redeem) => {
                let caveats = self.judge_redeem(&redeem, call.redeemer, now)?;
                (self.amounts_of_redeem(&redeem, call.fees)?, caveats)
            }
            DelegationCall::Disable(disable) if disable.0.delegator != call.redeemer => {
                let (delegator, redeemer) = (disable.0.delegator, call.redeemer);
                return Err(ForbiddenRedemption::DisablesOther { delegator, redeemer }.into());
            }
            // They move nothing but fees, and have to work when all else has ended.
            DelegationCall::Disable(_) | DelegationCall::Nothing => {
                let amounts = self.counted().amounts_of(std::iter::empty(), U256::ZERO, call.fees)?;
                (amounts, Vec::new())
            }
        };
        Ok(PermittedSubject { digest: call.digest, charge, amounts, caveats })
    }

    fn amounts_of_redeem(&self, redeem: &Redeem<'_>, fees: U256) -> Result<Vec<U256>, Forbidden> {
        let limits = self.counted();
        let amounts = match redeem.mode.call {
            CallType::Single => {
                let calls = SingleExecution::parse(redeem.execution).map(|SingleExecution(call)| call);
                limits.amounts_of(calls.into_iter(), U256::ONE, fees)
            }
            CallType::Batch => {
                let batch = BatchExecution::parse(redeem.execution).ok();
                let calls = batch.iter().flat_map(BatchExecution::calls).collect::<Vec<Call<'_>>>();
                limits.amounts_of(calls.into_iter(), U256::ONE, fees)
            }
        };
        Ok(amounts?)
    }

    fn judge_redeem(
        &self,
        redeem: &Redeem<'_>,
        redeemer: Address,
        now: u64,
    ) -> Result<Vec<CaveatAmount>, ForbiddenRedemption> {
        self.check_time(now)?;
        if redeem.context.as_bytes() != self.context.as_bytes() {
            let leaf = redeem.context.get(0).map(|leaf| leaf.hash()).unwrap_or_default();
            return Err(ForbiddenRedemption::OtherContext { leaf, pinned: self.context.leaf() });
        }
        let redemption = Redemption::new(redeem.context, redeem.mode, redeem.execution, redeemer)
            .map_err(ForbiddenRedemption::Chain)?;
        // What was redeemed before is counted elsewhere, and held to its limit there.
        let unused = Unused(|delegator| self.nonces.get(&delegator).copied());
        let state = State { time: now, block: None, counters: &unused };
        let mut charges = Vec::new();
        let mut not_judged = None;
        for (place, judgement) in redemption.judgements(&self.deployment.enforcers(), &state) {
            match judgement {
                Judgement::Allowed(charge) => charges.extend(charge.map(|charge| (place, charge))),
                Judgement::Forbidden(forbidden) => return Err(ForbiddenRedemption::Caveat(forbidden)),
                Judgement::NotJudged(reason) if self.leaves_to_chain(reason) => {}
                Judgement::NotJudged(reason) => not_judged = not_judged.or(Some(reason)),
            }
        }
        match not_judged {
            Some(reason) => Err(ForbiddenRedemption::NotJudged(reason)),
            None => Ok(charge::amounts(&charges, redeem.context, now)),
        }
    }

    pub(super) const fn check_time(&self, now: u64) -> Result<(), ForbiddenRedemption> {
        let (valid_after, valid_until) = (self.epoch.valid_after(), self.epoch.valid_until());
        if now < valid_after {
            return Err(ForbiddenRedemption::NotYetValid { valid_after, now });
        }
        if valid_until != 0 && now > valid_until {
            return Err(ForbiddenRedemption::Expired { valid_until, now });
        }
        Ok(())
    }

    /// Whether the owner lets a caveat be the chain's alone to judge. What nodes count is theirs to know.
    fn leaves_to_chain(&self, NotJudged { place, missing }: NotJudged) -> bool {
        self.unjudged.contains(&place) && !matches!(missing, Missing::Counter | Missing::Id)
    }
}

fn other(subject: &Subject, takes: &'static str) -> Forbidden {
    Forbidden::OtherSubject { subject: subject.name(), target: "a delegation", takes }
}

impl SessionAccount {
    fn may_start_by(&self, init: &Initialization<&[u8]>) -> bool {
        match init {
            Initialization::Deployed => true,
            Initialization::Factory { factory, data } => self
                .factory
                .is_some_and(|pinned| pinned.address == *factory && pinned.data_hash == keccak256(data)),
            Initialization::Delegated { .. } => false,
        }
    }
}

/// What EntryPoint v0.7 asks for before it runs an operation (`_getRequiredPrefund`).
fn gas_of<C>(operation: &UnpackedUserOperation<&[u8], C>) -> U256 {
    let paymaster = operation.paymaster.as_ref();
    let gas = [
        operation.verification_gas_limit,
        operation.call_gas_limit,
        paymaster.map_or(0, |paymaster| paymaster.verification_gas_limit),
        paymaster.map_or(0, |paymaster| paymaster.post_op_gas_limit),
    ];
    let sum = |sum: U256, gas| sum.saturating_add(U256::from(gas));
    gas.into_iter().fold(operation.pre_verification_gas, sum)
}
