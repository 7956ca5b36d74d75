//! ERC-7677's `paymasterService`: who may be asked to pay. A URL that a client could choose would reach what only this machine
//! reaches, and spend by keys that stand in URLs; so there is a list.

use std::fmt;

use alloy_primitives::U64;
use quorate::{Biconomy, Erc7677, Options};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::error::RpcError;

/// A paymaster's service that clients may name by its URL.
#[derive(Clone)]
pub struct ListedPaymaster {
    /// What clients name it by.
    pub url: Url,
    /// How it is asked.
    pub service: PaymasterService,
}

/// How a paymaster's service is asked.
#[derive(Clone, Debug)]
pub enum PaymasterService {
    /// By Biconomy's methods.
    Biconomy(Biconomy),
    /// By those of ERC-7677; it is given the client's context.
    Erc7677(Erc7677),
}

/// What a client asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    url: Url,
    #[serde(default)]
    context: Option<Map<String, Value>>,
    #[serde(default)]
    optional: bool,
}

/// Keys stand in URLs.
impl fmt::Debug for ListedPaymaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, service) = (self.url.host_str(), &self.service);
        f.debug_struct("ListedPaymaster")
            .field("host", &host)
            .field("service", service)
            .finish_non_exhaustive()
    }
}

impl ListedPaymaster {
    /// Options by which this service pays.
    fn options(&self, context: Map<String, Value>) -> Options {
        match &self.service {
            PaymasterService::Biconomy(service) => Options::new().sponsored_by(service),
            PaymasterService::Erc7677(service) => {
                let with = |service: Erc7677, (name, value)| service.with_context(name, value);
                Options::new().sponsored_by(&context.into_iter().fold(service.clone(), with))
            }
        }
    }
}

/// The options of the paymaster that a capability names, on this chain; none where it is optional and cannot be had.
///
/// # Errors
/// 5700 for a URL that is not listed; parameters that are none.
pub(crate) fn chosen(
    listed: &[ListedPaymaster],
    capability: &Value,
    chain_id: u64,
) -> Result<Option<Options>, RpcError> {
    let Some(asked) = of_chain(capability, chain_id) else { return Ok(None) };
    let asked = Asked::deserialize(asked).map_err(|error| {
        RpcError::invalid_params(format_args!("params[0].capabilities.paymasterService: {error}"))
    })?;
    match listed.iter().find(|listed| listed.url == asked.url) {
        Some(listed) => Ok(Some(listed.options(asked.context.unwrap_or_default()))),
        None if asked.optional => Ok(None),
        None => Err(RpcError::unsupported_capability(
            "paymasterService: the URL is not among those that the service's configuration lists",
        )),
    }
}

/// Some clients say it for each chain by its id.
fn of_chain(capability: &Value, chain_id: u64) -> Option<&Value> {
    let by_chain = capability
        .as_object()
        .filter(|fields| !fields.is_empty() && fields.keys().all(|key| key.parse::<U64>().is_ok()));
    match by_chain {
        Some(chains) => {
            let own =
                |(id, _): &(&String, &Value)| id.parse::<U64>().is_ok_and(|id| id == U64::from(chain_id));
            chains.iter().find(own).map(|(_, asked)| asked)
        }
        None => Some(capability),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quorate::Address;
    use quorate::testing::ScriptedChain;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_listed_urls_are_asked() {
        let service = Erc7677::new(ScriptedChain::new().paymaster() as Arc<_>, Address::repeat_byte(1));
        let url = "https://pay.example/v1?key=secret".parse().unwrap();
        let listed = [ListedPaymaster { url, service: PaymasterService::Erc7677(service) }];
        assert!(!format!("{listed:?}").contains("secret"), "{listed:?}");
        let ask = |capability: Value| chosen(&listed, &capability, 5);
        let own = json!({ "url": "https://pay.example/v1?key=secret", "context": { "policyId": "a" } });
        assert!(ask(own.clone()).unwrap().is_some());
        assert!(ask(json!({ "0x5": own })).unwrap().is_some());
        assert!(ask(json!({ "0x1": own })).unwrap().is_none(), "for another chain");
        for url in ["https://pay.example/v1", "http://169.254.169.254/", "https://pay.example/v2?key=secret"]
        {
            assert_eq!(ask(json!({ "url": url })).unwrap_err().code, 5700);
            assert!(ask(json!({ "url": url, "optional": true })).unwrap().is_none());
        }
        assert_eq!(ask(json!({ "uri": 1 })).unwrap_err().code, -32602);
    }
}
