//! A node's own judgement of requests: it trusts nothing that the gateway says about them.
//!
//! A request is parsed once, and what is decided about is what is then made or signed.

use alloy_primitives::{Address, B256};
use ed25519_dalek::VerifyingKey;
use quorate_ledger::{Amounts, Dimension, KeyId, Limits, UnknownDimension};
use quorate_protocol::{
    Authentication, AuthenticationError, KeygenSetup, OperationMessage, Owner, Permissions, Permitted,
    RecentOperation, Refusal, Setup, Signed, SignedRequest, address_of,
};

use super::member::Member;
use super::nonces::Nonces;
use crate::error::reasons;
use crate::storage::{ApprovedKeygen, StoredKey};

/// An operation that an ephemeral key asks to be signed. Whether that key may, and what is permitted, is not decided yet.
pub(crate) struct RequestedOperation {
    pub(crate) key_id: String,
    pub(crate) key: KeyId,
    pub(crate) ephemeral: VerifyingKey,
    pub(crate) message: OperationMessage,
    threshold: u32,
}

/// An operation that a key's permissions allow.
pub(crate) struct PermittedOperation {
    /// What is signed.
    pub(crate) digest: B256,
    /// What the operation comes to in each limited dimension.
    pub(crate) amounts: Amounts,
    pub(crate) limits: Limits,
}

/// Uses up this node's nonce for a request, whose signature was checked.
pub(crate) fn spend_nonce(member: &Member, nonces: &Nonces, request: &SignedRequest) -> Result<(), Refusal> {
    let enough = request.nonces.len() >= usize::from(member.network.threshold());
    let known = request.nonces.keys().all(|node| member.network.identity(*node).is_some());
    let own = request.nonces.get(&member.index).filter(|_| enough && known).ok_or(Refusal::Challenge)?;
    nonces.spend(own, request.hash())
}

/// Reads a request for a key, and checks the owner's signature as far as the request shows it.
///
/// `now` bounds its ephemeral key's lifetime, in seconds since 1970; none does not: where others have attested to the key,
/// they have judged that.
pub(crate) fn keygen(
    member: &Member,
    request: &SignedRequest,
    now: Option<u64>,
) -> Result<Signed<ApprovedKeygen>, Refusal> {
    request.check_len()?;
    let setup = Setup::parse(request.operation, &request.setup).map_err(malformed)?;
    let typed_data = setup.typed_data(&request.challenge());
    let Setup::Keygen(setup) = setup else { return Err(not_of_this_kind()) };
    let typed_data = typed_data.ok_or_else(not_of_this_kind)?;
    let asked = (setup.threshold, setup.parties);
    let has = (u32::from(member.network.threshold()), u32::from(member.network.size()));
    if asked != has {
        let text = |(t, n)| format!("{t} of {n} nodes");
        return Err(Refusal::Quorum { asked: text(asked).into(), has: text(has).into() });
    }
    let authentication = Authentication::parse(&request.authentication).map_err(unauthenticated)?;
    let signed = authentication.verify_owner(&typed_data).map_err(unauthenticated)?;
    let ephemeral_until = match now {
        Some(now) => setup.ephemeral.ends(now).map_err(malformed)?,
        None => setup.ephemeral.expiry.unwrap_or_default(),
    };
    check_permissions(member, &setup, signed.owner())?;
    Ok(signed.map(|()| ApprovedKeygen { setup, ephemeral_until, request: request.clone() }))
}

/// The permissions are the owner's for this network, or they are not registered at all.
///
/// A contract has signed them, with the chain in them that it is on: what it signs names neither it nor its chain, and at its
/// address on another chain may be somebody else's.
fn check_permissions(member: &Member, setup: &KeygenSetup, owner: Owner) -> Result<(), Refusal> {
    let other = |what: &str, found: String, expected: String| Refusal::OtherPermissions {
        what: what.into(),
        found: found.into(),
        expected: expected.into(),
    };
    let network = &member.network;
    if let Some(claim) = &setup.claim
        && claim.network != network.id()
    {
        return Err(other("network", claim.network.to_string(), network.id().to_string()));
    }
    let Some(text) = &setup.permissions else {
        return match owner {
            Owner::Eoa(_) => Ok(()),
            Owner::Contract(_) => Err(Refusal::NoPermissions),
        };
    };
    let permissions = Permissions::from_json(text).map_err(malformed)?;
    if permissions.owner != owner.address() {
        return Err(other("owner", permissions.owner.to_string(), owner.to_string()));
    }
    if let Owner::Contract(contract) = owner {
        if permissions.chain_id != contract.chain_id {
            return Err(other("chain", permissions.chain_id.to_string(), contract.chain_id.to_string()));
        }
        if setup.claim.is_none() {
            return Err(Refusal::UnsignedPermissions);
        }
    }
    let counters = permissions.limits.counters();
    let (threshold, size) = (network.threshold(), network.size());
    if !counters.is_empty() && 2 * u16::from(threshold) <= u16::from(size) {
        return Err(Refusal::Uncountable { threshold, size });
    }
    Limits::from_counters(&counters).map_err(malformed)?;
    match &setup.claim {
        Some(claim) if claim.chain_id != permissions.chain_id => {
            Err(other("chain", permissions.chain_id.to_string(), claim.chain_id.to_string()))
        }
        _ => Ok(()),
    }
}

/// Refuses an ephemeral key that would be registered for longer than one may be, or has ended.
pub(crate) fn check_lifetime(request: &SignedRequest, now: u64) -> Result<(), Refusal> {
    match Setup::parse(request.operation, &request.setup).map_err(malformed)? {
        Setup::AddEphemeralKey(add) => add.ephemeral.ends(now).map(|_| ()).map_err(malformed),
        _ => Ok(()),
    }
}

/// Reads a request for a signature, and checks the signature of the ephemeral key that asks.
pub(crate) fn operation(request: &SignedRequest) -> Result<RequestedOperation, Refusal> {
    request.check_len()?;
    let setup = Setup::parse(request.operation, &request.setup).map_err(malformed)?;
    let Setup::Sign(setup) = setup else { return Err(not_of_this_kind()) };
    let ephemeral = Authentication::parse(&request.authentication)
        .and_then(|authentication| authentication.verify_ephemeral(&request.setup, &request.challenge()))
        .map_err(unauthenticated)?;
    let message = OperationMessage::from_json(&setup.message).map_err(malformed)?;
    let key = setup.key_id.parse();
    let key = key.map_err(|_| Refusal::UnknownKey { key_id: setup.key_id.as_str().into() })?;
    Ok(RequestedOperation { key_id: setup.key_id, key, ephemeral, message, threshold: setup.threshold })
}

impl RequestedOperation {
    /// What identifies the operation to its owner.
    pub(crate) fn named(&self) -> RecentOperation {
        let OperationMessage { operation, entry_point, chain_id } = &self.message;
        RecentOperation { nonce: operation.nonce, hash: operation.hash(*entry_point, *chain_id) }
    }

    /// Refuses a quorum of another size than the network's.
    pub(crate) fn check_threshold(&self, member: &Member) -> Result<(), Refusal> {
        let has = u32::from(member.network.threshold());
        if self.threshold == has {
            return Ok(());
        }
        let text = |t: u32| format!("{t} signers");
        Err(Refusal::Quorum { asked: text(self.threshold).into(), has: text(has).into() })
    }

    /// Holds the operation against the key's permissions at a time, in seconds since 1970.
    pub(crate) fn permit(&self, key: &StoredKey, now: u64) -> Result<PermittedOperation, Refusal> {
        let OperationMessage { operation, entry_point, chain_id } = &self.message;
        let permissions = key.permissions.as_ref().ok_or(Refusal::NoPermissions)?;
        let session_key = session_key(key, &self.key_id)?;
        let Permitted { amounts, digest, .. } =
            permissions.judge(operation, *entry_point, *chain_id, session_key, now)?;
        let counters = permissions.limits.counters();
        let amount = |(counter, amount): (&quorate_protocol::Counter, _)| {
            Ok::<_, UnknownDimension>((Dimension::try_from(counter.dimension)?, amount))
        };
        let amounts =
            counters.iter().zip(amounts).map(amount).collect::<Result<_, _>>().map_err(malformed)?;
        let limits = Limits::from_counters(&counters).map_err(malformed)?;
        Ok(PermittedOperation { digest, amounts, limits })
    }

    /// What the operation comes to if its key's permissions allow it at some time; none if they never do.
    ///
    /// A peer's entry is judged by this: it let the operation through while the policy was valid by its own clock.
    pub(crate) fn ever_permitted(&self, key: &StoredKey) -> Option<Amounts> {
        let policies = &key.permissions.as_ref()?.policies;
        // A policy allows the same calls at all times of its epoch.
        let mut starts = policies.iter().map(|permitted| permitted.policy.epoch().valid_after());
        starts.find_map(|at| self.permit(key, at).ok()).map(|permitted| permitted.amounts)
    }
}

/// The address of a stored key.
fn session_key(key: &StoredKey, key_id: &str) -> Result<Address, Refusal> {
    let reason = || format!("the stored public key of key {key_id} is no point of the curve");
    address_of(&key.public_key).ok_or_else(|| Refusal::Unfinished { reason: reason().into() })
}

pub(crate) fn not_of_this_kind() -> Refusal {
    Refusal::Malformed { reason: "the gateway asks for something else than the client".into() }
}

fn malformed(error: impl std::error::Error) -> Refusal {
    Refusal::Malformed { reason: reasons(&error).into() }
}

pub(crate) fn unauthenticated(error: AuthenticationError) -> Refusal {
    Refusal::Unauthenticated { reason: reasons(&error).into() }
}
