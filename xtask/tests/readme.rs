//! The README's claims name tests that exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::fs;
use std::path::Path;

/// The links of the form ``[`name_of_a_test`](file.rs)``: name and file.
fn named_tests<'a>(text: &'a str) -> Vec<(&'a str, &'a str)> {
    let link = |rest: &'a str| -> Option<_> {
        let (name, rest) = rest.split_once("`](")?;
        let (file, _) = rest.split_once(')')?;
        let is_function = name.contains('_') && !name.contains(['.', '/', ':']);
        (is_function && file.ends_with(".rs")).then_some((name, file))
    };
    text.split("[`").skip(1).filter_map(link).collect()
}

#[test]
fn every_claim_of_the_security_model_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let tests = named_tests(&readme);
    assert!(tests.len() > 20, "{tests:?}");
    for (name, file) in tests {
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
    }
}
