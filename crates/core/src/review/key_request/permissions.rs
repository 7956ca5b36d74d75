//! What a key may sign, as its owner asks for it.
//!
//! Source: the permissions of `quorate-protocol`, version 1, in the order in which its `Permissions::to_json` writes them.

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
        item::{Item, Show, Value},
        label::Label,
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
    Text(r#"contract":""#),
    Read(Part::Contract, Hex),
    Text(r#"","selector":""#),
    Read(Part::Selector, Hex),
    Text(r#"","rules":["#),
    Choice(&[(b'{', &RULE), (b']', &AFTER_RULES)]),
]);

static RULE: Block = Block(&[
    Text(r#"{"offset":"#),
    Read(Part::Offset, Decimal),
    Text(r#","condition":"#),
    Read(Part::Condition, Decimal),
    Text(r#","referenceValue":""#),
    Read(Part::Reference, Hex),
    Text(r#""}"#),
    Choice(&[(b',', &NEXT_RULE), (b']', &AFTER_RULES)]),
]);

static NEXT_RULE: Block = Block(&[Text(","), Go(&RULE)]);

static AFTER_RULES: Block = Block(&[Text(r#"],"valueLimit":""#), Read(Part::ValueLimit, Hex), Go(&EPOCH)]);

static ERC20_POLICY: Block = Block(&[
    Text(r#"kind":"erc20","token":""#),
    Read(Part::Token, Hex),
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
    Choice(&[(b',', &NEXT_POLICY), (b']', &AFTER_POLICIES)]),
]);

static NEXT_POLICY: Block = Block(&[Text(","), Go(&POLICY)]);

static AFTER_POLICIES: Block = Block(&[Text("]"), Choice(&[(b',', &LIMITS), (b'}', &CLOSE)])]);

static LIMITS: Block = Block(&[Text(r#","limits":{""#), Go(&LIMIT)]);

/// In any order: nodes refuse a limit that is there twice.
static LIMIT: Block = Block(&[Choice(&[
    (b'u', &USES),
    (b'w', &WINDOW),
    (b'n', &NATIVE_VALUE),
    (b'g', &GAS_COST),
    (b'a', &ARGUMENTS),
    (b'p', &PAYMASTER),
])]);

static USES: Block =
    Block(&[Text(r#"uses":"#), Read(Part::Number(Label::UsesLimit), Decimal), Go(&AFTER_LIMIT)]);

static WINDOW: Block = Block(&[
    Text(r#"window":{"uses":"#),
    Read(Part::Number(Label::WindowUsesLimit), Decimal),
    Text(r#","seconds":"#),
    Read(Part::Number(Label::WindowSeconds), Decimal),
    Text("}"),
    Go(&AFTER_LIMIT),
]);

static NATIVE_VALUE: Block = Block(&[
    Text(r#"nativeValue":""#),
    Read(Part::Coin(Label::NativeValueLimit), Hex),
    Text("\""),
    Go(&AFTER_LIMIT),
]);

static GAS_COST: Block =
    Block(&[Text(r#"gasCost":""#), Read(Part::Coin(Label::GasCostLimit), Hex), Text("\""), Go(&AFTER_LIMIT)]);

static ARGUMENTS: Block = Block(&[Text(r#"arguments":["#), Go(&ARGUMENT)]);

static ARGUMENT: Block = Block(&[
    Text(r#"{"contract":""#),
    Read(Part::Address(Label::LimitedContract), Hex),
    Text(r#"","selector":""#),
    Read(Part::LimitedSelector, Hex),
    Text(r#"","offset":"#),
    Read(Part::LimitedOffset, Decimal),
    Text(r#","total":""#),
    Read(Part::Number(Label::LimitedTotal), Hex),
    Text(r#""}"#),
    Choice(&[(b',', &NEXT_ARGUMENT), (b']', &AFTER_ARGUMENTS)]),
]);

static NEXT_ARGUMENT: Block = Block(&[Text(","), Go(&ARGUMENT)]);

static AFTER_ARGUMENTS: Block = Block(&[Text("]"), Go(&AFTER_LIMIT)]);

static PAYMASTER: Block =
    Block(&[Text(r#"paymaster":""#), Read(Part::Paymaster, Word), Text("\""), Go(&AFTER_LIMIT)]);

static AFTER_LIMIT: Block = Block(&[Choice(&[(b',', &NEXT_LIMIT), (b'}', &CLOSE_BOTH)])]);

static NEXT_LIMIT: Block = Block(&[Text(r#",""#), Go(&LIMIT)]);

static CLOSE_BOTH: Block = Block(&[Text("}"), Go(&CLOSE)]);

static CLOSE: Block = Block(&[Text("}"), End]);

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
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        bytes: &[u8],
    ) -> Result<(), KeyRequestError> {
        let Self { reader, reading } = self;
        reader.push(bytes, &mut |part, value| reading.take(show, trusted, part, value))
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.reader.is_at_end()
    }
}

impl Reading {
    fn take(
        &mut self,
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        part: Part,
        value: Scalar<'_>,
    ) -> Result<(), KeyRequestError> {
        let item = match part {
            Part::Address(label) => Item::new(label, Value::Address(value.address().ok_or(WRONG)?)),
            Part::Number(label) => Item::new(label, Value::Number(value.number().ok_or(WRONG)?)),
            Part::Coin(label) => Item::new(label, Value::Coin(value.number().ok_or(WRONG)?)),
            Part::ValueLimit => {
                if self.rules == 0 {
                    let unruled = Item::new(Label::AnyArguments, Value::None);
                    show.show(&unruled.with_severity(Severity::Warning))?;
                }
                Item::new(Label::ValueLimit, Value::Coin(value.number().ok_or(WRONG)?))
            }
            Part::Account => {
                self.account = value.address().ok_or(WRONG)?;
                Item::new(Label::PermittedAccount, Value::Address(self.account))
            }
            Part::Chain => {
                let found = value.decimal().ok_or(WRONG)?;
                if found != self.chain_id {
                    return Err(KeyRequestError::OtherChain { claimed: self.chain_id, found });
                }
                return Ok(());
            }
            Part::Module => return self.begin_policy(show, trusted, value.address().ok_or(WRONG)?),
            Part::Contract => {
                return self.show_contract(show, trusted, Label::Contract, value.address().ok_or(WRONG)?);
            }
            Part::Token => {
                return self.show_contract(show, trusted, Label::Token, value.address().ok_or(WRONG)?);
            }
            Part::Selector | Part::LimitedSelector => {
                self.selector = FunctionSelector::new(value.bytes().ok_or(WRONG)?);
                let signature = trusted.function(self.selector);
                let function = Value::Function { selector: self.selector, signature };
                let label = if part == Part::Selector { Label::Function } else { Label::LimitedFunction };
                Item::new(label, function)
            }
            Part::Offset => {
                self.offset = small(value)?;
                return Ok(());
            }
            Part::Condition => {
                self.condition = small(value)?;
                return Ok(());
            }
            Part::Reference => self.rule(trusted, B256::new(value.bytes().ok_or(WRONG)?))?,
            Part::ValidAfter => match value.decimal().ok_or(WRONG)? {
                0 => Item::new(Label::FromNow, Value::None),
                start => Item::new(Label::From, Value::Time(start)),
            },
            Part::ValidUntil => match value.decimal().ok_or(WRONG)? {
                0 => Item::new(Label::WithoutEnd, Value::None).with_severity(Severity::Warning),
                end => Item::new(Label::Until, Value::Time(end)),
            },
            Part::LimitedOffset => {
                let subject = Subject::new(trusted.function(self.selector), small(value)?);
                Item::new(Label::LimitedArgument, Value::Subject(subject))
            }
            Part::Paymaster => match value.name().unwrap_or_default() {
                "required" => Item::new(Label::PaymasterRequired, Value::None),
                "forbidden" => Item::new(Label::PaymasterForbidden, Value::None),
                _ => return Err(WRONG),
            },
            // These stand in a request's metadata.
            Part::EphemeralName | Part::EphemeralKey | Part::Expiry | Part::Network | Part::Permissions => {
                return Err(WRONG);
            }
        };
        Ok(show.show(&item)?)
    }

    fn begin_policy(
        &mut self,
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        module: Address,
    ) -> Result<(), KeyRequestError> {
        self.policies += 1;
        self.rules = 0;
        show.show(&Item::new(Label::Session, Value::Place { number: self.policies, of: None }))?;
        let known = matches!(
            trusted.role(module),
            Some(ContractRole::AbiSessionValidationModule | ContractRole::Erc20SessionValidationModule)
        );
        let (label, severity) = if known {
            (Label::ValidationModule, Severity::Info)
        } else {
            (Label::UnknownValidationModule, Severity::Danger)
        };
        Ok(show.show(&Item::new(label, Value::Address(module)).with_severity(severity))?)
    }

    fn show_contract(
        &self,
        show: &mut dyn Show,
        trusted: &TrustedContext<'_>,
        label: Label,
        contract: Address,
    ) -> Result<(), KeyRequestError> {
        Ok(crate::review::sessions::show_contract(show, trusted, self.account, label, contract)?)
    }

    fn rule<'t>(
        &mut self,
        trusted: &TrustedContext<'t>,
        reference: B256,
    ) -> Result<Item<'t>, KeyRequestError> {
        self.rules += 1;
        let condition = Condition::try_from(self.condition).map_err(|_| WRONG)?;
        let subject = Subject::new(trusted.function(self.selector), usize::from(self.offset));
        Ok(Item::new(Label::Rule, Value::Rule { subject, condition, reference }))
    }
}

/// A number of an integer type that holds it.
fn small<N: TryFrom<u64>>(value: Scalar<'_>) -> Result<N, KeyRequestError> {
    value.decimal().and_then(|number| N::try_from(number).ok()).ok_or(WRONG)
}

const WRONG: KeyRequestError = KeyRequestError::PermissionsValue;
