use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, hex};
use quorate_core::{SessionEpoch, SessionLeaf};

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

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a session stands. The chain decides; the store only knows which changes can be true.
///
/// | from | to | because |
/// |---|---|---|
/// | pending | active | the grant is in a block |
/// | pending | inactive | the grant was dropped, reverted or given up |
/// | active | expired | its time is over |
/// | active, expired | revoked | the owner took it out of the tree |
/// | active, expired | inactive | somebody replaced the tree |
/// | active, expired | pending | the grant's block was reorganised away |
/// | inactive | pending | the grant was prepared, and is sent now |
/// | revoked, inactive | active | what ended it was reorganised away, or the grant got into a block after all |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Granted, not seen on chain yet.
    Pending,
    /// Under the account's root.
    Active,
    /// Past its time; its leaves stay under the root until the next one is set.
    Expired,
    /// Taken out of the tree by the owner.
    Revoked,
    /// Not under the root: the grant never got there, or another tree replaced it.
    Inactive,
}

impl Status {
    /// Whether a session may go from here to `next`. It may always stay as it is.
    ///
    /// ```
    /// use quorate_store::Status;
    ///
    /// assert!(Status::Active.may_become(Status::Pending), "a block can be reorganised away");
    /// assert!(!Status::Expired.may_become(Status::Active), "time does not come back");
    /// ```
    pub const fn may_become(self, next: Self) -> bool {
        use Status::{Active, Expired, Inactive, Pending, Revoked};
        matches!(
            (self, next),
            (Pending, Pending | Active | Inactive)
                | (Active, Pending | Active | Expired | Revoked | Inactive)
                | (Expired, Pending | Expired | Revoked | Inactive)
                | (Revoked, Active | Revoked)
                | (Inactive, Pending | Active | Inactive)
        )
    }

    /// Whether the session's leaves belong to the account's tree.
    pub const fn is_in_tree(self) -> bool {
        matches!(self, Self::Pending | Self::Active | Self::Expired)
    }

    pub(crate) fn check_change(
        self,
        next: Self,
        account: AccountId,
        id: &SessionId,
    ) -> Result<(), StoreError> {
        if self.may_become(next) {
            return Ok(());
        }
        Err(StoreError::Transition { account, id: id.clone(), from: self, to: next })
    }

    pub(crate) fn check_removal(self, account: AccountId, id: &SessionId) -> Result<(), StoreError> {
        if !self.is_in_tree() {
            return Ok(());
        }
        Err(StoreError::InTree { account, id: id.clone(), status: self })
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Pending, Self::Active, Self::Expired, Self::Revoked, Self::Inactive]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One leaf of an account's tree: when it is valid, and what a session validation module is given. It owns what
/// [`SessionLeaf`] borrows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// When the leaf is valid.
    pub epoch: SessionEpoch,
    /// The session validation module.
    pub validation_module: Address,
    /// What the module is given.
    pub session_key_data: Vec<u8>,
}

impl Leaf {
    /// The leaf as the tree holds it.
    pub fn hash(&self) -> B256 {
        let Self { epoch, validation_module, ref session_key_data } = *self;
        SessionLeaf { epoch, validation_module, session_key_data }.hash()
    }
}

/// A leaf at its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLeaf {
    /// The leaf's hash.
    pub hash: B256,
    /// The session that it belongs to.
    pub session: SessionId,
    /// Where that session stands.
    pub status: Status,
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
    /// Its leaves, in the order of the tree.
    pub leaves: Vec<Leaf>,
    /// What the session is, in the words of whoever stored it; the store does not read it.
    pub record: String,
    /// Where it stands.
    pub status: Status,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The user operation that grants it, where it is known.
    pub user_op_hash: Option<B256>,
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
    /// Its leaves, at least one; they come after all others of the account.
    pub leaves: Vec<Leaf>,
    /// What the session is, in the words of whoever stores it; the store does not read it.
    pub record: String,
    /// Where it stands: [`Pending`](Status::Pending), unless it comes from elsewhere.
    pub status: Status,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The user operation that grants it, where it is known.
    pub user_op_hash: Option<B256>,
}

impl NewSession {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.leaves.is_empty() {
            return Err(StoreError::NoLeaves { account: self.account, id: self.id.clone() });
        }
        Ok(())
    }

    pub(crate) fn into_parts(self) -> (Session, Key) {
        let Self { id, account, session_key, key, leaves, record, status, created, user_op_hash } = self;
        let key_id = key.key_id().map(ToOwned::to_owned);
        (Session { id, account, session_key, key_id, leaves, record, status, created, user_op_hash }, key)
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
