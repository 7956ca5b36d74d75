//! Delegations: what is read and what is refused of their bytes, and what a verdict is made of.
//!
//! That the evaluators answer as the contracts do is a test of the development network's.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod bytes;
mod review;
mod verdicts;

use quorate_core::delegation::{Caveat, Caveats, Delegation, Enforcer, ROOT_AUTHORITY};
use quorate_core::{Address, U256};

type Buffer = heapless::Vec<u8, 8192>;

const OWNER: Address = Address::repeat_byte(0x01);
const KEY: Address = Address::repeat_byte(0x02);
const CONTRACT: Address = Address::repeat_byte(0x03);

/// From the owner to the key.
const fn delegation<'a>(caveats: Caveats<'a>) -> Delegation<'a> {
    Delegation {
        delegate: KEY,
        delegator: OWNER,
        authority: ROOT_AUTHORITY,
        caveats,
        salt: U256::ZERO,
        signature: &[0x51; 65],
    }
}

fn caveat(enforcer: Enforcer, terms: &[u8]) -> Caveat<'_> {
    Caveat { enforcer: enforcer.address_v1_3_0(), terms }
}

fn encoded(what: &impl quorate_core::Encode) -> Buffer {
    let mut bytes = Buffer::new();
    what.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len(), what.encoded_len());
    bytes
}
