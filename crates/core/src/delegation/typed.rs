//! Delegations and caveats as the values of EIP-712 types.

use alloy_primitives::{Address, B256, Keccak256, U256, address, b256};

use crate::{
    abi::{WORD, length_at, padded_len, put_bytes, word, word_at},
    keccak::{digest, hash_parts},
    sink::{BufferFull, Sink},
    texts,
};

/// The authority of a delegation that its delegator makes for itself.
pub const ROOT_AUTHORITY: B256 = B256::repeat_byte(0xff);

/// The delegate of an open delegation, which whoever calls the manager may redeem.
pub const ANY_DELEGATE: Address = address!("0000000000000000000000000000000000000a11");

/// What a delegate may do for a delegator.
///
/// ```
/// use quorate_core::delegation::*;
/// use quorate_core::{Address, U256, b256};
///
/// let delegation = Delegation {
///     delegate: Address::repeat_byte(2),
///     delegator: Address::repeat_byte(1),
///     authority: ROOT_AUTHORITY,
///     caveats: Caveats::default(),
///     salt: U256::ZERO,
///     signature: &[],
/// };
/// let hash = delegation.hash();
/// // The signature is no part of the hash, and what is signed depends on the chain.
/// assert_eq!(hash, Delegation { signature: &[1; 65], ..delegation }.hash());
/// let [mainnet, polygon] = [1, 137].map(|chain| delegation.signing_digest(chain, MANAGER_V1_3_0));
/// assert_ne!(mainnet, polygon);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delegation<'a> {
    /// Who may redeem or redelegate it.
    pub delegate: Address,
    /// For whom.
    pub delegator: Address,
    /// [`ROOT_AUTHORITY`], or the hash of the delegation that this one redelegates.
    pub authority: B256,
    /// Within which bounds: all of them.
    pub caveats: Caveats<'a>,
    /// What tells it from another with the same fields, and so with the same counters and the same revocation.
    pub salt: U256,
    /// The delegator's signature over [`signing_digest`](Self::signing_digest).
    pub signature: &'a [u8],
}

impl Delegation<'_> {
    /// The hash that authorities, counters and revocations go by: on every chain, under every manager and with every
    /// signature the same.
    pub fn hash(&self) -> B256 {
        let mut caveats = Keccak256::new();
        self.caveats.iter().for_each(|caveat| caveats.update(caveat.hash()));
        let words: [[u8; WORD]; 6] = [
            DELEGATION_TYPE.0,
            self.delegate.into_word().0,
            self.delegator.into_word().0,
            self.authority.0,
            digest(&caveats).0,
            self.salt.to_be_bytes(),
        ];
        hash_parts(&[words.as_flattened()])
    }

    /// What its delegator signs, for the manager of that address on that chain.
    pub fn signing_digest(&self, chain_id: u64, manager: Address) -> B256 {
        let domain: [[u8; WORD]; 5] = [
            DOMAIN_TYPE.0,
            DOMAIN_NAME.0,
            DOMAIN_VERSION.0,
            U256::from(chain_id).to_be_bytes(),
            manager.into_word().0,
        ];
        let domain = hash_parts(&[domain.as_flattened()]);
        hash_parts(&[&[0x19, 0x01], domain.as_slice(), self.hash().as_slice()])
    }

    /// Whether whoever calls the manager may redeem it, and use up its counters.
    pub fn is_open(&self) -> bool {
        self.delegate == ANY_DELEGATE
    }

    /// Whether it rests on no other delegation.
    pub fn is_root(&self) -> bool {
        self.authority == ROOT_AUTHORITY
    }

    pub(super) fn encoded_len(&self) -> usize {
        HEAD + self.caveats.encoded_len() + WORD + padded_len(self.signature.len())
    }

    pub(super) fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self.delegate.into_word().as_slice())?;
        sink.put(self.delegator.into_word().as_slice())?;
        sink.put(self.authority.as_slice())?;
        sink.put(&word(HEAD))?;
        sink.put(&self.salt.to_be_bytes::<WORD>())?;
        sink.put(&word(HEAD + self.caveats.encoded_len()))?;
        self.caveats.write_to(sink)?;
        put_bytes(sink, self.signature)
    }
}

/// The bytes of a delegation before its caveats.
pub(super) const HEAD: usize = 6 * WORD;

/// The bytes of a caveat before its terms.
pub(super) const CAVEAT_HEAD: usize = 3 * WORD;

/// A bound of a delegation. Whoever redeems adds arguments to it, which nothing signs; none of the enforcers that are known
/// here reads any, so there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caveat<'a> {
    /// The contract that enforces it.
    pub enforcer: Address,
    /// What it reads.
    pub terms: &'a [u8],
}

impl Caveat<'_> {
    /// Its hash, as a part of its delegation's.
    pub fn hash(&self) -> B256 {
        let words: [[u8; WORD]; 3] =
            [CAVEAT_TYPE.0, self.enforcer.into_word().0, hash_parts(&[self.terms]).0];
        hash_parts(&[words.as_flattened()])
    }

    fn encoded_len(&self) -> usize {
        // The lengths of terms and arguments take a word each.
        CAVEAT_HEAD + 2 * WORD + padded_len(self.terms.len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self.enforcer.into_word().as_slice())?;
        sink.put(&word(CAVEAT_HEAD))?;
        sink.put(&word(self.encoded_len() - WORD))?;
        put_bytes(sink, self.terms)?;
        put_bytes(sink, &[])
    }
}

/// The caveats of a delegation: in memory, or in the bytes of a context.
#[derive(Clone, Copy, Debug)]
pub struct Caveats<'a>(Kept<'a>);

#[derive(Clone, Copy, Debug)]
enum Kept<'a> {
    Listed(&'a [Caveat<'a>]),
    /// After their number, in an encoding that was found to be canonical.
    Encoded {
        len: usize,
        items: &'a [u8],
    },
}

impl<'a> Caveats<'a> {
    /// The array after its length, all of which has been read.
    pub(super) const fn encoded(len: usize, items: &'a [u8]) -> Self {
        Self(Kept::Encoded { len, items })
    }

    /// Their number.
    pub const fn len(&self) -> usize {
        match self.0 {
            Kept::Listed(caveats) => caveats.len(),
            Kept::Encoded { len, .. } => len,
        }
    }

    /// Whether there are none, so that the delegate may do anything.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at that place, counted from 0.
    pub fn get(&self, index: usize) -> Option<Caveat<'a>> {
        match self.0 {
            Kept::Listed(caveats) => caveats.get(index).copied(),
            Kept::Encoded { len, items } => {
                let index = if index < len { index } else { return None };
                let caveat = items.get(length_at(items, index * WORD)?..)?;
                let terms = caveat.get(CAVEAT_HEAD + WORD..)?.get(..length_at(caveat, CAVEAT_HEAD)?)?;
                Some(Caveat { enforcer: Address::from_word((*word_at(caveat, 0)?).into()), terms })
            }
        }
    }

    /// All of them, in the order in which they are enforced.
    pub fn iter(&self) -> impl Iterator<Item = Caveat<'a>> + Clone + use<'a> {
        let caveats = *self;
        (0..self.len()).map_while(move |index| caveats.get(index))
    }

    fn encoded_len(&self) -> usize {
        self.iter().fold(WORD, |len, caveat| len + WORD + caveat.encoded_len())
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&word(self.len()))?;
        let mut at = self.len() * WORD;
        for caveat in self.iter() {
            sink.put(&word(at))?;
            at += caveat.encoded_len();
        }
        self.iter().try_for_each(|caveat| caveat.write_to(sink))
    }
}

impl Default for Caveats<'_> {
    fn default() -> Self {
        Self(Kept::Listed(&[]))
    }
}

impl<'a> From<&'a [Caveat<'a>]> for Caveats<'a> {
    fn from(caveats: &'a [Caveat<'a>]) -> Self {
        Self(Kept::Listed(caveats))
    }
}

impl PartialEq for Caveats<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Caveats<'_> {}

/// Where a caveat stands in a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaveatPlace {
    /// Which delegation, counted from 0 at the leaf.
    pub delegation: usize,
    /// Which of its caveats, counted from 0.
    pub caveat: usize,
}

texts!(CaveatPlace { delegation, caveat } => "delegation {}, caveat {}");

/// The hash of `Delegation(address delegate,…)Caveat(address enforcer,bytes terms)`.
const DELEGATION_TYPE: B256 = b256!("88c1d2ecf185adf710588203a5f263f0ff61be0d33da39792cde19ba9aa4331e");
/// The hash of `Caveat(address enforcer,bytes terms)`.
const CAVEAT_TYPE: B256 = b256!("80ad7e1b04ee6d994a125f4714ca0720908bd80ed16063ec8aee4b88e9253e2d");
/// The hash of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPE: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");
/// The hash of `DelegationManager`.
const DOMAIN_NAME: B256 = b256!("604240e1ed005b9ba256cb7011059bf4ae645812b834bbcb5b22c93e2d1185cc");
/// The hash of `1`, which is not the manager's own version.
const DOMAIN_VERSION: B256 = b256!("c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn the_constants_of_the_typed_data() {
        for (hash, text) in [
            (
                DELEGATION_TYPE,
                "Delegation(address delegate,address delegator,bytes32 authority,Caveat[] caveats,uint256 salt)\
                 Caveat(address enforcer,bytes terms)",
            ),
            (CAVEAT_TYPE, "Caveat(address enforcer,bytes terms)"),
            (
                DOMAIN_TYPE,
                "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
            ),
            (DOMAIN_NAME, "DelegationManager"),
            (DOMAIN_VERSION, "1"),
        ] {
            assert_eq!(hash, keccak256(text), "{text}");
        }
    }
}
