//! The request by which an owner has a signing network make a session key.

mod entries;
mod error;
mod part;
mod permissions;
mod state;
mod text;

pub use self::{error::KeyRequestError, state::KeyRequestReview};

use alloy_primitives::{B256, Keccak256, U256};

use self::{
    entries::{EphemeralKey, PermissionsClaim, text},
    state::Begun,
};
use super::{items::Items, label::Label};
use crate::{
    keccak::{digest, hash_parts},
    lint::severity::Severity,
};

/// What an owner signs to have a signing network make a key: EIP-712 typed data of the wallet-provider protocol.
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
    /// The network operator's word that the owner may have keys.
    pub const ADMISSION_TOKEN: u16 = 5;
}

impl KeyRequest<'_> {
    /// What the owner's key signs.
    ///
    /// Source: EIP-712, with the domain and types of the wallet-provider protocol.
    pub fn digest(&self) -> B256 {
        let mut entries = Keccak256::new();
        for TaggedValue { tag, value } in self.metadata {
            entries.update(hash_struct(&[TAGGED_VALUE], &[word(u32::from(*tag)), hash(value)]));
        }
        let setup = [word(self.threshold), word(self.nodes), digest(&entries).0];
        let setup = hash_struct(&[SETUP, TAGGED_VALUE], &setup);
        let request = "Request(KeygenSetupOpts setup,string challenge)";
        let request = hash_struct(&[request, SETUP, TAGGED_VALUE], &[setup, hash(self.challenge)]);
        let domain = "EIP712Domain(string name,string version)";
        let domain = hash_struct(&[domain], &[hash("SilentShard authentication"), hash("0.1.0")]);
        hash_parts(&[&[0x19, 0x01], &domain, &request])
    }

    /// Shows the request, and gives the digest that it has and what it claims.
    fn show(&self, items: &mut Items<'_>) -> Result<Begun, KeyRequestError> {
        self.show_signers(items)?;
        let (mut ephemeral_key, mut admission_token) = (false, false);
        let mut claim = None;
        for (entry, TaggedValue { tag, value }) in self.metadata.iter().enumerate() {
            let unreadable = KeyRequestError::Unreadable { entry, tag: *tag };
            let is_again = match *tag {
                TaggedValue::EPHEMERAL_KEY => {
                    EphemeralKey::read(value).ok_or(unreadable)?.show(items)?;
                    core::mem::replace(&mut ephemeral_key, true)
                }
                TaggedValue::PERMISSIONS_CLAIM => {
                    let read = PermissionsClaim::read(value).ok_or(unreadable)?;
                    read.show(items);
                    claim.replace(read).is_some()
                }
                TaggedValue::ADMISSION_TOKEN => {
                    items.bytes(Label::AdmissionToken, value.as_bytes());
                    core::mem::replace(&mut admission_token, true)
                }
                _ => return Err(unreadable),
            };
            if is_again {
                return Err(KeyRequestError::Twice { tag: *tag });
            }
        }
        if !ephemeral_key {
            return Err(KeyRequestError::NoEphemeralKey);
        }
        items.put(Label::Challenge, text("the challenge", self.challenge, LONGEST_CHALLENGE)?);
        Ok(Begun::new(self.digest(), claim))
    }

    fn show_signers(&self, items: &mut Items<'_>) -> Result<(), KeyRequestError> {
        let Self { threshold, nodes, .. } = *self;
        if threshold == 0 || threshold > nodes {
            return Err(KeyRequestError::Threshold { threshold, nodes });
        }
        items.number(Label::KeyRequest, &U256::from(nodes));
        items.number(Label::Threshold, &U256::from(threshold));
        if threshold == 1 {
            items.with_severity(Severity::Danger).label(Label::OneNodeSigns);
        }
        Ok(())
    }
}

/// A network's challenge has 64 hexadecimal digits for each of its nodes at most.
const LONGEST_CHALLENGE: usize = 256;
const TAGGED_VALUE: &str = "TaggedValue(uint16 tag,string value)";
const SETUP: &str = "KeygenSetupOpts(uint32 t,uint32 n,TaggedValue[] metadata)";

/// `hashStruct` of EIP-712, of a type that is written in parts.
fn hash_struct(encoded_type: &[&str], words: &[[u8; 32]]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    encoded_type.iter().for_each(|part| hasher.update(part));
    hash_parts(&[digest(&hasher).as_slice(), words.as_flattened()]).0
}

fn hash(text: &str) -> [u8; 32] {
    hash_parts(&[text.as_bytes()]).0
}

fn word(number: u32) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use super::*;
    use crate::{Item, NotShown, Show, Text, TrustedContext};

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
        let mut review = KeyRequestReview::new(TrustedContext::CANONICAL, Text(&mut lines));
        let digest = review.begin(&request).and_then(|()| review.finish());
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
  challenge \"9f\"
  DANGER: what the key may sign is not shown
Hash of all this {}
",
            digest.unwrap()
        );
        assert_eq!(lines, expected);
    }

    /// Fails to show one item, and shows all others.
    struct Failing {
        shown: usize,
        fails_at: usize,
    }

    impl Show for Failing {
        fn show(&mut self, _: &Item<'_>) -> Result<(), NotShown> {
            self.shown += 1;
            if self.shown == self.fails_at { Err(NotShown) } else { Ok(()) }
        }
    }

    #[test]
    fn what_is_not_shown_is_not_signed() {
        let entry = ephemeral("quorate");
        let metadata = [TaggedValue { tag: 2, value: &entry }];
        let request = KeyRequest { threshold: 3, nodes: 5, metadata: &metadata, challenge: "9f" };
        let ask = |fails_at| {
            let display = Failing { shown: 0, fails_at };
            let mut review = KeyRequestReview::new(TrustedContext::CANONICAL, display);
            let digest = review.begin(&request).and_then(|()| review.finish());
            if digest.is_err() {
                assert_eq!(review.finish(), Err(KeyRequestError::NotBegun));
            }
            (digest, review.display().shown)
        };
        let (digest, items) = ask(usize::MAX);
        digest.unwrap();
        for fails_at in 1..=items {
            assert_eq!(ask(fails_at).0, Err(KeyRequestError::NotShown(NotShown)), "item {fails_at}");
        }
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
