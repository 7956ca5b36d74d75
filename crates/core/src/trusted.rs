//! What the reviewer knows by itself.

use alloy_primitives::{Address, address};

use crate::{
    abi::{selector::FunctionSelector, signature_text},
    operation::entry_point::EntryPointVersion,
};

/// What the reviewer knows by itself, and is not told by whoever asks for a signature.
///
/// ```
/// use quorate_core::{ContractRole, TrustedContext, address};
///
/// let manager = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
/// assert_eq!(TrustedContext::CANONICAL.role(manager), Some(ContractRole::SessionKeyManager));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedContext<'a> {
    /// The contracts that can change who controls an account, and those that say what a session allows.
    pub contracts: &'a [TrustedContract],
    /// Signatures of functions with the names of their arguments, which are shown for their selectors.
    pub functions: &'a [&'a str],
}

/// A contract whose code is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedContract {
    /// Where it is, on all chains.
    pub address: Address,
    /// What it is.
    pub role: ContractRole,
}

/// What a contract is to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContractRole {
    /// The module that keeps the roots of accounts' sessions.
    SessionKeyManager,
    /// A module that keeps accounts' owners: the ECDSA ownership module.
    OwnershipModule,
    /// A module by which one signature of the owner's is good on several chains; it keeps owners, too.
    MultichainModule,
    /// The module that checks each call of a batch against a session.
    BatchedSessionRouter,
    /// The session validation module whose policies are rules on arguments.
    AbiSessionValidationModule,
    /// The session validation module for transfers of ERC-20 tokens.
    Erc20SessionValidationModule,
    /// An entry point.
    EntryPoint(EntryPointVersion),
}

impl TrustedContext<'static> {
    /// The contracts as their makers deployed them, on all chains, and no functions.
    pub const CANONICAL: Self = Self { contracts: CANONICAL, functions: &[] };
}

impl<'a> TrustedContext<'a> {
    /// What the contract at `address` is, if it is known.
    #[inline(never)]
    pub fn role(&self, address: Address) -> Option<ContractRole> {
        self.contracts.iter().find(|contract| contract.address == address).map(|contract| contract.role)
    }

    /// The signature of a function, if it is known.
    pub fn function(&self, selector: FunctionSelector) -> Option<&'a str> {
        let is_it = |text: &&str| {
            let signature = signature_text::read(text, &mut |_| {});
            signature.is_ok_and(|signature| signature.selector == *selector.as_bytes())
        };
        self.functions.iter().copied().find(is_it)
    }
}

impl ContractRole {
    /// Whether whoever can make the account call it can change who controls the account, or take what it has deposited.
    pub const fn controls_accounts(self) -> bool {
        matches!(
            self,
            Self::SessionKeyManager | Self::OwnershipModule | Self::MultichainModule | Self::EntryPoint(_)
        )
    }
}

const CANONICAL: &[TrustedContract] = &[
    contract(address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489"), ContractRole::SessionKeyManager),
    // 1.0.0, which many accounts have enabled.
    contract(address!("000000456b395c4e107e0302553B90D1eF4a32e9"), ContractRole::SessionKeyManager),
    contract(address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e"), ContractRole::OwnershipModule),
    contract(address!("000000824dc138db84FD9109fc154bdad332Aa8E"), ContractRole::MultichainModule),
    contract(address!("00000D09967410f8C76752A104c9848b57ebba55"), ContractRole::BatchedSessionRouter),
    contract(address!("000006bC2eCdAe38113929293d241Cf252D91861"), ContractRole::AbiSessionValidationModule),
    contract(
        address!("000000D50C68705bd6897B2d17c7de32FB519fDA"),
        ContractRole::Erc20SessionValidationModule,
    ),
    entry_point(EntryPointVersion::V0_6),
    entry_point(EntryPointVersion::V0_7),
    entry_point(EntryPointVersion::V0_8),
    entry_point(EntryPointVersion::V0_9),
];

const fn contract(address: Address, role: ContractRole) -> TrustedContract {
    TrustedContract { address, role }
}

const fn entry_point(version: EntryPointVersion) -> TrustedContract {
    contract(version.address(), ContractRole::EntryPoint(version))
}
