//! `[[allow]]`: a contract, a function, and what its arguments have to be.

use alloy_dyn_abi::DynSolType;
use alloy_primitives::Address;
use quorate_core::json::parse_address;
use quorate_core::{
    ArgumentError, Arguments, Condition, FunctionError, FunctionSelector, Policy, PolicyBuilder,
    SelectorError,
};
use quorate_protocol::Permissions;

use super::{Allow, Rule, Total, WrittenToken};
use crate::amount::Amount;
use crate::mistake::{Found, MistakeKind};
use crate::operand::Operand;
use crate::read::{Fields, Node, Span, Spanned, Value, Written, one_line, wrong_type};
use crate::time::WINDOWS;

const FIELDS: &[&str] =
    &["contract", "function", "rules", "value", "totals", "per_hour", "per_day", "per_week"];

pub(super) fn read(
    source: &str,
    fields: &Fields<'_>,
    tokens: &[WrittenToken],
    found: &mut Found,
) -> Vec<Allow> {
    let nodes = fields.list("allow", found);
    match nodes.get(Permissions::MAX_POLICIES) {
        Some(node) => {
            let kind = MistakeKind::TooMany { what: "entries", limit: Permissions::MAX_POLICIES };
            found.report(kind, node.span.clone());
        }
        None if nodes.is_empty() => {
            found.report(MistakeKind::AllowsNothing, fields.key_span("allow").unwrap_or(0..0));
        }
        None => {}
    }
    let mut reader =
        Reader { source, tokens: tokens.iter().map(|it| (it.name.as_str(), it.address)).collect() };
    nodes.iter().filter_map(|node| reader.entry(node, found)).collect()
}

struct Reader<'a> {
    source: &'a str,
    tokens: Vec<(&'a str, Address)>,
}

impl Reader<'_> {
    fn entry(&mut self, node: &Node, found: &mut Found) -> Option<Allow> {
        let Value::Table(entries) = &node.value else {
            return wrong_type("allow", "a list of tables", node, found);
        };
        let fields = Fields::new(self.source, entries, node.span.clone(), FIELDS, found);
        let contract = fields.required_text("contract", "an entry", found);
        let contract = contract.and_then(|written| self.contract(&written, found));
        let written = fields.required_text("function", "an entry", found);
        let function = written.and_then(|written| function(&written, found));
        let value = fields.number("value", found).and_then(|written| value(&written, found));
        let rules = fields.texts("rules", found);
        let windows = WINDOWS.map(|(key, seconds)| (key, Some(seconds)));
        let totals: Vec<_> = [("totals", None)]
            .into_iter()
            .chain(windows)
            .flat_map(|(key, seconds)| fields.texts(key, found).into_iter().map(move |text| (text, seconds)))
            .collect();
        let most = Policy::<16>::MAX_RULES;
        if let Some(written) = rules.get(most) {
            found.report(MistakeKind::TooMany { what: "rules", limit: most }, written.span());
        }
        // Without the function nothing can be said of its arguments.
        let function = function?;
        let rules = rules.iter().filter_map(|rule| self.rule(rule, &function, found)).collect();
        let total = |(written, seconds): &(Written<'_>, _)| {
            Some(Total { rule: self.total(written, &function, found)?, seconds: *seconds })
        };
        let totals = totals.iter().filter_map(total).collect();
        let Function { selector, written, .. } = function;
        Some(Allow { contract: contract?, function: written, selector, rules, value, totals })
    }

    fn contract(&self, written: &Written<'_>, found: &mut Found) -> Option<Spanned<Address>> {
        let token = self.tokens.iter().find(|(name, _)| *name == written.text).map(|(_, address)| *address);
        let address = match token {
            Some(address) => Ok(address),
            None if written.text.starts_with("0x") => parse_address(written.text).map_err(MistakeKind::from),
            None => Err(MistakeKind::UnknownContract {
                name: written.text.to_owned(),
                tokens: self.tokens.iter().map(|(name, _)| (*name).to_owned()).collect(),
            }),
        };
        Some(Spanned::new(found.ok(address, written.span())?, written.span()))
    }

    fn rule(&self, written: &Written<'_>, function: &Function, found: &mut Found) -> Option<Rule> {
        let Some(parts) = Parts::of(written.text) else {
            found.report(MistakeKind::NotARule, written.span());
            return None;
        };
        let path = written.part(parts.argument);
        let word = match function.arguments.argument(parts.argument) {
            Ok(word) => word,
            Err(ArgumentError::NotAPath { at }) => {
                found.report(ArgumentError::NotAPath { at }, written.at(at));
                return None;
            }
            Err(error) => {
                found.report(error, path);
                return None;
            }
        };
        let (ty, offset) = (word.ty().clone(), word.offset());
        let is_ordered = !matches!(parts.condition, Condition::Equal | Condition::NotEqual);
        if is_ordered && !matches!(ty, DynSolType::Uint(_)) {
            let error = ArgumentError::NotOrdered { ty: ty.to_string(), condition: parts.condition };
            found.report(error, written.part(parts.comparison));
        }
        let value = Spanned::new(one_line(parts.value), written.part(parts.value));
        let operand = found.ok(Operand::parse(parts.value, &ty, &self.tokens), value.span.clone())?;
        let Parts { condition, argument, .. } = parts;
        Some(Rule {
            span: written.span(),
            argument: argument.to_owned(),
            condition,
            value,
            offset,
            ty,
            operand,
        })
    }

    /// A rule that the nodes hold for a sum.
    fn total(&self, written: &Written<'_>, function: &Function, found: &mut Found) -> Option<Rule> {
        let total = self.rule(written, function, found)?;
        if total.condition != Condition::LessThanOrEqual {
            found.report(MistakeKind::NotATotal, written.span());
        } else if !matches!(total.ty, DynSolType::Uint(_)) {
            found.report(MistakeKind::NoTotal { ty: total.ty.to_string() }, written.span());
        }
        Some(total)
    }
}

struct Function {
    selector: FunctionSelector,
    arguments: PolicyBuilder<Arguments>,
    written: Spanned<String>,
}

fn function(written: &Written<'_>, found: &mut Found) -> Option<Function> {
    // Where arguments stand does not depend on the contract.
    match Policy::on(Address::ZERO).allow_fn(written.text) {
        Ok(arguments) => {
            let selector = arguments.clone().build().ok()?.selector();
            let written = Spanned::new(one_line(written.text), written.span());
            Some(Function { selector, arguments, written })
        }
        Err(FunctionError::OnlySelector { .. }) => {
            found.report(MistakeKind::OnlySelector, written.span());
            None
        }
        Err(error) => {
            let span = function_place(&error, written);
            found.report(error, span);
            None
        }
    }
}

fn function_place(error: &FunctionError, written: &Written<'_>) -> Span {
    match error {
        FunctionError::Signature(
            SelectorError::Expected { at, .. }
            | SelectorError::NotHex { at }
            | SelectorError::NoFunction { at }
            | SelectorError::UnknownType { at },
        ) => match written.text.get(*at..) {
            Some(rest) => {
                let end = rest.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(rest.len());
                if end == 0 { written.at(*at) } else { written.part(&rest[..end]) }
            }
            None => written.at(*at),
        },
        _ => written.span(),
    }
}

fn value(written: &Written<'_>, found: &mut Found) -> Option<Spanned<Amount>> {
    let amount = found.ok(Amount::parse(written.text, &[]), written.span())?;
    let wei = found.ok(amount.wei(), written.span())?;
    if wei.bit_len() > 128 {
        let ty = DynSolType::Uint(128).to_string();
        found.report(crate::operand::OperandError::OutOfRange { ty }, written.span());
    }
    Some(Spanned::new(amount, written.span()))
}

/// A rule taken apart.
struct Parts<'a> {
    argument: &'a str,
    comparison: &'a str,
    condition: Condition,
    value: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (argument, rest) = text.split_at(text.find(['=', '!', '<', '>'])?);
        let (written, condition) = COMPARISONS.iter().find(|(written, _)| rest.starts_with(written))?;
        let (comparison, value) = rest.split_at(written.len());
        let (argument, value) = (argument.trim(), value.trim());
        let is_whole = !argument.is_empty() && !value.is_empty() && !value.contains(['=', '!', '<', '>']);
        is_whole.then_some(Self { argument, comparison, condition: *condition, value })
    }
}

/// The longer ones first, which begin as shorter ones do.
const COMPARISONS: [(&str, Condition); 6] = [
    ("==", Condition::Equal),
    ("!=", Condition::NotEqual),
    ("<=", Condition::LessThanOrEqual),
    (">=", Condition::GreaterThanOrEqual),
    ("<", Condition::LessThan),
    (">", Condition::GreaterThan),
];
