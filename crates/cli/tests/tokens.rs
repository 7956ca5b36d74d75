//! An operator's way from a new network to an owner's admission token.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use alloy_primitives::Address;
use quorate::{AdmissionToken, NetworkDescriptor};
use quorate_node::load_issuer;
use tempfile::TempDir;

const OWNER: Address = Address::repeat_byte(2);

fn network(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate"))
        .current_dir(folder)
        .arg("network")
        .args(arguments)
        .output()
        .unwrap()
}

/// What is printed where it succeeds.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = network(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// What is said of a command that fails, after which nothing was printed.
fn complaint(folder: &Path, arguments: &[&str]) -> String {
    let output = network(folder, arguments);
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with a network and an issuer's key, and the public key.
fn with_issuer() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init", "--out", "."]);
    let issuer = printed(folder.path(), &["issuer", "--out", "issuer.key"]);
    (folder, issuer)
}

fn issue<'a>(owner: &'a str, keys: &'a str, expires: &'a str) -> Vec<&'a str> {
    let files = ["issue-token", "--network", "network.json", "--issuer-key", "issuer.key"];
    [&files[..], &["--owner", owner, "--keys", keys, "--expires", expires]].concat()
}

#[test]
fn a_token_is_issued_that_the_printed_issuer_stands_for() {
    let (folder, issuer) = with_issuer();
    let token = printed(folder.path(), &issue(&OWNER.to_string(), "3", "4102444800"));
    let token = AdmissionToken::from_json(&token).unwrap();
    let descriptor = std::fs::read_to_string(folder.path().join("network.json")).unwrap();
    let network = NetworkDescriptor::from_json(&descriptor).unwrap().id();
    let issuers = [issuer.parse().unwrap()];
    assert_eq!(token.verify(network, OWNER, &issuers, 4_102_444_799), Ok(3));
    assert!(token.verify(network, OWNER, &issuers, 4_102_444_800).is_err());
}

#[test]
fn an_issuer_s_key_is_written_once_for_its_owner_alone_and_never_printed() {
    let (folder, _) = with_issuer();
    let file = folder.path().join("issuer.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    load_issuer(&file).unwrap();
    let again = network(folder.path(), &["issuer", "--out", "issuer.key"]);
    assert!(!again.status.success(), "it is not overwritten");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    let other = network(folder.path(), &["issuer", "--out", "other.key"]);
    let other_secret = std::fs::read_to_string(folder.path().join("other.key")).unwrap();
    let issued = network(folder.path(), &issue(&OWNER.to_string(), "1", "30d"));
    for output in [other, issued] {
        assert!(output.status.success());
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(!all.contains(&secret) && !all.contains(&other_secret), "{all}");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = complaint(folder.path(), &issue(&OWNER.to_string(), "1", "30d"));
    assert!(exposed.contains("chmod 600"), "{exposed}");
}

#[test]
fn a_token_that_would_admit_nobody_is_not_issued() {
    let (folder, _) = with_issuer();
    let owner = OWNER.to_string();
    for (arguments, reason) in [
        (issue(&owner, "3", "1000"), "which is over"),
        (issue(&owner, "3", "soon"), "neither a time from now"),
        (issue(&owner, "0", "30d"), "0 is not in 1"),
        (issue("0x02", "3", "30d"), "--owner"),
    ] {
        let said = complaint(folder.path(), &arguments);
        assert!(said.contains(reason), "{said}");
    }
}
