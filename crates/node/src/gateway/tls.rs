//! The certificate that a gateway shows: read from files, and read again when they change.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::error::X509Error;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;
use zeroize::Zeroize as _;

use crate::channel_binding::ChannelBinding;
use crate::clock;
use crate::config::TlsConfig;
use crate::error::reasons;
use crate::seal::{KeyFileError, read_secret_file};

/// A gateway's certificate and its key, as they are now.
pub(super) struct Certificate {
    files: TlsConfig,
    current: watch::Sender<Arc<ServerConfig>>,
    /// The files as they were when they were read first.
    opened: [FileState; 2],
    reload: Arc<Notify>,
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A certificate's file that cannot be read.
    #[error("the certificate {path} cannot be read")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A key's file that cannot be read, or that others can read.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A file that is not PEM, or has not what is looked for.
    #[error("{path} holds no {expected} in PEM")]
    Pem {
        /// The file.
        path: String,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A key of a kind that TLS has not.
    #[error("the key in {path} cannot be used; RSA, ECDSA and Ed25519 keys can, in PKCS#8, SEC1 or PKCS#1")]
    Key {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A certificate that is not for the key, or cannot be read.
    #[error("the first certificate in {certificates} is not one for the key in {key}")]
    Pair {
        /// The file with the certificate, before those that certify it.
        certificates: String,
        /// The file with the key.
        key: String,
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// A certificate that cannot be read.
    #[error("the first certificate in {path} cannot be read")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: X509Error,
    },
    /// A certificate that nobody believes any more.
    #[error("the first certificate in {path} has expired: it was valid until {until}")]
    Expired {
        /// The file.
        path: String,
        /// The last moment at which it was valid.
        until: ASN1Time,
    },
    /// A certificate that nobody believes yet.
    #[error("the first certificate in {path} is not valid before {from}; is the clock right?")]
    NotYetValid {
        /// The file.
        path: String,
        /// The first moment at which it is valid.
        from: ASN1Time,
    },
}

/// Why a connection is not encrypted.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(transparent)]
    Handshake(#[from] io::Error),
    #[error("the TLS handshake took more than {} s", HANDSHAKE_DEADLINE.as_secs())]
    Late,
    #[error("the TLS connection has no exporter")]
    Exporter(#[from] rustls::Error),
}

/// By which a file that was replaced or made unreadable is told; none if it cannot be found.
type FileState = Option<(SystemTime, u64, Permissions)>;

/// How long a client may take over the handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

impl Certificate {
    /// Reads the files. Whoever notifies `reload` has them read again.
    pub(super) fn open(files: TlsConfig, reload: Arc<Notify>) -> Result<Self, CertificateError> {
        let opened = files_state(&files);
        let current = watch::Sender::new(Arc::new(load(&files)?));
        Ok(Self { files, current, opened, reload })
    }

    /// Encrypts a connection, and gives what binds a signature to it.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, ChannelBinding), HandshakeError> {
        let acceptor = TlsAcceptor::from(self.current.borrow().clone());
        let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream));
        let stream = handshake.await.map_err(|_| HandshakeError::Late)??;
        let binding = ChannelBinding::of(stream.get_ref().1)?;
        Ok((stream, binding))
    }

    /// Looks at the files now and then, and reads them when they have changed or somebody asks. What cannot be used is
    /// logged, and changes nothing.
    pub(super) async fn keep_current(&self, check_every: Duration) {
        let mut check = tokio::time::interval(check_every);
        let mut read = self.opened.clone();
        loop {
            let is_asked = tokio::select! {
                _ = check.tick() => false,
                () = self.reload.notified() => true,
            };
            let state = files_state(&self.files);
            if is_asked || state != read {
                read = state;
                self.reload();
            }
        }
    }

    /// Reads the files. Connections that are open keep what they have; a session cannot be resumed under a certificate
    /// that is gone, since each configuration has tickets of its own.
    fn reload(&self) {
        let (certificates, key) = (self.files.certificates.display(), self.files.key.display());
        match load(&self.files) {
            Ok(config) => {
                self.current.send_replace(Arc::new(config));
                tracing::info!(%certificates, %key, "new connections are shown the certificate that was read");
            }
            Err(error) => {
                let error = reasons(&error);
                tracing::error!(%certificates, %key, error, "the certificate cannot be used; the old one stays");
            }
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

fn load(files: &TlsConfig) -> Result<ServerConfig, CertificateError> {
    let name = |path: &Path| path.display().to_string();
    let text = std::fs::read(&files.certificates)
        .map_err(|source| CertificateError::Io { path: name(&files.certificates), source })?;
    let chain = certificates(&text).map_err(|source| CertificateError::Pem {
        path: name(&files.certificates),
        expected: "certificate",
        source,
    })?;
    let text = read_secret_file(&files.key)?;
    let mut key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|source| CertificateError::Pem {
        path: name(&files.key),
        expected: "private key",
        source,
    })?;
    let signing_key = any_supported_type(&key);
    key.zeroize();
    let signing_key =
        signing_key.map_err(|source| CertificateError::Key { path: name(&files.key), source })?;
    let pair = CertifiedKey::new(chain, signing_key);
    pair.keys_match().map_err(|source| CertificateError::Pair {
        certificates: name(&files.certificates),
        key: name(&files.key),
        source,
    })?;
    if let Some(certificate) = pair.cert.first() {
        check_validity(certificate, &files.certificates, clock::now())?;
    }
    Ok(server_config(pair))
}

/// Refuses a certificate that no client believes at `now`, in seconds since 1970. Those that certify it may have expired: a
/// client may know others.
fn check_validity(certificate: &CertificateDer<'_>, path: &Path, now: u64) -> Result<(), CertificateError> {
    let path = path.display().to_string();
    let validity = match parse_x509_certificate(certificate) {
        Ok((_, certificate)) => certificate.tbs_certificate.validity,
        Err(error) => return Err(CertificateError::Malformed { path, source: error.into() }),
    };
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired { path, until: validity.not_after });
    }
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotYetValid { path, from: validity.not_before });
    }
    Ok(())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) }
}

fn server_config(pair: CertifiedKey) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let Ok(builder) = builder.with_safe_default_protocol_versions() else {
        unreachable!("the provider has suites of TLS 1.3 and 1.2");
    };
    let resolver = Arc::new(SingleCertAndKey::from(pair));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Without it, two connections of TLS 1.2 could be given the same exporter: RFC 9266, section 4.2.
    config.require_ems = true;
    config
}

fn files_state(files: &TlsConfig) -> [FileState; 2] {
    [&files.certificates, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.permissions()))
    })
}

#[cfg(test)]
mod tests;
