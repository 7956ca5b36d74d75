//! What the reviewer knows by itself, as C hands it in.

use core::ffi::{CStr, c_char};

use quorate_core::{
    Address, ContractRole, EntryPointVersion, KnownFunction, TrustedContext, TrustedContract,
};

use crate::border::{check, read_slice};
use crate::error::Error;

/// A role: the module that keeps the roots of accounts' sessions.
pub const QUORATE_SESSION_KEY_MANAGER: u32 = 1;
/// A role: a module that keeps accounts' owners.
pub const QUORATE_OWNERSHIP_MODULE: u32 = 2;
/// A role: a module by which one signature of the owner's is good on several chains.
pub const QUORATE_MULTICHAIN_MODULE: u32 = 3;
/// A role: the module that checks each call of a batch against a session.
pub const QUORATE_BATCHED_SESSION_ROUTER: u32 = 4;
/// A role: the session validation module whose policies are rules on arguments.
pub const QUORATE_ABI_SESSION_VALIDATION_MODULE: u32 = 5;
/// A role: the session validation module for transfers of ERC-20 tokens.
pub const QUORATE_ERC20_SESSION_VALIDATION_MODULE: u32 = 6;
/// A role: EntryPoint v0.6.
pub const QUORATE_ENTRY_POINT_V0_6: u32 = 16;
/// A role: EntryPoint v0.7.
pub const QUORATE_ENTRY_POINT_V0_7: u32 = 17;
/// A role: EntryPoint v0.8.
pub const QUORATE_ENTRY_POINT_V0_8: u32 = 18;
/// A role: EntryPoint v0.9.
pub const QUORATE_ENTRY_POINT_V0_9: u32 = 19;

/// The most contracts that a review is given.
pub const QUORATE_MAX_CONTRACTS: usize = 16;
/// The most functions that a review is given.
pub const QUORATE_MAX_FUNCTIONS: usize = 32;

/// A contract whose code is known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// Where it is, on all chains.
    pub address: [u8; 20],
    /// What it is to an account, one of the roles.
    pub role: u32,
}

/// What the reviewer knows by itself, and is not told by whoever asks for a signature.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Trusted {
    /// The contracts that can change who controls an account, and those that say what a session allows; null for all that the
    /// library knows, as their makers deployed them.
    pub contracts: *const Contract,
    /// Their number, at most QUORATE_MAX_CONTRACTS.
    pub contract_count: usize,
    /// Signatures of functions with the names of their arguments, such as "transfer(address to, uint256 amount)", which are
    /// shown for their selectors; null for those that the library knows. The strings end in zeros and are used until the
    /// review ends.
    pub functions: *const *const c_char,
    /// Their number, at most QUORATE_MAX_FUNCTIONS.
    pub function_count: usize,
}

/// The same as the core has it.
pub(crate) struct TrustedStorage {
    contracts: heapless::Vec<TrustedContract, QUORATE_MAX_CONTRACTS>,
    functions: heapless::Vec<KnownFunction<'static>, QUORATE_MAX_FUNCTIONS>,
}

impl TrustedStorage {
    pub(crate) const fn new() -> Self {
        Self { contracts: heapless::Vec::new(), functions: heapless::Vec::new() }
    }

    /// Takes what C trusts; without it, and where it has null, that is what the core does.
    ///
    /// # Safety
    /// The arrays are good, and the strings are for as long as what is given back is used.
    pub(crate) unsafe fn fill(&mut self, trusted: Option<&Trusted>) -> Result<TrustedContext<'_>, Error> {
        let mut context = TrustedContext::CANONICAL;
        let Some(trusted) = trusted else { return Ok(context) };
        if is_given(trusted.contracts, trusted.contract_count, "contracts")? {
            // SAFETY: the caller's promise.
            let contracts = unsafe { read_slice(trusted.contracts, trusted.contract_count, "contracts")? };
            for contract in contracts {
                self.contracts.push(contract.read()?).map_err(|_| TOO_MANY_CONTRACTS)?;
            }
            context.contracts = &self.contracts;
        }
        if is_given(trusted.functions, trusted.function_count, "functions")? {
            // SAFETY: the caller's promise.
            let functions = unsafe { read_slice(trusted.functions, trusted.function_count, "functions")? };
            for function in functions {
                // SAFETY: the caller's promise.
                let function = unsafe { read_function(*function)? };
                self.functions.push(function).map_err(|_| TOO_MANY_FUNCTIONS)?;
            }
            context.functions = &self.functions;
        }
        Ok(context)
    }
}

const TOO_MANY_CONTRACTS: Error = Error::Malformed { what: "contracts", wanted: "there are at most 16" };
const TOO_MANY_FUNCTIONS: Error = Error::Malformed { what: "functions", wanted: "there are at most 32" };

/// Whether there is an array, which may have no elements.
fn is_given<T>(array: *const T, count: usize, what: &'static str) -> Result<bool, Error> {
    match (array.is_null(), count) {
        (false, _) => Ok(true),
        (true, 0) => Ok(false),
        (true, _) => Err(Error::Null(what)),
    }
}

/// # Safety
/// The pointer is null or points to a string with its zero, for as long as what is given back is used.
unsafe fn read_function(signature: *const c_char) -> Result<KnownFunction<'static>, Error> {
    const WHAT: &str = "the signature of a function";
    check(signature, WHAT)?;
    // SAFETY: not null, and the rest is the caller's promise.
    let text = unsafe { CStr::from_ptr(signature) }.to_str();
    text.ok()
        .and_then(|text| KnownFunction::parse(text).ok())
        .ok_or(Error::Malformed { what: WHAT, wanted: "it is like `transfer(address to, uint256 amount)`" })
}

impl Contract {
    fn read(self) -> Result<TrustedContract, Error> {
        let role = match self.role {
            QUORATE_SESSION_KEY_MANAGER => ContractRole::SessionKeyManager,
            QUORATE_OWNERSHIP_MODULE => ContractRole::OwnershipModule,
            QUORATE_MULTICHAIN_MODULE => ContractRole::MultichainModule,
            QUORATE_BATCHED_SESSION_ROUTER => ContractRole::BatchedSessionRouter,
            QUORATE_ABI_SESSION_VALIDATION_MODULE => ContractRole::AbiSessionValidationModule,
            QUORATE_ERC20_SESSION_VALIDATION_MODULE => ContractRole::Erc20SessionValidationModule,
            QUORATE_ENTRY_POINT_V0_6 => ContractRole::EntryPoint(EntryPointVersion::V0_6),
            QUORATE_ENTRY_POINT_V0_7 => ContractRole::EntryPoint(EntryPointVersion::V0_7),
            QUORATE_ENTRY_POINT_V0_8 => ContractRole::EntryPoint(EntryPointVersion::V0_8),
            QUORATE_ENTRY_POINT_V0_9 => ContractRole::EntryPoint(EntryPointVersion::V0_9),
            _ => {
                return Err(Error::Malformed {
                    what: "the role of a contract",
                    wanted: "it is one of the roles",
                });
            }
        };
        Ok(TrustedContract { address: Address::from(self.address), role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Firmware is built with these numbers.
    #[test]
    fn each_number_is_its_role() {
        let roles = [
            (1, ContractRole::SessionKeyManager),
            (2, ContractRole::OwnershipModule),
            (3, ContractRole::MultichainModule),
            (4, ContractRole::BatchedSessionRouter),
            (5, ContractRole::AbiSessionValidationModule),
            (6, ContractRole::Erc20SessionValidationModule),
            (16, ContractRole::EntryPoint(EntryPointVersion::V0_6)),
            (17, ContractRole::EntryPoint(EntryPointVersion::V0_7)),
            (18, ContractRole::EntryPoint(EntryPointVersion::V0_8)),
            (19, ContractRole::EntryPoint(EntryPointVersion::V0_9)),
        ];
        for number in 0..64 {
            let read = Contract { address: [7; 20], role: number }.read().ok().map(|contract| contract.role);
            let expected = roles.iter().find(|(of, _)| *of == number).map(|(_, role)| *role);
            assert_eq!(read, expected, "{number}");
        }
    }
}
