//! `[limits]`: what the network's nodes count over all operations.

use std::num::NonZeroU64;

use alloy_primitives::U256;
use quorate_protocol::{Coin, CoinWindow, Limits, PaymasterRule, WindowLimit};

use super::WrittenLimits;
use crate::amount::Amount;
use crate::mistake::{Found, MistakeKind};
use crate::read::{Fields, Spanned, Written, one_line};
use crate::time::{self, WINDOWS};

const FIELDS: &[&str] = &["uses", "rate", "value", "gas", "per_hour", "per_day", "per_week", "paymaster"];
const WINDOW_FIELDS: &[&str] = &["value", "gas"];
const PAYMASTER: &[&str] = &["any", "required", "forbidden"];

pub(super) fn read(source: &str, fields: &Fields<'_>, found: &mut Found) -> WrittenLimits {
    let Some((entries, span)) = fields.table("limits", found) else { return WrittenLimits::default() };
    let fields = Fields::new(source, entries, span, FIELDS, found);
    let uses = fields.number("uses", found);
    let uses = uses.and_then(|written| found.ok(Amount::count(written.text), written.span()));
    let rate = fields.text("rate", found);
    let window = rate.and_then(|written| found.ok(window(written.text), written.span()));
    let (native_value, value) = coin(&fields, "value", found).unzip();
    let (gas_cost, gas) = coin(&fields, "gas", found).unzip();
    let (coin_windows, windows) = coin_windows(source, &fields, found).into_iter().unzip();
    let paymaster = fields.text("paymaster", found).and_then(|written| paymaster(&written, found));
    let paymaster = paymaster.unwrap_or_default();
    let arguments = Vec::new();
    let limits = Limits { uses, window, native_value, gas_cost, arguments, paymaster, coin_windows };
    let rate = rate.map(|rate| Spanned::new(one_line(rate.text), rate.span()));
    let [value, gas] = [value, gas].map(|amount| amount.map(|amount: Spanned<Amount>| amount.value));
    WrittenLimits { limits, value, gas, rate, windows }
}

/// An amount of the chain's coin, in wei and as it is written.
fn coin(fields: &Fields<'_>, key: &'static str, found: &mut Found) -> Option<(U256, Spanned<Amount>)> {
    let written = fields.number(key, found)?;
    let amount = found.ok(Amount::parse(written.text, &[]), written.span())?;
    Some((found.ok(amount.wei(), written.span())?, Spanned::new(amount, written.span())))
}

/// `per_day = { value = "0.1 ether" }`.
fn coin_windows(source: &str, fields: &Fields<'_>, found: &mut Found) -> Vec<(CoinWindow, Spanned<Amount>)> {
    let mut windows = Vec::new();
    for (key, seconds) in WINDOWS {
        let Some((entries, span)) = fields.table(key, found) else { continue };
        let fields = Fields::new(source, entries, span, WINDOW_FIELDS, found);
        for (key, of) in [("value", Coin::NativeValue), ("gas", Coin::GasCost)] {
            let window = coin(&fields, key, found);
            windows.extend(window.map(|(total, written)| (CoinWindow { of, total, seconds }, written)));
        }
    }
    windows
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
