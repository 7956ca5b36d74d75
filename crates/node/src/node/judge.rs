use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use quorate_protocol::{
    AddEphemeralKeySetup, Attestation, Authentication, AuthenticationError, EphemeralError, KeyText,
    KeygenSetup, NetworkDescriptor, NodeIndex, Nonce, OperationMessage, Permissions, Permitted, Refusal,
    Setup, SignSetup, SignedRequest, address_of,
};

use crate::config::Admission;
use crate::error::reasons;
use crate::node::keygen::StillPending;
use crate::storage::{Bound, Charge, Hold, Storage, StorageError, StoredKey};

/// A node's own judgement of requests: it trusts nothing that the gateway says about them.
///
/// A request is parsed once, and what is decided about is what is then made or signed.
pub(crate) struct Judge<'a> {
    pub(crate) network: &'a NetworkDescriptor,
    pub(crate) me: NodeIndex,
    pub(crate) storage: &'a Storage,
    pub(crate) nonces: &'a Nonces,
    pub(crate) admission: &'a Admission,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What a node agrees to do.
pub(crate) enum Approved<'a> {
    /// Bind a key to its owner.
    Keygen(Box<ApprovedKeygen>),
    /// Answer with the key that this request was given.
    Born { key: KeyText, attestation: Attestation },
    /// Take part in signing with this key, once the other signers' charges are known.
    Sign(Box<ApprovedSignature<'a>>),
    /// Register an ephemeral key.
    AddEphemeralKey { key_id: String, ephemeral: ed25519_dalek::VerifyingKey, ends: u64 },
}

/// A signature that a node agrees to make.
pub(crate) struct ApprovedSignature<'a> {
    pub(crate) key_id: String,
    pub(crate) permissions: Permissions,
    pub(crate) digest: B256,
    nonce: U256,
    /// What the operation adds to each of the limits' counters.
    amounts: Vec<U256>,
    /// What it was charged, if anything.
    pub(crate) hold: Option<Hold<'a>>,
}

/// An owner whom a node agrees to give a key, as far as the request itself says.
pub(crate) struct ApprovedKeygen {
    pub(crate) owner: Address,
    pub(crate) setup: KeygenSetup,
    pub(crate) ephemeral_ends: u64,
    pub(crate) request: SignedRequest,
}

/// Why a node does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Verdict {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node has a share and was not there when the key was given away; the others know to whom.
    #[error("key {key_id} is nobody's at this node")]
    Unbound { key_id: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How long a challenge is good for.
pub(crate) const NONCE_LIFETIME: Duration = Duration::from_secs(60);

impl<'a> Judge<'a> {
    /// Authenticates the request, decides about it, and binds this node's nonce to it durably.
    pub(crate) async fn approve(&self, request: &SignedRequest) -> Result<Approved<'a>, Verdict> {
        request.check_len()?;
        // The hash covers all that was verified when the key was made, so this holds however late it is repeated.
        if let Some((key, attestation)) = self.storage.key_of(request.hash()).await? {
            return Ok(Approved::Born { key, attestation });
        }
        let nonce = self.own_nonce(request)?;
        let setup = Setup::parse(request.operation, &request.setup).map_err(malformed)?;
        let authentication = Authentication::parse(&request.authentication).map_err(unauthenticated)?;
        let approved = match setup {
            Setup::Keygen(setup) => {
                let approved = self.keygen(request, setup, &authentication)?;
                self.admission.admit(approved.owner, self.storage.keys_of(approved.owner).await?)?;
                Approved::Keygen(Box::new(approved))
            }
            Setup::Sign(setup) => self.sign(request, setup, &authentication).await?,
            Setup::AddEphemeralKey(setup) => self.add_ephemeral_key(request, setup, &authentication).await?,
            _ => return Err(refused_malformed("this node does not know the operation")),
        };
        self.bind(nonce, request, approved).await
    }

    /// Uses up the nonce, and charges what an operation costs, before anything else happens.
    async fn bind(
        &self,
        nonce: Nonce,
        request: &SignedRequest,
        mut approved: Approved<'a>,
    ) -> Result<Approved<'a>, Verdict> {
        let counters = match &approved {
            Approved::Sign(signature) => signature.permissions.limits.counters(),
            _ => Vec::new(),
        };
        let charge = match &approved {
            Approved::Sign(signature) if !counters.is_empty() => Some(Charge {
                key_id: &signature.key_id,
                counters: &counters,
                nonce: signature.nonce,
                amounts: &signature.amounts,
                request,
                at: self.now,
            }),
            _ => None,
        };
        let expires_at = self.now + NONCE_LIFETIME.as_secs();
        match self.storage.bind(nonce, request.hash(), charge.as_ref(), expires_at, self.now).await? {
            Bound::Yes(hold) => {
                if let Approved::Sign(signature) = &mut approved {
                    signature.hold = hold;
                }
                Ok(approved)
            }
            Bound::Replayed => Err(Refusal::Replayed.into()),
            Bound::Excess(excess) => Err(Refusal::from(excess).into()),
        }
    }

    fn own_nonce(&self, request: &SignedRequest) -> Result<Nonce, Refusal> {
        let enough = request.nonces.len() >= usize::from(self.network.threshold());
        let known = request.nonces.keys().all(|node| self.network.identity(*node).is_some());
        let own = request.nonces.get(&self.me).filter(|nonce| self.nonces.is_good(nonce));
        own.copied().filter(|_| enough && known).ok_or(Refusal::Challenge)
    }

    /// Judges the evidence that others gave a key away, without a nonce: those who attest to it have checked theirs.
    pub(crate) fn evidence(&self, request: &SignedRequest) -> Result<ApprovedKeygen, Verdict> {
        let authentication = Authentication::parse(&request.authentication).map_err(unauthenticated)?;
        match Setup::parse(request.operation, &request.setup).map_err(malformed)? {
            Setup::Keygen(setup) => self.keygen(request, setup, &authentication),
            _ => Err(refused_malformed("the request is not one for a key")),
        }
    }

    fn keygen(
        &self,
        request: &SignedRequest,
        setup: KeygenSetup,
        authentication: &Authentication,
    ) -> Result<ApprovedKeygen, Verdict> {
        let asked = (setup.threshold, setup.parties);
        let has = (u32::from(self.network.threshold()), u32::from(self.network.size()));
        if asked != has {
            let text = |(t, n)| format!("{t} of {n} nodes");
            return Err(Refusal::Quorum { asked: text(asked).into(), has: text(has).into() }.into());
        }
        let owner = self.owner(&Setup::Keygen(setup.clone()), &request.challenge(), authentication)?;
        let ephemeral_ends = setup.ephemeral.ends(self.now).map_err(ephemeral)?;
        self.check_permissions(&setup, owner)?;
        Ok(ApprovedKeygen { owner, setup, ephemeral_ends, request: request.clone() })
    }

    /// The permissions are the owner's for this network, or they are not registered at all.
    fn check_permissions(&self, setup: &KeygenSetup, owner: Address) -> Result<(), Verdict> {
        let other = |what: &str, found: String, expected: String| Refusal::OtherPermissions {
            what: what.into(),
            found: found.into(),
            expected: expected.into(),
        };
        if let Some(claim) = &setup.claim
            && claim.network != self.network.id()
        {
            return Err(other("network", claim.network.to_string(), self.network.id().to_string()).into());
        }
        let Some(text) = &setup.permissions else { return Ok(()) };
        let permissions = Permissions::from_json(text).map_err(malformed)?;
        if permissions.owner != owner {
            return Err(other("owner", permissions.owner.to_string(), owner.to_string()).into());
        }
        let (threshold, size) = (self.network.threshold(), self.network.size());
        if !permissions.limits.counters().is_empty() && 2 * u16::from(threshold) <= u16::from(size) {
            return Err(Refusal::Uncountable { threshold, size }.into());
        }
        match &setup.claim {
            Some(claim) if claim.chain_id != permissions.chain_id => {
                Err(other("chain", permissions.chain_id.to_string(), claim.chain_id.to_string()).into())
            }
            _ => Ok(()),
        }
    }

    async fn sign(
        &self,
        request: &SignedRequest,
        setup: SignSetup,
        authentication: &Authentication,
    ) -> Result<Approved<'a>, Verdict> {
        let has = u32::from(self.network.threshold());
        if setup.threshold != has {
            let text = |t: u32| format!("{t} signers");
            return Err(Refusal::Quorum { asked: text(setup.threshold).into(), has: text(has).into() }.into());
        }
        let ephemeral =
            authentication.verify_ephemeral(&request.setup, &request.challenge()).map_err(unauthenticated)?;
        let key_id = &setup.key_id;
        let key = self.key(key_id).await?;
        let ends = self.storage.ephemeral_key_ends(key_id, &ephemeral).await?;
        if ends.is_none_or(|ends| ends <= self.now) {
            return Err(Refusal::EphemeralKey { key_id: key_id.clone().into() }.into());
        }

        let OperationMessage { operation, entry_point, chain_id } =
            OperationMessage::from_json(&setup.message).map_err(malformed)?;
        let permissions = key.permissions.ok_or(Refusal::NoPermissions)?;
        let session_key = address_of(&key.public_key)
            .ok_or_else(|| StorageError::Damaged { what: "public key", key_id: key_id.clone() })?;
        let Permitted { amounts, digest, .. } = permissions
            .judge(&operation, entry_point, chain_id, session_key, self.now)
            .map_err(Refusal::from)?;
        Ok(Approved::Sign(Box::new(ApprovedSignature {
            key_id: setup.key_id,
            permissions,
            digest,
            nonce: operation.nonce,
            amounts,
            hold: None,
        })))
    }

    async fn add_ephemeral_key(
        &self,
        request: &SignedRequest,
        setup: AddEphemeralKeySetup,
        authentication: &Authentication,
    ) -> Result<Approved<'a>, Verdict> {
        let (key_id, claim) = (setup.key_id.clone(), setup.ephemeral.clone());
        let asker = self.owner(&Setup::AddEphemeralKey(setup), &request.challenge(), authentication)?;
        let owner = self.key(&key_id).await?.owner;
        if asker != owner {
            return Err(Refusal::Owner { key_id: key_id.into(), owner }.into());
        }
        let ends = claim.ends(self.now).map_err(ephemeral)?;
        Ok(Approved::AddEphemeralKey { key_id, ephemeral: claim.key, ends })
    }

    fn owner(
        &self,
        setup: &Setup,
        challenge: &str,
        authentication: &Authentication,
    ) -> Result<Address, Verdict> {
        let typed_data = setup
            .typed_data(challenge)
            .ok_or_else(|| refused_malformed("the operation is not one that an owner signs"))?;
        Ok(authentication.verify_owner(&typed_data).map_err(unauthenticated)?)
    }

    async fn key(&self, key_id: &str) -> Result<StoredKey, Verdict> {
        if let Some(key) = self.storage.key(key_id).await? {
            return Ok(key);
        }
        if self.storage.free_key(key_id).await?.is_some() {
            return Err(Verdict::Unbound { key_id: key_id.to_owned() });
        }
        // A pending key is asked about again later, or of other nodes.
        match StillPending::find(self.network, self.storage, key_id).await? {
            Some(waiting) => Err(Refusal::Unfinished { reason: waiting.to_string().into() }.into()),
            None => Err(Refusal::UnknownKey { key_id: key_id.into() }.into()),
        }
    }
}

fn refused_malformed(reason: &str) -> Verdict {
    Refusal::Malformed { reason: reason.into() }.into()
}

fn malformed(error: impl std::error::Error) -> Refusal {
    Refusal::Malformed { reason: reasons(&error).into() }
}

fn ephemeral(error: EphemeralError) -> Refusal {
    malformed(error)
}

fn unauthenticated(error: AuthenticationError) -> Refusal {
    Refusal::Unauthenticated { reason: reasons(&error).into() }
}

/// The nonces that this node gave out and that have not expired.
///
/// They live in memory only: after a restart every open challenge is unknown, and the client asks for another.
pub(crate) struct Nonces {
    given: Mutex<BTreeMap<Nonce, Instant>>,
}

/// How many open nonces a node keeps; beyond that new ones are not remembered, so their requests are refused.
const MAX_NONCES: usize = 100_000;

impl Nonces {
    pub(crate) const fn new() -> Self {
        Self { given: Mutex::new(BTreeMap::new()) }
    }

    /// Gives out a fresh one.
    pub(crate) fn give(&self) -> Result<Nonce, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let nonce = Nonce::from(bytes);
        let mut given = self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if given.len() >= MAX_NONCES {
            given.retain(|_, at| at.elapsed() < NONCE_LIFETIME);
        }
        if given.len() < MAX_NONCES {
            given.insert(nonce, Instant::now());
        }
        Ok(nonce)
    }

    fn is_good(&self, nonce: &Nonce) -> bool {
        let given = self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        given.get(nonce).is_some_and(|at| at.elapsed() < NONCE_LIFETIME)
    }
}
