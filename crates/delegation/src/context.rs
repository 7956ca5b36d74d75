//! The contexts of wallets, which hold arguments of caveats that nobody signs.

use alloy_sol_types::{SolValue as _, sol};
use quorate_core::Encode as _;
use quorate_core::delegation::{Caveat, Caveats, Delegation, Delegations};
use quorate_protocol::PinnedContext;

use crate::GrantError;

sol! {
    struct CaveatText {
        address enforcer;
        bytes terms;
        bytes args;
    }

    struct DelegationText {
        address delegate;
        address delegator;
        bytes32 authority;
        CaveatText[] caveats;
        uint256 salt;
        bytes signature;
    }
}

/// The context of a wallet's or a kit's delegations, in the one encoding that a key redeems: without arguments of caveats, which
/// are whoever redeems' to give, are in no hash, and are read by none of the known enforcers. Wallets write a zero byte for none.
///
/// # Errors
/// Bytes that are no `abi.encode(Delegation[])`, and delegations that others could redeem or that do not rest on each other.
pub fn pin_context(encoded: &[u8]) -> Result<PinnedContext, GrantError> {
    let texts = <Vec<DelegationText>>::abi_decode(encoded).map_err(GrantError::Encoding)?;
    let caveats: Vec<Vec<Caveat<'_>>> = texts
        .iter()
        .map(|text| {
            let caveats = text.caveats.iter();
            caveats.map(|caveat| Caveat { enforcer: caveat.enforcer, terms: &caveat.terms }).collect()
        })
        .collect();
    let delegations: Vec<_> = texts
        .iter()
        .zip(&caveats)
        .map(|(text, caveats)| Delegation {
            delegate: text.delegate,
            delegator: text.delegator,
            authority: text.authority,
            caveats: Caveats::from(&caveats[..]),
            salt: text.salt,
            signature: &text.signature,
        })
        .collect();
    Ok(PinnedContext::new(Delegations(&delegations).to_vec())?)
}
