use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Signature};
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{
    AdmissionToken, AttestedKey, ClientError, EphemeralClaim, EphemeralKeys, KeyDraft, KeyRequest, ListSetup,
    NetworkDescriptor, Operation, OperationMessage, Owner, Permissions, Refusal, RegistrationDraft,
    RegistrationRequest, RequestId, Revocation, RevocationStatus, SUBPROTOCOL, SignatureRequest,
    TypedDataSignature, gateway_name, socket_url,
};
use quorate_transport::{RootCertificateError, platform_tls, tls_with_roots};
use rustls::ClientConfig;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tracing::{Span, field};
use url::Url;

use crate::EphemeralKey;
use crate::retry::{Pauses, RetryListener};

/// A signing network, reached through its gateway.
#[derive(Clone, Debug)]
pub struct SigningNetwork {
    descriptor: NetworkDescriptor,
    /// None where the platform's root certificates are enough.
    tls: Option<Arc<ClientConfig>>,
    admission_token: Option<AdmissionToken>,
    keygen_deadline: Duration,
    signing_deadline: Duration,
    is_retrying: bool,
    retry_listener: Option<RetryListener>,
}

/// The longest frame that a gateway's client takes, in bytes: what 255 nodes hold of a key is the most that one sends.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// For how long a revocation is handed in again where nodes are missing, and how often.
const REVOCATION: Duration = Duration::from_secs(5);
const REVOCATION_PAUSE: Duration = Duration::from_millis(500);

/// Why the network gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The protocol's end: a refusal, or an answer that is not accepted.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No random bytes for a request.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The gateway cannot be reached, or the connection broke.
    #[error("the gateway {gateway} cannot be reached, or broke the connection")]
    Connection {
        /// The gateway, without user name, password or query.
        gateway: String,
        /// What the socket says.
        source: Box<tungstenite::Error>,
    },
    /// The gateway closed before it answered.
    #[error("the gateway closed the connection before it answered{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed {
        /// The reason it gave; often empty.
        reason: String,
    },
    /// Too slow.
    #[error("no answer from the signing network at {gateway} within {after:?}")]
    Deadline {
        /// The gateway, without user name, password or query.
        gateway: String,
        /// How long was waited.
        after: Duration,
    },
}

impl NetworkError {
    /// Whether the same call may succeed when it is made again: what was lost, late or spoilt on the way, and refusals
    /// that other nodes or another challenge may change.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client(error) => match error {
                ClientError::Refused(refusal) => {
                    refusal.is_transient() || matches!(refusal, Refusal::Challenge | Refusal::Replayed)
                }
                ClientError::Answer(_)
                | ClientError::OtherAnswer
                | ClientError::Challenge
                | ClientError::Signature { .. } => true,
                _ => false,
            },
            Self::Connection { source, .. } => {
                use tungstenite::Error;
                let is_wrong = matches!(**source, Error::Url(_) | Error::HttpFormat(_) | Error::Tls(_));
                !is_wrong && !is_about_certificate(source)
            }
            Self::Closed { .. } | Self::Deadline { .. } => true,
            Self::Random(_) => false,
        }
    }
}

/// Whether the gateway's certificate is none that is believed for it.
fn is_about_certificate(error: &tungstenite::Error) -> bool {
    let tungstenite::Error::Io(error) = error else { return false };
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

impl SigningNetwork {
    /// The network that `descriptor` pins. A key may take 120 seconds, a signature 30.
    pub const fn new(descriptor: NetworkDescriptor) -> Self {
        Self {
            descriptor,
            tls: None,
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
        self.tls = Some(tls_with_roots(pem)?);
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

    /// The same with a listener that is told of each error after which a signature is asked for again.
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
    /// The draft is good for 60 seconds, here or in another process: [`submit_key`](Self::submit_key) goes on.
    ///
    /// # Errors
    /// Permissions that nodes would refuse, an admission token of another owner or network, a gateway that cannot be
    /// reached, or a network of which nodes are missing.
    pub async fn prepare_key(
        &self,
        permissions: &Permissions,
        ephemeral: &EphemeralClaim,
    ) -> Result<KeyDraft, NetworkError> {
        let prepare = async {
            let request =
                KeyRequest::new(&self.descriptor, permissions, ephemeral, self.admission_token.as_ref())?;
            let mut connection = self.connect(Operation::Keygen, None).await?;
            connection.send(request.setup()).await?;
            let challenge = connection.challenge().await?;
            Ok(request.challenged(&challenge)?)
        };
        self.within(self.signing_deadline, prepare).await
    }

    /// Hands in the owner's signature over the draft's typed data, and waits for the key.
    ///
    /// An owner that is a contract takes the draft [by contract](KeyDraft::by_contract). After a refusal that is
    /// [transient](NetworkError::is_transient) the same signature can be handed in again.
    ///
    /// # Errors
    /// A refusal, an expired draft, or a key that too few of the pinned nodes attest to.
    pub async fn submit_key(
        &self,
        draft: &KeyDraft,
        signature: impl Into<TypedDataSignature>,
    ) -> Result<AttestedKey, NetworkError> {
        let authentication = draft.authentication(signature)?;
        let submit = async {
            let mut connection = self.connect(Operation::Keygen, Some(draft.challenge())).await?;
            connection.send(draft.setup()).await?;
            let challenge = connection.challenge().await?;
            if challenge != draft.challenge() {
                // Not a challenge but the gateway's last word.
                return Ok(draft.accept(&self.descriptor, &challenge)?);
            }
            connection.send(&authentication).await?;
            let answer = connection.receive().await?;
            Ok(draft.accept(&self.descriptor, &answer)?)
        };
        self.within(self.keygen_deadline, submit).await
    }

    /// Asks for the signature of a session key over an operation of one call, and checks it.
    ///
    /// What is [transient](NetworkError::is_transient) is tried again within the deadline, under a new challenge and
    /// with growing pauses; nodes count an operation once, however often it is asked for.
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

    async fn signature(
        &self,
        request: &SignatureRequest,
        ephemeral: &EphemeralKey,
    ) -> Result<Signature, NetworkError> {
        self.within_retried(self.signing_deadline, || async {
            let mut connection = self.connect(Operation::Sign, None).await?;
            connection.send(request.setup()).await?;
            let challenge = connection.challenge().await?;
            connection.send(&request.authentication(&challenge, ephemeral.signing_key())?).await?;
            let answer = connection.receive().await?;
            Ok(request.accept(&answer)?)
        })
        .await
    }

    /// Asks that another ephemeral key may ask for the signatures of an owner's key, and gives what the owner has to sign.
    ///
    /// The connection stays open: the owner has 60 seconds.
    ///
    /// # Errors
    /// A gateway that cannot be reached, or a network of which nodes are missing.
    pub async fn prepare_registration(
        &self,
        owner: impl Into<Owner>,
        key_id: &str,
        ephemeral: &EphemeralClaim,
    ) -> Result<PendingRegistration<'_>, NetworkError> {
        let prepare = async {
            let request = RegistrationRequest::new(&self.descriptor, owner, key_id, ephemeral);
            let mut connection = self.connect(Operation::AddEphemeralKey, None).await?;
            connection.send(request.setup()).await?;
            let challenge = connection.challenge().await?;
            Ok(PendingRegistration { network: self, draft: request.challenged(&challenge)?, connection })
        };
        self.within(self.signing_deadline, prepare).await
    }

    /// Hands in the owner's revocation, and says which nodes have stored it and which are missing.
    ///
    /// It is handed in again for a few seconds while nodes are missing. Those that have it tell the others as soon as they
    /// can be reached; it can be handed in again at any time, by anybody.
    ///
    /// # Errors
    /// A refusal, or a gateway that cannot be reached.
    pub async fn revoke(
        &self,
        revocation: &Revocation,
        signature: impl Into<TypedDataSignature>,
    ) -> Result<RevocationStatus, NetworkError> {
        let until = Instant::now() + REVOCATION;
        let authentication = revocation.authentication(signature)?;
        loop {
            let hand_in = async {
                let mut connection = self.connect(Operation::Revoke, None).await?;
                connection.is_about(RequestId::of_setup(revocation.setup()));
                connection.send(revocation.setup()).await?;
                connection.send(&authentication).await?;
                let answer = connection.receive().await?;
                Ok(revocation.accept(&self.descriptor, &answer)?)
            };
            let revoked = self.within(self.signing_deadline, hand_in).await?;
            if revoked.missing.is_empty() || Instant::now() > until {
                return Ok(revoked);
            }
            tokio::time::sleep(REVOCATION_PAUSE).await;
        }
    }

    /// Which ephemeral keys may ask for a key's signatures, as the nodes that are there hold it.
    ///
    /// # Errors
    /// A key that no node has, or a gateway that cannot be reached.
    pub async fn ephemeral_keys(&self, key_id: &str) -> Result<EphemeralKeys, NetworkError> {
        let mut nonce = B256::ZERO;
        getrandom::fill(nonce.as_mut_slice())?;
        let request = ListSetup { network: self.descriptor.id(), key_id: key_id.to_owned(), nonce };
        let ask = async {
            let mut connection = self.connect(Operation::List, None).await?;
            let setup = request.text();
            connection.is_about(RequestId::of_setup(&setup));
            connection.send(&setup).await?;
            Ok(request.accept(&self.descriptor, &connection.receive().await?)?)
        };
        self.within(self.signing_deadline, ask).await
    }

    async fn connect(&self, operation: Operation, resume: Option<&str>) -> Result<Connection, NetworkError> {
        let mut url = socket_url(self.gateway(), operation.path());
        if let Some(challenge) = resume {
            url.query_pairs_mut().append_pair("challenge", challenge);
        }
        let gateway = self.gateway_name();
        let failed = |source| NetworkError::Connection { gateway: gateway.clone(), source: Box::new(source) };
        let mut request = url.as_str().into_client_request().map_err(failed)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let name = RequestId::new(getrandom::u64()?.to_be_bytes());
        let span = tracing::info_span!("request", operation = operation.path(), connection = %name, request = field::Empty);
        if let Ok(name) = HeaderValue::try_from(name.to_string()) {
            request.headers_mut().insert(RequestId::HEADER, name);
        }
        tracing::debug!(parent: &span, gateway, "connecting");
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_ANSWER)).max_frame_size(Some(MAX_ANSWER));
        let connector = match url.scheme() {
            "wss" => Connector::Rustls(self.tls.clone().unwrap_or_else(platform_tls)),
            _ => Connector::Plain,
        };
        let connected = connect_async_tls_with_config(request, Some(limits), true, Some(connector)).await;
        let (socket, _) = connected.map_err(&failed)?;
        Ok(Connection { socket, gateway: self.gateway_name(), span })
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        step: impl Future<Output = Result<T, NetworkError>>,
    ) -> Result<T, NetworkError> {
        let late = |_| NetworkError::Deadline { gateway: self.gateway_name(), after: deadline };
        tokio::time::timeout(deadline, step).await.map_err(late)?
    }

    /// Tries a step until it succeeds or fails for good. At the deadline the last error says more than that it is late.
    async fn within_retried<T, F>(&self, deadline: Duration, step: impl Fn() -> F) -> Result<T, NetworkError>
    where
        F: Future<Output = Result<T, NetworkError>>,
    {
        let until = Instant::now() + deadline;
        let mut pauses = Pauses::default();
        let mut last_error = None;
        loop {
            let late = |_| NetworkError::Deadline { gateway: self.gateway_name(), after: deadline };
            let error = match tokio::time::timeout_at(until, step()).await.map_err(late) {
                Ok(Err(error)) if self.is_retrying && error.is_transient() => error,
                Ok(done) => return done,
                Err(late) => return Err(last_error.unwrap_or(late)),
            };
            let pause = pauses.draw();
            if Instant::now() + pause >= until {
                return Err(error);
            }
            tracing::debug!(%error, ?pause, "asking again");
            if let Some(RetryListener(listener)) = &self.retry_listener {
                listener(&error);
            }
            last_error = Some(error);
            tokio::time::sleep(pause).await;
        }
    }

    fn gateway(&self) -> &Url {
        &self.descriptor.gateways()[0]
    }

    fn gateway_name(&self) -> String {
        gateway_name(self.gateway())
    }
}

/// An ephemeral key that waits for the owner's signature to be registered.
#[derive(Debug)]
pub struct PendingRegistration<'a> {
    network: &'a SigningNetwork,
    draft: RegistrationDraft,
    connection: Connection,
}

impl PendingRegistration<'_> {
    /// What the owner has to sign.
    pub const fn draft(&self) -> &RegistrationDraft {
        &self.draft
    }

    /// Hands in the owner's signature over the draft's typed data.
    ///
    /// # Errors
    /// A refusal, or a gateway that went away.
    pub async fn submit(mut self, signature: impl Into<TypedDataSignature>) -> Result<(), NetworkError> {
        let authentication = self.draft.authentication(signature)?;
        let submit = async {
            self.connection.send(&authentication).await?;
            Ok(self.draft.accept(&self.connection.receive().await?)?)
        };
        self.network.within(self.network.signing_deadline, submit).await
    }
}

#[derive(Debug)]
struct Connection {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    gateway: String,
    /// What the request is called in logs: its connection by a name that goes to the gateway, and itself once there is a
    /// challenge.
    span: Span,
}

impl Connection {
    /// The challenge, by which the request is called from here on, or else the gateway's last word.
    async fn challenge(&mut self) -> Result<String, NetworkError> {
        let challenge = self.receive().await?;
        RequestId::of_challenge(&challenge).into_iter().for_each(|request| self.is_about(request));
        Ok(challenge)
    }

    fn is_about(&self, request: RequestId) {
        self.span.record("request", field::display(request));
        tracing::debug!(parent: &self.span, "asking");
    }

    async fn send(&mut self, text: &str) -> Result<(), NetworkError> {
        let sent = self.socket.send(Message::Text(text.into())).await;
        sent.map_err(|source| NetworkError::Connection {
            gateway: self.gateway.clone(),
            source: Box::new(source),
        })
    }

    async fn receive(&mut self) -> Result<String, NetworkError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    tracing::debug!(parent: &self.span, bytes = text.len(), "received");
                    return Ok(text.to_string());
                }
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(NetworkError::Closed { reason });
                }
                Some(Ok(_)) => {}
                Some(Err(source)) => {
                    return Err(NetworkError::Connection {
                        gateway: self.gateway.clone(),
                        source: Box::new(source),
                    });
                }
                None => return Err(NetworkError::Closed { reason: String::new() }),
            }
        }
    }
}
