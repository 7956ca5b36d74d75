//! The request by which an owner has a signing network make a session key.

use alloy_primitives::{B256, Keccak256, U256, keccak256};

use super::{
    item::{Item, NotShown, Show, Value},
    label::Label,
};
use crate::lint::severity::Severity;

/// What an owner signs to have a signing network make a key: EIP-712 typed data of the wallet-provider protocol.
///
/// ```
/// use quorate_core::{KeyRequest, TaggedValue, Text};
///
/// let ephemeral = r#"{"ephId":"app","ephPK":"0x0101010101010101010101010101010101010101010101010101010101010101","expiry":1900000000}"#;
/// let request = KeyRequest {
///     threshold: 3,
///     nodes: 5,
///     metadata: &[TaggedValue { tag: TaggedValue::EPHEMERAL_KEY, value: ephemeral }],
///     challenge: "9f9f",
/// };
/// let mut lines = String::new();
/// let digest = request.review(&mut Text(&mut lines))?;
/// assert_eq!(digest, request.digest());
/// assert!(lines.contains("until 2030-03-17 17:46:40 UTC"));
/// # Ok::<(), quorate_core::KeyRequestError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRequest<'a> {
    /// How many nodes sign.
    pub threshold: u32,
    /// How many nodes hold a share.
    pub nodes: u32,
    /// What the key is for, without the permissions themselves, which the signature leaves out.
    pub metadata: &'a [TaggedValue<'a>],
    /// The network's challenge.
    pub challenge: &'a str,
}

/// An entry of a request's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaggedValue<'a> {
    /// What the value is.
    pub tag: u16,
    /// The value.
    pub value: &'a str,
}

impl TaggedValue<'_> {
    /// The claim of the ephemeral key under which signatures are asked for.
    pub const EPHEMERAL_KEY: u16 = 2;
    /// The owner's statement of the network, the chain, and the permissions by their hash.
    pub const PERMISSIONS_CLAIM: u16 = 4;
}

/// Why a request is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRequestError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// A number of signers that no network can have.
    #[error("{threshold} of {nodes} nodes cannot sign")]
    Threshold {
        /// How many nodes sign.
        threshold: u32,
        /// How many hold a share.
        nodes: u32,
    },
    /// A text that is too long to be shown, or holds what a display cannot tell apart.
    #[error(
        "{what} is not shown: it is longer than {limit} bytes, or holds more than printable ASCII and single blanks"
    )]
    Text {
        /// What it is.
        what: &'static str,
        /// The most bytes.
        limit: usize,
    },
    /// An entry that is not in the one form that is read here.
    #[error("entry {entry} of the request's metadata, with tag {tag}, cannot be read")]
    Unreadable {
        /// Which entry, counted from 0.
        entry: usize,
        /// Its tag.
        tag: u16,
    },
    /// An entry that is there twice, of which a network might take either.
    #[error("the request's metadata has more than one entry with tag {tag}")]
    Twice {
        /// The tag.
        tag: u16,
    },
    /// A key that nobody could ask for signatures.
    #[error("the request names no ephemeral key, so nobody could ask for the key's signatures")]
    NoEphemeralKey,
}

impl KeyRequest<'_> {
    /// What the owner's key signs.
    ///
    /// Source: EIP-712, with the domain and types of the wallet-provider protocol.
    pub fn digest(&self) -> B256 {
        let mut entries = Keccak256::new();
        for TaggedValue { tag, value } in self.metadata {
            let entry = [keccak256(TAGGED_VALUE).0, word(u32::from(*tag)), keccak256(value).0];
            entries.update(keccak256(entry.as_flattened()));
        }
        let mut setup_type = Keccak256::new();
        setup_type.update(SETUP);
        setup_type.update(TAGGED_VALUE);
        let setup = [setup_type.finalize().0, word(self.threshold), word(self.nodes), entries.finalize().0];
        let mut request_type = Keccak256::new();
        for part in ["Request(KeygenSetupOpts setup,string challenge)", SETUP, TAGGED_VALUE] {
            request_type.update(part);
        }
        let request =
            [request_type.finalize().0, keccak256(setup.as_flattened()).0, keccak256(self.challenge).0];
        let domain = [
            keccak256("EIP712Domain(string name,string version)").0,
            keccak256("SilentShard authentication").0,
            keccak256("0.1.0").0,
        ];
        let mut digest = Keccak256::new();
        digest.update([0x19, 0x01]);
        digest.update(keccak256(domain.as_flattened()));
        digest.update(keccak256(request.as_flattened()));
        digest.finalize()
    }

    /// Shows the request, and gives the digest to sign.
    ///
    /// What the key may sign is in the request by its hash alone, so that an item of [`Severity::Danger`] says that it is not
    /// shown.
    ///
    /// # Errors
    /// An entry that cannot be read, or is there twice; a threshold of none or more than all; a text that is not shown.
    pub fn review(&self, show: &mut dyn Show) -> Result<B256, KeyRequestError> {
        let reviewed = self.show(show);
        if let Err(error) = &reviewed {
            let item = Item::new(Label::Refused, Value::Reason(error)).with_severity(Severity::Refused);
            // A display that is gone shows no refusal either; the caller has it.
            let _ = show.show(&item);
        }
        reviewed
    }

    fn show(&self, show: &mut dyn Show) -> Result<B256, KeyRequestError> {
        self.show_signers(show)?;
        let mut seen = [false; 2];
        for (entry, TaggedValue { tag, value }) in self.metadata.iter().enumerate() {
            let unreadable = KeyRequestError::Unreadable { entry, tag: *tag };
            let seen = match *tag {
                TaggedValue::EPHEMERAL_KEY => {
                    EphemeralKey::read(value).ok_or(unreadable)?.show(show)?;
                    &mut seen[0]
                }
                TaggedValue::PERMISSIONS_CLAIM => {
                    PermissionsClaim::read(value).ok_or(unreadable)?.show(show)?;
                    &mut seen[1]
                }
                _ => return Err(unreadable),
            };
            if core::mem::replace(seen, true) {
                return Err(KeyRequestError::Twice { tag: *tag });
            }
        }
        let [ephemeral_key, permissions] = seen;
        if !ephemeral_key {
            return Err(KeyRequestError::NoEphemeralKey);
        }
        let label = if permissions { Label::PermissionsNotShown } else { Label::PermissionsNotSigned };
        show.show(&Item::new(label, Value::None).with_severity(Severity::Danger))?;
        show.show(&Item::new(Label::Challenge, text("the challenge", self.challenge, LONGEST_CHALLENGE)?))?;
        let digest = self.digest();
        show.show(&Item::new(Label::Hash, Value::Hash(digest)))?;
        Ok(digest)
    }

    fn show_signers(&self, show: &mut dyn Show) -> Result<(), KeyRequestError> {
        let Self { threshold, nodes, .. } = *self;
        if threshold == 0 || threshold > nodes {
            return Err(KeyRequestError::Threshold { threshold, nodes });
        }
        show.show(&Item::new(Label::KeyRequest, Value::Number(U256::from(nodes))))?;
        show.show(&Item::new(Label::Threshold, Value::Number(U256::from(threshold))))?;
        if threshold == 1 {
            show.show(&Item::new(Label::OneNodeSigns, Value::None).with_severity(Severity::Danger))?;
        }
        Ok(())
    }
}

/// A network's challenge has 64 hexadecimal digits for each of its nodes at most.
const LONGEST_CHALLENGE: usize = 256;
/// A display has some 20 letters in a row.
const LONGEST_NAME: usize = 32;

/// Text from outside that is shown letter by letter, or not at all.
fn text<'t>(what: &'static str, text: &'t str, limit: usize) -> Result<Value<'t>, KeyRequestError> {
    let plain = text.bytes().all(|letter| letter.is_ascii_graphic() || letter == b' ');
    let single_blanks = !text.contains("  ") && text.trim_ascii() == text;
    if text.len() <= limit && plain && single_blanks {
        Ok(Value::Text(text))
    } else {
        Err(KeyRequestError::Text { what, limit })
    }
}

const TAGGED_VALUE: &str = "TaggedValue(uint16 tag,string value)";
const SETUP: &str = "KeygenSetupOpts(uint32 t,uint32 n,TaggedValue[] metadata)";

fn word(number: u32) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// The key in hex, and since protocol 0.3.0 the client's name for it and its end.
struct EphemeralKey<'a> {
    key: B256,
    claim: Option<(&'a str, u64)>,
}

impl<'a> EphemeralKey<'a> {
    /// Reads exactly what clients write: JSON with its fields in their order and no spaces, or before 0.3.0 the key.
    fn read(value: &'a str) -> Option<Self> {
        let Some(rest) = value.strip_prefix(r#"{"ephId":""#) else {
            return Some(Self { key: hex_of_32_bytes(value)?, claim: None });
        };
        let (id, rest) = rest.split_once(r#"","ephPK":""#)?;
        let (key, rest) = rest.split_once(r#"","expiry":"#)?;
        let expiry = decimal(rest.strip_suffix('}')?)?;
        let plain = !id.contains(['"', '\\']);
        plain.then_some(Self { key: hex_of_32_bytes(key)?, claim: Some((id, expiry)) })
    }

    fn show(&self, show: &mut dyn Show) -> Result<(), KeyRequestError> {
        show.show(&Item::new(Label::EphemeralKey, Value::Hash(self.key)))?;
        let Some((id, expiry)) = self.claim else {
            let item = Item::new(Label::EphemeralWithoutEnd, Value::None);
            return Ok(show.show(&item.with_severity(Severity::Warning))?);
        };
        show.show(&Item::new(Label::EphemeralName, text("the ephemeral key's name", id, LONGEST_NAME)?))?;
        Ok(show.show(&Item::new(Label::EphemeralUntil, Value::Time(expiry)))?)
    }
}

/// The owner's statement of what the key is for.
struct PermissionsClaim {
    network: B256,
    chain_id: u64,
    permissions: B256,
}

impl PermissionsClaim {
    fn read(value: &str) -> Option<Self> {
        let rest = value.strip_prefix(r#"{"network":""#)?;
        let (network, rest) = rest.split_once(r#"","chainId":"#)?;
        let (chain_id, rest) = rest.split_once(r#","permissions":""#)?;
        let permissions = hex_of_32_bytes(rest.strip_suffix(r#""}"#)?)?;
        Some(Self { network: hex_of_32_bytes(network)?, chain_id: decimal(chain_id)?, permissions })
    }

    fn show(&self, show: &mut dyn Show) -> Result<(), KeyRequestError> {
        show.show(&Item::new(Label::Chain, Value::Number(U256::from(self.chain_id))))?;
        show.show(&Item::new(Label::Network, Value::Hash(self.network)))?;
        Ok(show.show(&Item::new(Label::Permissions, Value::Hash(self.permissions)))?)
    }
}

/// 64 lower-case digits after `0x`, as clients write them: other spellings of the same bytes have another digest.
fn hex_of_32_bytes(text: &str) -> Option<B256> {
    let digits = text.strip_prefix("0x")?;
    let plain = digits.len() == 64 && !digits.bytes().any(|digit| digit.is_ascii_uppercase());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A number as JSON has it: digits, and no zero before others.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use super::*;
    use crate::Text;

    const KEY: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";
    const NETWORK: &str = "0x0202020202020202020202020202020202020202020202020202020202020202";

    fn ephemeral(id: &str) -> String {
        format!(r#"{{"ephId":"{id}","ephPK":"{KEY}","expiry":1900000000}}"#)
    }

    fn permissions() -> String {
        format!(r#"{{"network":"{NETWORK}","chainId":137,"permissions":"{KEY}"}}"#)
    }

    fn review(metadata: &[(u16, &str)]) -> (String, Result<B256, KeyRequestError>) {
        let metadata: Vec<_> = metadata.iter().map(|(tag, value)| TaggedValue { tag: *tag, value }).collect();
        let request = KeyRequest { threshold: 3, nodes: 5, metadata: &metadata, challenge: "9f" };
        let mut lines = String::new();
        let digest = request.review(&mut Text(&mut lines));
        (lines, digest)
    }

    #[test]
    fn a_request_in_words() {
        let (lines, digest) = review(&[(2, &ephemeral("quorate")), (4, &permissions())]);
        let expected = format!(
            "\
New session key, made by a number of nodes: 5
  signed with by any 3
  signatures are asked for under the key {KEY}
    named \"quorate\"
    until 2030-03-17 17:46:40 UTC
  chain 137
  by the network {NETWORK}
  under the permissions {KEY}
  DANGER: what the key may sign is not shown
  challenge \"9f\"
Hash of all this {}
",
            digest.unwrap()
        );
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_other_clients_ask_for_is_shown_with_what_it_lacks() {
        let (lines, digest) = review(&[(2, KEY)]);
        digest.unwrap();
        assert!(lines.contains("for as long as the network lets it"), "{lines}");
        assert!(lines.contains("DANGER: what the key may sign is not covered"), "{lines}");
    }

    #[test]
    fn what_is_not_read_in_one_way_is_refused() {
        let good = ephemeral("a");
        for value in [
            &good[..good.len() - 1],
            &good.replace(':', ": "),
            &good.replace("1900000000", "01"),
            &good.replace("1900000000", "1e9"),
            &ephemeral(r#"a","ephPK":"0x"#),
            &ephemeral("a\\u0022"),
            &KEY[..65],
        ] {
            let refused = review(&[(2, value)]).1;
            assert_eq!(refused, Err(KeyRequestError::Unreadable { entry: 0, tag: 2 }), "{value}");
        }
        let broken = permissions().replace("137", "\"137\"");
        let refused = review(&[(2, &good), (4, &broken)]).1;
        assert_eq!(refused, Err(KeyRequestError::Unreadable { entry: 1, tag: 4 }));
        assert_eq!(review(&[(2, &good), (2, &good)]).1, Err(KeyRequestError::Twice { tag: 2 }));
        assert_eq!(review(&[(4, &permissions())]).1, Err(KeyRequestError::NoEphemeralKey));
        assert_eq!(review(&[(9, "x")]).1, Err(KeyRequestError::Unreadable { entry: 0, tag: 9 }));
    }

    #[test]
    fn no_byte_of_an_entry_changes_unseen() {
        let (good, permissions) = (ephemeral("a"), permissions());
        let (shown, _) = review(&[(2, &good), (4, &permissions)]);
        for (entry, text) in [&good, &permissions].into_iter().enumerate() {
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                *bytes.get_mut(at).unwrap() ^= 1;
                let changed = String::from_utf8(bytes).unwrap();
                let entries = if entry == 0 { [&changed, &permissions] } else { [&good, &changed] };
                let (lines, digest) = review(&[(2, entries[0]), (4, entries[1])]);
                assert!(digest.is_err() || lines != shown, "byte {at} of entry {entry}");
            }
        }
    }
}
