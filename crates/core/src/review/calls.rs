//! What the account is made to call.

use alloy_primitives::{Address, B256, Keccak256, U256};

use super::{
    call_stream::{CallHead, Event},
    control::{self, Argument, ControlCall, ControlFunction, Controller},
    error::ReviewError,
    function::Subject,
    item::Value,
    items::Items,
    label::Label,
};
use crate::{
    abi::{WORD, selector::FunctionSelector},
    keccak::digest,
    lint::severity::Severity,
    trusted::{ContractRole, TrustedContext},
};

/// Judges and shows calls as they are read.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) account: Address,
    pub(super) entry_point: Address,
    pub(super) roots: Roots,
    call: CurrentCall,
}

/// The root of the account's sessions, as it is shown and as it is set.
#[derive(Debug)]
pub(super) struct Roots {
    /// That of the sessions that were shown, if there were any.
    pub(super) shown: Option<B256>,
    /// The module in which kept sessions were granted, if there were any.
    pub(super) kept_in: Option<Address>,
    /// How often one is set.
    pub(super) times: u32,
}

/// What is kept of the call that is being read.
#[derive(Debug)]
struct CurrentCall {
    number: usize,
    of: usize,
    head: CallHead,
    start: heapless::Vec<u8, KEPT>,
}

/// The selector and the words of a call's data that are shown; a digest stands for the rest.
const KEPT: usize = 4 + WORD * SHOWN_WORDS;
const SHOWN_WORDS: usize = 8;

impl Calls {
    pub(super) fn new(account: Address, entry_point: Address) -> Self {
        Self {
            account,
            entry_point,
            roots: Roots { shown: None, kept_in: None, times: 0 },
            call: CurrentCall {
                number: 0,
                of: 0,
                head: CallHead { to: Address::ZERO, value: U256::ZERO, data_len: 0 },
                start: heapless::Vec::new(),
            },
        }
    }

    pub(super) fn take(
        &mut self,
        items: &mut Items<'_>,
        trusted: &TrustedContext<'_>,
        event: Event<'_>,
    ) -> Result<(), ReviewError> {
        match event {
            Event::Begin { number, of, head } => {
                let call = &mut self.call;
                (call.number, call.of, call.head) = (number + 1, of, head);
                call.start.clear();
                Ok(())
            }
            Event::Data(data) => {
                let start = &mut self.call.start;
                let room = data.len().min(KEPT - start.len());
                // There is room for that much.
                let _ = start.extend_from_slice(data.get(..room).unwrap_or_default());
                Ok(())
            }
            Event::End { hasher } => self.show_call(items, trusted, hasher),
        }
    }

    fn show_call(
        &mut self,
        items: &mut Items<'_>,
        trusted: &TrustedContext<'_>,
        hasher: &Keccak256,
    ) -> Result<(), ReviewError> {
        let Self { call, roots, .. } = self;
        let CallHead { to, value, data_len } = call.head;
        items.put(Label::Call, Value::Place { number: call.number, of: Some(call.of) });
        let controller = Controller::of(to, self.account, self.entry_point, trusted);
        let control = match controller.map(|controller| controller.read(&call.start, data_len)) {
            Some(None) => return Err(ReviewError::UnknownControl { call: call.number, to }),
            read => read.flatten(),
        };
        items.address(Label::To, &to);
        match control {
            Some(control) => show_control(items, trusted, roots, &to, &control)?,
            None => show_other(items, trusted, call, hasher),
        }
        if !value.is_zero() {
            items.coin(Label::Sends, &value);
        }
        Ok(())
    }
}
fn show_control(
    items: &mut Items<'_>,
    trusted: &TrustedContext<'_>,
    roots: &mut Roots,
    to: &Address,
    call: &ControlCall<'_>,
) -> Result<(), ReviewError> {
    match *call {
        ControlCall::Value(Controller::EntryPoint) => items.label(Label::Deposits),
        ControlCall::Value(_) => items.label(Label::WithoutData),
        ControlCall::Function(ControlFunction { arguments: [Argument::Root], .. }, [root]) => {
            roots.show(items, to, &B256::new(*root))?;
        }
        ControlCall::Function(&ControlFunction { selector: control::ENABLE_MODULE, .. }, [module]) => {
            show_enabled(items, trusted, &control::address(module));
        }
        ControlCall::Function(function, words) => show_function(items, function, words),
    }
    Ok(())
}

impl Roots {
    /// The root is that of the sessions that were shown, or ends all where none were.
    fn show(&mut self, items: &mut Items<'_>, manager: &Address, set: &B256) -> Result<(), ReviewError> {
        self.times += 1;
        if let Some(from) = self.kept_in.filter(|from| from != manager) {
            return Err(ReviewError::KeptElsewhere { from, to: *manager });
        }
        match self.shown {
            None if set.is_zero() => items.address(Label::EndsAllSessions, manager),
            None => return Err(ReviewError::SessionsMissing { set: *set }),
            Some(shown) if shown != *set => return Err(ReviewError::OtherRoot { shown, set: *set }),
            Some(_) => {
                items.address(Label::GrantsSessions, manager);
                items.hash(Label::Root, set);
            }
        }
        Ok(())
    }
}

fn show_enabled(items: &mut Items<'_>, trusted: &TrustedContext<'_>, module: &Address) {
    let (label, severity) = match trusted.role(*module) {
        Some(ContractRole::SessionKeyManager) => (Label::EnablesSessions, Severity::Info),
        Some(
            ContractRole::OwnershipModule
            | ContractRole::MultichainModule
            | ContractRole::BatchedSessionRouter,
        ) => (Label::EnablesKnownModule, Severity::Info),
        _ => (Label::EnablesModule, Severity::Danger),
    };
    items.with_severity(severity).address(label, module);
}

/// A function that is read whole: what it does with the argument of the same label, and the others.
fn show_function(items: &mut Items<'_>, function: &ControlFunction, words: &[[u8; WORD]]) {
    items.with_severity(function.severity);
    if function.arguments.is_empty() {
        items.label(function.label);
    }
    for is_first in [true, false] {
        for (argument, word) in function.arguments.iter().zip(words) {
            match *argument {
                Argument::Address(label) if (label == function.label) == is_first => {
                    items.address(label, &control::address(word));
                }
                Argument::Number(label) if (label == function.label) == is_first => {
                    items.number(label, &control::number(word));
                }
                _ => {}
            }
        }
    }
}

fn show_other(items: &mut Items<'_>, trusted: &TrustedContext<'_>, call: &CurrentCall, hasher: &Keccak256) {
    let data = call.start.as_slice();
    let Some((selector, arguments)) = data.split_first_chunk::<4>() else {
        return match data {
            [] => items.label(Label::WithoutData),
            data => items.bytes(Label::ShortData, data),
        };
    };
    let (words, rest) = arguments.as_chunks::<WORD>();
    show_power(items, *selector, words);
    let selector = FunctionSelector::new(*selector);
    let signature = trusted.function(selector);
    items.put(Label::CalledFunction, Value::Function { selector, signature });
    for (index, word) in words.iter().enumerate() {
        let subject = Subject::new(signature, index * WORD);
        items.put(Label::Argument, Value::Argument { subject, word: B256::new(*word) });
    }
    let shown = 4 + WORD * words.len();
    let len = call.head.data_len;
    if len > shown as u64 || !rest.is_empty() {
        // The call's own digest would be a second hash of all its data.
        items.put(Label::MoreData, Value::Bytes { len, digest: digest(hasher) });
    }
}

/// Says what a function of an unknown contract gives away, if it is one of those that usually do. What follows the arguments
/// changes nothing: contracts do not read it.
fn show_power(items: &mut Items<'_>, selector: [u8; 4], words: &[[u8; WORD]]) {
    match (selector, words) {
        (control::SET_MERKLE_ROOT, [root, ..]) => {
            items.with_severity(Severity::Danger).hash(Label::UnknownRoot, &B256::new(*root));
        }
        (control::TRANSFER_OWNERSHIP, [owner, ..]) => {
            let owner = control::address(owner);
            items.with_severity(Severity::Warning).address(Label::GivesAwayContract, &owner);
        }
        (APPROVE | INCREASE_ALLOWANCE, [spender, amount, ..])
        | (PERMIT2_APPROVE, [_, spender, amount, _, ..]) => show_allowance(items, spender, amount),
        (SET_APPROVAL_FOR_ALL, [operator, approved, ..]) if *approved != [0; WORD] => {
            let operator = control::address(operator);
            items.with_severity(Severity::Danger).address(Label::AllowsAll, &operator);
        }
        _ => {}
    }
}

fn show_allowance(items: &mut Items<'_>, spender: &[u8; WORD], amount: &[u8; WORD]) {
    let amount = control::number(amount);
    let is_unlimited = amount.bit_len() > 128;
    let severity = if is_unlimited { Severity::Danger } else { Severity::Warning };
    items.with_severity(severity).address(Label::Allows, &control::address(spender));
    match is_unlimited {
        true => items.label(Label::AllowedWithoutLimit),
        false => items.number(Label::AllowedAmount, &amount),
    }
}

/// `approve(address,uint256)` of ERC-20; of ERC-721 the second argument is the token.
const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];
/// `increaseAllowance(address,uint256)`.
const INCREASE_ALLOWANCE: [u8; 4] = [0x39, 0x50, 0x93, 0x51];
/// `approve(address,address,uint160,uint48)` of Permit2.
const PERMIT2_APPROVE: [u8; 4] = [0x87, 0x51, 0x7c, 0x45];
/// `setApprovalForAll(address,bool)` of ERC-721 and ERC-1155.
const SET_APPROVAL_FOR_ALL: [u8; 4] = [0xa2, 0x2c, 0xb4, 0x65];
