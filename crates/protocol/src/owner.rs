//! Whose a key is.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::ShortText;
use crate::json::{AddressError, read_address};

/// Whose a key is: an account with a key of its own, or a contract that says by itself what it signed (ERC-1271).
///
/// Its text is an address, or for a contract the account's CAIP-10 id: at the same address of another chain may be somebody
/// else's contract, so an address alone never names one.
///
/// ```
/// use quorate_protocol::Owner;
///
/// let address = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
/// let contract: Owner = format!("eip155:84532:{address}").parse()?;
/// assert_ne!(contract, address.parse()?);
/// assert_eq!(contract.to_string(), format!("eip155:84532:{address}"));
/// # Ok::<(), quorate_protocol::OwnerError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Owner {
    /// An externally owned account, whose key signs.
    Eoa(Address),
    /// A contract, which is asked whether it signed.
    Contract(ContractAccount),
}

/// A contract on one chain.
///
/// Its text is its CAIP-10 id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContractAccount {
    /// The chain.
    pub chain_id: u64,
    /// The contract's address on it.
    pub address: Address,
}

/// A text that names no owner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The address in it.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Neither an address nor the id of a contract.
    #[error("`{found}` is not an account: write an address, or eip155:<chain id>:<address> for a contract")]
    Form {
        /// What stands in its place.
        found: ShortText,
    },
}

/// The namespace of Ethereum's chains in CAIP-2.
const NAMESPACE: &str = "eip155:";

impl Owner {
    /// The account's address, on whatever chain.
    pub const fn address(&self) -> Address {
        match self {
            Self::Eoa(address) | Self::Contract(ContractAccount { address, .. }) => *address,
        }
    }

    /// What stands for the owner in a digest: the 20 bytes of an address, after the 8 of its chain for a contract.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Eoa(address) => address.to_vec(),
            Self::Contract(ContractAccount { chain_id, address }) => {
                [&chain_id.to_be_bytes(), address.as_slice()].concat()
            }
        }
    }
}

impl From<Address> for Owner {
    fn from(address: Address) -> Self {
        Self::Eoa(address)
    }
}

impl From<ContractAccount> for Owner {
    fn from(account: ContractAccount) -> Self {
        Self::Contract(account)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eoa(address) => address.fmt(f),
            Self::Contract(account) => account.fmt(f),
        }
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if text.starts_with(NAMESPACE) {
            return text.parse().map(Self::Contract);
        }
        Ok(Self::Eoa(read_address(text)?))
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

impl TryFrom<String> for Owner {
    type Error = OwnerError;

    fn try_from(text: String) -> Result<Self, OwnerError> {
        text.parse()
    }
}

impl From<ContractAccount> for String {
    fn from(account: ContractAccount) -> Self {
        account.to_string()
    }
}

impl TryFrom<String> for ContractAccount {
    type Error = OwnerError;

    fn try_from(text: String) -> Result<Self, OwnerError> {
        text.parse()
    }
}

impl fmt::Display for ContractAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAMESPACE}{}:{}", self.chain_id, self.address)
    }
}

impl FromStr for ContractAccount {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let form = || OwnerError::Form { found: text.into() };
        let (chain, address) =
            text.strip_prefix(NAMESPACE).and_then(|rest| rest.split_once(':')).ok_or_else(form)?;
        let chain_id: u64 = chain.parse().map_err(|_| form())?;
        // Neither zeros nor a sign before the number: an account has one name.
        if chain_id.to_string() != chain {
            return Err(form());
        }
        Ok(Self { chain_id, address: read_address(address)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";

    #[test]
    fn an_owner_is_read_as_it_is_written() {
        for text in
            [ADDRESS.to_owned(), format!("eip155:1:{ADDRESS}"), format!("eip155:{}:{ADDRESS}", u64::MAX)]
        {
            assert_eq!(text.parse::<Owner>().unwrap().to_string(), text);
            let json = serde_json::to_string(&text).unwrap();
            let owner: Owner = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&owner).unwrap(), json);
        }
        let lower = format!("eip155:1:{}", ADDRESS.to_lowercase());
        assert_eq!(lower.parse::<Owner>().unwrap(), format!("eip155:1:{ADDRESS}").parse().unwrap());
    }

    #[test]
    fn an_account_has_one_name() {
        for text in [
            String::new(),
            ADDRESS.replace("0x", ""),
            ADDRESS.replace("7E", "7e"),
            format!("eip155:{ADDRESS}"),
            format!("eip155::{ADDRESS}"),
            format!("eip155:01:{ADDRESS}"),
            format!("eip155:+1:{ADDRESS}"),
            format!("eip155:0x1:{ADDRESS}"),
            format!("eip155:18446744073709551616:{ADDRESS}"),
            format!("EIP155:1:{ADDRESS}"),
            format!("solana:1:{ADDRESS}"),
            format!("eip155:1:{ADDRESS} "),
            format!("eip155:1:{ADDRESS}:1"),
            format!("eip155:1:{}", ADDRESS.replace("7E", "7e")),
        ] {
            assert!(text.parse::<Owner>().is_err(), "{text}");
        }
    }
}
