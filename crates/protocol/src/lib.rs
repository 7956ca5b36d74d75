#![doc = include_str!("../README.md")]

mod admission_token;
mod answer;
mod authentication;
mod ban;
mod birth;
mod claim;
mod client;
mod delegation;
mod descriptor;
mod ephemeral;
mod fingerprint;
mod forbidden;
mod gateway;
mod json;
mod limits;
mod listing;
mod message;
mod node_card;
mod owner;
mod paymaster;
mod permissions;
mod proven_challenge;
mod refusal;
mod registration;
mod request;
mod request_id;
mod revocation;
mod setup;
mod short_text;
mod statement;
mod subject;
mod target;
mod transcript;
mod typed_data;
mod voucher;

pub use admission_token::{AdmissionToken, AdmissionTokenError, MalformedIssuer, TokenIssuer};
pub use answer::{Answer, AnswerError, KeyText, SUBPROTOCOL, SignatureText};
pub use authentication::{Authentication, AuthenticationError, TypedDataSignature, ephemeral_message};
pub use ban::Ban;
pub use birth::{Attestation, Birth, Unattested};
pub use claim::{Claimed, ContractClaim, Signed, Verified};
pub use client::{AttestedKey, ClientError, KeyDraft, KeyRequest, SignatureRequest, address_of};
pub use delegation::{
    CaveatAmount, CaveatCounter, ChargeId, DelegationPermissions, Deployment, FactoryPin, FeeCaps,
    Inexpressible, NodeLimit, PermittedSubject, PinnedContext, PinnedContextError, PolicyCaveat,
    PolicyCaveats, Redeemer, SessionAccount, UnsignedDelegation,
};
pub use descriptor::{DescriptorError, NetworkDescriptor, NodeIndex};
pub use ephemeral::{DEFAULT_EPHEMERAL_LIFETIME, EphemeralClaim, EphemeralError, MAX_EPHEMERAL_LIFETIME};
pub use fingerprint::{Fingerprint, NoFingerprint};
pub use forbidden::{
    Forbidden, ForbiddenCall, ForbiddenRedelegation, ForbiddenRedemption, ForbiddenTransaction,
};
pub use gateway::{gateway_name, socket_url};
pub use json::{AddressError, JsonError};
pub use limits::{
    ArgumentLimit, Coin, CoinWindow, Counter, Dimension, Limits, PaymasterRule, Quantity, Uncountable,
    WindowLimit,
};
pub use listing::{EphemeralKeyStatus, EphemeralKeys, KeyListing, ListSetup};
pub use message::{MessageError, OperationMessage};
pub use node_card::{NodeCard, NodeCardError};
pub use owner::{ContractAccount, Owner, OwnerError};
pub use paymaster::MalformedPaymaster;
pub use permissions::{CallPolicy, Permissions, PermissionsError, Permitted, PermittedPolicy};
pub use proven_challenge::ProvenChallenge;
pub use refusal::Refusal;
pub use registration::{RegistrationDraft, RegistrationRequest};
pub use request::{CHALLENGE_LIFETIME, KEY_REQUEST_LIFETIME, Nonce, SignedRequest, challenge};
pub use request_id::{MalformedRequestId, RequestId};
pub use revocation::{Acknowledgement, RecentOperation, Revocation, RevocationStatus, RevokeSetup};
pub use setup::{
    AddEphemeralKeySetup, KeygenSetup, Operation, PermissionsClaim, PermitSetup, Setup, SetupError, SignSetup,
};
pub use short_text::ShortText;
pub use statement::{Says, Statement, StatementError, StatementSet};
pub use subject::{AccountOperation, Redelegation, RedelegationCaveat, Subject, SubjectError};
pub use target::Target;
pub use transcript::Transcript;
pub use typed_data::TypedData;
pub use voucher::Voucher;
