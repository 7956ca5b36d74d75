use std::path::PathBuf;
use std::pin::pin;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate of its own and its key, in files.
struct Files {
    folder: TempDir,
    config: TlsConfig,
}

/// A certificate that certifies itself, and its key, in PEM.
fn pair(key: &KeyPair) -> (String, String) {
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn fresh_pair() -> (String, String) {
    pair(&KeyPair::generate().unwrap())
}

impl Files {
    fn new((certificate, key): &(String, String)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = TlsConfig { certificates: path("cert.pem"), key: path("key.pem") };
        let files = Self { folder, config };
        files.write(certificate, key);
        files
    }

    fn write(&self, certificate: &str, key: &str) {
        self.replace(&self.config.certificates, certificate);
        self.replace(&self.config.key, key);
    }

    /// Replaces a file by one that only its owner can read.
    fn replace(&self, path: &PathBuf, text: &str) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, text).unwrap();
        expose(&fresh, 0o600);
        std::fs::rename(&fresh, path).unwrap();
    }

    fn open(&self) -> Arc<Certificate> {
        Arc::new(Certificate::open(self.config.clone(), Arc::default()).unwrap())
    }

    fn error(&self) -> CertificateError {
        load(&self.config).unwrap_err()
    }
}

fn expose(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_cannot_be_used_is_named_with_its_file() {
    let (certificate, key) = fresh_pair();
    let files = Files::new(&(certificate.clone(), key.clone()));
    load(&files.config).unwrap();

    files.write(&certificate, &fresh_pair().1);
    let error = files.error();
    assert!(matches!(error, CertificateError::Pair { .. }), "{error}");
    assert!(error.to_string().contains("cert.pem") && error.to_string().contains("key.pem"), "{error}");

    files.write("no certificate", &key);
    let error = files.error();
    assert!(error.to_string().contains("cert.pem holds no certificate in PEM"), "{error}");

    files.write(&certificate, &certificate);
    let error = files.error();
    assert!(error.to_string().contains("key.pem holds no private key in PEM"), "{error}");

    files.write(&certificate, "-----BEGIN PRIVATE KEY-----\nMTIz\n-----END PRIVATE KEY-----\n");
    assert!(matches!(files.error(), CertificateError::Key { .. }));

    files.write(&certificate, &key);
    expose(&files.config.key, 0o640);
    assert!(matches!(files.error(), CertificateError::KeyFile(KeyFileError::Exposed { .. })));

    std::fs::remove_file(&files.config.key).unwrap();
    assert!(matches!(files.error(), CertificateError::KeyFile(KeyFileError::Io { .. })));
    std::fs::remove_file(&files.config.certificates).unwrap();
    assert!(matches!(files.error(), CertificateError::Io { .. }));
}

#[test]
fn a_certificate_that_nobody_believes_now_is_named_with_its_date() {
    let key = KeyPair::generate().unwrap();
    let error = |from: i32, until: i32| {
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        load(&Files::new(&(certificate.pem(), key.serialize_pem())).config)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(error(2020, 4000), None);
    let expired = error(2020, 2021).unwrap();
    assert!(expired.contains("cert.pem has expired: it was valid until Jan  1 00:00:00 2021"), "{expired}");
    let early = error(3000, 4000).unwrap();
    assert!(early.contains("cert.pem is not valid before Jan  1 00:00:00 3000"), "{early}");
}

#[test]
fn keys_of_all_usual_kinds_and_forms_are_read_and_none_is_shown() {
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for kind in kinds {
        let pair = pair(&KeyPair::generate_for(kind).unwrap());
        let shown = format!("{:?}", Files::new(&pair).open());
        assert!(shown.contains("key.pem") && !shown.contains("SigningKey"), "{shown}");
    }
}

#[test]
fn a_pair_that_cannot_be_used_changes_nothing() {
    let (certificate, key) = fresh_pair();
    let files = Files::new(&(certificate.clone(), key.clone()));
    let opened = files.open();
    let first = opened.current.borrow().clone();
    files.write(&certificate, &fresh_pair().1);
    opened.reload();
    assert!(Arc::ptr_eq(&first, &opened.current.borrow()));
    files.write(&certificate, &key);
    opened.reload();
    assert!(!Arc::ptr_eq(&first, &opened.current.borrow()));
}

const NEVER: Duration = Duration::from_secs(24 * 3600);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn files_are_read_when_somebody_asks() {
    let files = Files::new(&fresh_pair());
    let certificate = files.open();
    let mut current = certificate.current.subscribe();
    certificate.reload.notify_one();
    tokio::select! {
        () = certificate.keep_current(NEVER) => {}
        read = tokio::time::timeout(PATIENCE, current.changed()) => read.unwrap().unwrap(),
    }
}

#[tokio::test]
async fn files_are_read_when_they_change_and_when_others_can_no_longer_read_the_key() {
    let files = Files::new(&fresh_pair());
    let certificate = files.open();
    let mut current = certificate.current.subscribe();
    let mut keep_current = pin!(certificate.keep_current(Duration::from_millis(5)));
    // One look at the files, which are as they were, and then at ones that cannot be used.
    assert!(tokio::time::timeout(Duration::ZERO, &mut keep_current).await.is_err());
    assert!(!current.has_changed().unwrap());
    let (fresh, key) = fresh_pair();
    files.write(&fresh, &key);
    expose(&files.config.key, 0o640);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut keep_current).await.is_err());
    assert!(!current.has_changed().unwrap());

    expose(&files.config.key, 0o600);
    tokio::select! {
        () = &mut keep_current => {}
        read = tokio::time::timeout(PATIENCE, current.changed()) => read.unwrap().unwrap(),
    }
    // Without a change they are not read again.
    current.mark_unchanged();
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut keep_current).await.is_err());
    assert!(!current.has_changed().unwrap());
}

/// A client of one version of TLS that believes this certificate.
fn client(certificate: &str, version: &'static SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test]
async fn both_ends_of_a_connection_and_no_other_connection_have_its_binding() {
    let pair = fresh_pair();
    let certificate = Files::new(&pair).open();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut seen = Vec::new();
    for version in [&version::TLS12, &version::TLS13] {
        let client = client(&pair.0, version);
        // The second one resumes the first one's session.
        for _ in 0..2 {
            let accept = async { certificate.accept(listener.accept().await.unwrap().0).await.unwrap() };
            let connect = async {
                let stream = TcpStream::connect(address).await.unwrap();
                client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
            };
            let ((accepted, binding), connected) = tokio::join!(accept, connect);
            assert_eq!(accepted.get_ref().1.protocol_version(), Some(version.version));
            assert_eq!(ChannelBinding::of(connected.get_ref().1).unwrap(), binding);
            assert!(!seen.contains(&binding));
            seen.push(binding);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_complete_the_handshake_is_cut_off() {
    let certificate = Files::new(&fresh_pair()).open();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let refused = certificate.accept(stream).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, HandshakeError::Late), "{refused}");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
}
