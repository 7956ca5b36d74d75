//! Who may speak to the server: the page that it served, in the browser that was given its address.

use alloy_primitives::{B256, keccak256};
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, StatusCode};

/// What a request has to show.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// 127.0.0.1 and the port.
    host: String,
    /// A hash, so that the time of a comparison tells nothing of the token.
    token_hash: B256,
}

/// A header that no other site's page can send: a browser would ask the server first, which does not answer that.
const TOKEN: HeaderName = HeaderName::from_static("x-quorate-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Door {
    pub(crate) fn new(host: String, token: &str) -> Self {
        Self { host, token_hash: keccak256(token) }
    }

    pub(crate) fn is_token(&self, given: &str) -> bool {
        keccak256(given) == self.token_hash
    }

    /// Any request: by its own name, so that no other name leads here (DNS rebinding).
    pub(crate) fn check_host(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        if text(headers, HOST) == Some(&self.host) { Ok(()) } else { Err(StatusCode::MISDIRECTED_REQUEST) }
    }

    /// A request that changes something, or reads what is to be signed.
    pub(crate) fn check_page(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let origin = text(headers, ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        let is_same_site = text(headers, FETCH_SITE).is_none_or(|site| site == "same-origin");
        let has_token = text(headers, TOKEN).is_some_and(|token| self.is_token(token));
        if origin == Some(&self.host) && is_same_site && has_token {
            Ok(())
        } else {
            Err(StatusCode::FORBIDDEN)
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn each_part_of_the_guard_is_needed() {
        let door = Door::new("127.0.0.1:99".into(), "secret");
        let good = [
            ("origin", "http://127.0.0.1:99"),
            ("x-quorate-token", "secret"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(door.check_page(&headers(&good)), Ok(()));
        assert_eq!(door.check_page(&headers(&good[..2])), Ok(()), "not every browser says the site");
        for (place, value) in [
            (0, "http://127.0.0.1:98"),
            (0, "https://127.0.0.1:99"),
            (0, "http://localhost:99"),
            (0, "null"),
            (1, "secrets"),
            (1, ""),
            (2, "cross-site"),
            (2, "same-site"),
            (2, "none"),
        ] {
            let mut bad = good;
            bad[place].1 = value;
            assert_eq!(door.check_page(&headers(&bad)), Err(StatusCode::FORBIDDEN), "{bad:?}");
        }
        for missing in [0, 1] {
            let rest: Vec<_> = good
                .iter()
                .enumerate()
                .filter(|(place, _)| *place != missing)
                .map(|(_, pair)| *pair)
                .collect();
            assert_eq!(door.check_page(&headers(&rest)), Err(StatusCode::FORBIDDEN), "{rest:?}");
        }
    }

    #[test]
    fn only_its_own_name_leads_to_the_server() {
        let door = Door::new("127.0.0.1:99".into(), "secret");
        assert_eq!(door.check_host(&headers(&[("host", "127.0.0.1:99")])), Ok(()));
        for other in ["evil.example:99", "localhost:99", "127.0.0.1", ""] {
            assert!(door.check_host(&headers(&[("host", other)])).is_err(), "{other}");
        }
        assert!(door.check_host(&headers(&[])).is_err());
    }
}
