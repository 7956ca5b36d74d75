//! What the account is made to call.

use alloy_primitives::{Address, B256, Keccak256, U256};

use super::{
    call_stream::{CallHead, Event},
    control::{self, Argument, ControlCall, ControlFunction, Controller},
    error::ReviewError,
    function::Subject,
    head::bytes,
    item::{Item, NotShown, Show, Value},
    label::Label,
};
use crate::{
    abi::{WORD, selector::FunctionSelector},
    lint::severity::Severity,
    trusted::{ContractRole, TrustedContext},
};

/// Judges and shows calls as they are read.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) account: Address,
    pub(super) entry_point: Address,
    /// The root of the sessions that were shown, if there were any.
    pub(super) shown_root: Option<B256>,
    /// The module in which kept sessions were granted, if there were any.
    pub(super) kept_in: Option<Address>,
    pub(super) roots_set: u32,
    call: CurrentCall,
}

/// What is kept of the call that is being read.
#[derive(Debug, Default)]
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
            shown_root: None,
            kept_in: None,
            roots_set: 0,
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
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        event: Event<'_>,
    ) -> Result<(), ReviewError> {
        match event {
            Event::Begin { number, of, head } => {
                self.call = CurrentCall { number: number + 1, of, head, ..CurrentCall::default() };
                Ok(())
            }
            Event::Data(data) => {
                let start = &mut self.call.start;
                let room = data.len().min(KEPT - start.len());
                // There is room for that much.
                let _ = start.extend_from_slice(data.get(..room).unwrap_or_default());
                Ok(())
            }
            Event::End { hasher } => self.show_call(show, trusted, hasher),
        }
    }

    fn show_call(
        &mut self,
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        hasher: &Keccak256,
    ) -> Result<(), ReviewError> {
        let CurrentCall { number, of, head: CallHead { to, value, data_len }, .. } = self.call;
        let start = core::mem::take(&mut self.call.start);
        show.show(&Item::new(Label::Call, Value::Place { number, of: Some(of) }))?;
        match Controller::of(to, self.account, self.entry_point, trusted) {
            Some(controller) => {
                let read = controller.read(&start, data_len);
                let call = read.ok_or(ReviewError::UnknownControl { call: number, to })?;
                self.show_control(show, trusted, to, &call)?;
            }
            None => self.show_other(show, trusted, &start, hasher)?,
        }
        if !value.is_zero() {
            show.show(&Item::new(Label::Sends, Value::Coin(value)))?;
        }
        Ok(())
    }

    fn show_control(
        &mut self,
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        to: Address,
        call: &ControlCall<'_>,
    ) -> Result<(), ReviewError> {
        show.show(&Item::new(Label::To, Value::Address(to)))?;
        match *call {
            ControlCall::Value(Controller::EntryPoint) => {
                Ok(show.show(&Item::new(Label::Deposits, Value::None))?)
            }
            ControlCall::Value(_) => Ok(show.show(&Item::new(Label::WithoutData, Value::None))?),
            ControlCall::Function(ControlFunction { arguments: [Argument::Root], .. }, [root]) => {
                self.show_root(show, to, B256::new(*root))
            }
            ControlCall::Function(&ControlFunction { selector: control::ENABLE_MODULE, .. }, [module]) => {
                Ok(show_enabled(show, trusted, control::address(module))?)
            }
            ControlCall::Function(function, words) => Ok(show_function(show, function, words)?),
        }
    }

    /// The root is that of the sessions that were shown, or ends all where none were.
    fn show_root(&mut self, show: &mut dyn Show, manager: Address, set: B256) -> Result<(), ReviewError> {
        self.roots_set += 1;
        if let Some(from) = self.kept_in.filter(|from| *from != manager) {
            return Err(ReviewError::KeptElsewhere { from, to: manager });
        }
        match self.shown_root {
            None if set.is_zero() => {
                return Ok(show.show(&Item::new(Label::EndsAllSessions, Value::Address(manager)))?);
            }
            None => return Err(ReviewError::SessionsMissing { set }),
            Some(shown) if shown != set => return Err(ReviewError::OtherRoot { shown, set }),
            Some(_) => {}
        }
        show.show(&Item::new(Label::GrantsSessions, Value::Address(manager)))?;
        Ok(show.show(&Item::new(Label::Root, Value::Hash(set)))?)
    }

    fn show_other(
        &mut self,
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        data: &[u8],
        hasher: &Keccak256,
    ) -> Result<(), NotShown> {
        let CallHead { to, data_len, .. } = self.call.head;
        show.show(&Item::new(Label::To, Value::Address(to)))?;
        let Some((selector, arguments)) = data.split_first_chunk::<4>() else {
            return show.show(&match data {
                [] => Item::new(Label::WithoutData, Value::None),
                data => Item::new(Label::ShortData, bytes(data)),
            });
        };
        let (words, rest) = arguments.as_chunks::<WORD>();
        show_power(show, *selector, words)?;
        let selector = FunctionSelector::new(*selector);
        let signature = trusted.function(selector);
        show.show(&Item::new(Label::CalledFunction, Value::Function { selector, signature }))?;
        for (index, word) in words.iter().enumerate() {
            let subject = Subject::new(signature, index * WORD);
            show.show(&Item::new(Label::Argument, Value::Argument { subject, word: B256::new(*word) }))?;
        }
        let shown = 4 + WORD * words.len();
        if data_len > shown as u64 || !rest.is_empty() {
            // The call's own digest would be a second hash of all its data.
            let digest = hasher.clone().finalize();
            show.show(&Item::new(Label::MoreData, Value::Bytes { len: data_len, digest }))?;
        }
        Ok(())
    }
}

fn show_enabled(show: &mut dyn Show, trusted: &TrustedContext<'_>, module: Address) -> Result<(), NotShown> {
    let (label, severity) = match trusted.role(module) {
        Some(ContractRole::SessionKeyManager) => (Label::EnablesSessions, Severity::Info),
        Some(
            ContractRole::OwnershipModule
            | ContractRole::MultichainModule
            | ContractRole::BatchedSessionRouter,
        ) => (Label::EnablesKnownModule, Severity::Info),
        _ => (Label::EnablesModule, Severity::Danger),
    };
    show.show(&Item::new(label, Value::Address(module)).with_severity(severity))
}

/// A function that is read whole: what it does with the argument of the same label, and the others.
fn show_function(
    show: &mut dyn Show,
    function: &ControlFunction,
    words: &[[u8; WORD]],
) -> Result<(), NotShown> {
    let values = function.arguments.iter().zip(words).map(|(argument, word)| match argument {
        Argument::Address(label) => (*label, Value::Address(control::address(word))),
        Argument::Number(label) => (*label, Value::Number(control::number(word))),
        Argument::Root => (function.label, Value::Hash(B256::new(*word))),
    });
    let what = values.clone().find(|(label, _)| *label == function.label);
    let (label, value) = what.unwrap_or((function.label, Value::None));
    show.show(&Item::new(label, value).with_severity(function.severity))?;
    let mut rest = values.filter(|(label, _)| *label != function.label);
    rest.try_for_each(|(label, value)| show.show(&Item::new(label, value)))
}

/// Says what a function of an unknown contract gives away, if it is one of those that usually do. What follows the arguments
/// changes nothing: contracts do not read it.
fn show_power(show: &mut dyn Show, selector: [u8; 4], words: &[[u8; WORD]]) -> Result<(), NotShown> {
    let mut say = |severity, label, value| show.show(&Item::new(label, value).with_severity(severity));
    match (selector, words) {
        (control::SET_MERKLE_ROOT, [root, ..]) => {
            say(Severity::Danger, Label::UnknownRoot, Value::Hash(B256::new(*root)))
        }
        (control::TRANSFER_OWNERSHIP, [owner, ..]) => {
            say(Severity::Warning, Label::GivesAwayContract, Value::Address(control::address(owner)))
        }
        (APPROVE | INCREASE_ALLOWANCE, [spender, amount, ..]) => show_allowance(show, spender, amount),
        (PERMIT2_APPROVE, [_, spender, amount, _, ..]) => show_allowance(show, spender, amount),
        (SET_APPROVAL_FOR_ALL, [operator, approved, ..]) if *approved != [0; WORD] => {
            say(Severity::Danger, Label::AllowsAll, Value::Address(control::address(operator)))
        }
        _ => Ok(()),
    }
}

fn show_allowance(show: &mut dyn Show, spender: &[u8; WORD], amount: &[u8; WORD]) -> Result<(), NotShown> {
    let amount = control::number(amount);
    let is_unlimited = amount.bit_len() > 128;
    let severity = if is_unlimited { Severity::Danger } else { Severity::Warning };
    let allows = Item::new(Label::Allows, Value::Address(control::address(spender)));
    show.show(&allows.with_severity(severity))?;
    show.show(&match is_unlimited {
        true => Item::new(Label::AllowedWithoutLimit, Value::None),
        false => Item::new(Label::AllowedAmount, Value::Number(amount)),
    })
}

/// `approve(address,uint256)` of ERC-20; of ERC-721 the second argument is the token.
const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];
/// `increaseAllowance(address,uint256)`.
const INCREASE_ALLOWANCE: [u8; 4] = [0x39, 0x50, 0x93, 0x51];
/// `approve(address,address,uint160,uint48)` of Permit2.
const PERMIT2_APPROVE: [u8; 4] = [0x87, 0x51, 0x7c, 0x45];
/// `setApprovalForAll(address,bool)` of ERC-721 and ERC-1155.
const SET_APPROVAL_FOR_ALL: [u8; 4] = [0xa2, 0x2c, 0xb4, 0x65];
