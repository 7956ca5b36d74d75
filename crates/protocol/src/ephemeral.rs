use alloy_primitives::hex;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};

/// The longest that an ephemeral key lives: 365 days, in seconds.
pub const MAX_EPHEMERAL_LIFETIME: u64 = 365 * 24 * 60 * 60;

/// How long an ephemeral key lives when its owner signed no expiry, as 0.1.0 clients do: 30 days, in seconds.
pub const DEFAULT_EPHEMERAL_LIFETIME: u64 = 30 * 24 * 60 * 60;

/// The ephemeral Ed25519 key that an owner registers (metadata tag 2), under which signatures are then asked for.
///
/// Protocol 0.1.0 sends the bare key, later clients a claim with an id and an expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EphemeralClaim {
    /// The key.
    pub key: VerifyingKey,
    /// The client's name for it; none in 0.1.0.
    pub id: Option<String>,
    /// When it ends, in seconds since 1970; none in 0.1.0.
    pub expiry: Option<u64>,
}

/// Why an ephemeral claim is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EphemeralError {
    /// Neither a bare key nor a claim.
    #[error("the ephemeral claim is neither 0x and 64 hex digits nor the claim's JSON")]
    Json(#[from] JsonError),
    /// More bytes than a claim needs.
    #[error("the ephemeral claim has {len} bytes, at most {limit} are taken; choose a shorter id")]
    TooLong {
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// Not a key.
    #[error("the ephemeral key is not an Ed25519 public key of 32 bytes in hex")]
    Key,
    /// Over already, or too far away.
    #[error(
        "the ephemeral key ends at {expiry}, which is not within 365 days from now ({now}, seconds since 1970)"
    )]
    Lifetime {
        /// The expiry claimed.
        expiry: u64,
        /// The judge's clock.
        now: u64,
    },
}

impl EphemeralClaim {
    /// The longest claim, in bytes: what is fixed of it takes 120, the rest is the id's.
    pub const MAX_LEN: usize = 512;

    /// Reads the value of a tag-2 entry.
    ///
    /// # Errors
    /// A value of neither form, one of more than [`MAX_LEN`](Self::MAX_LEN) bytes, or one whose key is no Ed25519 key.
    pub fn parse(value: &str) -> Result<Self, EphemeralError> {
        check_len(value)?;
        if value.starts_with("0x") {
            return Ok(Self { key: parse_key(value)?, id: None, expiry: None });
        }
        let claim: ClaimText = json::read(value)?;
        Ok(Self { key: parse_key(&claim.eph_pk)?, id: Some(claim.eph_id), expiry: Some(claim.expiry) })
    }

    /// The claim as clients since 0.3.0 write it.
    pub fn to_json(&self) -> String {
        let text = ClaimText {
            eph_id: self.id.clone().unwrap_or_default(),
            eph_pk: hex::encode_prefixed(self.key.as_bytes()),
            expiry: self.expiry.unwrap_or_default(),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Whether nodes take it, which its id may be too long for.
    pub(crate) fn check(&self) -> Result<(), EphemeralError> {
        check_len(&self.to_json())
    }

    /// When a key registered at `now` ends, in seconds since 1970.
    ///
    /// # Errors
    /// An expiry in the past or more than [`MAX_EPHEMERAL_LIFETIME`] away.
    pub fn ends(&self, now: u64) -> Result<u64, EphemeralError> {
        let expiry = self.expiry.unwrap_or(now.saturating_add(DEFAULT_EPHEMERAL_LIFETIME));
        if expiry <= now || expiry > now.saturating_add(MAX_EPHEMERAL_LIFETIME) {
            return Err(EphemeralError::Lifetime { expiry, now });
        }
        Ok(expiry)
    }
}

const fn check_len(value: &str) -> Result<(), EphemeralError> {
    let (len, limit) = (value.len(), EphemeralClaim::MAX_LEN);
    if len <= limit { Ok(()) } else { Err(EphemeralError::TooLong { len, limit }) }
}

fn parse_key(text: &str) -> Result<VerifyingKey, EphemeralError> {
    let bytes: [u8; 32] = hex::decode_to_array(text).map_err(|_| EphemeralError::Key)?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).ok_or(EphemeralError::Key)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimText {
    #[serde(rename = "ephId")]
    eph_id: String,
    #[serde(rename = "ephPK")]
    eph_pk: String,
    expiry: u64,
}
