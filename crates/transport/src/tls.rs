//! Whom clients believe over TLS: the platform's root certificates, and those that are given.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

/// Why root certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootCertificateError {
    /// Text that is not PEM.
    #[error("the root certificates are not PEM")]
    Pem(#[source] pem::Error),
    /// PEM without a certificate.
    #[error("there is no root certificate; each begins with `-----BEGIN CERTIFICATE-----`")]
    Missing,
    /// A certificate that cannot be a root.
    #[error("certificate {number} cannot be a root certificate")]
    Certificate {
        /// Which one of them, from 1.
        number: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

static PLATFORM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Platforms have odd certificates among their roots, which nobody needs.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(errors = ?found.errors, "the platform has no root certificates");
    }
    roots
});

static PLATFORM: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(PLATFORM_ROOTS.clone()));

/// A client over TLS 1.3 or 1.2 that believes the platform's root certificates, as they are when the first one is made.
pub fn platform_tls() -> Arc<ClientConfig> {
    Arc::clone(&PLATFORM)
}

/// The same where these root certificates, in PEM, are believed as well.
///
/// ```
/// assert!(quorate_transport::tls_with_roots(b"-----BEGIN PRIVATE KEY-----").is_err());
/// ```
///
/// # Errors
/// Text that is not PEM, or has no certificate or one that cannot be a root.
pub fn tls_with_roots(pem: &[u8]) -> Result<Arc<ClientConfig>, RootCertificateError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(RootCertificateError::Pem)?;
    if certificates.is_empty() {
        return Err(RootCertificateError::Missing);
    }
    let mut roots = PLATFORM_ROOTS.clone();
    for (number, certificate) in (1..).zip(certificates) {
        roots.add(certificate).map_err(|source| RootCertificateError::Certificate { number, source })?;
    }
    Ok(config(roots))
}

fn config(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let Ok(builder) = builder.with_safe_default_protocol_versions() else {
        unreachable!("the provider has suites of TLS 1.3 and 1.2");
    };
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Without it, two connections of TLS 1.2 could be given the same exporter: RFC 9266, section 4.2.
    config.require_ems = true;
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_root_certificate_is_named() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let end = "-----END CERTIFICATE-----\n";
        let error = |pem: &str| tls_with_roots(pem.as_bytes()).unwrap_err();
        assert!(matches!(error(""), RootCertificateError::Missing));
        assert!(matches!(error("ca.pem"), RootCertificateError::Missing));
        assert!(matches!(error(begin), RootCertificateError::Pem(_)));
        assert!(matches!(error(&format!("{begin}!\n{end}")), RootCertificateError::Pem(_)));
        let no_certificate = error(&format!("{begin}MTIz\n{end}"));
        assert!(matches!(no_certificate, RootCertificateError::Certificate { number: 1, .. }));
    }
}
