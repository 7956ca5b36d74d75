//! The enforcer that lets approvals be taken back.

use alloy_primitives::{Address, U256, address};

use super::calls::number;
use crate::{
    abi::WORD,
    delegation::{
        reason::{Primitive, Reason},
        state::Approval,
    },
    operation::call::Call,
};

/// The bits of the calls that terms allow.
pub(super) fn flags(terms: &[u8]) -> Result<u8, Reason> {
    match *terms {
        [0] => Err(Reason::NoPrimitives),
        [bits] if bits >= Primitive::Permit2InvalidateNonces.bit() << 1 => Err(Reason::UnknownPrimitives),
        [flags] => Ok(flags),
        _ => Err(Reason::TermsLength),
    }
}

/// The approval that a call takes back, which has to be there; none for those of Permit2, of which this is not asked.
#[inline(never)]
pub(super) fn revoked(flags: u8, call: &Call<'_>, owner: Address) -> Result<Option<Approval>, Reason> {
    if call.value != U256::ZERO {
        return Err(Reason::ValueSent);
    }
    let (selector, arguments) = call.data.split_first_chunk::<4>().ok_or(Reason::TransferLength)?;
    let allowed = |primitive: Primitive| {
        if flags & primitive.bit() == 0 { Err(Reason::Primitive(primitive)) } else { Ok(()) }
    };
    match *selector {
        PERMIT2_APPROVE => {
            allowed(Primitive::Permit2Approve)?;
            check_permit2(call)?;
            return check_permit2_approve(arguments).map(|()| None);
        }
        PERMIT2_LOCKDOWN => {
            allowed(Primitive::Permit2Lockdown)?;
            return check_permit2(call).map(|()| None);
        }
        PERMIT2_INVALIDATE_NONCES => {
            allowed(Primitive::Permit2InvalidateNonces)?;
            return check_permit2(call).map(|()| None);
        }
        _ => {}
    }

    if arguments.len() != 2 * WORD {
        return Err(Reason::TransferLength);
    }
    // The enforcer does not look at the 12 bytes before it.
    let named = Address::from_word(number(arguments, 0).into());
    let number = number(arguments, 1);
    let token = call.to;
    match *selector {
        SET_APPROVAL_FOR_ALL => {
            allowed(Primitive::SetApprovalForAll)?;
            if number != U256::ZERO {
                return Err(Reason::NotARevocation);
            }
            Ok(Some(Approval::Operator { token, owner, operator: named }))
        }
        APPROVE if named == Address::ZERO => {
            allowed(Primitive::Erc721Approve)?;
            Ok(Some(Approval::Token { token, id: number }))
        }
        APPROVE => {
            allowed(Primitive::Erc20Approve)?;
            if number != U256::ZERO {
                return Err(Reason::NonZeroAmount);
            }
            Ok(Some(Approval::Allowance { token, owner, spender: named }))
        }
        _ => Err(Reason::TokenMethod),
    }
}

fn check_permit2(call: &Call<'_>) -> Result<(), Reason> {
    if call.to == PERMIT2 { Ok(()) } else { Err(Reason::NotPermit2) }
}

/// Source: `approve(address token, address spender, uint160 amount, uint48 expiration)`.
fn check_permit2_approve(arguments: &[u8]) -> Result<(), Reason> {
    if arguments.len() != 4 * WORD {
        Err(Reason::Permit2Length)
    } else if number(arguments, 2) != U256::ZERO {
        Err(Reason::NonZeroAmount)
    } else if number(arguments, 3) != U256::ZERO {
        Err(Reason::NonZeroExpiration)
    } else {
        Ok(())
    }
}

/// Where Uniswap has Permit2 on every chain. Elsewhere somebody else may have that address.
const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");

/// `approve(address,address,uint160,uint48)`.
const PERMIT2_APPROVE: [u8; 4] = [0x87, 0x51, 0x7c, 0x45];
/// `lockdown((address,address)[])`.
const PERMIT2_LOCKDOWN: [u8; 4] = [0xcc, 0x53, 0x28, 0x7f];
/// `invalidateNonces(address,address,uint48)`.
const PERMIT2_INVALIDATE_NONCES: [u8; 4] = [0x65, 0xd9, 0x72, 0x3c];
/// `setApprovalForAll(address,bool)`.
const SET_APPROVAL_FOR_ALL: [u8; 4] = [0xa2, 0x2c, 0xb4, 0x65];
/// `approve(address,uint256)`.
const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];
