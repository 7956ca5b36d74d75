//! Which gateways a node believes over TLS, and to which it says who it is.

use std::sync::Arc;

use quorate_transport::{platform_tls, tls_with_roots};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_tungstenite::{Connector, MaybeTlsStream};
use url::Url;

use crate::channel_binding::ChannelBinding;
use crate::config::{ConfigError, NodeConfig};

/// How a node takes gateways over TLS.
pub(crate) struct GatewayTls {
    /// None where the platform's root certificates are enough.
    client: Option<Arc<ClientConfig>>,
    behind_proxy: Vec<Url>,
}

/// Why a gateway is not told who the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindingError {
    #[error(
        "the gateway does not bind the node to this TLS connection, so another may end it; if its operator's own proxy does, \
         list the gateway's URL under `behind_proxy` in the node's configuration"
    )]
    Unbound,
    #[error(
        "the gateway ends TLS itself, but this connection is in the clear; its URL should begin with `wss`"
    )]
    Clear,
}

impl GatewayTls {
    pub(crate) fn new(config: &NodeConfig) -> Result<Self, ConfigError> {
        let behind_proxy = config.behind_proxy.clone();
        let Some(file) = &config.root_certificates else { return Ok(Self { client: None, behind_proxy }) };
        let path = || file.display().to_string();
        let pem = std::fs::read(file).map_err(|source| ConfigError::Io { path: path(), source })?;
        let client =
            tls_with_roots(&pem).map_err(|source| ConfigError::RootCertificates { path: path(), source })?;
        Ok(Self { client: Some(client), behind_proxy })
    }

    /// How to connect to a gateway.
    pub(crate) fn connector(&self, gateway: &Url) -> Connector {
        match gateway.scheme() {
            "wss" => Connector::Rustls(self.client.clone().unwrap_or_else(platform_tls)),
            _ => Connector::Plain,
        }
    }

    /// What the hello covers of a connection, given whether the gateway binds and what binds to this connection. Over `wss` a
    /// gateway has to bind, unless the node's operator has said that a proxy ends TLS for it.
    pub(crate) fn binding(
        &self,
        gateway: &Url,
        is_bound: bool,
        of_connection: Option<ChannelBinding>,
    ) -> Result<Option<ChannelBinding>, BindingError> {
        match of_connection {
            Some(binding) if is_bound => Ok(Some(binding)),
            Some(_) if self.is_behind_proxy(gateway) => Ok(None),
            Some(_) => Err(BindingError::Unbound),
            None if is_bound => Err(BindingError::Clear),
            None => Ok(None),
        }
    }

    fn is_behind_proxy(&self, gateway: &Url) -> bool {
        let prefix = |url: &Url| url.path().trim_end_matches('/').to_owned();
        self.behind_proxy
            .iter()
            .any(|listed| listed.origin() == gateway.origin() && prefix(listed) == prefix(gateway))
    }
}

/// What binds to an encrypted connection; none for one in the clear.
pub(crate) fn channel_binding(
    stream: &MaybeTlsStream<TcpStream>,
) -> Result<Option<ChannelBinding>, rustls::Error> {
    match stream {
        MaybeTlsStream::Rustls(stream) => ChannelBinding::of(stream.get_ref().1).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_signs_for_an_encrypted_connection_alone_unless_its_operator_says_otherwise() {
        let behind_proxy = ["wss://proxied.example/", "wss://both.example/quorate"];
        let behind_proxy = behind_proxy.map(|url| url.parse().unwrap()).to_vec();
        let tls = GatewayTls { client: None, behind_proxy };
        let signed = |gateway: &str, is_bound, of_connection| {
            tls.binding(&gateway.parse().unwrap(), is_bound, of_connection)
        };
        let binding = Some(ChannelBinding::from_bytes([7; 32]));
        assert_eq!(signed("wss://gateway.example", true, binding), Ok(binding));
        assert_eq!(signed("wss://gateway.example", false, binding), Err(BindingError::Unbound));
        assert_eq!(signed("ws://gateway.example", false, None), Ok(None));
        assert_eq!(signed("ws://gateway.example", true, None), Err(BindingError::Clear));
        for listed in
            ["wss://proxied.example", "wss://both.example/quorate/", "wss://both.example:443/quorate"]
        {
            assert_eq!(signed(listed, false, binding), Ok(None), "{listed}");
            assert_eq!(signed(listed, true, binding), Ok(binding), "{listed}");
        }
        for other in ["wss://proxied.example:8443", "wss://both.example", "wss://both.example/quorate/2"] {
            assert_eq!(signed(other, false, binding), Err(BindingError::Unbound), "{other}");
        }
    }
}
