//! The migration guide names tests that there are.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::fs;
use std::path::Path;

#[test]
fn every_row_of_the_migration_guide_names_its_test() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    read(crates, &mut sources);
    let rows = include_str!("../docs/migration.md").lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.filter(|row| !row.ends_with("| test |")) {
        let name = row.trim_end_matches(" |").rsplit("| ").next().unwrap().trim_matches('`');
        assert!(!name.is_empty() && sources.contains(&format!("fn {name}()")), "no such test: {row}");
        named += 1;
    }
    assert!(named > 40, "{named} rows were found");
}

fn read(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            read(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
