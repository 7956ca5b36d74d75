//! A node's own judgement of requests: it trusts nothing that the gateway says about them.
//!
//! A request is parsed once, and what is decided about is what is then made or signed.

use alloy_primitives::{Address, B256, U256};
use ed25519_dalek::VerifyingKey;
use quorate_ledger::{Amounts, Denied, Dimension, KeyId, Limits, Nonce, UnknownDimension};
use quorate_protocol::{
    Authentication, AuthenticationError, CaveatAmount, Forbidden, ForbiddenRedemption, KeygenSetup,
    ListSetup, Operation, Owner, PermittedSubject, RecentOperation, Refusal, Setup, Signed, SignedRequest,
    Statement, Subject, Target, address_of,
};

use super::member::Member;
use super::nonces::Nonces;
use crate::error::{read_subject, reasons};
use crate::storage::{ApprovedKeygen, StoredKey};

/// What an ephemeral key asks to be signed. Whether that key may, and what is permitted, is not decided yet.
pub(crate) struct Requested {
    pub(crate) key_id: String,
    pub(crate) key: KeyId,
    pub(crate) ephemeral: VerifyingKey,
    pub(crate) subject: Subject,
    threshold: u32,
}

/// What a key's permissions allow to be signed.
pub(crate) struct PermittedRequest {
    /// What is signed.
    pub(crate) digest: B256,
    /// What the charge goes by: of those with the same, the chain executes one at most.
    pub(crate) nonce: Nonce,
    /// What it comes to in each limited dimension.
    pub(crate) amounts: Amounts,
    pub(crate) limits: Limits,
    /// Those of the amounts that caveats limit.
    caveats: Vec<CaveatAmount>,
}

/// Uses up this node's nonce for a request, whose signature was checked.
pub(crate) fn spend_nonce(member: &Member, nonces: &Nonces, request: &SignedRequest) -> Result<(), Refusal> {
    nonces.spend(own_nonce(member, request)?, request.hash())
}

/// Keeps this node's nonce for a request for a key, whose signature was checked as far as the request shows it.
pub(crate) fn hold_nonce(member: &Member, nonces: &Nonces, request: &SignedRequest) -> Result<(), Refusal> {
    nonces.hold(own_nonce(member, request)?, request.hash())
}

fn own_nonce<'a>(member: &Member, request: &'a SignedRequest) -> Result<&'a B256, Refusal> {
    let enough = request.nonces.len() >= usize::from(member.network.threshold());
    let known = request.nonces.keys().all(|node| member.network.identity(*node).is_some());
    request.nonces.get(&member.index).filter(|_| enough && known).ok_or(Refusal::Challenge)
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
    let network = member.network.id();
    if let Some(claim) = &setup.claim
        && claim.network != network
    {
        return Err(other("network", claim.network.to_string(), network.to_string()));
    }
    let Some(text) = &setup.permissions else {
        return match owner {
            Owner::Eoa(_) => Ok(()),
            Owner::Contract(_) => Err(Refusal::NoPermissions),
        };
    };
    if let (Owner::Contract(_), None) = (owner, &setup.claim) {
        return Err(Refusal::UnsignedPermissions);
    }
    let target = Target::from_json(text).map_err(malformed)?;
    check_target(member, &target, owner)?;
    match &setup.claim {
        Some(claim) if claim.chain_id != target.chain_id() => {
            Err(other("chain", target.chain_id().to_string(), claim.chain_id.to_string()))
        }
        _ => Ok(()),
    }
}

/// Permissions are those of this owner, and can be counted by this network.
fn check_target(member: &Member, target: &Target, owner: Owner) -> Result<(), Refusal> {
    if target.owner() != owner.address() {
        return Err(other("owner", target.owner().to_string(), owner.to_string()));
    }
    if let Owner::Contract(contract) = owner
        && target.chain_id() != contract.chain_id
    {
        return Err(other("chain", target.chain_id().to_string(), contract.chain_id.to_string()));
    }
    let counters = target.counters();
    let (threshold, size) = (member.network.threshold(), member.network.size());
    if !counters.is_empty() && 2 * u16::from(threshold) <= u16::from(size) {
        return Err(Refusal::Uncountable { threshold, size });
    }
    Limits::from_counters(&counters).map(|_| ()).map_err(malformed)
}

/// A statement that gives a key its permissions gives it those of its owner, and for this very key; others are no matter here.
pub(crate) fn check_permit(member: &Member, statement: &Statement, key: &StoredKey) -> Result<(), Refusal> {
    let request = statement.request();
    let Setup::Permit(permit) = Setup::parse(request.operation, &request.setup).map_err(malformed)? else {
        return Ok(());
    };
    let target = Target::from_json(&permit.permissions).map_err(malformed)?;
    // Those of a session key manager are known before their key is: they are signed with the request for it.
    if target.session_key_manager().is_some() {
        return Err(other("version", "1".to_owned(), "2".to_owned()));
    }
    check_target(member, &target, key.owner)?;
    let redeemer = session_key(key, &permit.key_id)?;
    match target.delegate() {
        Some(delegate) if delegate != redeemer => {
            Err(other("delegate", delegate.to_string(), redeemer.to_string()))
        }
        _ => Ok(()),
    }
}

fn other(what: &str, found: String, expected: String) -> Refusal {
    Refusal::OtherPermissions { what: what.into(), found: found.into(), expected: expected.into() }
}

/// Reads a request for what is said of a key.
pub(crate) fn list(network: B256, setup: &str) -> Result<ListSetup, Refusal> {
    SignedRequest::check_setup_len(setup)?;
    match Setup::parse(Operation::List, setup).map_err(malformed)? {
        Setup::List(setup) if setup.network == network => Ok(setup),
        Setup::List(setup) => Err(other("network", setup.network.to_string(), network.to_string())),
        _ => Err(not_of_this_kind()),
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
pub(crate) fn requested(request: &SignedRequest) -> Result<Requested, Refusal> {
    request.check_len()?;
    let setup = Setup::parse(request.operation, &request.setup).map_err(malformed)?;
    let Setup::Sign(setup) = setup else { return Err(not_of_this_kind()) };
    let ephemeral = Authentication::parse(&request.authentication)
        .and_then(|authentication| authentication.verify_ephemeral(&request.setup, &request.challenge()))
        .map_err(unauthenticated)?;
    let subject = read_subject(&setup.message)?;
    let key = setup.key_id.parse();
    let key = key.map_err(|_| Refusal::UnknownKey { key_id: setup.key_id.as_str().into() })?;
    Ok(Requested { key_id: setup.key_id, key, ephemeral, subject, threshold: setup.threshold })
}

impl Requested {
    /// What identifies it to the key's owner.
    pub(crate) fn named(&self) -> RecentOperation {
        RecentOperation { nonce: self.subject.nonce(), hash: self.subject.hash() }
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

    /// Holds it against the key's permissions at a time, in seconds since 1970.
    pub(crate) fn permit(&self, key: &StoredKey, now: u64) -> Result<PermittedRequest, Refusal> {
        let target = key.target.as_ref().ok_or(Refusal::NoPermissions)?;
        let session_key = session_key(key, &self.key_id)?;
        let PermittedSubject { digest, charge, amounts, caveats } =
            target.judge(&self.subject, session_key, now)?;
        let counters = target.counters();
        let amount = |(counter, amount): (&quorate_protocol::Counter, _)| {
            Ok::<_, UnknownDimension>((Dimension::try_from(counter.dimension)?, amount))
        };
        let amounts: Vec<_> =
            counters.iter().zip(amounts).map(amount).collect::<Result<_, _>>().map_err(malformed)?;
        let limits = Limits::from_counters(&counters).map_err(malformed)?;
        let of_caveats = |of: fn(&CaveatAmount) -> U256| {
            caveats.iter().map(move |caveat| (Dimension::from(caveat.counter), of(caveat)))
        };
        Ok(PermittedRequest {
            digest,
            nonce: Nonce::new(charge.get()),
            amounts: amounts.into_iter().chain(of_caveats(|caveat| caveat.amount)).collect(),
            limits: limits.iter().chain(of_caveats(|caveat| caveat.limit)).collect(),
            caveats,
        })
    }

    /// What it comes to, and what its charge goes by, if its key's permissions allow it at some time; none if they never do.
    ///
    /// A peer's entry is judged by this: it let the request through while the policy was valid by its own clock, and charged it then.
    pub(crate) fn ever_permitted(&self, key: &StoredKey, charged_at: u64) -> Option<(Nonce, Amounts)> {
        let times = match key.target.as_ref()? {
            // A policy allows the same calls at all times of its epoch.
            Target::SessionKeyManager(permissions) => {
                permissions.policies.iter().map(|permitted| permitted.policy.epoch().valid_after()).collect()
            }
            // What enforcers count depends on the time.
            Target::Delegation(_) => vec![charged_at],
        };
        let permitted = times.into_iter().find_map(|at| self.permit(key, at).ok())?;
        Some((permitted.nonce, permitted.amounts))
    }
}

impl PermittedRequest {
    /// What the client is told of a limit that leaves no room: as the chain would say it, where the limit is a caveat's.
    pub(crate) fn refusal(&self, denied: &Denied) -> Option<Refusal> {
        let Denied::Refused { dimension, .. } = denied else { return None };
        let caveat = self.caveats.iter().find(|caveat| Dimension::from(caveat.counter) == *dimension)?;
        Some(Forbidden::Redemption(ForbiddenRedemption::Caveat(caveat.beyond)).into())
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
