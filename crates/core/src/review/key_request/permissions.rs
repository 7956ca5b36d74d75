//! What a key may sign, as its owner asks for it.
//!
//! Source: the permissions of `quorate-protocol`, version 1, in the order in which its `Permissions::to_json` writes them. A block
//! that was chosen by its first byte begins after it.

use alloy_primitives::{Address, B256};

use super::{
    KeyRequestError,
    part::Part,
    text::{Block, Form, Reader, Scalar, Step},
};
use crate::{
    abi::selector::FunctionSelector,
    lint::severity::Severity,
    policy::condition::Condition,
    review::{
        function::Subject,
        item::Value,
        items::Items,
        label::Label,
        sessions::{show_contract, show_end, show_start},
    },
    trusted::{ContractRole, TrustedContext},
};

use Form::{Decimal, Hex, Name as Word};
use Step::{Choice, End, Go, Text, Value as Read};

static PERMISSIONS: Block = Block(&[
    Text(r#"{"version":1,"owner":""#),
    Read(Part::Address(Label::PermittedOwner), Hex),
    Text(r#"","account":""#),
    Read(Part::Account, Hex),
    Text(r#"","chainId":"#),
    Read(Part::Chain, Decimal),
    Text(r#","entryPoint":""#),
    Read(Part::Address(Label::PermittedEntryPoint), Hex),
    Text(r#"","sessionKeyManager":""#),
    Read(Part::Address(Label::PermittedManager), Hex),
    Text(r#"","policies":["#),
    Go(&POLICY),
]);

static POLICY: Block = Block(&[
    Text(r#"{"validationModule":""#),
    Read(Part::Module, Hex),
    Text(r#"",""#),
    Choice(&[(b'c', &ABI_POLICY), (b'k', &ERC20_POLICY)]),
]);

static ABI_POLICY: Block = Block(&[
    Text(r#"ontract":""#),
    Read(Part::Contract(Label::Contract), Hex),
    Text(r#"","selector":""#),
    Read(Part::Selector(Label::Function), Hex),
    Text(r#"","rules":["#),
    Choice(&[(b'{', &RULE), (b']', &AFTER_RULES)]),
]);

static RULE: Block = Block(&[
    Text(r#""offset":"#),
    Read(Part::Offset, Decimal),
    Text(r#","condition":"#),
    Read(Part::Condition, Decimal),
    Text(r#","referenceValue":""#),
    Read(Part::Reference, Hex),
    Text(r#""}"#),
    Choice(&[(b',', &NEXT_RULE), (b']', &AFTER_RULES)]),
]);

static NEXT_RULE: Block = Block(&[Text("{"), Go(&RULE)]);

static AFTER_RULES: Block = Block(&[Text(r#","valueLimit":""#), Read(Part::ValueLimit, Hex), Go(&EPOCH)]);

static ERC20_POLICY: Block = Block(&[
    Text(r#"ind":"erc20","token":""#),
    Read(Part::Contract(Label::Token), Hex),
    Text(r#"","recipient":""#),
    Read(Part::Address(Label::Recipient), Hex),
    Text(r#"","maxAmount":""#),
    Read(Part::Number(Label::MaxAmount), Hex),
    Go(&EPOCH),
]);

static EPOCH: Block = Block(&[
    Text(r#"","validAfter":"#),
    Read(Part::ValidAfter, Decimal),
    Text(r#","validUntil":"#),
    Read(Part::ValidUntil, Decimal),
    Text("}"),
    Choice(&[(b',', &POLICY), (b']', &AFTER_POLICIES)]),
]);

static AFTER_POLICIES: Block = Block(&[Choice(&[(b',', &LIMITS), (b'}', &CLOSED)])]);

static LIMITS: Block = Block(&[Text(r#""limits":{"#), Go(&LIMIT)]);

/// In any order: nodes refuse a limit that is there twice.
static LIMIT: Block = Block(&[
    Text("\""),
    Choice(&[
        (b'u', &USES),
        (b'w', &WINDOW),
        (b'n', &NATIVE_VALUE),
        (b'g', &GAS_COST),
        (b'a', &ARGUMENTS),
        (b'p', &PAYMASTER),
        (b'c', &COIN_WINDOWS),
    ]),
]);

static USES: Block =
    Block(&[Text(r#"ses":"#), Read(Part::Number(Label::UsesLimit), Decimal), Go(&AFTER_LIMIT)]);

static WINDOW: Block = Block(&[
    Text(r#"indow":{"uses":"#),
    Read(Part::Number(Label::WindowUsesLimit), Decimal),
    Text(r#","seconds":"#),
    Read(Part::Number(Label::WindowSeconds), Decimal),
    Text("}"),
    Go(&AFTER_LIMIT),
]);

static NATIVE_VALUE: Block = Block(&[
    Text(r#"ativeValue":""#),
    Read(Part::Coin(Label::NativeValueLimit), Hex),
    Text("\""),
    Go(&AFTER_LIMIT),
]);

static GAS_COST: Block =
    Block(&[Text(r#"asCost":""#), Read(Part::Coin(Label::GasCostLimit), Hex), Text("\""), Go(&AFTER_LIMIT)]);

static ARGUMENTS: Block = Block(&[Text(r#"rguments":["#), Go(&ARGUMENT)]);

static ARGUMENT: Block = Block(&[
    Text(r#"{"contract":""#),
    Read(Part::Address(Label::LimitedContract), Hex),
    Text(r#"","selector":""#),
    Read(Part::Selector(Label::LimitedFunction), Hex),
    Text(r#"","offset":"#),
    Read(Part::LimitedOffset, Decimal),
    Text(r#","total":""#),
    Read(Part::Number(Label::LimitedTotal), Hex),
    Text("\""),
    Choice(&[(b',', &ARGUMENT_WINDOW), (b'}', &AFTER_ARGUMENT)]),
]);

static ARGUMENT_WINDOW: Block = Block(&[
    Text(r#""seconds":"#),
    Read(Part::Number(Label::LimitedWindowSeconds), Decimal),
    Text("}"),
    Go(&AFTER_ARGUMENT),
]);

static AFTER_ARGUMENT: Block = Block(&[Choice(&[(b',', &ARGUMENT), (b']', &AFTER_LIMIT)])]);

static COIN_WINDOWS: Block = Block(&[Text(r#"oinWindows":["#), Go(&COIN_WINDOW)]);

static COIN_WINDOW: Block =
    Block(&[Text(r#"{"of":""#), Choice(&[(b'n', &VALUE_WINDOW), (b'g', &GAS_WINDOW)])]);

static VALUE_WINDOW: Block = Block(&[
    Text(r#"ativeValue","total":""#),
    Read(Part::Coin(Label::WindowValueLimit), Hex),
    Go(&COIN_WINDOW_SECONDS),
]);

static GAS_WINDOW: Block = Block(&[
    Text(r#"asCost","total":""#),
    Read(Part::Coin(Label::WindowGasLimit), Hex),
    Go(&COIN_WINDOW_SECONDS),
]);

static COIN_WINDOW_SECONDS: Block = Block(&[
    Text(r#"","seconds":"#),
    Read(Part::Number(Label::WindowSeconds), Decimal),
    Text("}"),
    Choice(&[(b',', &COIN_WINDOW), (b']', &AFTER_LIMIT)]),
]);

static PAYMASTER: Block =
    Block(&[Text(r#"aymaster":""#), Read(Part::Paymaster, Word), Text("\""), Go(&AFTER_LIMIT)]);

static AFTER_LIMIT: Block = Block(&[Choice(&[(b',', &LIMIT), (b'}', &CLOSE)])]);

static CLOSE: Block = Block(&[Text("}"), End]);

static CLOSED: Block = Block(&[End]);

/// Reads permissions as they arrive, and shows what they allow.
#[derive(Debug)]
pub(super) struct Permissions {
    reader: Reader,
    reading: Reading,
}

/// What is kept of values until others come.
#[derive(Debug)]
struct Reading {
    account: Address,
    /// The chain that the owner's claim names.
    chain_id: u64,
    policies: usize,
    rules: usize,
    selector: FunctionSelector,
    offset: u16,
    condition: u8,
}

impl Permissions {
    pub(super) fn new(chain_id: u64) -> Self {
        let reading = Reading {
            account: Address::ZERO,
            chain_id,
            policies: 0,
            rules: 0,
            selector: FunctionSelector::new([0; 4]),
            offset: 0,
            condition: 0,
        };
        Self { reader: Reader::new(&PERMISSIONS), reading }
    }

    /// Takes the next bytes, and shows each value that is whole.
    pub(super) fn push(
        &mut self,
        items: &mut Items<'_>,
        trusted: &TrustedContext<'_>,
        bytes: &[u8],
    ) -> Result<(), KeyRequestError> {
        let Self { reader, reading } = self;
        reader.push(bytes, &mut |part, value| reading.take(items, trusted, part, value))
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.reader.is_at_end()
    }
}

impl Reading {
    fn take(
        &mut self,
        items: &mut Items<'_>,
        trusted: &TrustedContext<'_>,
        part: Part,
        value: Scalar<'_>,
    ) -> Result<(), KeyRequestError> {
        match (part, value.decimal()) {
            (Part::Chain, Some(found)) if found != self.chain_id => {
                Err(KeyRequestError::OtherChain { claimed: self.chain_id, found })
            }
            _ => self.show(items, trusted, part, value).ok_or(KeyRequestError::PermissionsValue),
        }
    }

    /// Shows a value, if it is one of its place.
    fn show(
        &mut self,
        items: &mut Items<'_>,
        trusted: &TrustedContext<'_>,
        part: Part,
        value: Scalar<'_>,
    ) -> Option<()> {
        match part {
            Part::Address(label) => items.address(label, &value.address()?),
            Part::Number(label) => items.number(label, &value.number()?),
            Part::Coin(label) => items.coin(label, &value.number()?),
            Part::ValueLimit => {
                if self.rules == 0 {
                    items.with_severity(Severity::Warning).label(Label::AnyArguments);
                }
                items.coin(Label::ValueLimit, &value.number()?);
            }
            Part::Account => {
                self.account = value.address()?;
                items.address(Label::PermittedAccount, &self.account);
            }
            Part::Chain => {
                value.decimal()?;
            }
            Part::Module => self.begin_policy(items, trusted, &value.address()?),
            Part::Contract(label) => show_contract(items, trusted, self.account, label, value.address()?),
            Part::Selector(label) => {
                self.selector = FunctionSelector::new(value.bytes()?);
                items.function(label, self.selector, trusted.function(self.selector));
            }
            Part::Offset => self.offset = value.decimal()?.try_into().ok()?,
            Part::Condition => self.condition = value.decimal()?.try_into().ok()?,
            Part::Reference => {
                let reference = B256::new(value.bytes()?);
                self.rules += 1;
                let condition = Condition::try_from(self.condition).ok()?;
                let subject = Subject::new(trusted.function(self.selector), self.offset.into());
                items.put(Label::Rule, Value::Rule { subject, condition, reference: &reference });
            }
            Part::ValidAfter => show_start(items, value.decimal()?),
            Part::ValidUntil => show_end(items, value.decimal()?),
            Part::LimitedOffset => {
                let offset = value.decimal()?.try_into().ok()?;
                let subject = Subject::new(trusted.function(self.selector), offset);
                items.put(Label::LimitedArgument, Value::Subject(subject));
            }
            Part::Paymaster => items.label(match value.name()? {
                "required" => Label::PaymasterRequired,
                "forbidden" => Label::PaymasterForbidden,
                _ => return None,
            }),
            // These stand in a request's metadata.
            Part::EphemeralName | Part::EphemeralKey | Part::Expiry | Part::Network | Part::Permissions => {
                return None;
            }
        }
        Some(())
    }

    fn begin_policy(&mut self, items: &mut Items<'_>, trusted: &TrustedContext<'_>, module: &Address) {
        self.policies += 1;
        self.rules = 0;
        items.put(Label::Session, Value::Place { number: self.policies, of: None });
        match trusted.role(*module) {
            Some(ContractRole::AbiSessionValidationModule | ContractRole::Erc20SessionValidationModule) => {
                items.address(Label::ValidationModule, module);
            }
            _ => items.with_severity(Severity::Danger).address(Label::UnknownValidationModule, module),
        }
    }
}
