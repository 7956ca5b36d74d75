//! What a key that redeems delegations is asked to sign, and what its permissions let its nodes sign of it.

#![allow(clippy::unwrap_used, reason = "what should be judged and is not has failed")]

mod accounts;
mod policies;
mod redelegations;
mod redemptions;
mod subjects;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, U256};
use quorate_core::delegation::{
    Caveat, Caveats, Context, Delegation, Delegations, Enforcer, MANAGER_V1_3_0, Mode, ROOT_AUTHORITY,
    Redeem, SingleExecution,
};
use quorate_core::{Call, Encode as _, SessionEpoch, Transaction};
use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Forbidden, Limits, PermittedSubject, PinnedContext, Redeemer,
    Subject, Target,
};

const OWNER: Address = Address::repeat_byte(0x01);
const KEY: Address = Address::repeat_byte(0x4b);
const NFT: Address = Address::repeat_byte(0x0f);
const FRIEND: Address = Address::repeat_byte(0xf1);
const CHAIN: u64 = 80002;
const NOW: u64 = 1_750_000_000;
const END: u64 = NOW + 1000;
const MINT: [u8; 4] = [0x40, 0xd0, 0x97, 0xc3];

const fn caveat(enforcer: Enforcer, terms: &[u8]) -> Caveat<'_> {
    Caveat { enforcer: enforcer.address_v1_3_0(), terms }
}

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// Until `end`, exclusive.
fn until(end: u64) -> [u8; 32] {
    word(end)
}

/// From the owner to the key.
fn delegation<'a>(caveats: &'a [Caveat<'a>]) -> Delegation<'a> {
    Delegation {
        delegate: KEY,
        delegator: OWNER,
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(caveats),
        salt: U256::ZERO,
        signature: &[0x51; 65],
    }
}

fn context(delegations: &[Delegation<'_>]) -> Vec<u8> {
    Delegations(delegations).to_vec()
}

/// To redeem these delegations by the key itself, for at most 500 000 gas at 50 wei.
fn permissions_for(delegations: &[Delegation<'_>]) -> DelegationPermissions {
    DelegationPermissions {
        owner: OWNER,
        chain_id: NonZeroU64::new(CHAIN).unwrap(),
        deployment: Deployment::V1_3_0,
        context: PinnedContext::new(context(delegations)).unwrap(),
        redeemer: Redeemer::Key,
        nonces: BTreeMap::from([(OWNER, U256::from(5))]),
        unjudged: BTreeSet::new(),
        fees: FeeCaps { gas_limit: 500_000, fee_per_gas: U256::from(50), total: U256::from(30_000_000) },
        given_up: BTreeSet::new(),
        epoch: SessionEpoch::new(NOW - 10, END).unwrap(),
        limits: Limits { uses: Some(9), ..Limits::default() },
    }
}

fn permissions_of(caveats: &[Caveat<'_>]) -> DelegationPermissions {
    permissions_for(&[delegation(caveats)])
}

/// Two mints of the NFT, while the owner is at nonce 5.
fn permissions() -> DelegationPermissions {
    permissions_of(&[
        caveat(Enforcer::AllowedTargets, NFT.as_slice()),
        caveat(Enforcer::AllowedMethods, &MINT),
        caveat(Enforcer::LimitedCalls, &word(2)),
        caveat(Enforcer::Nonce, &word(5)),
        caveat(Enforcer::Timestamp, &until(END)),
    ])
}

const fn call(to: Address, value: u64, data: &[u8]) -> Call<'_> {
    Call { to, value: U256::from_limbs([value, 0, 0, 0]), data }
}

/// Call data of the manager for one call under the pinned delegations.
fn redeem(permissions: &DelegationPermissions, call: Call<'_>) -> Vec<u8> {
    redeem_by(permissions, Mode::SINGLE, &SingleExecution(call).to_vec())
}

fn redeem_by(permissions: &DelegationPermissions, mode: Mode, execution: &[u8]) -> Vec<u8> {
    let context = Context::parse(permissions.context.as_bytes()).unwrap();
    Redeem { context, mode, execution }.to_vec()
}

fn transaction(data: Vec<u8>) -> Transaction<Vec<u8>> {
    Transaction {
        chain_id: CHAIN,
        nonce: 7,
        max_priority_fee_per_gas: 1,
        max_fee_per_gas: 30,
        gas_limit: 300_000,
        to: MANAGER_V1_3_0,
        value: U256::ZERO,
        data,
    }
}

fn judge(permissions: &DelegationPermissions, subject: Subject) -> Result<PermittedSubject, Forbidden> {
    judge_at(permissions, subject, NOW)
}

fn judge_at(
    permissions: &DelegationPermissions,
    subject: Subject,
    now: u64,
) -> Result<PermittedSubject, Forbidden> {
    Target::Delegation(permissions.clone()).judge(&subject, KEY, now)
}
