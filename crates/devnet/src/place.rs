use alloy_primitives::{Address, B256, Bytes, U256, address, b256};
use quorate_core::EntryPointVersion;
use quorate_transport::{TransportError, TransportExt};
use serde_json::json;

use crate::contracts::Contracts;
use crate::transact::{Sent, Transactor};

pub(crate) const ENTRY_POINT: Address = address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789");
/// By which its makers deployed it.
const SALT_OF_ENTRY_POINT_V0_7: B256 =
    b256!("90d8084deab30c2a37c45e8d47f49f2f7965183cb6990a98943ef94940681de3");
const DETERMINISTIC_DEPLOYER: Address = address!("4e59b44847b379578588920ca78fbf26c0b4956c");
const SMART_ACCOUNT: Address = address!("0000002512019Dafb59528B82CB92D3c5D2423aC");
const FACTORY: Address = address!("000000a56Aaca3e9a4C479ea6b6CD0DbcB6634F5");
const FALLBACK_HANDLER: Address = address!("0bBa6d96BD616BedC6BFaa341742FD43c60b83C1");
const ECDSA_MODULE: Address = address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e");
const SESSION_KEY_MANAGER: Address = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
const ABI_MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");
const ERC20_MODULE: Address = address!("000000D50C68705bd6897B2d17c7de32FB519fDA");
const BATCHED_ROUTER: Address = address!("00000D09967410f8C76752A104c9848b57ebba55");
const MULTICHAIN_MODULE: Address = address!("000000824dc138db84FD9109fc154bdad332Aa8E");

/// A contract could not be put on the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The chain did not answer, or answered with an error.
    #[error(transparent)]
    Chain(#[from] TransportError),
    /// A transaction failed.
    #[error("transaction {hash} to {to} reverted")]
    Reverted {
        /// The transaction.
        hash: B256,
        /// Its destination.
        to: Address,
    },
    /// A transaction was not mined.
    #[error("transaction {hash} to {to} was not mined")]
    NotMined {
        /// The transaction.
        hash: B256,
        /// Its destination.
        to: Address,
    },
    /// Nothing is at an address where a contract should be.
    #[error("there is no contract at {address} after all were put in place")]
    Missing {
        /// The address.
        address: Address,
    },
}

/// Puts contracts on a chain that lets code be set at will.
#[derive(Debug)]
pub(crate) struct Placer<'a> {
    pub(crate) transactor: Transactor<'a>,
    pub(crate) contracts: &'a Contracts,
}

impl<'a> Placer<'a> {
    pub(crate) fn new(transactor: Transactor<'a>, contracts: &'a Contracts) -> Self {
        Self { transactor, contracts }
    }

    /// Puts the entry points in place that the bundler serves, which it wants to see when it starts: v0.6 and v0.7.
    pub(crate) async fn place_entry_points(&self) -> Result<[Address; 2], PlaceError> {
        let v0_7 = EntryPointVersion::V0_7.address();
        let placements = [
            (ENTRY_POINT, &self.contracts.entry_point, B256::ZERO),
            (v0_7, &self.contracts.entry_point_v0_7, SALT_OF_ENTRY_POINT_V0_7),
        ];
        for (address, code, salt) in placements {
            if self.deploy(code, salt).await? != address {
                return Err(PlaceError::Missing { address });
            }
        }
        Ok([ENTRY_POINT, v0_7])
    }

    /// Puts all else in place, and gives the address of the NFT.
    pub(crate) async fn place_account_contracts(&self) -> Result<Address, PlaceError> {
        let contracts = self.contracts;
        let entry_point = ENTRY_POINT.into_word();
        let smart_account = SMART_ACCOUNT.into_word();
        let owner = self.transactor.from().into_word();
        // The factory's constructor creates the fallback handler.
        let placements: [(Address, &Bytes, &[B256]); 8] = [
            (SMART_ACCOUNT, &contracts.smart_account, &[entry_point]),
            (FACTORY, &contracts.factory, &[smart_account, owner]),
            (ECDSA_MODULE, &contracts.ecdsa_module, &[]),
            (MULTICHAIN_MODULE, &contracts.multichain_module, &[]),
            (SESSION_KEY_MANAGER, &contracts.session_key_manager, &[]),
            (BATCHED_ROUTER, &contracts.batched_router, &[]),
            (ERC20_MODULE, &contracts.erc20_module, &[]),
            (ABI_MODULE, &contracts.abi_module, &[]),
        ];
        for (address, code, arguments) in placements {
            self.create_at(address, code, arguments).await?;
        }
        let nft = self.deploy(&contracts.nft, B256::ZERO).await?;

        let placed = placements.map(|(address, ..)| address);
        for address in placed.into_iter().chain([FALLBACK_HANDLER, nft]) {
            self.check_code(address).await?;
        }
        Ok(nft)
    }

    pub(crate) async fn check_code(&self, address: Address) -> Result<(), PlaceError> {
        let code: Bytes = self.transactor.chain().call("eth_getCode", (address, "latest")).await?;
        if code.is_empty() { Err(PlaceError::Missing { address }) } else { Ok(()) }
    }

    /// Runs a constructor at an address of choice.
    ///
    /// The creation code stands there as if it were the contract's. A call to it gives the runtime code with its
    /// immutables; the same as a transaction leaves what the constructor stores and creates.
    pub(crate) async fn create_at(
        &self,
        address: Address,
        code: &Bytes,
        arguments: &[B256],
    ) -> Result<(), PlaceError> {
        let creation: Bytes = code.iter().chain(arguments.iter().flatten()).copied().collect();
        // As under EIP-161, so that what the constructor creates has the address that it has elsewhere.
        self.transactor.chain().call::<()>("anvil_setNonce", (address, U256::ONE)).await?;
        self.transactor.chain().call::<()>("anvil_setCode", (address, creation)).await?;
        let call = json!({ "from": self.transactor.from(), "to": address });
        let runtime: Bytes = self.transactor.chain().call("eth_call", (call, "latest")).await?;
        self.transactor.transact(address, &Bytes::new()).await?;
        self.transactor.chain().call::<()>("anvil_setCode", (address, runtime)).await?;
        Ok(())
    }

    /// Creates a contract with CREATE2.
    async fn deploy(&self, creation: &Bytes, salt: B256) -> Result<Address, PlaceError> {
        let (address, sent) = create2(&self.transactor, creation, salt).await?;
        self.transactor.confirm(sent).await?;
        Ok(address)
    }
}

/// Sends the transaction that creates a contract with CREATE2, and tells where that will be.
pub(crate) async fn create2(
    transactor: &Transactor<'_>,
    creation: &[u8],
    salt: B256,
) -> Result<(Address, Sent), PlaceError> {
    let salted: Bytes = salt.iter().chain(creation).copied().collect();
    let sent = transactor.send(DETERMINISTIC_DEPLOYER, &salted, U256::ZERO).await?;
    Ok((DETERMINISTIC_DEPLOYER.create2_from_code(salt, creation), sent))
}
