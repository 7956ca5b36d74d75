//! What an operator gives to the one who assembles a network: public things alone.

use alloy_primitives::{B256, hex};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::descriptor::parse_identity;
use crate::json::{self, JsonError};
use crate::{Fingerprint, Transcript};

/// A node's identity with the name of who runs it, signed by the identity: what `quorate node init` prints.
///
/// ```
/// use quorate_protocol::NodeCard;
///
/// let identity = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
/// let card = NodeCard::new(&identity, "Example Ltd, ops@example.org")?;
/// assert_eq!(NodeCard::from_json(&card.to_json())?, card);
/// # Ok::<(), quorate_protocol::NodeCardError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCard {
    identity: VerifyingKey,
    name: String,
    signature: Signature,
}

/// Why a node card is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeCardError {
    /// Not the JSON of a card.
    #[error("not a node card, as `quorate node init` writes one to card.json")]
    Json(#[from] JsonError),
    /// A card of another form.
    #[error("a node card of version {version}; this program reads version {VERSION}")]
    Version {
        /// The version stated.
        version: u32,
    },
    /// An identity that is no Ed25519 public key.
    #[error("the node card's identity is not an Ed25519 public key of 32 bytes in hex")]
    Identity,
    /// A name that is not shown to others as it stands.
    #[error(
        "a node's name has 1 to {MAX_NAME} letters, digits, spaces and ASCII punctuation marks: it is shown on other \
         operators' terminals"
    )]
    Name,
    /// The identity has not signed the card.
    #[error(
        "the node card is not signed by its identity: it was altered or not copied whole; ask its operator for it again"
    )]
    Signature,
}

const VERSION: u32 = 1;

/// The most characters of a name.
const MAX_NAME: usize = 100;

impl NodeCard {
    /// The card of the node with this identity, whose operator is to be found by `name`: a name and a way to reach them.
    ///
    /// # Errors
    /// [`NodeCardError::Name`].
    pub fn new(identity: &SigningKey, name: &str) -> Result<Self, NodeCardError> {
        check_name(name)?;
        let signature = identity.sign(digest(&identity.verifying_key(), name).as_slice());
        Ok(Self { identity: identity.verifying_key(), name: name.to_owned(), signature })
    }

    /// Reads a card, and checks that its identity has signed it.
    ///
    /// # Errors
    /// Text that is no card, or one that was altered.
    pub fn from_json(text: &str) -> Result<Self, NodeCardError> {
        let CardFile { version, name, identity, signature } = json::read(text)?;
        if version != VERSION {
            return Err(NodeCardError::Version { version });
        }
        check_name(&name)?;
        let identity = parse_identity(&identity).ok_or(NodeCardError::Identity)?;
        let signature = hex::decode_to_array(&signature).map_err(|_| NodeCardError::Signature)?;
        let signature = Signature::from_bytes(&signature);
        let verified = identity.verify_strict(digest(&identity, &name).as_slice(), &signature);
        verified.map_err(|_| NodeCardError::Signature)?;
        Ok(Self { identity, name, signature })
    }

    /// The card as the JSON that [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> String {
        let file = CardFile {
            version: VERSION,
            name: self.name.clone(),
            identity: hex::encode_prefixed(self.identity.as_bytes()),
            signature: hex::encode_prefixed(self.signature.to_bytes()),
        };
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// The node's identity.
    pub const fn identity(&self) -> &VerifyingKey {
        &self.identity
    }

    /// Who runs the node, in their own words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the operator reads out to whoever was given the card: it covers identity, name and version.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(digest(&self.identity, &self.name))
    }
}

fn digest(identity: &VerifyingKey, name: &str) -> B256 {
    Transcript::new("node card")
        .number(VERSION.into())
        .field(identity.as_bytes())
        .field(name.as_bytes())
        .finish()
}

fn check_name(name: &str) -> Result<(), NodeCardError> {
    let is_shown = |char: char| char.is_alphanumeric() || char == ' ' || char.is_ascii_punctuation();
    let is_short = (1..=MAX_NAME).contains(&name.chars().count());
    if is_short && name.chars().all(is_shown) { Ok(()) } else { Err(NodeCardError::Name) }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardFile {
    version: u32,
    name: String,
    identity: String,
    signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(seed: u8, name: &str) -> NodeCard {
        NodeCard::new(&SigningKey::from_bytes(&[seed; 32]), name).unwrap()
    }

    #[test]
    fn a_card_that_was_altered_is_refused_and_has_another_fingerprint() {
        let (own, other) = (card(1, "alice"), card(2, "alice"));
        let identity = |card: &NodeCard| hex::encode_prefixed(card.identity().as_bytes());
        let renamed = own.to_json().replace("alice", "alina");
        let swapped = own.to_json().replace(&identity(&own), &identity(&other));
        let cut = own.to_json().replace(&hex::encode(&own.signature.to_bytes()[60..]), "");
        for altered in [renamed, swapped, cut] {
            assert!(matches!(NodeCard::from_json(&altered), Err(NodeCardError::Signature)), "{altered}");
        }
        assert_ne!(own.fingerprint(), other.fingerprint());
        assert_ne!(own.fingerprint(), card(1, "alina").fingerprint());
    }

    #[test]
    fn names_that_would_steer_a_terminal_are_refused() {
        let identity = SigningKey::from_bytes(&[1; 32]);
        for name in ["", "a\u{1b}[2J", "a\nb", "\u{202e}ecila", &"a".repeat(101)] {
            assert!(matches!(NodeCard::new(&identity, name), Err(NodeCardError::Name)), "{name:?}");
        }
        assert!(NodeCard::new(&identity, "Zoë Müller <zoe@example.org>, +41 1").is_ok());
    }

    #[test]
    fn a_later_card_is_named_by_its_version() {
        let later = card(1, "alice").to_json().replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(NodeCard::from_json(&later), Err(NodeCardError::Version { version: 2 })));
    }
}
