//! Operators make their nodes, one of them assembles the network, and each joins.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::path::Path;
use std::process::{Command, Output};

fn quorate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate")).current_dir(folder).args(arguments).output().unwrap()
}

/// The last line that is printed where it succeeds.
fn last_line(folder: &Path, arguments: &[&str]) -> String {
    let output = quorate(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
}

fn complaint(folder: &Path, arguments: &[&str]) -> String {
    let output = quorate(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

const ASSEMBLE: &[&str] =
    &["network", "assemble", "--threshold", "2", "--gateway", "wss://a.example", "--out", "network.json"];

#[test]
fn a_network_is_assembled_of_confirmed_cards_and_joined_with_its_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [alice, bob, carol] = ["alice", "bob", "carol"]
        .map(|name| last_line(folder, &["node", "init", "--out", name, "--name", name]));
    let cards = ["alice/card.json", "bob/card.json"];
    let assemble = |confirmed: &[&str], cards: &[&str]| {
        let confirmed = confirmed.iter().flat_map(|fingerprint| ["--confirm", fingerprint]);
        ASSEMBLE
            .iter()
            .copied()
            .chain(confirmed)
            .chain(cards.iter().copied())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let refused = |confirmed: &[&str], cards: &[&str]| {
        let arguments = assemble(confirmed, cards);
        let complaint = complaint(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!folder.join("network.json").exists());
        complaint
    };
    assert!(refused(&[&alice], &cards).contains("node 2 (bob) is not confirmed"));
    assert!(refused(&[&alice, &carol], &cards).contains("no card has the fingerprint"));
    let twice = refused(&[&alice], &["alice/card.json", "alice/card.json"]);
    assert!(twice.contains("nodes 1 and 2 have the same identity"), "{twice}");
    let card = std::fs::read_to_string(folder.join("bob/card.json")).unwrap();
    std::fs::write(folder.join("altered.json"), card.replace("bob", "eve")).unwrap();
    let altered = refused(&[&alice, &bob], &["alice/card.json", "altered.json"]);
    assert!(
        altered.contains("altered.json is refused: the node card is not signed by its identity"),
        "{altered}"
    );

    let arguments = assemble(&[&alice, &bob], &cards);
    let network = last_line(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let join = |home: &'static str, fingerprint: &str| {
        ["node", "join", home, "--network", "network.json", "--confirm", fingerprint].map(str::to_owned)
    };
    let wrong = join("bob", &alice);
    assert!(complaint(folder, &wrong.each_ref().map(String::as_str)).contains("it is another network"));
    let stranger = join("carol", &network);
    assert!(complaint(folder, &stranger.each_ref().map(String::as_str)).contains("none of the 2 nodes"));
    let joined = last_line(folder, &join("bob", &network).each_ref().map(String::as_str));
    assert_eq!(joined, "run it with: quorate node run --config bob/node.toml");
    assert!(std::fs::read_to_string(folder.join("bob/node.toml")).unwrap().starts_with("index = 2\n"));
}
