//! The request by which an owner has a signing network make a session key.

use core::fmt;

use alloy_primitives::{B256, Keccak256, U256, keccak256};

use crate::show::{Lines, Safe, Time};

/// What an owner signs to have a signing network make a key: EIP-712 typed data of the wallet-provider protocol.
///
/// ```
/// use quorate_core::{KeyRequest, TaggedValue};
///
/// let ephemeral = r#"{"ephId":"app","ephPK":"0x0101010101010101010101010101010101010101010101010101010101010101","expiry":1900000000}"#;
/// let request = KeyRequest {
///     threshold: 3,
///     nodes: 5,
///     metadata: &[TaggedValue { tag: TaggedValue::EPHEMERAL_KEY, value: ephemeral }],
///     challenge: "9f9f",
/// };
/// let mut lines = String::new();
/// let digest = request.review(&mut lines)?;
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
    /// The lines cannot be written.
    #[error("the review cannot be shown")]
    Show(#[from] fmt::Error),
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
    /// # Errors
    /// An entry that cannot be read, or is there twice; lines that cannot be written.
    pub fn review<W: fmt::Write>(&self, out: W) -> Result<B256, KeyRequestError> {
        let mut lines = Lines(out);
        lines.line(format_args!("New session key, made by {} nodes", self.nodes))?;
        lines.line(format_args!("  any {} of them sign with it", self.threshold))?;
        let mut seen = [false; 2];
        for (entry, TaggedValue { tag, value }) in self.metadata.iter().enumerate() {
            let unreadable = KeyRequestError::Unreadable { entry, tag: *tag };
            let seen = match *tag {
                TaggedValue::EPHEMERAL_KEY => {
                    EphemeralKey::read(value).ok_or(unreadable)?.show(&mut lines)?;
                    &mut seen[0]
                }
                TaggedValue::PERMISSIONS_CLAIM => {
                    PermissionsClaim::read(value).ok_or(unreadable)?.show(&mut lines)?;
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
        if !permissions {
            lines.line(format_args!("  WARNING: what the key may sign is not covered by this signature"))?;
        }
        lines.line(format_args!("  challenge {}", Safe(self.challenge)))?;
        let digest = self.digest();
        lines.line(format_args!("Hash of all this: {digest}"))?;
        Ok(digest)
    }
}

const TAGGED_VALUE: &str = "TaggedValue(uint16 tag,string value)";
const SETUP: &str = "KeygenSetupOpts(uint32 t,uint32 n,TaggedValue[] metadata)";

fn word(number: u32) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// The key in hex, and since protocol 0.3.0 the client's name for it and its end.
struct EphemeralKey<'a> {
    key: &'a str,
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

    fn show<W: fmt::Write>(&self, lines: &mut Lines<W>) -> fmt::Result {
        lines.line(format_args!("  signatures are asked for under the key {}", Safe(self.key)))?;
        match self.claim {
            Some((id, expiry)) => {
                lines.line(format_args!("    named {}", Safe(id)))?;
                lines.line(format_args!("    until {}", Time(expiry)))
            }
            None => lines.line(format_args!("    for as long as the network lets it")),
        }
    }
}

/// The owner's statement of what the key is for.
struct PermissionsClaim<'a> {
    network: &'a str,
    chain_id: u64,
    permissions: &'a str,
}

impl<'a> PermissionsClaim<'a> {
    fn read(value: &'a str) -> Option<Self> {
        let rest = value.strip_prefix(r#"{"network":""#)?;
        let (network, rest) = rest.split_once(r#"","chainId":"#)?;
        let (chain_id, rest) = rest.split_once(r#","permissions":""#)?;
        let permissions = hex_of_32_bytes(rest.strip_suffix(r#""}"#)?)?;
        Some(Self { network: hex_of_32_bytes(network)?, chain_id: decimal(chain_id)?, permissions })
    }

    fn show<W: fmt::Write>(&self, lines: &mut Lines<W>) -> fmt::Result {
        lines.line(format_args!("  for chain {}, by the network {}", self.chain_id, self.network))?;
        lines.line(format_args!("  under the permissions with keccak {}", self.permissions))
    }
}

fn hex_of_32_bytes(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("0x")?;
    (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(text)
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
        let digest = request.review(&mut lines);
        (lines, digest)
    }

    #[test]
    fn a_request_in_words() {
        let (lines, digest) = review(&[(2, &ephemeral("quorate")), (4, &permissions())]);
        let expected = format!(
            "\
New session key, made by 5 nodes
  any 3 of them sign with it
  signatures are asked for under the key {KEY}
    named quorate
    until 2030-03-17 17:46:40 UTC
  for chain 137, by the network {NETWORK}
  under the permissions with keccak {KEY}
  challenge 9f
Hash of all this: {}
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
        assert!(lines.contains("WARNING: what the key may sign is not covered"), "{lines}");
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
