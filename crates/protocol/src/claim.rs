//! How far it is shown that an owner signed something.
//!
//! An account's own signature shows it at once. That of a contract only the contract can judge (ERC-1271), at its chain; until
//! then it is a claim, and what was signed is no more than what somebody says.

use std::collections::BTreeSet;
use std::ops::Deref;

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::{SolCall as _, sol};

use crate::{AuthenticationError, ContractAccount, NetworkDescriptor, NodeIndex, Owner};

/// Something that an owner signed, or is said to have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed<T> {
    /// The owner signed it.
    Verified(Verified<T>),
    /// A contract has to be asked whether it did.
    Claimed(Claimed<T>),
}

/// Something that its owner signed.
///
/// There is none without a proof: the signature of an account's own key, the contract's answer, or the word of t nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    owner: Owner,
    value: T,
}

/// Something that a contract is said to have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed<T> {
    claim: ContractClaim,
    value: T,
}

/// That a contract signed a digest: what it has to be asked, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractClaim {
    /// The contract.
    pub account: ContractAccount,
    /// The hash of the block in whose state it is asked, so that all nodes ask it in the same.
    pub block: B256,
    /// What was signed: the digest of the typed data, as for any other owner.
    pub digest: B256,
    /// What the contract takes for a signature.
    pub signature: Bytes,
}

impl<T> Signed<T> {
    /// Whom the request names as its signer.
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Verified(verified) => verified.owner,
            Self::Claimed(claimed) => claimed.owner(),
        }
    }

    /// What was signed, for comparing it only.
    pub const fn unverified(&self) -> &T {
        match self {
            Self::Verified(verified) => &verified.value,
            Self::Claimed(claimed) => claimed.unverified(),
        }
    }

    /// Puts what follows from it in its place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Signed<U> {
        match self {
            Self::Verified(verified) => Signed::Verified(verified.map(change)),
            Self::Claimed(Claimed { claim, value }) => {
                Signed::Claimed(Claimed { claim, value: change(value) })
            }
        }
    }
}

impl Signed<()> {
    pub(crate) const fn verified(owner: Owner) -> Self {
        Self::Verified(Verified { owner, value: () })
    }

    pub(crate) const fn claimed(claim: ContractClaim) -> Self {
        Self::Claimed(Claimed { claim, value: () })
    }
}

impl<T> Verified<T> {
    /// Who signed it.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Puts what follows from it in its place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Verified<U> {
        Verified { owner: self.owner, value: change(self.value) }
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Claimed<T> {
    /// Who is said to have signed it.
    pub const fn owner(&self) -> Owner {
        Owner::Contract(self.claim.account)
    }

    /// What is said to be signed, for comparing it only.
    pub const fn unverified(&self) -> &T {
        &self.value
    }

    /// What the contract has to be asked.
    pub const fn claim(&self) -> &ContractClaim {
        &self.claim
    }

    /// Takes what the contract returned to [`ContractClaim::call_data`].
    ///
    /// # Errors
    /// Anything else than ERC-1271's word for yes.
    pub fn answered(self, returned: &[u8]) -> Result<Verified<T>, AuthenticationError> {
        if returned.first_chunk() != Some(&YES) {
            return Err(AuthenticationError::Signature { signer: self.owner().to_string() });
        }
        Ok(self.into_verified())
    }

    /// Takes it on the word of nodes whose signatures for it are genuine. Of t of them one is honest, and has asked the
    /// contract when its block was young.
    ///
    /// # Errors
    /// Gives it back where they are too few.
    pub fn vouched(self, by: &BTreeSet<NodeIndex>, network: &NetworkDescriptor) -> Result<Verified<T>, Self> {
        let known = by.iter().filter(|node| network.identity(**node).is_some()).count();
        if known < usize::from(network.threshold()) {
            return Err(self);
        }
        Ok(self.into_verified())
    }

    fn into_verified(self) -> Verified<T> {
        Verified { owner: self.owner(), value: self.value }
    }
}

impl ContractClaim {
    /// The call that asks the contract (ERC-1271).
    pub fn call_data(&self) -> Vec<u8> {
        isValidSignatureCall { hash: self.digest, signature: self.signature.clone() }.abi_encode()
    }
}

sol! {
    function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
}

/// A contract's yes: the function's selector as a word.
const YES: [u8; 32] = {
    let ([a, b, c, d], mut word) = (isValidSignatureCall::SELECTOR, [0; 32]);
    (word[0], word[1], word[2], word[3]) = (a, b, c, d);
    word
};

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, hex};
    use ed25519_dalek::SigningKey;

    use super::*;

    fn claimed() -> Claimed<&'static str> {
        let account = ContractAccount { chain_id: 7, address: Address::repeat_byte(7) };
        let digest = B256::repeat_byte(2);
        let claim =
            ContractClaim { account, block: B256::repeat_byte(1), digest, signature: vec![3; 5].into() };
        Claimed { claim, value: "a key" }
    }

    #[test]
    fn a_contract_is_asked_by_the_standard_s_call() {
        let expected = [
            "1626ba7e",
            &"02".repeat(32),
            &format!("{:064x}", 0x40),
            &format!("{:064x}", 5),
            "0303030303000000000000000000000000000000000000000000000000000000",
        ];
        assert_eq!(hex::encode(claimed().claim().call_data()), expected.concat());
    }

    #[test]
    fn a_contract_s_yes_is_the_magic_value_and_nothing_else() {
        let yes = [&[0x16, 0x26, 0xba, 0x7e], [0; 28].as_slice()].concat();
        let verified = claimed().answered(&yes).unwrap();
        assert_eq!((*verified, verified.owner()), ("a key", claimed().owner()));
        claimed().answered(&[yes.as_slice(), &[9; 32]].concat()).unwrap();

        let altered = |at: usize| {
            let mut answer = yes.clone();
            answer[at] ^= 1;
            answer
        };
        let right_aligned = [[0; 28].as_slice(), &yes[..4]].concat();
        let mut no = vec![Vec::new(), yes[..4].to_vec(), yes[..31].to_vec(), vec![0xff; 32], right_aligned];
        no.extend((0..32).map(altered));
        for answer in no {
            let refused = claimed().answered(&answer).unwrap_err();
            assert!(matches!(refused, AuthenticationError::Signature { .. }), "{}", hex::encode(answer));
        }
    }

    #[test]
    fn a_claim_stands_on_the_word_of_t_nodes_of_the_network() {
        let identities = (1..=5).map(|node| SigningKey::from_bytes(&[node; 32]).verifying_key()).collect();
        let network =
            NetworkDescriptor::new(3, identities, vec!["ws://localhost:1".parse().unwrap()]).unwrap();
        let vouched = |nodes: &[u8]| {
            let nodes = nodes.iter().filter_map(|node| NodeIndex::new(*node)).collect();
            claimed().vouched(&nodes, &network)
        };
        assert_eq!(vouched(&[1, 3, 5]).unwrap().owner(), claimed().owner());
        for too_few in [&[][..], &[1, 3], &[1, 3, 3], &[1, 3, 6]] {
            assert_eq!(vouched(too_few).unwrap_err(), claimed());
        }
    }
}
