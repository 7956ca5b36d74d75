//! Whether permissions allow an operation.

use alloy_primitives::{Address, B256, U256};
use quorate_core::{
    AccountCall, Call, Encode as _, Execute, FunctionSelector, UserOperation, evaluate, evaluate_erc20,
    routed_hash, signing_hash,
};

use super::{CallPolicy, Permissions, PermittedPolicy};
use crate::{Forbidden, ForbiddenCall};

/// What permissions allow: an operation that a node may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permitted {
    /// For each call, in order, the place in the list of the policy that allows it.
    pub policies: Vec<usize>,
    /// What the operation adds to each of the limits' [`counters`](crate::Limits::counters).
    pub amounts: Vec<U256>,
    /// What the session key signs: the EIP-191 digest of the operation's hash, which the session key manager checks; of a
    /// batch that of its [`routed_hash`](quorate_core::routed_hash), which the batched session router checks.
    pub digest: B256,
}

impl Permissions {
    /// Holds one operation against the permissions: the only judgement by which a node signs.
    ///
    /// Each call of a batch must be allowed by a policy, not all by the same one. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The reason of the policy that came nearest to allowing the operation, or its first call that none allows.
    pub fn judge<B: AsRef<[u8]>>(
        &self,
        operation: &UserOperation<B>,
        entry_point: Address,
        chain_id: u64,
        session_key: Address,
        now: u64,
    ) -> Result<Permitted, Forbidden> {
        let calls = self.calls(operation, entry_point, chain_id)?;
        let amounts = self.limits.amounts(operation, &calls)?;
        let policies = self.policies_for(&calls, session_key, now)?;
        let hash = operation.hash(entry_point, chain_id);
        let signed = match calls {
            AccountCall::Single(_) => hash,
            AccountCall::Batch(_) => routed_hash(hash, self.session_key_manager),
        };
        Ok(Permitted { policies, amounts, digest: signing_hash(signed) })
    }

    /// What one operation adds to each of the limits' [`counters`](crate::Limits::counters), whether a policy allows it or
    /// not.
    ///
    /// # Errors
    /// An operation of another account, chain or entry point, or one that the limits cannot count.
    pub fn amounts<B: AsRef<[u8]>>(
        &self,
        operation: &UserOperation<B>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<Vec<U256>, Forbidden> {
        let calls = self.calls(operation, entry_point, chain_id)?;
        Ok(self.limits.amounts(operation, &calls)?)
    }

    /// The calls of an operation of the permitted account, chain and entry point: one at least.
    fn calls<'a, B: AsRef<[u8]>>(
        &self,
        operation: &'a UserOperation<B>,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<AccountCall<'a>, Forbidden> {
        if operation.sender != self.account {
            return Err(Forbidden::Account { sender: operation.sender, permitted: self.account });
        }
        if chain_id != self.chain_id {
            return Err(Forbidden::Chain { chain_id, permitted: self.chain_id });
        }
        if entry_point != self.entry_point {
            return Err(Forbidden::EntryPoint { entry_point, permitted: self.entry_point });
        }
        if !operation.init_code.as_ref().is_empty() {
            return Err(Forbidden::InitCode);
        }
        let calls = AccountCall::decode(operation.call_data.as_ref()).map_err(|_| Forbidden::NotCanonical)?;
        if calls.calls().next().is_none() { Err(Forbidden::EmptyBatch) } else { Ok(calls) }
    }

    fn policies_for(
        &self,
        calls: &AccountCall<'_>,
        session_key: Address,
        now: u64,
    ) -> Result<Vec<usize>, Forbidden> {
        let sessions: Vec<_> = self
            .policies
            .iter()
            .enumerate()
            .map(|(place, it)| Session::new(place, it, session_key))
            .collect();
        let forbidden = |call, reason| match calls {
            AccountCall::Single(_) => Forbidden::Call(reason),
            AccountCall::Batch(_) => Forbidden::BatchedCall { call, reason },
        };
        let policies = calls.calls().enumerate();
        policies
            .map(|(place, call)| policy_for(&sessions, &call, now).map_err(|reason| forbidden(place, reason)))
            .collect()
    }
}

/// The place of the first policy that allows the call, or the reason of the one that comes nearest to it.
fn policy_for(sessions: &[Session<'_>], call: &Call<'_>, now: u64) -> Result<usize, ForbiddenCall> {
    // The router gives the modules each call of a batch as they find it in a single one.
    let call_data = Execute(*call).to_vec();
    let mut nearest = ForbiddenCall::NoPolicy;
    for session in sessions {
        match session.judge(call, &call_data, now) {
            Ok(()) => return Ok(session.place),
            Err(reason) if reason.progress() >= nearest.progress() => nearest = reason,
            Err(_) => {}
        }
    }
    Err(nearest)
}

/// A policy as the session validation module is given it.
struct Session<'a> {
    place: usize,
    policy: &'a CallPolicy,
    data: Vec<u8>,
}

impl<'a> Session<'a> {
    fn new(place: usize, PermittedPolicy { policy, .. }: &'a PermittedPolicy, session_key: Address) -> Self {
        Self { place, policy, data: policy.session_key_data(session_key) }
    }

    fn judge(&self, call: &Call<'_>, call_data: &[u8], now: u64) -> Result<(), ForbiddenCall> {
        self.judge_call(call, call_data)?;
        let (policy, epoch) = (self.place, self.policy.epoch());
        let (valid_after, valid_until) = (epoch.valid_after(), epoch.valid_until());
        if now < valid_after {
            return Err(ForbiddenCall::NotYetValid { policy, valid_after, now });
        }
        if valid_until != 0 && now > valid_until {
            return Err(ForbiddenCall::Expired { policy, valid_until, now });
        }
        Ok(())
    }

    fn judge_call(&self, call: &Call<'_>, call_data: &[u8]) -> Result<(), ForbiddenCall> {
        let policy = self.place;
        match self.policy {
            CallPolicy::Abi(_) => {
                evaluate(&self.data, call_data).map_err(|refusal| ForbiddenCall::Abi { policy, refusal })?;
                Ok(())
            }
            CallPolicy::Erc20(_) => {
                evaluate_erc20(&self.data, call_data)
                    .map_err(|refusal| ForbiddenCall::Erc20 { policy, refusal })?;
                match call.data.first_chunk() {
                    Some(&TRANSFER) => Ok(()),
                    found => {
                        let called = FunctionSelector::new(found.copied().unwrap_or_default());
                        Err(ForbiddenCall::NotTransfer { policy, called })
                    }
                }
            }
        }
    }
}

/// `transfer(address,uint256)`.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
