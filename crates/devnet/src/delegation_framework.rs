//! MetaMask's delegation framework, version 1.3.0, where it is on public chains.

use alloy_primitives::{Address, B256, Bytes, address};
use quorate_core::delegation::{Enforcer, MANAGER_V1_3_0};
use quorate_transport::{HttpTransport, TransportError, TransportExt};

use crate::place::{PlaceError, Placer};

/// The code of accounts that are keys by EIP-7702.
const IMPLEMENTATION: Address = address!("63c0c19a282a1B52b07dD5a65b58948A07DAE32B");
/// EntryPoint v0.7, which the implementation works with and which is not on this chain.
const ENTRY_POINT_V0_7: Address = address!("0000000071727De22E5E9d8BAf0edAc6f37da032");
/// What precedes the implementation's address in the code of an account (EIP-7702).
const DESIGNATOR: [u8; 3] = [0xef, 0x01, 0x00];

impl Placer<'_> {
    /// Puts the manager, the accounts' implementation and the enforcers in place. The placing account owns the manager.
    pub(crate) async fn place_delegation_framework(&self) -> Result<(), PlaceError> {
        let owner = self.transactor.from().into_word();
        let fixed = [MANAGER_V1_3_0, ENTRY_POINT_V0_7].map(|it| it.into_word());
        self.create_named("DelegationManager", MANAGER_V1_3_0, &[owner]).await?;
        self.create_named("EIP7702StatelessDeleGator", IMPLEMENTATION, &fixed).await?;
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
