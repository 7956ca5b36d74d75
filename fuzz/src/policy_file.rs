use quorate_core::{Address, Call, Condition, LintContext, U256};
use quorate_policy_file::{Facts, Format, Mistakes, PolicyFile, Target};

/// A policy file, as TOML and as JSON: what is wrong has a place in the text, and what is right is explained, rule by rule.
pub fn policy_file(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let read = |format| is_right(text, format).unwrap_or_else(|mistakes| have_places(&mistakes, text));
    // Each of them, since the other may panic.
    let taken = [Format::Toml, Format::Json].map(read);
    taken.contains(&true)
}

fn is_right(text: &str, format: Format) -> Result<bool, Mistakes> {
    let file = PolicyFile::parse("policy", text, format)?;
    let decimals =
        file.tokens().filter(|token| token.decimals.is_none()).map(|token| (token.address, 6)).collect();
    let compiled = file.compile(&Facts { decimals, now: Some(1_800_000_000) })?;
    assert_eq!(compiled.policies().len(), file.functions().count());
    let rules: usize = compiled.policies().iter().map(|policy| policy.rules().len()).sum();
    for target in [Target::ChainAlone, Target::Network] {
        let explained = compiled.explain(target, Some(&Condition::ALL));
        let said = explained.statements().iter().filter(|it| it.text.starts_with("only if ")).count();
        assert_eq!(said, rules);
        assert!(explained.statements().iter().all(|it| !it.text.contains('\n')));
        explained.to_string();
    }
    compiled.lint(&LintContext::default());
    let call = Call { to: Address::ZERO, value: U256::ONE, data: &[1, 2, 3, 4] };
    compiled.check(&call, Some(1_800_000_000));
    Ok(true)
}

fn have_places(mistakes: &Mistakes, text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(!mistakes.as_slice().is_empty());
    for place in mistakes.as_slice().iter().flat_map(|mistake| mistake.places()) {
        assert!(text.get(place.offset..place.offset + place.len).is_some());
    }
    false
}
