//! The host's side: an alloy signer whose key is on a device.

use std::borrow::ToOwned as _;
use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use alloy_primitives::{Address, B256, ChainId, Signature};
use alloy_signer::Signer;
use async_trait::async_trait;
use quorate_core::{Domain, Leaf, OperationHead, SessionLeaf, UserOperation, signing_hash};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Mutex;

use crate::frame::{FrameBuffer, FrameError, FromDevice, MAX_FRAME, ToDevice, encode};

/// Why a device gives no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The stream to the device.
    #[error("the connection to the device broke")]
    Connection(#[from] std::io::Error),
    /// What the device sends, or what it would have to be sent.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An answer to something else.
    #[error("the device answers something else than it was asked")]
    Unexpected,
    /// The device refuses.
    #[error("the device refuses: {reason}")]
    Refused {
        /// Why, in the device's words.
        reason: String,
    },
    /// The device computes another hash than was to be signed.
    #[error("the device reviewed an operation with hash {reviewed}, but {asked} was to be signed")]
    OtherHash {
        /// The device's.
        reviewed: B256,
        /// The caller's.
        asked: B256,
    },
    /// A signature that is not the device's over the operation.
    #[error("the device's signature is not one of {address}'s over the operation")]
    Unverified {
        /// Whose it should be.
        address: Address,
    },
}

/// A device at the other end of a stream: a serial port, a TCP connection.
#[derive(Debug)]
pub struct DeviceSigner<S> {
    stream: Arc<Mutex<S>>,
    address: Address,
}

/// What a device is to be asked to sign, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// Where the operation is to run.
    pub target: Domain,
    /// The operation.
    pub operation: UserOperation<Vec<u8>>,
    /// The encoded sessions that it grants, all of them; none for an operation that grants nothing.
    pub sessions: Vec<Leaf>,
}

/// Stands for whoever looks at the device's screen and presses its button.
pub trait Person: Send {
    /// A line that the screen shows.
    fn see(&mut self, line: &str);

    /// Whether what was seen is to be signed. A device with a button of its own does not ask.
    fn approve(&mut self) -> bool;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> DeviceSigner<S> {
    /// Asks the device for its address.
    ///
    /// # Errors
    /// A stream that breaks, or something at its other end that is no device.
    pub async fn connect(mut stream: S) -> Result<Self, DeviceError> {
        send(&mut stream, &ToDevice::Address).await?;
        let mut frame = FrameBuffer::new();
        match receive(&mut stream, &mut frame).await? {
            FromDevice::Address(address) => {
                Ok(Self { stream: Arc::new(Mutex::new(stream)), address: address.into() })
            }
            FromDevice::Refused(reason) => Err(DeviceError::Refused { reason: reason.to_owned() }),
            _ => Err(DeviceError::Unexpected),
        }
    }

    /// Whose signatures the device makes.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// An alloy signer for exactly one operation, which signs the operation's hash as a message and nothing else.
    pub fn signer<P: Person>(&self, request: SigningRequest, person: P) -> RequestSigner<S, P> {
        RequestSigner {
            stream: self.stream.clone(),
            address: self.address,
            request,
            person: Mutex::new(person),
        }
    }
}

/// A device that is ready to review one operation; see [`DeviceSigner::signer`].
#[derive(Debug)]
pub struct RequestSigner<S, P> {
    stream: Arc<Mutex<S>>,
    address: Address,
    request: SigningRequest,
    person: Mutex<P>,
}

/// What of the call data goes into one frame.
const PIECE: usize = 512;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync, P: Person> RequestSigner<S, P> {
    /// Has the device review the operation and, if it is approved, sign its hash.
    ///
    /// # Errors
    /// The device's refusal, a rejection, or a signature that does not verify.
    pub async fn sign(&self) -> Result<Signature, DeviceError> {
        let SigningRequest { target, operation, sessions } = &self.request;
        let mut stream = self.stream.lock().await;
        let mut person = self.person.lock().await;

        let begin = ToDevice::Begin {
            entry_point: target.entry_point.into_array(),
            chain_id: target.chain_id,
            head: OperationHead::V0_6(operation.without_call_data()).into(),
        };
        let leaves: Vec<SessionLeaf<'_>> = sessions.iter().map(Leaf::borrow).collect();
        let sessions = leaves.iter().map(ToDevice::session);
        let pieces = operation.call_data.chunks(PIECE).map(ToDevice::CallData);
        for frame in core::iter::once(begin).chain(sessions).chain(pieces) {
            send(&mut *stream, &frame).await?;
            wait(&mut *stream, &mut *person, Awaited::Ready).await?;
        }
        send(&mut *stream, &ToDevice::End).await?;
        let reviewed = wait(&mut *stream, &mut *person, Awaited::Approval).await?;

        let asked = operation.hash(target.entry_point, target.chain_id);
        let approved = reviewed == asked && person.approve();
        send(&mut *stream, &if approved { ToDevice::Approve } else { ToDevice::Reject }).await?;
        let signature = signature(&mut *stream).await;
        if reviewed != asked {
            return Err(DeviceError::OtherHash { reviewed, asked });
        }
        let signature = signature?;
        match signature.recover_address_from_prehash(&signing_hash(asked)) {
            Ok(signer) if signer == self.address && signature.normalize_s().is_none() => Ok(signature),
            _ => Err(DeviceError::Unverified { address: self.address }),
        }
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync, P: Person> Signer for RequestSigner<S, P> {
    /// No device signs a bare hash.
    async fn sign_hash(&self, _hash: &B256) -> alloy_signer::Result<Signature> {
        Err(alloy_signer::Error::UnsupportedOperation(alloy_signer::UnsupportedSignerOperation::SignHash))
    }

    /// Signs the request's hash, and no other message.
    async fn sign_message(&self, message: &[u8]) -> alloy_signer::Result<Signature> {
        let Domain { entry_point, chain_id } = self.request.target;
        let reviewed = self.request.operation.hash(entry_point, chain_id);
        if message != reviewed.as_slice() {
            let asked = B256::try_from(message).unwrap_or_default();
            return Err(alloy_signer::Error::other(DeviceError::OtherHash { reviewed, asked }));
        }
        self.sign().await.map_err(alloy_signer::Error::other)
    }

    fn address(&self) -> Address {
        self.address
    }

    fn chain_id(&self) -> Option<ChainId> {
        Some(self.request.target.chain_id)
    }

    /// The chain is the request's.
    fn set_chain_id(&mut self, _chain_id: Option<ChainId>) {}
}

enum Awaited {
    Ready,
    Approval,
}

/// Shows the screen's lines until the device has taken a frame; gives the hash where it has seen everything.
async fn wait<S: AsyncRead + Unpin, P: Person>(
    stream: &mut S,
    person: &mut P,
    awaited: Awaited,
) -> Result<B256, DeviceError> {
    let mut frame = FrameBuffer::new();
    loop {
        match (receive(stream, &mut frame).await?, &awaited) {
            (FromDevice::Line(line), _) => person.see(line),
            (FromDevice::Ready, Awaited::Ready) => return Ok(B256::ZERO),
            (FromDevice::Approval(hash), Awaited::Approval) => return Ok(hash.into()),
            (FromDevice::Refused(reason), _) => {
                return Err(DeviceError::Refused { reason: reason.to_owned() });
            }
            _ => return Err(DeviceError::Unexpected),
        }
    }
}

async fn signature<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Signature, DeviceError> {
    let mut frame = FrameBuffer::new();
    match receive(stream, &mut frame).await? {
        FromDevice::Signature(bytes) => Signature::from_raw(bytes).map_err(|_| DeviceError::Unexpected),
        FromDevice::Refused(reason) => Err(DeviceError::Refused { reason: reason.to_owned() }),
        _ => Err(DeviceError::Unexpected),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, frame: &ToDevice<'_>) -> Result<(), DeviceError> {
    let mut buffer = [0; MAX_FRAME];
    stream.write_all(encode(frame, &mut buffer)?).await?;
    stream.flush().await?;
    Ok(())
}

async fn receive<'f, S: AsyncRead + Unpin>(
    stream: &mut S,
    frame: &'f mut FrameBuffer,
) -> Result<FromDevice<'f>, DeviceError> {
    frame.clear();
    while !frame.push(stream.read_u8().await?) {}
    Ok(frame.decode()?)
}
