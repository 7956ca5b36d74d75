//! What a device is asked to sign, whole.

use std::{string::String, vec::Vec};

use quorate_core::{
    Address, B256, CallDataDigest as _, DelegationDomain, Digest, Domain, Encode as _, Initialization,
    KeyRequest, Leaf, OperationHead, Paymaster, TaggedValue, UnpackedUserOperation, UserOperation,
    delegation::{Context, Delegation, Delegations},
    signing_hash,
};

use super::error::DeviceError;
use crate::frame::{
    FrameError, KeyRequestFrame, MAX_FRAME, MAX_METADATA, Numbered, OperationFrame, ToDevice, encode,
};

/// What a device is asked to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningRequest {
    /// A user operation of the account's owner.
    Operation(OperationRequest),
    /// A session's use, by a device that holds the session key.
    Use(UseRequest),
    /// The owner's request for a distributed key.
    Key(KeyRequestText),
    /// A delegation of an account to a key.
    Delegation(DelegationRequest),
}

/// A user operation, with the sessions that it grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRequest {
    /// Where the operation is to run.
    pub domain: Domain,
    /// The operation.
    pub operation: Operation,
    /// All sessions under the root that the operation sets, in the tree's order; none for an operation that grants nothing.
    pub sessions: Vec<GrantedSession>,
}

/// A session under a root that is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantedSession {
    /// A session that the device shows.
    Shown(Leaf),
    /// A session whose module the device does not know, which it keeps if the last root that it signed itself has it.
    Kept {
        /// The session's leaf.
        leaf: B256,
        /// The session key manager.
        manager: Address,
        /// The leaf's siblings under that root, from the leaf's own up.
        proof: Vec<B256>,
    },
}

impl From<Leaf> for GrantedSession {
    fn from(leaf: Leaf) -> Self {
        Self::Shown(leaf)
    }
}

/// A user operation by a session key, with the session that it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseRequest {
    /// Where the operation is to run.
    pub domain: Domain,
    /// The operation.
    pub operation: Operation,
    /// The session.
    pub session: Leaf,
}

/// A user operation by the version of its entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operation {
    V0_6(UserOperation<Vec<u8>>),
    V0_7(UnpackedUserOperation<Vec<u8>>),
    V0_8(UnpackedUserOperation<Vec<u8>>),
    V0_9(UnpackedUserOperation<Vec<u8>>),
}

impl From<UserOperation<Vec<u8>>> for Operation {
    fn from(operation: UserOperation<Vec<u8>>) -> Self {
        Self::V0_6(operation)
    }
}

impl Operation {
    /// What the account is called with.
    pub fn call_data(&self) -> &[u8] {
        match self {
            Self::V0_6(operation) => &operation.call_data,
            Self::V0_7(operation) | Self::V0_8(operation) | Self::V0_9(operation) => &operation.call_data,
        }
    }

    /// The operation without its call data.
    pub fn head(&self) -> OperationHead<'_> {
        match self {
            Self::V0_6(operation) => OperationHead::V0_6(operation.without_call_data()),
            Self::V0_7(operation) => OperationHead::V0_7(without_call_data(operation)),
            Self::V0_8(operation) => OperationHead::V0_8(without_call_data(operation)),
            Self::V0_9(operation) => OperationHead::V0_9(without_call_data(operation)),
        }
    }

    /// The operation's hash.
    ///
    /// # Errors
    /// An operation that has none at its entry point.
    pub fn hash(&self, domain: Domain) -> Result<B256, DeviceError> {
        Ok(self.head().hash(Digest(self.call_data().keccak256()), domain)?)
    }
}

fn without_call_data(operation: &UnpackedUserOperation<Vec<u8>>) -> UnpackedUserOperation<&[u8], ()> {
    UnpackedUserOperation {
        sender: operation.sender,
        nonce: operation.nonce,
        init: match &operation.init {
            Initialization::Deployed => Initialization::Deployed,
            Initialization::Factory { factory, data } => Initialization::Factory { factory: *factory, data },
            Initialization::Delegated { delegate, data } => {
                Initialization::Delegated { delegate: *delegate, data }
            }
        },
        call_data: (),
        call_gas_limit: operation.call_gas_limit,
        verification_gas_limit: operation.verification_gas_limit,
        pre_verification_gas: operation.pre_verification_gas,
        max_fee_per_gas: operation.max_fee_per_gas,
        max_priority_fee_per_gas: operation.max_priority_fee_per_gas,
        paymaster: operation.paymaster.as_ref().map(|paymaster| Paymaster {
            paymaster: paymaster.paymaster,
            verification_gas_limit: paymaster.verification_gas_limit,
            post_op_gas_limit: paymaster.post_op_gas_limit,
            data: &*paymaster.data,
        }),
    }
}

/// The owner's request for a distributed key; see [`KeyRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequestText {
    /// How many nodes sign.
    pub threshold: u32,
    /// How many nodes hold a share.
    pub nodes: u32,
    /// Tags and values of the metadata that is signed, in its order.
    pub metadata: Vec<(u16, String)>,
    /// The network's challenge.
    pub challenge: String,
    /// What the key may sign, as the request's claim has its keccak-256. Where it is empty, the device says that it is not
    /// shown.
    pub permissions: String,
}

impl KeyRequestText {
    /// What is signed: the request's EIP-712 digest.
    pub fn digest(&self) -> B256 {
        let tagged = self.metadata.iter().map(|(tag, value)| TaggedValue { tag: *tag, value });
        let metadata: Vec<_> = tagged.collect();
        let Self { threshold, nodes, challenge, .. } = self;
        KeyRequest { threshold: *threshold, nodes: *nodes, metadata: &metadata, challenge }.digest()
    }
}

/// A delegation that its delegator has still to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationRequest {
    /// The manager that it is redeemed at, and the chain.
    pub domain: DelegationDomain,
    /// The canonical `abi.encode` of an array of this one delegation, whose signature may be empty.
    pub encoded: Vec<u8>,
}

impl DelegationRequest {
    /// Asks for a delegation to be signed; the signature that it may have is left out.
    pub fn new(domain: DelegationDomain, delegation: &Delegation<'_>) -> Self {
        let unsigned = Delegation { signature: &[], ..*delegation };
        Self { domain, encoded: Delegations(&[unsigned]).to_vec() }
    }

    /// What is signed: the delegation's EIP-712 digest.
    ///
    /// # Errors
    /// Bytes that are no delegation, or more than one.
    pub fn digest(&self) -> Result<B256, DeviceError> {
        let Self { domain: DelegationDomain { chain_id, manager }, encoded } = self;
        let context = Context::parse(encoded)?;
        let delegation = context.single().ok_or(DeviceError::NotOneDelegation { found: context.len() })?;
        Ok(delegation.signing_digest(*chain_id, *manager))
    }
}

/// What of call data and permissions goes into one frame.
const PIECE: usize = 512;

impl SigningRequest {
    /// What the device shows last: the operation's hash, or the digest of a request for a key or a delegation.
    ///
    /// # Errors
    /// An operation that has no hash at its entry point, and bytes that are not one delegation.
    pub fn hash(&self) -> Result<B256, DeviceError> {
        match self {
            Self::Operation(OperationRequest { domain, operation, .. })
            | Self::Use(UseRequest { domain, operation, .. }) => operation.hash(*domain),
            Self::Key(request) => Ok(request.digest()),
            Self::Delegation(request) => request.digest(),
        }
    }

    /// What the signature is over, for a request with this hash.
    pub(super) fn digest(&self, hash: B256) -> B256 {
        match self {
            Self::Operation(_) | Self::Use(_) => signing_hash(hash),
            Self::Key(_) | Self::Delegation(_) => hash,
        }
    }

    /// The chain, where what is signed is for one.
    pub(super) const fn chain_id(&self) -> Option<u64> {
        match self {
            Self::Operation(OperationRequest { domain, .. }) | Self::Use(UseRequest { domain, .. }) => {
                Some(domain.chain_id)
            }
            Self::Key(_) => None,
            Self::Delegation(DelegationRequest { domain, .. }) => Some(domain.chain_id),
        }
    }

    /// All frames of the request, of which the last asks for consent.
    ///
    /// # Errors
    /// [`DeviceError::TooLong`] where one does not fit.
    pub(super) fn frames(&self, request: u32) -> Result<Vec<Vec<u8>>, DeviceError> {
        let mut frames = Frames { request, encoded: Vec::new() };
        match self {
            Self::Operation(OperationRequest { domain, operation, sessions }) => {
                frames.push("the operation", ToDevice::Begin(operation_frame(*domain, operation)))?;
                sessions.iter().try_for_each(|session| frames.push_session(session))?;
                frames.push_call_data(operation)?;
            }
            Self::Use(UseRequest { domain, operation, session }) => {
                frames.push("the operation", ToDevice::Use(operation_frame(*domain, operation)))?;
                frames.push_call_data(operation)?;
                frames.push("a session", ToDevice::session(&session.borrow()))?;
            }
            Self::Key(request) => {
                frames.push("the key request", ToDevice::KeyRequest(key_request_frame(request)?))?;
                frames.push_permissions(request.permissions.as_bytes())?;
            }
            Self::Delegation(DelegationRequest {
                domain: DelegationDomain { chain_id, manager },
                encoded,
            }) => {
                let (chain_id, manager) = (*chain_id, manager.into_array());
                frames.push("the delegation", ToDevice::Delegation { chain_id, manager })?;
                frames.push_permissions(encoded)?;
            }
        }
        frames.push("the end", ToDevice::End)?;
        Ok(frames.encoded)
    }
}

struct Frames {
    request: u32,
    encoded: Vec<Vec<u8>>,
}

impl Frames {
    fn push(&mut self, what: &'static str, message: ToDevice<'_>) -> Result<(), DeviceError> {
        let mut buffer = [0; MAX_FRAME];
        let frame = encode(&Numbered { request: self.request, message }, &mut buffer);
        self.encoded.push(frame.map_err(|source| DeviceError::TooLong { what, source })?.to_vec());
        Ok(())
    }

    fn push_session(&mut self, session: &GrantedSession) -> Result<(), DeviceError> {
        match session {
            GrantedSession::Shown(leaf) => self.push("a session", ToDevice::session(&leaf.borrow())),
            GrantedSession::Kept { leaf, manager, proof } => {
                let proof = proof.iter().flat_map(|sibling| sibling.0).collect::<Vec<_>>();
                self.push("a session's proof", ToDevice::kept_session(*leaf, *manager, &proof))
            }
        }
    }

    fn push_permissions(&mut self, permissions: &[u8]) -> Result<(), DeviceError> {
        let mut pieces = permissions.chunks(PIECE);
        pieces.try_for_each(|piece| self.push("permissions", ToDevice::Permissions(piece)))
    }

    fn push_call_data(&mut self, operation: &Operation) -> Result<(), DeviceError> {
        let mut pieces = operation.call_data().chunks(PIECE);
        pieces.try_for_each(|piece| self.push("call data", ToDevice::CallData(piece)))
    }
}

fn operation_frame(domain: Domain, operation: &Operation) -> OperationFrame<'_> {
    OperationFrame {
        entry_point: domain.entry_point.into_array(),
        chain_id: domain.chain_id,
        head: operation.head(),
    }
}

fn key_request_frame(request: &KeyRequestText) -> Result<KeyRequestFrame<'_>, DeviceError> {
    let mut metadata = [None; MAX_METADATA];
    let Some(places) = metadata.get_mut(..request.metadata.len()) else {
        return Err(DeviceError::TooLong { what: "the metadata", source: FrameError::TooLong });
    };
    for (place, (tag, value)) in places.iter_mut().zip(&request.metadata) {
        *place = Some((*tag, value.as_str()));
    }
    let KeyRequestText { threshold, nodes, challenge, .. } = request;
    Ok(KeyRequestFrame { threshold: *threshold, nodes: *nodes, metadata, challenge })
}
