//! One more ephemeral key for a key, as our own client asks for it.

use std::collections::BTreeMap;

use crate::{
    AddEphemeralKeySetup, Answer, Authentication, ClientError, EphemeralClaim, NetworkDescriptor, NodeIndex,
    Nonce, Operation, Owner, ProvenChallenge, Setup, TypedData, TypedDataSignature,
};

/// A request to register an ephemeral key, before the network's challenge: its setup is the first frame to send.
#[derive(Clone, Debug)]
pub struct RegistrationRequest {
    owner: Owner,
    setup: String,
}

/// A challenged request to register an ephemeral key, waiting for the owner's signature. The challenge is good for 60
/// seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationDraft {
    owner: Owner,
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
        Self { owner: owner.into(), setup: AddEphemeralKeySetup::text(network.size(), key_id, ephemeral) }
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
        Ok(RegistrationDraft { owner: self.owner, setup: self.setup, challenge, nonces })
    }
}

impl RegistrationDraft {
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
        let setup = Setup::parse(Operation::AddEphemeralKey, &self.setup)?;
        setup.typed_data(&self.challenge).ok_or(ClientError::OtherAnswer)
    }

    /// The second frame, with the owner's signature over [`typed_data`](Self::typed_data).
    ///
    /// # Errors
    /// A key id that is none: the setup cannot be read then; or a signature of the other kind of owner.
    pub fn authentication(&self, signature: impl Into<TypedDataSignature>) -> Result<String, ClientError> {
        match Setup::parse(Operation::AddEphemeralKey, &self.setup)? {
            Setup::AddEphemeralKey(setup) => {
                Ok(Authentication::owner_text(self.owner, &setup.ephemeral.to_json(), signature)?)
            }
            _ => Err(ClientError::OtherAnswer),
        }
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
