//! An endpoint's URL as it may be shown, and the removal of its secrets from other text.

#[cfg(feature = "http")]
use serde_json::Value;
use std::{fmt, sync::Arc};
use url::Url;

const REDACTED: &str = "[redacted]";

/// The URL of an endpoint without its secrets, for messages.
///
/// Left out are the user name and password, each value of the query, the fragment, and each path segment that is not
/// evidently harmless: providers put API keys in all these places. Harmless are words in lower case, versions and
/// chain ids, also joined by `-`, `_` and `.`.
///
/// ```
/// # use quorate_transport::Endpoint;
/// let url = "https://me:pw@bundler.example.org/api/v2/80002/nJPK7B3ru.dd7f7861?apikey=abcd".parse().unwrap();
/// let shown = Endpoint::new(&url).to_string();
/// assert_eq!(shown, "https://[redacted]@bundler.example.org/api/v2/80002/[redacted]?apikey=[redacted]");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Arc<str>);

impl Endpoint {
    /// The part of `url` that may be shown.
    pub fn new(url: &Url) -> Self {
        let mut shown = format!("{}://", url.scheme());
        if !url.username().is_empty() || url.password().is_some() {
            shown += REDACTED;
            shown.push('@');
        }
        shown += url.host_str().unwrap_or_default();
        if let Some(port) = url.port() {
            shown += &format!(":{port}");
        }
        for segment in url.path().split('/').skip(1) {
            shown.push('/');
            shown += if is_harmless(segment) { segment } else { REDACTED };
        }
        for (i, pair) in url.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
            shown.push(if i == 0 { '?' } else { '&' });
            // A pair without a name could itself be the key.
            if let Some((name, _)) = pair.split_once('=') {
                shown += name;
                shown.push('=');
            }
            shown += REDACTED;
        }
        Self(shown.into())
    }

    /// An endpoint of which the URL is not known.
    #[cfg(feature = "alloy")]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_harmless(segment: &str) -> bool {
    segment.is_empty()
        || segment.len() <= 32
            && segment.split(['-', '_', '.']).all(|part| {
                let digits = part.strip_prefix('v').unwrap_or(part);
                let is_number = digits.len() <= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
                let is_word = part.len() <= 12 && part.bytes().all(|byte| byte.is_ascii_lowercase());
                is_number || is_word
            })
}

/// The secrets of a URL, to be taken out of text that an endpoint wrote.
#[derive(Clone)]
#[cfg(feature = "http")]
pub(crate) struct Secrets(Vec<String>);

#[cfg(feature = "http")]
impl Secrets {
    /// Shorter values are no secrets, and replacing them would garble messages.
    const SHORTEST: usize = 4;

    pub(crate) fn of(url: &Url) -> Self {
        let mut secrets = vec![url.username().to_owned(), url.password().unwrap_or_default().to_owned()];
        secrets.extend(url.path().split('/').filter(|segment| !is_harmless(segment)).map(str::to_owned));
        for pair in url.query().into_iter().flat_map(|query| query.split('&')) {
            secrets.push(pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
        }
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.retain(|secret| secret.len() >= Self::SHORTEST);
        // The longest first, so that no part of a secret stays because another is its prefix.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    pub(crate) fn remove_from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REDACTED))
    }

    pub(crate) fn remove_from_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.remove_from(&text)),
            Value::Array(values) => {
                values.into_iter().map(|value| self.remove_from_value(value)).collect::<Vec<_>>().into()
            }
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (self.remove_from(&name), self.remove_from_value(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Endpoint::new(&url.parse().unwrap()).to_string()
    }

    #[test]
    fn keys_of_known_providers_are_hidden() {
        for (url, expected) in [
            ("https://polygon-amoy.g.alchemy.com/v2/aB3_dE-6hIjK0mNoPqRsTuVwXyZ12345", "/v2/[redacted]"),
            ("https://mainnet.infura.io/v3/0123456789abcdef0123456789abcdef", "/v3/[redacted]"),
            ("https://rpc.ankr.com/eth/8c5e0b9a3e0c4b", "/eth/[redacted]"),
            (
                "https://bundler.example.org/api/v2/80002/nJPK7B3ru.dd7f7861-190d-41bd",
                "/api/v2/80002/[redacted]",
            ),
            ("https://api.pimlico.io/v2/137/rpc?apikey=pim_abcdef", "/v2/137/rpc?apikey=[redacted]"),
            ("https://x.quiknode.pro/0a1b2c3d4e5f/", "/[redacted]/"),
            ("http://127.0.0.1:8545/?secretword", "127.0.0.1:8545/?[redacted]"),
            ("http://127.0.0.1:8545/#secretword", "http://127.0.0.1:8545/"),
            ("http://127.0.0.1:8545/a?b=1&c=secret", "/a?b=[redacted]&c=[redacted]"),
        ] {
            assert!(shown(url).ends_with(expected), "{url} is shown as {}", shown(url));
        }
    }

    #[test]
    fn user_info_is_hidden() {
        assert_eq!(shown("https://someone:pass@example.org/rpc"), "https://[redacted]@example.org/rpc");
        assert_eq!(shown("https://someone@example.org/rpc"), "https://[redacted]@example.org/rpc");
    }

    #[test]
    fn secrets_are_taken_out_of_nested_values() {
        let secrets = Secrets::of(&"https://example.org/Key123456789?token=t%20oken9&n=1".parse().unwrap());
        let value = serde_json::json!({"Key123456789": ["at Key123456789", 1, {"a": "t oken9 t%20oken9"}]});
        assert_eq!(
            secrets.remove_from_value(value),
            serde_json::json!({"[redacted]": ["at [redacted]", 1, {"a": "[redacted] [redacted]"}]})
        );
    }
}
