use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, hex};
use quorate_core::Leaf;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Key, StoreError};

/// An account on a chain. It is written as CAIP-10 has it: `eip155:1:0x…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// The chain.
    pub chain_id: u64,
    /// The smart account.
    pub address: Address,
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}:{}", self.chain_id, self.address)
    }
}

/// What a session is called among those of its account: 1 to 128 characters, none of them a control character.
///
/// ```
/// use quorate_store::SessionId;
///
/// assert_ne!(SessionId::random()?, SessionId::random()?);
/// assert_eq!("for minting".parse::<SessionId>()?.as_str(), "for minting");
/// assert!("".parse::<SessionId>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(String);

/// A text that is no session id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id is 1 to 128 characters without control characters, this is {text:?}")]
pub struct InvalidSessionId {
    /// The text.
    pub text: String,
}

impl SessionId {
    /// A fresh one: 32 hex digits.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        if (1..=128).contains(&text.chars().count()) && !text.contains(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSessionId { text: text.to_owned() })
        }
    }
}

/// As text.
impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session as it is stored, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, which no other session of the account has.
    pub id: SessionId,
    /// The account that it acts for.
    pub account: AccountId,
    /// The address whose signature the chain asks for.
    pub session_key: Address,
    /// The key's id at a signing network; none where no network holds the key.
    pub key_id: Option<String>,
    /// Its leaves, one for each policy.
    pub leaves: Vec<Leaf>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The user operation that was first made to grant it, where it is known.
    pub user_op_hash: Option<B256>,
    /// The block in which it was first seen in the account's tree; 0 where only that it was there is known.
    pub landed: Option<u64>,
}

/// A session to be stored, with its key.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id, which no other session of the account may have.
    pub id: SessionId,
    /// The account that it acts for.
    pub account: AccountId,
    /// The address whose signature the chain asks for.
    pub session_key: Address,
    /// How that signature is made.
    pub key: Key,
    /// Its leaves, one for each policy, and at least one.
    pub leaves: Vec<Leaf>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The user operation that was first made to grant it, where it is known.
    pub user_op_hash: Option<B256>,
    /// The block in which it was first seen in the account's tree; 0 where only that it was there is known.
    pub landed: Option<u64>,
}

impl NewSession {
    pub(crate) fn check(&self, account: AccountId) -> Result<(), StoreError> {
        if self.account != account {
            return Err(StoreError::OtherAccount { account, session: self.account, id: self.id.clone() });
        }
        if self.leaves.is_empty() {
            return Err(StoreError::NoLeaves { account: self.account, id: self.id.clone() });
        }
        Ok(())
    }

    pub(crate) fn into_parts(self) -> (Session, Key) {
        let Self { id, account, session_key, key, leaves, created, user_op_hash, landed } = self;
        let key_id = key.key_id().map(ToOwned::to_owned);
        (Session { id, account, session_key, key_id, leaves, created, user_op_hash, landed }, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_are_bounded() {
        assert!("é".repeat(128).parse::<SessionId>().is_ok());
        for text in ["", "two\nlines", &"a".repeat(129)] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidSessionId { text: text.to_owned() }));
        }
    }
}
