//! Smart accounts that keys own: the Hybrid accounts of MetaMask's framework.

use alloy_primitives::{Address, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use quorate_protocol::{FactoryPin, SessionAccount};

sol! {
    function deploy(bytes creation, bytes32 salt) external returns (address);
    function initialize(address owner, string[] keyIds, uint256[] xs, uint256[] ys) external;
}

/// A smart account that a key owns: a Hybrid account of MetaMask's delegation framework, version 1.3.0, at EntryPoint v0.7, which
/// nobody has to have deployed.
///
/// It pays for gas from its own balance, or a paymaster does.
///
/// Source: `toMetaMaskSmartAccount` of `@metamask/smart-accounts-kit` 2.0.0, with the key as the only owner.
///
/// ```
/// use quorate_core::address;
/// use quorate_delegation::HybridAccount;
///
/// let account = HybridAccount::of(address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
/// assert_eq!(account.address(), address!("6471b693cD31541523e63b0b9924ff6189872C0f"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HybridAccount {
    owner: Address,
    salt: U256,
    address: Address,
}

/// What creates the accounts with CREATE2, on every chain that the framework is on.
pub(crate) const FACTORY: Address = address!("69Aa2f9fe1572F1B640E1bbc512f5c3a734fc77c");

/// The code that their proxies run.
pub(crate) const IMPLEMENTATION: Address = address!("48dBe696A4D990079e039489bA2053B36E8FFEC4");

/// The creation code of a proxy, in hex. Its arguments are the implementation and what that is first called with.
const PROXY: &str = include_str!("erc1967_proxy.hex");

impl HybridAccount {
    /// A key's account: that of salt 0.
    pub fn of(owner: Address) -> Self {
        Self::with_salt(owner, U256::ZERO)
    }

    /// One key has an account for each salt.
    fn with_salt(owner: Address, salt: U256) -> Self {
        let address = FACTORY.create2(salt.to_be_bytes(), keccak256(creation(owner)));
        Self { owner, salt, address }
    }

    /// The account's address, whether it is deployed or not.
    pub const fn address(self) -> Address {
        self.address
    }

    /// What deploys it.
    pub const fn factory(self) -> Address {
        FACTORY
    }

    /// What the factory is called with: `deploy(bytes, bytes32)`.
    pub fn factory_data(self) -> Vec<u8> {
        let salt = self.salt.to_be_bytes().into();
        deployCall { creation: creation(self.owner).into(), salt }.abi_encode()
    }

    /// The account as a key's permissions name it, with the only init code that nodes sign.
    pub fn pinned(self) -> SessionAccount {
        let factory = FactoryPin { address: FACTORY, data_hash: keccak256(self.factory_data()) };
        SessionAccount { address: self.address, factory: Some(factory) }
    }
}

/// The creation code of an owner's proxy.
fn creation(owner: Address) -> Vec<u8> {
    let nothing = initializeCall { owner, keyIds: vec![], xs: vec![], ys: vec![] };
    let arguments = (IMPLEMENTATION, Bytes::from(nothing.abi_encode())).abi_encode_params();
    let mut creation = proxy();
    creation.extend(arguments);
    creation
}

#[expect(clippy::expect_used, reason = "the file is part of this crate, and a test reads it")]
fn proxy() -> Vec<u8> {
    let digits: String = PROXY.split_whitespace().collect();
    alloy_primitives::hex::decode(digits).expect("the proxy's code is hex")
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, b256};

    use super::*;

    #[test]
    fn the_proxy_is_that_of_the_framework() {
        let hash = b256!("c8fb9314d27cddb08b374dd2bf47cd06c6fb879756ddfbedf522a8c58756a8e0");
        assert_eq!(keccak256(proxy()), hash, "of `ERC1967Proxy` in `@metamask/delegation-abis` 2.0.0");
    }

    /// `getCounterfactualAccountData` of the kit, with its salts `0x` and `0x07`.
    #[test]
    fn accounts_are_where_the_kit_has_them() {
        let owner = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let expected: [(u64, Address, B256); 2] = [
            (
                0,
                address!("6471b693cD31541523e63b0b9924ff6189872C0f"),
                b256!("bf48570a356186934f82e6bb28722599c9e2ac68ef3e4b465cd2dea383653cc6"),
            ),
            (
                7,
                address!("3c63A998Ed6941F904F7f61a902410291Abde63B"),
                b256!("6dbcc1ec506be0da07e00c420e72b7a376f2f0e391ccf4004af1022bba1cc03e"),
            ),
        ];
        for (salt, address, data_hash) in expected {
            let pinned = HybridAccount::with_salt(owner, U256::from(salt)).pinned();
            assert_eq!((pinned.address, pinned.factory.unwrap().data_hash), (address, data_hash));
        }
    }
}
