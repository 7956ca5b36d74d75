//! A client of a signing network, over WebSockets.
//!
//! [`SigningNetwork`] has keys made and asks for their signatures. It pins the network's descriptor, takes a key
//! only with the nodes' own attestations, and a signature only if it is the session key's over that operation;
//! so the gateway in between need not be trusted. Every call has a deadline, and dropping its future cancels it.

mod connection;
mod distributed_signer;
mod ephemeral_key;
mod error;
mod gateways;
mod retry;
mod signing_network;

pub use distributed_signer::DistributedSigner;
pub use ephemeral_key::EphemeralKey;
pub use error::NetworkError;
pub use quorate_protocol::{
    AdmissionToken, AttestedKey, ContractAccount, EphemeralKeyStatus, EphemeralKeys, KeyDraft,
    NetworkDescriptor, NodeIndex, Owner, Refusal, Revocation, RevocationStatus, TypedDataSignature,
};
pub use quorate_transport::RootCertificateError;
pub use signing_network::{PendingRegistration, SigningNetwork};
