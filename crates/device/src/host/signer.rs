//! Signers over a connection to a device.

use std::{borrow::ToOwned as _, boxed::Box, string::String, sync::Arc, vec::Vec};

use alloy_dyn_abi::{DynSolValue, eip712::TypedData};
use alloy_primitives::{Address, B256, ChainId, Signature};
use alloy_signer::{Signer, UnsupportedSignerOperation};
use async_trait::async_trait;
use quorate_core::{
    DelegationDomain,
    delegation::{Caveat, Caveats, Delegation},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};

use super::{
    connection::{Connection, Deadlines},
    error::DeviceError,
    request::{DelegationRequest, KeyRequestText, SigningRequest},
};

/// A device at the other end of a stream: a serial port, a TCP connection.
///
/// The person decides on the device itself; the host waits, for as long as its [`Deadlines`] say. A future that is dropped
/// leaves the stream usable: the next request ends what the one before began, and skips answers to it.
///
/// As an alloy `Signer` it signs requests for distributed keys and delegations, which come as typed data. For an operation, which the device
/// wants whole and not by its hash, there is [`signer`](Self::signer).
#[derive(Debug)]
pub struct DeviceSigner<S> {
    connection: Arc<Mutex<Connection<S>>>,
    address: Address,
    /// What a key may sign that is asked for by typed data, which does not have it.
    permissions: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> DeviceSigner<S> {
    /// Asks the device for its address.
    ///
    /// # Errors
    /// A stream that breaks, or something at its other end that is no device.
    pub async fn connect(stream: S) -> Result<Self, DeviceError> {
        Self::connect_with(stream, Deadlines::default()).await
    }

    /// As [`connect`](Self::connect), with other deadlines.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(stream: S, deadlines: Deadlines) -> Result<Self, DeviceError> {
        let mut connection = Connection::new(stream);
        connection.deadlines = deadlines;
        let address = connection.address().await?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), address, permissions: String::new() })
    }

    /// Gives the device the permissions of the keys whose requests it signs as typed data, so that it can show them.
    #[must_use]
    pub fn with_permissions(mut self, permissions: impl Into<String>) -> Self {
        self.permissions = permissions.into();
        self
    }

    /// Whose signatures the device makes.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Has the device show a request and, if its button is pressed, sign it. One request is served after the other.
    ///
    /// # Errors
    /// The device's refusal, a rejection, a deadline, or a signature that does not verify.
    pub async fn sign(&self, request: &SigningRequest) -> Result<Signature, DeviceError> {
        let asked = request.hash()?;
        let mut connection = self.connection.lock().await;
        let frames = request.frames(connection.next_number())?;
        let signed = async {
            let reviewed = connection.review(&frames).await?;
            if reviewed != asked {
                return Err(DeviceError::OtherHash { reviewed, asked });
            }
            connection.signature().await
        };
        let signature = match signed.await {
            Err(error @ (DeviceError::Deadline { .. } | DeviceError::OtherHash { .. })) => {
                // The first error is the one to tell.
                let _ = connection.cancel().await;
                return Err(error);
            }
            signed => signed?,
        };
        match signature.recover_address_from_prehash(&request.digest(asked)) {
            Ok(signer) if signer == self.address && signature.normalize_s().is_none() => Ok(signature),
            _ => Err(DeviceError::Unverified { address: self.address }),
        }
    }

    /// Has the device give up the last request, whose future was dropped.
    ///
    /// # Errors
    /// A stream that breaks.
    pub async fn cancel(&self) -> Result<(), DeviceError> {
        self.connection.lock().await.cancel().await
    }

    /// An alloy signer for exactly one request, which signs its hash and nothing else.
    pub fn signer(&self, request: SigningRequest) -> RequestSigner<S> {
        let Self { connection, address, .. } = self;
        let device = Self { connection: connection.clone(), address: *address, permissions: String::new() };
        RequestSigner { device, request }
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Signer for DeviceSigner<S> {
    /// No device signs a bare hash.
    async fn sign_hash(&self, _hash: &B256) -> alloy_signer::Result<Signature> {
        Err(alloy_signer::Error::UnsupportedOperation(UnsupportedSignerOperation::SignHash))
    }

    /// No device signs a bare message.
    async fn sign_message(&self, _message: &[u8]) -> alloy_signer::Result<Signature> {
        Err(alloy_signer::Error::UnsupportedOperation(UnsupportedSignerOperation::SignMessage))
    }

    /// Signs a request for a distributed key or a delegation, and no other typed data.
    async fn sign_dynamic_typed_data(&self, payload: &TypedData) -> alloy_signer::Result<Signature> {
        let request = request_of(payload, &self.permissions).map_err(alloy_signer::Error::other)?;
        self.sign(&request).await.map_err(alloy_signer::Error::other)
    }

    fn address(&self) -> Address {
        self.address
    }

    fn chain_id(&self) -> Option<ChainId> {
        None
    }

    /// The chain is the request's.
    fn set_chain_id(&mut self, _chain_id: Option<ChainId>) {}
}

/// Reads the request of a document, which has to be that request's to the digest.
fn request_of(payload: &TypedData, permissions: &str) -> Result<SigningRequest, DeviceError> {
    let is_delegation =
        payload.domain.name.as_deref() == Some("DelegationManager") && payload.primary_type == "Delegation";
    let request = if is_delegation {
        delegation(payload).map(SigningRequest::Delegation)
    } else {
        key_request(payload, permissions).map(SigningRequest::Key)
    };
    let request = request.ok_or(DeviceError::OtherTypedData)?;
    match payload.eip712_signing_hash() {
        Ok(digest) if digest == request.hash()? => Ok(request),
        _ => Err(DeviceError::OtherTypedData),
    }
}

/// Reads a delegation by the order of its fields: what they are called, and all else, is in the digest.
fn delegation(payload: &TypedData) -> Option<DelegationRequest> {
    let chain_id = u64::try_from(payload.domain.chain_id?).ok()?;
    let domain = DelegationDomain { chain_id, manager: payload.domain.verifying_contract? };
    let value = payload.coerce().ok()?;
    let [delegate, delegator, authority, caveats, salt] = fields(&value)?;
    let caveats = caveats.as_array()?.iter().map(|caveat| {
        let [enforcer, terms] = fields(caveat)?;
        Some(Caveat { enforcer: enforcer.as_address()?, terms: terms.as_bytes()? })
    });
    let caveats = caveats.collect::<Option<Vec<_>>>()?;
    let delegation = Delegation {
        delegate: delegate.as_address()?,
        delegator: delegator.as_address()?,
        authority: authority.as_fixed_bytes()?.0.try_into().ok()?,
        caveats: Caveats::from(&*caveats),
        salt: salt.as_uint()?.0,
        signature: &[],
    };
    Some(DelegationRequest::new(domain, &delegation))
}

fn fields<const N: usize>(value: &DynSolValue) -> Option<&[DynSolValue; N]> {
    value.as_custom_struct().and_then(|(_, _, fields)| fields.try_into().ok())
}

fn key_request(payload: &TypedData, permissions: &str) -> Option<KeyRequestText> {
    let document = Document::deserialize(&payload.message).ok()?;
    let Document { setup: Setup { t, n, metadata }, challenge } = document;
    let metadata = metadata.into_iter().map(|entry| (entry.tag, entry.value)).collect();
    Some(KeyRequestText { threshold: t, nodes: n, metadata, challenge, permissions: permissions.to_owned() })
}

#[derive(Deserialize)]
struct Document {
    setup: Setup,
    challenge: String,
}

#[derive(Deserialize)]
struct Setup {
    t: u32,
    n: u32,
    metadata: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    tag: u16,
    value: String,
}

/// A device that is ready to review one request; see [`DeviceSigner::signer`].
#[derive(Debug)]
pub struct RequestSigner<S> {
    device: DeviceSigner<S>,
    request: SigningRequest,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> RequestSigner<S> {
    /// As [`DeviceSigner::sign`].
    ///
    /// # Errors
    /// As [`DeviceSigner::sign`].
    pub async fn sign(&self) -> Result<Signature, DeviceError> {
        self.device.sign(&self.request).await
    }

    async fn sign_exactly(&self, asked: B256) -> alloy_signer::Result<Signature> {
        let reviewed = self.request.hash().map_err(alloy_signer::Error::other)?;
        if asked != reviewed {
            return Err(alloy_signer::Error::other(DeviceError::OtherHash { reviewed, asked }));
        }
        self.sign().await.map_err(alloy_signer::Error::other)
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Signer for RequestSigner<S> {
    /// Signs the digest of the request for a key or the delegation, if the request is one.
    async fn sign_hash(&self, hash: &B256) -> alloy_signer::Result<Signature> {
        match self.request {
            SigningRequest::Key(_) | SigningRequest::Delegation(_) => self.sign_exactly(*hash).await,
            _ => Err(alloy_signer::Error::UnsupportedOperation(UnsupportedSignerOperation::SignHash)),
        }
    }

    /// Signs the operation's hash, if the request is one for an operation.
    async fn sign_message(&self, message: &[u8]) -> alloy_signer::Result<Signature> {
        match self.request {
            SigningRequest::Key(_) | SigningRequest::Delegation(_) => {
                Err(alloy_signer::Error::UnsupportedOperation(UnsupportedSignerOperation::SignMessage))
            }
            _ => self.sign_exactly(B256::try_from(message).unwrap_or_default()).await,
        }
    }

    fn address(&self) -> Address {
        self.device.address
    }

    fn chain_id(&self) -> Option<ChainId> {
        self.request.chain_id()
    }

    /// The chain is the request's.
    fn set_chain_id(&mut self, _chain_id: Option<ChainId>) {}
}
