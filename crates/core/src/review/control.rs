//! Calls that can change who controls an account, read to the last byte.

use alloy_primitives::{Address, B256, U256};

use super::label::Label;
use crate::{
    abi::WORD,
    lint::severity::Severity,
    trusted::{ContractRole, TrustedContext},
};

/// A contract that can change who controls an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    /// The account itself.
    Account,
    SessionKeyManager,
    OwnershipModule,
    EntryPoint,
    /// Has no function that an owner calls.
    BatchedSessionRouter,
}

/// One of their functions.
#[derive(Debug)]
pub(super) struct ControlFunction {
    controller: Controller,
    pub(super) selector: [u8; 4],
    pub(super) label: Label,
    pub(super) severity: Severity,
    /// Its arguments, each one word. The first is shown beside the label, the others below it.
    pub(super) arguments: &'static [Argument],
}

/// An argument of such a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    Address(Label),
    Number(Label),
    /// A session root, which is compared with the sessions shown.
    Root,
}

/// A call of such a contract.
#[derive(Debug)]
pub(super) enum ControlCall<'d> {
    /// Without data: the contract takes the value, or refuses it.
    Value(Controller),
    /// A function, and the words of its arguments.
    Function(&'static ControlFunction, &'d [[u8; WORD]]),
}

impl Controller {
    /// What `to` is to an account, if it can change who controls it.
    pub(super) fn of(
        to: Address,
        account: Address,
        entry_point: Address,
        trusted: &TrustedContext<'_>,
    ) -> Option<Self> {
        if to == account {
            return Some(Self::Account);
        }
        if to == entry_point {
            return Some(Self::EntryPoint);
        }
        match trusted.role(to)? {
            ContractRole::SessionKeyManager => Some(Self::SessionKeyManager),
            ContractRole::OwnershipModule | ContractRole::MultichainModule => Some(Self::OwnershipModule),
            ContractRole::EntryPoint(_) => Some(Self::EntryPoint),
            ContractRole::BatchedSessionRouter => Some(Self::BatchedSessionRouter),
            ContractRole::AbiSessionValidationModule | ContractRole::Erc20SessionValidationModule => None,
        }
    }

    /// Reads a call's data, of which the first bytes are there and the length is known. `None` for all that is not one of
    /// the functions known here in canonical encoding, to the last byte.
    pub(super) fn read<'d>(self, data: &'d [u8], data_len: u64) -> Option<ControlCall<'d>> {
        if data_len == 0 {
            return Some(ControlCall::Value(self));
        }
        let (selector, arguments) = data.split_first_chunk::<4>()?;
        let function = FUNCTIONS
            .iter()
            .find(|function| function.controller == self && function.selector == *selector)?;
        let (words, rest) = arguments.as_chunks::<WORD>();
        let whole =
            rest.is_empty() && words.len() == function.arguments.len() && data_len == data.len() as u64;
        let canonical = words.iter().zip(function.arguments).all(|(word, argument)| argument.takes(word));
        (whole && canonical).then_some(ControlCall::Function(function, words))
    }
}

impl Argument {
    fn takes(self, word: &[u8; WORD]) -> bool {
        match self {
            Self::Address(_) => word.first_chunk() == Some(&[0; 12]),
            Self::Number(_) | Self::Root => true,
        }
    }
}

/// The words of arguments as what they are.
pub(super) fn address(word: &[u8; WORD]) -> Address {
    Address::from_word(B256::new(*word))
}

pub(super) fn number(word: &[u8; WORD]) -> U256 {
    U256::from_be_bytes(*word)
}

/// `setMerkleRoot(bytes32)`.
pub(super) const SET_MERKLE_ROOT: [u8; 4] = [0x7c, 0xb6, 0x47, 0x59];
/// `enableModule(address)`.
pub(super) const ENABLE_MODULE: [u8; 4] = [0x61, 0x0b, 0x59, 0x25];
/// `transferOwnership(address)`.
pub(super) const TRANSFER_OWNERSHIP: [u8; 4] = [0xf2, 0xfd, 0xe3, 0x8b];

const fn function(
    controller: Controller,
    selector: [u8; 4],
    label: Label,
    severity: Severity,
    arguments: &'static [Argument],
) -> ControlFunction {
    ControlFunction { controller, selector, label, severity, arguments }
}

use Argument::{Address as An, Number};

/// What of these contracts an owner may call. What is not here is refused: `setupAndEnableModule`, whose module is told by a
/// contract's answer; `execute` and its like, which the account refuses to itself; `handleOps`.
static FUNCTIONS: &[ControlFunction] = &[
    function(
        Controller::SessionKeyManager,
        SET_MERKLE_ROOT,
        Label::GrantsSessions,
        Severity::Info,
        &[Argument::Root],
    ),
    function(
        Controller::Account,
        ENABLE_MODULE,
        Label::EnablesModule,
        Severity::Danger,
        &[An(Label::EnablesModule)],
    ),
    // disableModule(address,address)
    function(
        Controller::Account,
        [0xe0, 0x09, 0xcf, 0xde],
        Label::DisablesModule,
        Severity::Warning,
        &[An(Label::PreviousModule), An(Label::DisablesModule)],
    ),
    // setFallbackHandler(address)
    function(
        Controller::Account,
        [0xf0, 0x8a, 0x03, 0x23],
        Label::SetsFallbackHandler,
        Severity::Danger,
        &[An(Label::SetsFallbackHandler)],
    ),
    // updateImplementation(address)
    function(
        Controller::Account,
        [0x02, 0x5b, 0x22, 0xbc],
        Label::UpdatesImplementation,
        Severity::Danger,
        &[An(Label::UpdatesImplementation)],
    ),
    // addDeposit()
    function(Controller::Account, [0x4a, 0x58, 0xdb, 0x19], Label::Deposits, Severity::Info, &[]),
    // withdrawDepositTo(address,uint256)
    function(
        Controller::Account,
        [0x4d, 0x44, 0x56, 0x0d],
        Label::Withdraws,
        Severity::Warning,
        &[An(Label::Withdraws), Number(Label::Amount)],
    ),
    function(
        Controller::OwnershipModule,
        TRANSFER_OWNERSHIP,
        Label::TransfersOwnership,
        Severity::Danger,
        &[An(Label::TransfersOwnership)],
    ),
    // renounceOwnership()
    function(
        Controller::OwnershipModule,
        [0x71, 0x50, 0x18, 0xa6],
        Label::RenouncesOwnership,
        Severity::Danger,
        &[],
    ),
    // initForSmartAccount(address)
    function(
        Controller::OwnershipModule,
        [0x2e, 0xde, 0x3b, 0xc0],
        Label::SetsFirstOwner,
        Severity::Danger,
        &[An(Label::SetsFirstOwner)],
    ),
    // depositTo(address)
    function(
        Controller::EntryPoint,
        [0xb7, 0x60, 0xfa, 0xf9],
        Label::DepositsFor,
        Severity::Info,
        &[An(Label::DepositsFor)],
    ),
    // withdrawTo(address,uint256)
    function(
        Controller::EntryPoint,
        [0x20, 0x5c, 0x28, 0x78],
        Label::Withdraws,
        Severity::Warning,
        &[An(Label::Withdraws), Number(Label::Amount)],
    ),
    // addStake(uint32)
    function(
        Controller::EntryPoint,
        [0x03, 0x96, 0xcb, 0x60],
        Label::AddsStake,
        Severity::Warning,
        &[Number(Label::AddsStake)],
    ),
    // unlockStake()
    function(Controller::EntryPoint, [0xbb, 0x9f, 0xe6, 0xbf], Label::UnlocksStake, Severity::Info, &[]),
    // withdrawStake(address)
    function(
        Controller::EntryPoint,
        [0xc2, 0x3a, 0x5c, 0xea],
        Label::WithdrawsStake,
        Severity::Warning,
        &[An(Label::WithdrawsStake)],
    ),
    // incrementNonce(uint192)
    function(
        Controller::EntryPoint,
        [0x0b, 0xd2, 0x8e, 0x3b],
        Label::IncrementsNonce,
        Severity::Warning,
        &[Number(Label::IncrementsNonce)],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FunctionSelector;

    #[test]
    fn selectors_are_those_of_the_functions() {
        let signatures = [
            "setMerkleRoot(bytes32)",
            "enableModule(address)",
            "disableModule(address,address)",
            "setFallbackHandler(address)",
            "updateImplementation(address)",
            "addDeposit()",
            "withdrawDepositTo(address,uint256)",
            "transferOwnership(address)",
            "renounceOwnership()",
            "initForSmartAccount(address)",
            "depositTo(address)",
            "withdrawTo(address,uint256)",
            "addStake(uint32)",
            "unlockStake()",
            "withdrawStake(address)",
            "incrementNonce(uint192)",
        ];
        assert_eq!(signatures.len(), FUNCTIONS.len());
        for (signature, function) in signatures.into_iter().zip(FUNCTIONS) {
            let selector = FunctionSelector::parse(signature).unwrap();
            assert_eq!(*selector.as_bytes(), function.selector, "{signature}");
            let commas = signature.matches(',').count();
            let arguments = if signature.contains("()") { 0 } else { commas + 1 };
            assert_eq!(function.arguments.len(), arguments, "{signature}");
        }
    }

    #[test]
    fn a_call_is_read_to_the_last_byte_or_not_at_all() {
        let call = [&ENABLE_MODULE[..], &[0; 12], &[7; 20]].concat();
        let read = |data: &[u8]| Controller::Account.read(data, data.len() as u64).is_some();
        assert!(read(&call));
        for more in 1..=64 {
            assert!(!read(&[call.as_slice(), &std::vec![0; more]].concat()));
        }
        for len in 1..call.len() {
            assert!(!read(call.get(..len).unwrap()));
        }
        let mut dirty = call.clone();
        *dirty.get_mut(4).unwrap() = 1;
        assert!(!read(&dirty));
        assert!(Controller::SessionKeyManager.read(&call, 36).is_none(), "a function of the account");
        assert!(Controller::BatchedSessionRouter.read(&call, 36).is_none());
    }
}
