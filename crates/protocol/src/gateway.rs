//! The public URLs of gateways.

use url::Url;

/// The URL of one of a gateway's sockets: `path` below the gateway's own path, so that a gateway may stand behind a proxy
/// that gives it a prefix.
///
/// ```
/// let gateway = "wss://example.org/quorate/".parse().unwrap();
/// assert_eq!(quorate_protocol::socket_url(&gateway, "node").as_str(), "wss://example.org/quorate/node");
/// ```
pub fn socket_url(gateway: &Url, path: &str) -> Url {
    let mut url = gateway.clone();
    url.set_path(&format!("{}/{path}", gateway.path().trim_end_matches('/')));
    url
}

/// A gateway's name for logs and errors: scheme, host and port of its URL. User name and password, path and query may hold
/// credentials.
///
/// ```
/// let gateway = "wss://user:password@example.org:7000/quorate?token=1".parse().unwrap();
/// assert_eq!(quorate_protocol::gateway_name(&gateway), "wss://example.org:7000");
/// ```
pub fn gateway_name(gateway: &Url) -> String {
    let port = gateway.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", gateway.scheme(), gateway.host_str().unwrap_or_default())
}
