//! The enforcer that lets approvals be taken back.

use alloy_primitives::{Address, U256, address};

use crate::{
    abi::{WORD, selector::FunctionSelector, word_at},
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
        [bits] if bits >= Primitive::Permit2InvalidateNonces.bit() << 1 => {
            Err(Reason::UnknownPrimitives { bits })
        }
        [flags] => Ok(flags),
        _ => Err(Reason::TermsLength { len: terms.len() }),
    }
}

/// The approval that a call takes back, which has to be there; none for those of Permit2, of which this is not asked.
pub(super) fn revoked(flags: u8, call: &Call<'_>, owner: Address) -> Result<Option<Approval>, Reason> {
    if call.value != U256::ZERO {
        return Err(Reason::ValueSent { value: call.value });
    }
    let length = Reason::TransferLength { len: call.data.len() };
    let selector = *call.data.first_chunk::<4>().ok_or(length)?;
    let allowed = |primitive: Primitive| {
        if flags & primitive.bit() == 0 { Err(Reason::Primitive(primitive)) } else { Ok(()) }
    };
    match selector {
        PERMIT2_APPROVE => {
            allowed(Primitive::Permit2Approve)?;
            check_permit2(call)?;
            return check_permit2_approve(call.data).map(|()| None);
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

    let arguments = if call.data.len() == 4 + 2 * WORD { word_at(call.data, 4) } else { None };
    let (first, second) = arguments.zip(word_at(call.data, 4 + WORD)).ok_or(length)?;
    // The enforcer does not look at the 12 bytes before it.
    let named = Address::from_word((*first).into());
    let number = U256::from_be_bytes(*second);
    let token = call.to;
    match selector {
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
                return Err(Reason::NonZeroAmount { amount: number });
            }
            Ok(Some(Approval::Allowance { token, owner, spender: named }))
        }
        _ => Err(Reason::TokenMethod { called: FunctionSelector::new(selector) }),
    }
}

fn check_permit2(call: &Call<'_>) -> Result<(), Reason> {
    if call.to == PERMIT2 { Ok(()) } else { Err(Reason::NotPermit2 { called: call.to }) }
}

/// Source: `approve(address token, address spender, uint160 amount, uint48 expiration)`.
fn check_permit2_approve(data: &[u8]) -> Result<(), Reason> {
    let length = Reason::Permit2Length { len: data.len() };
    let words = if data.len() == 4 + 4 * WORD { word_at(data, 4 + 2 * WORD) } else { None };
    let (amount, expiration) = words.zip(word_at(data, 4 + 3 * WORD)).ok_or(length)?;
    let [amount, expiration] = [amount, expiration].map(|word| U256::from_be_bytes(*word));
    if amount != U256::ZERO {
        return Err(Reason::NonZeroAmount { amount });
    }
    if expiration != U256::ZERO {
        return Err(Reason::NonZeroExpiration { expiration });
    }
    Ok(())
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
