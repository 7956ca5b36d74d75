//! `[tokens]`: `USDC = "0x…"`, or a table with the address and the decimals.

use quorate_core::json::parse_address;

use super::WrittenToken;
use crate::amount::COIN_UNITS;
use crate::mistake::{Found, MistakeKind};
use crate::read::{Entry, Fields, Spanned, Value, Written, wrong_type};

pub(super) fn read(source: &str, fields: &Fields<'_>, found: &mut Found) -> Vec<WrittenToken> {
    let entries = fields.table("tokens", found).map_or(&[][..], |(entries, _)| entries);
    entries.iter().filter_map(|entry| token(source, entry, found)).collect()
}

fn token(source: &str, Entry { key, value: node }: &Entry, found: &mut Found) -> Option<WrittenToken> {
    if !is_name(&key.value) {
        found.report(MistakeKind::TokenName { name: key.value.clone() }, key.span.clone());
    }
    let (address, decimals) = match &node.value {
        Value::Table(entries) => {
            let known = &["address", "decimals"];
            let fields = Fields::new(source, entries, key.span.clone(), known, found);
            let address = fields.required_text("address", "a token", found);
            (address, fields.number("decimals", found).and_then(|written| decimals(&written, found)))
        }
        Value::Text(_) => (Written::of_text(source, node), None),
        _ => return wrong_type(&key.value, "an address, or a table", node, found),
    };
    // The name is known all the same, so that its uses are no mistakes as well.
    let address = address.and_then(|written| found.ok(parse_address(written.text), written.span()));
    let address = address.unwrap_or_default();
    Some(WrittenToken { name: key.value.clone(), address, decimals })
}

fn decimals(written: &Written<'_>, found: &mut Found) -> Option<Spanned<u8>> {
    let number = written.text.parse().ok().filter(|decimals| *decimals <= MistakeKind::MAX_DECIMALS);
    Some(Spanned::new(found.ok(number.ok_or(MistakeKind::Decimals), written.span())?, written.span()))
}

fn is_name(name: &str) -> bool {
    let reserved = COIN_UNITS.iter().map(|(unit, _)| *unit).chain(["true", "false"]);
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.+".contains(letter))
        && !reserved.into_iter().any(|it| it == name)
}
