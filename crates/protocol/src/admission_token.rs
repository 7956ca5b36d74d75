use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, B512, hex};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::{Owner, ShortText, Transcript};

/// An operator's word that a network makes keys for an owner whom no list names.
///
/// It is good for one owner at one network, so whoever reads it has no use for it. The owner sends it with the request for a
/// key (metadata tag 5), in what the owner signs.
///
/// ```
/// # use alloy_primitives::{Address, B256};
/// # use ed25519_dalek::SigningKey;
/// # use quorate_protocol::{AdmissionToken, AdmissionTokenError, TokenIssuer};
/// let (network, owner) = (B256::repeat_byte(1), Address::repeat_byte(2));
/// let issuer = SigningKey::from_bytes(&[7; 32]);
/// let token = AdmissionToken::issue(&issuer, network, owner, 1_800_000_000, 3);
///
/// let issuers = [TokenIssuer::from(&issuer)];
/// let token = AdmissionToken::from_json(&token.to_json())?;
/// assert_eq!(token.verify(network, owner, &issuers, 1_799_999_999)?, 3);
/// let late = token.verify(network, owner, &issuers, 1_800_000_000);
/// assert!(matches!(late, Err(AdmissionTokenError::Expired { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionToken {
    #[serde(deserialize_with = "json::fixed_bytes")]
    network: B256,
    owner: Owner,
    expires: u64,
    keys: u64,
    issuer: TokenIssuer,
    #[serde(deserialize_with = "json::fixed_bytes")]
    signature: B512,
}

/// The Ed25519 public key by which admission tokens are verified; 0x and 64 hex digits in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenIssuer(VerifyingKey);

/// Text that is no issuer's key.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not an issuer's Ed25519 public key: 0x and 64 hex digits")]
pub struct MalformedIssuer {
    /// What stands in its place.
    pub found: ShortText,
}

/// Why an admission token admits nobody, or not this owner.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionTokenError {
    /// Another network's.
    #[error("the admission token is for network {found}, this is network {expected}")]
    OtherNetwork {
        /// As signed.
        found: B256,
        /// As it is.
        expected: B256,
    },
    /// Another owner's.
    #[error("the admission token is for {found}, the request is of {expected}")]
    OtherOwner {
        /// As signed.
        found: Owner,
        /// Who asks.
        expected: Owner,
    },
    /// Not what the issuer signed.
    #[error("the admission token is not signed by the issuer that it names, {issuer}")]
    Signature {
        /// The issuer named.
        issuer: TokenIssuer,
    },
    /// An issuer whose tokens do not count.
    #[error("the admission token is of issuer {issuer}, whose tokens are not taken")]
    UnknownIssuer {
        /// The issuer.
        issuer: TokenIssuer,
    },
    /// Over.
    #[error("the admission token expired at {expires} (seconds since 1970), it is {now}")]
    Expired {
        /// The end of the token.
        expires: u64,
        /// The judge's clock.
        now: u64,
    },
}

impl AdmissionToken {
    /// Lets `owner` have `keys` keys in all at a network, asked for before `expires`, in seconds since 1970.
    pub fn issue(
        issuer: &SigningKey,
        network: B256,
        owner: impl Into<Owner>,
        expires: u64,
        keys: u64,
    ) -> Self {
        let owner = owner.into();
        let signature = B512::ZERO;
        let mut token = Self { network, owner, expires, keys, issuer: issuer.into(), signature };
        token.signature = issuer.sign(token.digest().as_slice()).to_bytes().into();
        token
    }

    /// Reads a token, without believing it: [`verify`](Self::verify) tells what it is worth.
    ///
    /// # Errors
    /// Text that is no token.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        json::read(text)
    }

    /// The token as the JSON that [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Checks what a client can: that the token is this owner's, for this network, and what the issuer that it names
    /// signed.
    ///
    /// # Errors
    /// All but [`UnknownIssuer`](AdmissionTokenError::UnknownIssuer) and [`Expired`](AdmissionTokenError::Expired), which
    /// the nodes judge.
    pub fn check(&self, network: B256, owner: impl Into<Owner>) -> Result<(), AdmissionTokenError> {
        let owner = owner.into();
        if self.network != network {
            return Err(AdmissionTokenError::OtherNetwork { found: self.network, expected: network });
        }
        if self.owner != owner {
            return Err(AdmissionTokenError::OtherOwner { found: self.owner, expected: owner });
        }
        let TokenIssuer(key) = &self.issuer;
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(self.digest().as_slice(), &signature)
            .map_err(|_| AdmissionTokenError::Signature { issuer: self.issuer })
    }

    /// How many keys the owner may have at the network, as one of the issuers says; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// A token that is another owner's or for another network, that no such issuer signed, or that has expired.
    pub fn verify(
        &self,
        network: B256,
        owner: impl Into<Owner>,
        issuers: &[TokenIssuer],
        now: u64,
    ) -> Result<u64, AdmissionTokenError> {
        self.check(network, owner)?;
        if !issuers.contains(&self.issuer) {
            return Err(AdmissionTokenError::UnknownIssuer { issuer: self.issuer });
        }
        if now >= self.expires {
            return Err(AdmissionTokenError::Expired { expires: self.expires, now });
        }
        Ok(self.keys)
    }

    fn digest(&self) -> B256 {
        Transcript::new("admission token")
            .field(self.network.as_slice())
            .field(&self.owner.to_bytes())
            .number(self.expires)
            .number(self.keys)
            .finish()
    }
}

impl From<&SigningKey> for TokenIssuer {
    fn from(key: &SigningKey) -> Self {
        Self(key.verifying_key())
    }
}

impl FromStr for TokenIssuer {
    type Err = MalformedIssuer;

    fn from_str(text: &str) -> Result<Self, MalformedIssuer> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64);
        digits
            .and_then(|digits| hex::decode_to_array(digits).ok())
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .filter(|key| !key.is_weak())
            .map(Self)
            .ok_or_else(|| MalformedIssuer { found: text.into() })
    }
}

impl TryFrom<String> for TokenIssuer {
    type Error = MalformedIssuer;

    fn try_from(text: String) -> Result<Self, MalformedIssuer> {
        text.parse()
    }
}

impl From<TokenIssuer> for String {
    fn from(issuer: TokenIssuer) -> Self {
        issuer.to_string()
    }
}

impl fmt::Display for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_prefixed(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NETWORK: B256 = B256::repeat_byte(1);
    const OWNER: Address = Address::repeat_byte(2);
    const EXPIRES: u64 = 1_800_000_000;

    fn issuer() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn token() -> AdmissionToken {
        AdmissionToken::issue(&issuer(), NETWORK, OWNER, EXPIRES, 3)
    }

    fn verify(token: &AdmissionToken) -> Result<u64, AdmissionTokenError> {
        token.verify(NETWORK, OWNER, &[TokenIssuer::from(&issuer())], EXPIRES - 1)
    }

    /// The token's JSON with another value of one field.
    fn with(field: &str, value: Value) -> String {
        let mut json: Value = serde_json::from_str(&token().to_json()).unwrap();
        json[field] = value;
        json.to_string()
    }

    #[test]
    fn a_token_keeps_its_form() {
        let text = token().to_json();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({
                "network": "0x0101010101010101010101010101010101010101010101010101010101010101",
                "owner": "0x0202020202020202020202020202020202020202",
                "expires": EXPIRES,
                "keys": 3,
                "issuer": "0xea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
                "signature": "0x3bff8607434fa2eeb03cde2e6cdd90a3c0f093e931626519ad404da2a913979e263fc8b427ee4062ea84129779c9cec630b6d83eff9990c694d0606003d4e102",
            })
        );
        assert_eq!(AdmissionToken::from_json(&text).unwrap(), token());
    }

    #[test]
    fn each_reason_is_told() {
        use AdmissionTokenError::*;

        let (token, known) = (token(), TokenIssuer::from(&issuer()));
        let stranger = TokenIssuer::from(&SigningKey::from_bytes(&[8; 32]));
        let (other_network, other_owner) = (B256::repeat_byte(9), Address::repeat_byte(9));
        let forged = AdmissionToken { keys: 4, ..token.clone() };
        let cases = [
            (
                token.verify(other_network, OWNER, &[known], 0),
                OtherNetwork { found: NETWORK, expected: other_network },
            ),
            (
                token.verify(NETWORK, other_owner, &[known], 0),
                OtherOwner { found: OWNER.into(), expected: other_owner.into() },
            ),
            (token.verify(NETWORK, OWNER, &[stranger], 0), UnknownIssuer { issuer: known }),
            (token.verify(NETWORK, OWNER, &[], 0), UnknownIssuer { issuer: known }),
            (forged.verify(NETWORK, OWNER, &[known], 0), Signature { issuer: known }),
            (token.verify(NETWORK, OWNER, &[known], EXPIRES), Expired { expires: EXPIRES, now: EXPIRES }),
        ];
        for (found, expected) in cases {
            assert_eq!(found, Err(expected));
        }
        assert_eq!(token.verify(NETWORK, OWNER, &[stranger, known], EXPIRES - 1), Ok(3));
    }

    #[test]
    fn the_signature_covers_each_field() {
        let original = token();
        let stranger = TokenIssuer::from(&SigningKey::from_bytes(&[8; 32]));
        let (network, owner) = (B256::repeat_byte(9), Address::repeat_byte(9));
        for altered in [
            AdmissionToken { network, ..original.clone() },
            AdmissionToken { owner: owner.into(), ..original.clone() },
            AdmissionToken { expires: EXPIRES + 1, ..original.clone() },
            AdmissionToken { keys: 4, ..original.clone() },
            AdmissionToken { issuer: stranger, ..original.clone() },
        ] {
            let refused = altered.check(altered.network, altered.owner);
            assert_eq!(refused, Err(AdmissionTokenError::Signature { issuer: altered.issuer }));
        }
        for bit in 0..512 {
            let mut altered = original.clone();
            altered.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(verify(&altered), Err(AdmissionTokenError::Signature { .. })), "bit {bit}");
        }
    }

    #[test]
    fn tokens_that_cannot_be_read_say_where() {
        let key = TokenIssuer::from(&issuer()).to_string();
        let cases = [
            (with("note", json!("")), "`note`: unknown field"),
            (with("network", json!("0x01")), "`network`: `0x01` is not 32 bytes"),
            (with("owner", json!("0x02")), "`owner`: `0x02` is not an address"),
            (with("expires", json!("soon")), "`expires`: invalid type"),
            (with("keys", json!(-1)), "`keys`: invalid value"),
            (with("issuer", json!(&key[2..])), "`issuer`: "),
            (with("signature", json!("0x00")), "`signature`: `0x00` is not 64 bytes"),
            ("{}".to_owned(), "missing field `network`"),
            (format!("{} {{}}", token().to_json()), "trailing characters"),
        ];
        for (text, reason) in cases {
            let refused = AdmissionToken::from_json(&text).unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn an_issuer_is_an_ed25519_key_in_one_spelling() {
        let key = TokenIssuer::from(&issuer());
        assert_eq!(key.to_string().parse::<TokenIssuer>().unwrap(), key);
        // The last is of small order, under which one signature verifies for many messages.
        let small = format!("0x01{}", "00".repeat(31));
        for odd in ["", "0x", &key.to_string()[2..], &format!("{key}00"), &"0x".repeat(33), &small] {
            let refused = odd.parse::<TokenIssuer>().unwrap_err();
            assert_eq!(*refused.found, *odd);
        }
    }

    proptest! {
        #[test]
        fn what_is_issued_is_read_and_good_until_it_expires(
            owner: [u8; 20], expires in 1_u64.., keys: u64, seed: [u8; 32]
        ) {
            let (key, owner) = (SigningKey::from_bytes(&seed), Address::from(owner));
            let token = AdmissionToken::issue(&key, NETWORK, owner, expires, keys);
            let read = AdmissionToken::from_json(&token.to_json()).unwrap();
            prop_assert_eq!(&read, &token);
            let issuers = [TokenIssuer::from(&key)];
            prop_assert_eq!(read.verify(NETWORK, owner, &issuers, expires - 1), Ok(keys));
            prop_assert!(read.verify(NETWORK, owner, &issuers, expires).is_err());
        }
    }
}
