//! The host's side: a signer whose key is on a device.

mod connection;
mod error;
mod request;
mod signer;

pub use self::{
    connection::Deadlines,
    error::DeviceError,
    request::{
        DelegationRequest, GrantedSession, KeyRequestText, Operation, OperationRequest, SigningRequest,
        UseRequest,
    },
    signer::{DeviceSigner, RequestSigner},
};
