use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Signature};
use futures_util::future::join_all;
use quorate_protocol::{
    AdmissionToken, AttestedKey, EphemeralClaim, EphemeralKeys, KeyDraft, KeyRequest, ListSetup,
    NetworkDescriptor, Operation, OperationMessage, Owner, Permissions, RegistrationDraft,
    RegistrationRequest, RequestId, Revocation, RevocationStatus, SignatureRequest, Subject, Target,
    TypedDataSignature, gateway_name,
};
use quorate_transport::{RootCertificateError, tls_with_roots};
use tokio::time::Instant;

use crate::connection::{Call, Connection};
use crate::gateways::Gateways;
use crate::retry::{RetryListener, Window};
use crate::{EphemeralKey, NetworkError};

/// A signing network, reached through its gateways.
///
/// Any of them serves a call. A client begins with the one that worked last; where that one cannot be reached, breaks off, is
/// busy or too slow, the call goes on at the next one at once, and no call fails while one gateway works.
#[derive(Clone, Debug)]
pub struct SigningNetwork {
    descriptor: NetworkDescriptor,
    pub(crate) gateways: Gateways,
    admission_token: Option<AdmissionToken>,
    keygen_deadline: Duration,
    signing_deadline: Duration,
    is_retrying: bool,
    pub(crate) retry_listener: Option<RetryListener>,
}

/// For how long a revocation is handed in again where nodes are missing, and how often.
const REVOCATION: Duration = Duration::from_secs(5);
const REVOCATION_PAUSE: Duration = Duration::from_millis(500);

impl SigningNetwork {
    /// The network that `descriptor` pins. A key may take 120 seconds, a signature 30.
    pub fn new(descriptor: NetworkDescriptor) -> Self {
        Self {
            gateways: Gateways::new(&descriptor),
            descriptor,
            admission_token: None,
            keygen_deadline: Duration::from_secs(120),
            signing_deadline: Duration::from_secs(30),
            is_retrying: true,
            retry_listener: None,
        }
    }

    /// The same where the gateway is believed by these root certificates, in PEM, beside the platform's.
    ///
    /// # Errors
    /// Text that is not PEM, or has no certificate or one that cannot be a root.
    pub fn with_root_certificates(mut self, pem: &[u8]) -> Result<Self, RootCertificateError> {
        self.gateways.believe(tls_with_roots(pem)?);
        Ok(self)
    }

    /// The same where keys are asked for with an admission token, which the network's operator gave to their owner. To ask for
    /// another owner's key with it is an error.
    pub fn with_admission_token(mut self, token: AdmissionToken) -> Self {
        self.admission_token = Some(token);
        self
    }

    /// The same with another deadline for making a key.
    pub const fn with_keygen_deadline(mut self, deadline: Duration) -> Self {
        self.keygen_deadline = deadline;
        self
    }

    /// The same with another deadline for a signature, in which it is asked for as often as it takes.
    pub const fn with_signing_deadline(mut self, deadline: Duration) -> Self {
        self.signing_deadline = deadline;
        self
    }

    /// The same where each signature is asked for once: the first error is the answer.
    pub const fn without_retries(mut self) -> Self {
        self.is_retrying = false;
        self
    }

    /// The same with a listener that is told of each error after which something is asked for again, there or at another gateway.
    pub fn with_retry_listener(mut self, listener: impl Fn(&NetworkError) + Send + Sync + 'static) -> Self {
        self.retry_listener = Some(RetryListener(Arc::new(listener)));
        self
    }

    /// What the client pins.
    pub const fn descriptor(&self) -> &NetworkDescriptor {
        &self.descriptor
    }

    /// Asks for a key with these permissions, and returns what its owner has to sign.
    ///
    /// The draft is good for 60 seconds, here or in another process and at any gateway: [`submit_key`](Self::submit_key) goes on.
    ///
    /// # Errors
    /// Permissions that nodes would refuse, an admission token of another owner or network, a gateway that cannot be
    /// reached, or a network of which nodes are missing.
    pub async fn prepare_key(
        &self,
        permissions: &Permissions,
        ephemeral: &EphemeralClaim,
    ) -> Result<KeyDraft, NetworkError> {
        let token = self.admission_token.as_ref();
        self.draft_key(&KeyRequest::new(&self.descriptor, permissions, ephemeral, token)?).await
    }

    /// Asks for a key that signs nothing until its owner has [registered](Self::prepare_permit) what it may sign, and returns what
    /// its owner has to sign. Otherwise as [`prepare_key`](Self::prepare_key).
    ///
    /// # Errors
    /// An admission token of another owner or network, a gateway that cannot be reached, or a network of which nodes are missing.
    pub async fn prepare_key_without_permissions(
        &self,
        owner: Address,
        ephemeral: &EphemeralClaim,
    ) -> Result<KeyDraft, NetworkError> {
        let token = self.admission_token.as_ref();
        let request = KeyRequest::without_permissions(&self.descriptor, owner, ephemeral, token)?;
        self.draft_key(&request).await
    }

    async fn draft_key(&self, request: &KeyRequest) -> Result<KeyDraft, NetworkError> {
        let call = Call { with_nonces: true, ..Call::of(Operation::Keygen) };
        self.anywhere(self.signing_deadline, call, |mut connection: Connection| async move {
            connection.send(request.setup()).await?;
            let draft = request.clone().challenged(&connection.receive().await?)?;
            connection.is_challenged(draft.challenge());
            Ok(draft)
        })
        .await
    }

    /// Hands in the owner's signature over the draft's typed data, and waits for the key.
    ///
    /// An owner that is a contract takes the draft [by contract](KeyDraft::by_contract). After a refusal that is
    /// [transient](NetworkError::is_transient) the same signature can be handed in again; after one that
    /// [needs a new challenge](NetworkError::needs_new_challenge) the owner signs another draft.
    ///
    /// # Errors
    /// A refusal, an expired draft, or a key that too few of the pinned nodes attest to.
    pub async fn submit_key(
        &self,
        draft: &KeyDraft,
        signature: impl Into<TypedDataSignature>,
    ) -> Result<AttestedKey, NetworkError> {
        let authentication = draft.authentication(signature)?;
        let (resume, authentication) = (draft.resume(), authentication.as_str());
        let resume = resume.as_deref();
        let call = Call {
            operation: Operation::Keygen,
            challenge: Some(draft.challenge()),
            with_nonces: resume.is_some(),
        };
        self.anywhere(self.keygen_deadline, call, |mut connection: Connection| async move {
            let answer = take_up(&mut connection, resume, draft.setup(), draft.challenge()).await?;
            if let Some(last_word) = answer {
                return Ok(draft.accept(&self.descriptor, &last_word)?);
            }
            connection.send(authentication).await?;
            Ok(draft.accept(&self.descriptor, &connection.receive().await?)?)
        })
        .await
    }

    /// Asks for the signature of a session key over an operation of one call, and checks it.
    ///
    /// What is [transient](NetworkError::is_transient) or [needs a new challenge](NetworkError::needs_new_challenge) is tried again
    /// within the deadline, under a new challenge and with growing pauses; nodes count an operation once, however often it is asked for.
    ///
    /// # Errors
    /// A refusal, which names the rule that forbids the operation; or a signature that is not the session key's.
    pub async fn sign(
        &self,
        key_id: &str,
        session_key: Address,
        message: &OperationMessage,
        ephemeral: &EphemeralKey,
    ) -> Result<Signature, NetworkError> {
        let request = SignatureRequest::new(&self.descriptor, key_id, session_key, message);
        self.signature(&request, ephemeral).await
    }

    /// Asks for the signature over a batch, which is for the batched session router, and checks it. The session key
    /// manager is the one that the key's permissions name.
    ///
    /// # Errors
    /// As [`sign`](Self::sign); the rule is named with the place of the call that it forbids.
    pub async fn sign_routed(
        &self,
        key_id: &str,
        session_key: Address,
        session_key_manager: Address,
        message: &OperationMessage,
        ephemeral: &EphemeralKey,
    ) -> Result<Signature, NetworkError> {
        let request =
            SignatureRequest::routed(&self.descriptor, key_id, session_key, session_key_manager, message);
        self.signature(&request, ephemeral).await
    }

    /// Asks for a key's signature over what redeems delegations or passes them on, and checks it. Otherwise as [`sign`](Self::sign).
    ///
    /// # Errors
    /// As [`sign`](Self::sign); a caveat that forbids a redemption is named by its place, and by the text that its enforcer reverts
    /// with on chain.
    pub async fn sign_subject(
        &self,
        key_id: &str,
        key: Address,
        subject: &Subject,
        ephemeral: &EphemeralKey,
    ) -> Result<Signature, NetworkError> {
        self.signature(&SignatureRequest::of_subject(&self.descriptor, key_id, key, subject), ephemeral).await
    }

    async fn signature(
        &self,
        request: &SignatureRequest,
        ephemeral: &EphemeralKey,
    ) -> Result<Signature, NetworkError> {
        let ask = |mut connection: Connection| async move {
            connection.send(request.setup()).await?;
            let challenge = connection.receive().await?;
            connection.is_challenged(&challenge);
            connection.send(&request.authentication(&challenge, ephemeral.signing_key())?).await?;
            Ok(request.accept(&connection.receive().await?)?)
        };
        let (call, window) = (Call::of(Operation::Sign), Window::new(self.signing_deadline));
        if self.is_retrying {
            self.again_and_again(window, call, ask).await
        } else {
            self.at_next(&mut self.gateways.round(), window, call, &ask).await
        }
    }

    /// Asks that another ephemeral key may ask for the signatures of an owner's key, and gives what the owner has to sign.
    ///
    /// The owner has 60 seconds.
    ///
    /// # Errors
    /// A gateway that cannot be reached, or a network of which nodes are missing.
    pub async fn prepare_registration(
        &self,
        owner: impl Into<Owner>,
        key_id: &str,
        ephemeral: &EphemeralClaim,
    ) -> Result<PendingRegistration<'_>, NetworkError> {
        self.draft_registration(&RegistrationRequest::new(&self.descriptor, owner, key_id, ephemeral)).await
    }

    /// Asks that a key which was born without permissions signs what these permit, and gives what the owner has to sign. A key has
    /// its permissions for good.
    ///
    /// The owner has 60 seconds.
    ///
    /// # Errors
    /// Permissions that no network takes, a gateway that cannot be reached, or a network of which nodes are missing.
    pub async fn prepare_permit(
        &self,
        owner: impl Into<Owner>,
        key_id: &str,
        permissions: &Target,
    ) -> Result<PendingRegistration<'_>, NetworkError> {
        let request = RegistrationRequest::of_permissions(&self.descriptor, owner, key_id, permissions)?;
        self.draft_registration(&request).await
    }

    async fn draft_registration(
        &self,
        request: &RegistrationRequest,
    ) -> Result<PendingRegistration<'_>, NetworkError> {
        let call = Call { with_nonces: true, ..Call::of(request.operation()) };
        self.anywhere(self.signing_deadline, call, |mut connection: Connection| async move {
            connection.send(request.setup()).await?;
            let draft = request.clone().challenged(&connection.receive().await?)?;
            connection.is_challenged(draft.challenge());
            Ok(PendingRegistration { network: self, draft })
        })
        .await
    }

    /// Hands in the owner's revocation, and says which nodes have stored it and which are missing.
    ///
    /// It goes to every gateway at once, since one might withhold it, and is handed in again for a few seconds while nodes are missing.
    /// Those that have it tell the others as soon as they can be reached; it can be handed in again at any time, by anybody.
    ///
    /// # Errors
    /// A refusal, or no gateway that can be reached.
    pub async fn revoke(
        &self,
        revocation: &Revocation,
        signature: impl Into<TypedDataSignature>,
    ) -> Result<RevocationStatus, NetworkError> {
        let until = Instant::now() + REVOCATION;
        let authentication = revocation.authentication(signature)?;
        let patience = self.signing_deadline;
        let mut so_far = None;
        loop {
            let (gateways, tls) = (self.gateways.urls().iter(), self.gateways.tls());
            let handed_in = gateways.map(|gateway| async {
                let step = async {
                    let mut connection = Connection::dial(gateway, Call::of(Operation::Revoke), tls).await?;
                    connection.is_about(RequestId::of_setup(revocation.setup()));
                    connection.send(revocation.setup()).await?;
                    connection.send(&authentication).await?;
                    Ok(revocation.accept(&self.descriptor, &connection.receive().await?)?)
                };
                let late = |_| NetworkError::Deadline { gateway: gateway_name(gateway), after: patience };
                tokio::time::timeout(patience, step).await.map_err(late)?
            });
            let answers = join_all(handed_in).await.into_iter().chain(so_far.take().map(Ok));
            let revoked =
                answers.reduce(|one: Result<RevocationStatus, NetworkError>, other| match (one, other) {
                    (Ok(one), Ok(other)) => Ok(one.merged(other)),
                    (Ok(revoked), Err(_)) | (Err(_), Ok(revoked)) => Ok(revoked),
                    (Err(one), Err(other)) => Err(other.or(Some(one))),
                });
            match revoked {
                Some(Ok(revoked)) if !revoked.missing.is_empty() && Instant::now() < until => {
                    so_far = Some(revoked);
                    tokio::time::sleep(REVOCATION_PAUSE).await;
                }
                Some(done) => return done,
                None => return Err(NetworkError::Closed { reason: String::new() }),
            }
        }
    }

    /// Which ephemeral keys may ask for a key's signatures, as the nodes that are there hold it.
    ///
    /// # Errors
    /// A key that no node has, or a gateway that cannot be reached.
    pub async fn ephemeral_keys(&self, key_id: &str) -> Result<EphemeralKeys, NetworkError> {
        let mut nonce = B256::ZERO;
        getrandom::fill(nonce.as_mut_slice())?;
        let request = &ListSetup { network: self.descriptor.id(), key_id: key_id.to_owned(), nonce };
        self.anywhere(
            self.signing_deadline,
            Call::of(Operation::List),
            |mut connection: Connection| async move {
                let setup = request.text();
                connection.is_about(RequestId::of_setup(&setup));
                connection.send(&setup).await?;
                Ok(request.accept(&self.descriptor, &connection.receive().await?)?)
            },
        )
        .await
    }
}

/// Takes up a draft; gives the gateway's last word, where it does not go on.
async fn take_up(
    connection: &mut Connection,
    resume: Option<&str>,
    setup: &str,
    challenge: &str,
) -> Result<Option<String>, NetworkError> {
    connection.is_challenged(challenge);
    if let Some(nonces) = resume {
        connection.send(nonces).await?;
    }
    connection.send(setup).await?;
    let answer = connection.receive().await?;
    Ok((answer != challenge).then_some(answer))
}

/// What is to be registered with a key, and waits for its owner's signature.
#[derive(Debug)]
pub struct PendingRegistration<'a> {
    network: &'a SigningNetwork,
    draft: RegistrationDraft,
}

impl PendingRegistration<'_> {
    /// What the owner has to sign.
    pub const fn draft(&self) -> &RegistrationDraft {
        &self.draft
    }

    /// Hands in the owner's signature over the draft's typed data, at any gateway.
    ///
    /// # Errors
    /// A refusal, an expired draft, or no gateway that can be reached.
    pub async fn submit(self, signature: impl Into<TypedDataSignature>) -> Result<(), NetworkError> {
        let Self { network, draft } = &self;
        let (authentication, resume) = (&draft.authentication(signature)?, draft.resume());
        let resume = resume.as_deref();
        let call = Call {
            operation: draft.operation(),
            challenge: Some(draft.challenge()),
            with_nonces: resume.is_some(),
        };
        network
            .anywhere(network.signing_deadline, call, |mut connection: Connection| async move {
                let answer = take_up(&mut connection, resume, draft.setup(), draft.challenge()).await?;
                if let Some(last_word) = answer {
                    return Ok(draft.accept(&last_word)?);
                }
                connection.send(authentication).await?;
                Ok(draft.accept(&connection.receive().await?)?)
            })
            .await
    }
}
