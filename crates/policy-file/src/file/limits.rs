//! `[limits]`: what the network's nodes count over all operations.

use std::num::NonZeroU64;

use quorate_protocol::{Limits, PaymasterRule, WindowLimit};

use super::WrittenLimits;
use crate::amount::Amount;
use crate::mistake::{Found, MistakeKind};
use crate::read::{Fields, Written, one_line};
use crate::time;

const FIELDS: &[&str] = &["uses", "rate", "value", "gas", "paymaster"];
const PAYMASTER: &[&str] = &["any", "required", "forbidden"];

pub(super) fn read(source: &str, fields: &Fields<'_>, found: &mut Found) -> WrittenLimits {
    let Some((entries, span)) = fields.table("limits", found) else { return WrittenLimits::default() };
    let fields = Fields::new(source, entries, span, FIELDS, found);
    let uses = fields.number("uses", found);
    let uses = uses.and_then(|written| found.ok(Amount::count(written.text), written.span()));
    let rate = fields.text("rate", found);
    let window = rate.and_then(|written| found.ok(window(written.text), written.span()));
    let mut coin = |key| {
        let written = fields.number(key, found)?;
        let amount = found.ok(Amount::parse(written.text, &[]), written.span())?;
        Some((found.ok(amount.wei(), written.span())?, amount))
    };
    let (native_value, value) = coin("value").unzip();
    let (gas_cost, gas) = coin("gas").unzip();
    let paymaster = fields.text("paymaster", found).and_then(|written| paymaster(&written, found));
    let paymaster = paymaster.unwrap_or_default();
    let limits = Limits { uses, window, native_value, gas_cost, arguments: Vec::new(), paymaster };
    WrittenLimits { limits, value, gas, rate: rate.map(|rate| one_line(rate.text)) }
}

/// Reads `10 per day`, `3 per 6 hours`.
fn window(text: &str) -> Result<WindowLimit, MistakeKind> {
    let (uses, time) = text.split_once(" per ").ok_or(MistakeKind::NotARate)?;
    let uses = Amount::count(uses).map_err(|_| MistakeKind::NotARate)?;
    let seconds = time::fixed_seconds(time).ok().and_then(NonZeroU64::new).ok_or(MistakeKind::NotARate)?;
    Ok(WindowLimit { uses, seconds })
}

fn paymaster(written: &Written<'_>, found: &mut Found) -> Option<PaymasterRule> {
    let rule = match written.text {
        "any" => Ok(PaymasterRule::Any),
        "required" => Ok(PaymasterRule::Required),
        "forbidden" => Ok(PaymasterRule::Forbidden),
        other => Err(MistakeKind::UnknownChoice { found: other.to_owned(), known: PAYMASTER }),
    };
    found.ok(rule, written.span())
}
