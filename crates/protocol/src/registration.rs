//! What an owner registers with a key, as our own client asks for it: one more ephemeral key, or the permissions of a key that was
//! born without.

use std::collections::BTreeMap;

use crate::{
    AddEphemeralKeySetup, Answer, Authentication, ClientError, EphemeralClaim, NetworkDescriptor, NodeIndex,
    Nonce, Operation, Owner, PermitSetup, ProvenChallenge, Setup, Target, TypedData, TypedDataSignature,
};

/// A request to register something with a key, before the network's challenge: its setup is the first frame to send.
#[derive(Clone, Debug)]
pub struct RegistrationRequest {
    owner: Owner,
    operation: Operation,
    setup: String,
}

/// A challenged request to register something with a key, waiting for the owner's signature. The challenge is good for 60
/// seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationDraft {
    owner: Owner,
    operation: Operation,
    setup: String,
    challenge: String,
    nonces: BTreeMap<NodeIndex, Nonce>,
}

impl RegistrationRequest {
    /// Asks that `ephemeral`, too, may ask for the signatures of the owner's key.
    pub fn new(
        network: &NetworkDescriptor,
        owner: impl Into<Owner>,
        key_id: &str,
        ephemeral: &EphemeralClaim,
    ) -> Self {
        let setup = AddEphemeralKeySetup::text(network.size(), key_id, ephemeral);
        Self { owner: owner.into(), operation: Operation::AddEphemeralKey, setup }
    }

    /// Asks that a key which was born without permissions signs what these permit.
    ///
    /// # Errors
    /// Permissions that no network takes.
    pub fn of_permissions(
        network: &NetworkDescriptor,
        owner: impl Into<Owner>,
        key_id: &str,
        permissions: &Target,
    ) -> Result<Self, ClientError> {
        permissions.check()?;
        let permissions = permissions.to_json();
        let setup = PermitSetup { network: network.id(), key_id: key_id.to_owned(), permissions }.text();
        Ok(Self { owner: owner.into(), operation: Operation::Permit, setup })
    }

    /// What is asked for.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The first frame.
    pub fn setup(&self) -> &str {
        &self.setup
    }

    /// Takes the network's challenge: bare, or [with its nonces](crate::ProvenChallenge).
    ///
    /// # Errors
    /// A refusal, a challenge that is not 32 bytes of hex, or nonces of another challenge.
    pub fn challenged(self, challenge: &str) -> Result<RegistrationDraft, ClientError> {
        let ProvenChallenge { challenge, nonces } = ProvenChallenge::read(&self.setup, challenge)?;
        let Self { owner, operation, setup } = self;
        Ok(RegistrationDraft { owner, operation, setup, challenge, nonces })
    }
}

impl RegistrationDraft {
    /// What is asked for.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Who has to sign.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The challenge.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The first frame, for a connection that takes the request up again.
    pub fn setup(&self) -> &str {
        &self.setup
    }

    /// What goes ahead of the setup where the request is taken up on another connection; none where the gateway gave no
    /// nonces, which goes on where it began.
    pub fn resume(&self) -> Option<String> {
        ProvenChallenge::resume(&self.challenge, &self.nonces)
    }

    /// What the owner signs.
    ///
    /// # Errors
    /// A key id that is none: the setup cannot be read then.
    pub fn typed_data(&self) -> Result<TypedData, ClientError> {
        let setup = Setup::parse(self.operation, &self.setup)?;
        setup.typed_data(&self.challenge).ok_or(ClientError::OtherAnswer)
    }

    /// The second frame, with the owner's signature over [`typed_data`](Self::typed_data).
    ///
    /// # Errors
    /// A key id that is none: the setup cannot be read then; or a signature of the other kind of owner.
    pub fn authentication(&self, signature: impl Into<TypedDataSignature>) -> Result<String, ClientError> {
        let ephemeral = match Setup::parse(self.operation, &self.setup)? {
            Setup::AddEphemeralKey(setup) => setup.ephemeral.to_json(),
            Setup::Permit(_) => String::new(),
            _ => return Err(ClientError::OtherAnswer),
        };
        Ok(Authentication::owner_text(self.owner, &ephemeral, signature)?)
    }

    /// Takes the network's answer.
    ///
    /// # Errors
    /// A refusal, or an answer to something else.
    pub fn accept(&self, answer: &str) -> Result<(), ClientError> {
        match Answer::from_json(answer)? {
            Answer::Registered => Ok(()),
            Answer::Refused(refusal) => Err(ClientError::Refused(refusal)),
            _ => Err(ClientError::OtherAnswer),
        }
    }
}
