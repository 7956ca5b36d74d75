#![doc = include_str!("../README.md")]

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
