//! A gateway's certificate, replaced while clients connect.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use quorate_chaos::{Part, Processes, Session};
use quorate_network::{NetworkError, SigningNetwork};
use quorate_node::TlsConfig;
use quorate_protocol::Limits;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::tls::TlsInfo;

use crate::scene::{Load, logged, prepare, until};

/// A gateway that ends TLS by files, and who certifies it.
struct Scene {
    processes: Processes,
    authority: CertifiedIssuer<'static, KeyPair>,
    files: TlsConfig,
}

/// A certificate and a key, in PEM, and the certificate's bytes.
struct Pair {
    certificate: String,
    key: String,
    der: Vec<u8>,
}

impl Scene {
    async fn start() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let processes = prepare("certificates");
        let path = |name: &str| -> PathBuf { processes.network_file().with_file_name(name) };
        let files = TlsConfig { certificates: path("cert.pem"), key: path("key.pem") };
        let roots = path("roots.pem");
        fs::write(&roots, authority.pem()).unwrap();
        let mut scene = Self { processes, authority, files };

        scene.install(&scene.certify(4000));
        let processes = &mut scene.processes;
        processes.set_gateways(vec![format!("wss://{}", processes.gateway()).parse().unwrap()]).unwrap();
        processes.configure_gateway(Part::Gateway, |config| config.tls = Some(scene.files.clone())).unwrap();
        for node in processes.nodes() {
            processes.configure_node(node, |config| config.root_certificates = Some(roots.clone())).unwrap();
        }
        processes.start_all().await.unwrap();
        scene
    }

    /// A certificate for the gateway's address from 2020 until a year.
    fn certify(&self, until: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([self.processes.gateway().ip().to_string()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = parameters.signed_by(&key, &self.authority).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    /// Puts a certificate and a key in the places of those that are there.
    fn install(&self, pair: &Pair) {
        for (file, text) in [(&self.files.certificates, &pair.certificate), (&self.files.key, &pair.key)] {
            let fresh = file.with_extension("fresh");
            fs::write(&fresh, text).unwrap();
            fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
            fs::rename(&fresh, file).unwrap();
        }
    }

    fn hang_up(&self) {
        self.processes.signal(Part::Gateway, Signal::SIGHUP).unwrap();
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Vec<u8> {
        let root = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([root]).tls_info(true).build().unwrap();
        let health = format!("https://{}/health", self.processes.gateway());
        let answer = client.get(health).send().await.unwrap();
        answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
    }

    fn logged(&self, words: &str) -> usize {
        logged(&self.processes, Part::Gateway, words)
    }
}

/// Counts the requests that ended with their connection: a slow machine is no loss.
fn noting_losses(client: SigningNetwork, lost: &Arc<AtomicUsize>) -> SigningNetwork {
    let lost = lost.clone();
    client.with_retry_listener(move |error| {
        if matches!(error, NetworkError::Connection { .. } | NetworkError::Closed { .. }) {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_under_load_and_one_that_nobody_would_believe_is_not_taken() {
    let mut scene = Scene::start().await;
    let client = SigningNetwork::new(scene.processes.descriptor().clone());
    let client = client.with_root_certificates(scene.authority.pem().as_bytes()).unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let session = Session::make_with(noting_losses(client, &lost), Limits::default()).await.unwrap();
    let load = Load::begin(&Arc::new(session), 2, u64::MAX);

    // The files are looked at now and then, too; those that are as they were are read on SIGHUP alone.
    const READ: &str = "new connections are shown the certificate that was read";
    assert_eq!(scene.logged(READ), 0);
    scene.hang_up();
    until("the files are read on SIGHUP", async || scene.logged(READ) == 1).await;

    let mut current = scene.certify(4000);
    for _ in 0..3 {
        current = scene.certify(4000);
        scene.install(&current);
        scene.hang_up();
        until("new connections are shown the new certificate", async || scene.shown().await == current.der)
            .await;
        load.until_signed(4).await;
    }
    let wrong_key = Pair { key: scene.certify(4000).key, ..scene.certify(4000) };
    let fault = "is not one for the key in";
    for (wrong, fault) in [(scene.certify(2021), "has expired: it was valid until"), (wrong_key, fault)] {
        let before = scene.logged(fault);
        scene.install(&wrong);
        scene.hang_up();
        until("the fault is logged", async || scene.logged(fault) > before).await;
        assert_eq!(scene.shown().await, current.der);
        load.until_signed(4).await;
    }
    assert!(scene.logged("the certificate cannot be used; the old one stays") >= 2);
    load.stop().await;
    assert_eq!(lost.load(Ordering::Relaxed), 0, "connections were lost");
    scene.processes.shutdown().await.unwrap();
}
