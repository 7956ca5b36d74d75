//! MetaMask's delegation framework, version 1.3.0, where it is on public chains.

use alloy_primitives::{Address, B256, Bytes, address};
use quorate_core::EntryPointVersion;
use quorate_core::delegation::{Enforcer, MANAGER_V1_3_0};
use quorate_transport::{HttpTransport, TransportError, TransportExt};

use crate::place::{PlaceError, Placer};

/// The code of accounts that are keys by EIP-7702.
const IMPLEMENTATION: Address = address!("63c0c19a282a1B52b07dD5a65b58948A07DAE32B");
/// The code of Hybrid accounts, which have an owner's key.
const HYBRID_IMPLEMENTATION: Address = address!("48dBe696A4D990079e039489bA2053B36E8FFEC4");
/// What creates proxies of them.
const FACTORY: Address = address!("69Aa2f9fe1572F1B640E1bbc512f5c3a734fc77c");
/// The library by which Hybrid accounts check signatures of P-256, at an address that is this chain's alone.
pub(crate) const P256_LIBRARY: Address = address!("00000000000000000000000000000000000050c1");
/// What precedes the implementation's address in the code of an account (EIP-7702).
const DESIGNATOR: [u8; 3] = [0xef, 0x01, 0x00];

impl Placer<'_> {
    /// Puts the manager, the accounts' implementations, their factory and the enforcers in place. The placing account owns the manager.
    pub(crate) async fn place_delegation_framework(&self) -> Result<(), PlaceError> {
        let owner = self.transactor.from().into_word();
        let fixed = [MANAGER_V1_3_0, EntryPointVersion::V0_7.address()].map(|it| it.into_word());
        self.create_named("DelegationManager", MANAGER_V1_3_0, &[owner]).await?;
        self.create_named("EIP7702StatelessDeleGator", IMPLEMENTATION, &fixed).await?;
        self.create_named("SCL_RIP7212", P256_LIBRARY, &[]).await?;
        self.create_named("HybridDeleGator", HYBRID_IMPLEMENTATION, &fixed).await?;
        self.create_named("SimpleFactory", FACTORY, &[]).await?;
        for enforcer in Enforcer::ALL {
            self.create_named(&enforcer.to_string(), enforcer.address_v1_3_0(), &[]).await?;
        }
        Ok(())
    }

    async fn create_named(&self, name: &str, address: Address, arguments: &[B256]) -> Result<(), PlaceError> {
        let code = self.contracts.delegation_framework.get(name).ok_or(PlaceError::Missing { address })?;
        self.create_at(address, code, arguments).await?;
        self.check_code(address).await
    }
}

/// Gives an address the code that it would have after it had authorized the implementation.
pub(crate) async fn make_delegator(chain: &HttpTransport, owner: Address) -> Result<(), TransportError> {
    let code: Bytes = DESIGNATOR.iter().chain(IMPLEMENTATION.as_slice()).copied().collect();
    chain.call("anvil_setCode", (owner, code)).await
}
