//! What a key may sign, as its owner asks for it.
//!
//! Source: the permissions of `quorate-protocol`, version 1, in the order in which its `Permissions::to_json` writes them.

use alloy_primitives::{Address, B256, U256};

use super::{
    KeyRequestError,
    text::{Block, Form, Reader, Step},
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

/// A value of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Shown as it is, under this label.
    Address(Label),
    Number(Label),
    Coin(Label),
    Account,
    Chain,
    /// The session validation module, which begins a policy.
    Module,
    Contract,
    /// The token, which the key may call.
    Token,
    Selector,
    /// Begins a rule.
    Offset,
    Condition,
    /// Ends a rule.
    Reference,
    /// Follows the rules.
    ValueLimit,
    ValidAfter,
    ValidUntil,
    /// The selector of a limited argument, which its offset follows.
    LimitedSelector,
    LimitedOffset,
    Paymaster,
}

use Form::{Decimal, Hex, Word};
use Step::{Choice, End, Go, Text, Value as Read};

static PERMISSIONS: Block<Part> = Block(&[
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

static POLICY: Block<Part> = Block(&[
    Text(r#"{"validationModule":""#),
    Read(Part::Module, Hex),
    Text(r#"",""#),
    Choice(&[(b'c', &ABI_POLICY), (b'k', &ERC20_POLICY)]),
]);

static ABI_POLICY: Block<Part> = Block(&[
    Text(r#"contract":""#),
    Read(Part::Contract, Hex),
    Text(r#"","selector":""#),
    Read(Part::Selector, Hex),
    Text(r#"","rules":["#),
    Choice(&[(b'{', &RULE), (b']', &AFTER_RULES)]),
]);

static RULE: Block<Part> = Block(&[
    Text(r#"{"offset":"#),
    Read(Part::Offset, Decimal),
    Text(r#","condition":"#),
    Read(Part::Condition, Decimal),
    Text(r#","referenceValue":""#),
    Read(Part::Reference, Hex),
    Text(r#""}"#),
    Choice(&[(b',', &NEXT_RULE), (b']', &AFTER_RULES)]),
]);

static NEXT_RULE: Block<Part> = Block(&[Text(","), Go(&RULE)]);

static AFTER_RULES: Block<Part> =
    Block(&[Text(r#"],"valueLimit":""#), Read(Part::ValueLimit, Hex), Go(&EPOCH)]);

static ERC20_POLICY: Block<Part> = Block(&[
    Text(r#"kind":"erc20","token":""#),
    Read(Part::Token, Hex),
    Text(r#"","recipient":""#),
    Read(Part::Address(Label::Recipient), Hex),
    Text(r#"","maxAmount":""#),
    Read(Part::Number(Label::MaxAmount), Hex),
    Go(&EPOCH),
]);

static EPOCH: Block<Part> = Block(&[
    Text(r#"","validAfter":"#),
    Read(Part::ValidAfter, Decimal),
    Text(r#","validUntil":"#),
    Read(Part::ValidUntil, Decimal),
    Text("}"),
    Choice(&[(b',', &NEXT_POLICY), (b']', &AFTER_POLICIES)]),
]);

static NEXT_POLICY: Block<Part> = Block(&[Text(","), Go(&POLICY)]);

static AFTER_POLICIES: Block<Part> = Block(&[Text("]"), Choice(&[(b',', &LIMITS), (b'}', &CLOSE)])]);

static LIMITS: Block<Part> = Block(&[Text(r#","limits":{""#), Go(&LIMIT)]);

/// In any order: nodes refuse a limit that is there twice.
static LIMIT: Block<Part> = Block(&[Choice(&[
    (b'u', &USES),
    (b'w', &WINDOW),
    (b'n', &NATIVE_VALUE),
    (b'g', &GAS_COST),
    (b'a', &ARGUMENTS),
    (b'p', &PAYMASTER),
])]);

static USES: Block<Part> =
    Block(&[Text(r#"uses":"#), Read(Part::Number(Label::UsesLimit), Decimal), Go(&AFTER_LIMIT)]);

static WINDOW: Block<Part> = Block(&[
    Text(r#"window":{"uses":"#),
    Read(Part::Number(Label::WindowUsesLimit), Decimal),
    Text(r#","seconds":"#),
    Read(Part::Number(Label::WindowSeconds), Decimal),
    Text("}"),
    Go(&AFTER_LIMIT),
]);

static NATIVE_VALUE: Block<Part> = Block(&[
    Text(r#"nativeValue":""#),
    Read(Part::Coin(Label::NativeValueLimit), Hex),
    Text("\""),
    Go(&AFTER_LIMIT),
]);

static GAS_COST: Block<Part> =
    Block(&[Text(r#"gasCost":""#), Read(Part::Coin(Label::GasCostLimit), Hex), Text("\""), Go(&AFTER_LIMIT)]);

static ARGUMENTS: Block<Part> = Block(&[Text(r#"arguments":["#), Go(&ARGUMENT)]);

static ARGUMENT: Block<Part> = Block(&[
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

static NEXT_ARGUMENT: Block<Part> = Block(&[Text(","), Go(&ARGUMENT)]);

static AFTER_ARGUMENTS: Block<Part> = Block(&[Text("]"), Go(&AFTER_LIMIT)]);

static PAYMASTER: Block<Part> =
    Block(&[Text(r#"paymaster":""#), Read(Part::Paymaster, Word), Text("\""), Go(&AFTER_LIMIT)]);

static AFTER_LIMIT: Block<Part> = Block(&[Choice(&[(b',', &NEXT_LIMIT), (b'}', &CLOSE_BOTH)])]);

static NEXT_LIMIT: Block<Part> = Block(&[Text(r#",""#), Go(&LIMIT)]);

static CLOSE_BOTH: Block<Part> = Block(&[Text("}"), Go(&CLOSE)]);

static CLOSE: Block<Part> = Block(&[Text("}"), End]);

/// Reads permissions as they arrive, and shows what they allow.
#[derive(Debug)]
pub(super) struct Permissions {
    reader: Reader<Part>,
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
        value: &str,
    ) -> Result<(), KeyRequestError> {
        let item = match part {
            Part::Address(label) => Item::new(label, Value::Address(address(value)?)),
            Part::Number(label) => Item::new(label, Value::Number(number(value)?)),
            Part::Coin(label) => Item::new(label, Value::Coin(number(value)?)),
            Part::ValueLimit => {
                if self.rules == 0 {
                    let unruled = Item::new(Label::AnyArguments, Value::None);
                    show.show(&unruled.with_severity(Severity::Warning))?;
                }
                Item::new(Label::ValueLimit, Value::Coin(number(value)?))
            }
            Part::Account => {
                self.account = address(value)?;
                Item::new(Label::PermittedAccount, Value::Address(self.account))
            }
            Part::Chain => {
                let found = small(value)?;
                if found != self.chain_id {
                    return Err(KeyRequestError::OtherChain { claimed: self.chain_id, found });
                }
                return Ok(());
            }
            Part::Module => return self.begin_policy(show, trusted, address(value)?),
            Part::Contract => return self.show_contract(show, trusted, Label::Contract, address(value)?),
            Part::Token => return self.show_contract(show, trusted, Label::Token, address(value)?),
            Part::Selector | Part::LimitedSelector => {
                self.selector = FunctionSelector::new(fixed(value)?);
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
            Part::Reference => self.rule(trusted, B256::new(fixed(value)?))?,
            Part::ValidAfter => match small::<u64>(value)? {
                0 => Item::new(Label::FromNow, Value::None),
                start => Item::new(Label::From, Value::Time(start)),
            },
            Part::ValidUntil => match small::<u64>(value)? {
                0 => Item::new(Label::WithoutEnd, Value::None).with_severity(Severity::Warning),
                end => Item::new(Label::Until, Value::Time(end)),
            },
            Part::LimitedOffset => {
                let subject = Subject::new(trusted.function(self.selector), small(value)?);
                Item::new(Label::LimitedArgument, Value::Subject(subject))
            }
            Part::Paymaster => match value {
                "required" => Item::new(Label::PaymasterRequired, Value::None),
                "forbidden" => Item::new(Label::PaymasterForbidden, Value::None),
                _ => return Err(KeyRequestError::PermissionsValue),
            },
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
        let condition = Condition::try_from(self.condition).map_err(|_| KeyRequestError::PermissionsValue)?;
        let subject = Subject::new(trusted.function(self.selector), usize::from(self.offset));
        Ok(Item::new(Label::Rule, Value::Rule { subject, condition, reference }))
    }
}

fn address(value: &str) -> Result<Address, KeyRequestError> {
    Ok(Address::new(fixed(value)?))
}

/// As many bytes as there are digits for.
fn fixed<const N: usize>(value: &str) -> Result<[u8; N], KeyRequestError> {
    let mut bytes = [0; N];
    let digits = value.strip_prefix("0x").unwrap_or(value);
    alloy_primitives::hex::decode_to_slice(digits, &mut bytes)
        .map_err(|_| KeyRequestError::PermissionsValue)?;
    Ok(bytes)
}

/// A number in decimal, or in hexadecimal without zeros before its digits.
fn number(value: &str) -> Result<U256, KeyRequestError> {
    let one_spelling = value == "0x0" || !value.starts_with("0x0");
    let number = one_spelling.then(|| value.parse().ok()).flatten();
    number.ok_or(KeyRequestError::PermissionsValue)
}

fn small<N: core::str::FromStr>(value: &str) -> Result<N, KeyRequestError> {
    value.parse().map_err(|_| KeyRequestError::PermissionsValue)
}
