//! A session from a policy file to its end, as it is typed: `quorate devnet` in one terminal, the commands in another.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod devnet;
#[path = "../revoked/mod.rs"]
mod revoked;
mod stores;
#[path = "../terminal/mod.rs"]
mod terminal;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use alloy_primitives::U256;

use crate::devnet::{Devnet, QUORATE, cache};
use crate::terminal::Terminal;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const STRANGER: &str = "0xCcCCccCcCcCCCcccCCccCcCCccCCCcccCcCcCCcc";

#[test]
fn a_policy_file_becomes_a_session_that_mints_is_refused_beyond_it_and_ends() {
    let devnet = Devnet::start();
    let policies = devnet.path("mint.toml");
    let policies = policies.to_str().unwrap();

    let healthy = devnet.quorate(&["doctor"]);
    assert!(healthy.status.success(), "{}{}", String::from_utf8_lossy(&healthy.stdout), stderr(&healthy));

    let pay = devnet.path("pay.toml");
    let explained = devnet.quorate(&["policy", "explain", pay.to_str().unwrap()]);
    assert!(explained.status.success(), "{}", stderr(&explained));
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("in each day together is at most 5 USDC"), "{explained}");

    let created = devnet.quorate(&["session", "create", policies, "--yes"]);
    assert!(created.status.success(), "{}", stderr(&created));
    assert_eq!(devnet.statuses(), ["active"]);

    let minted = devnet.mint(devnet.account());
    assert!(minted.status.success(), "{}", stderr(&minted));
    let refused = devnet.mint(STRANGER);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("permitted is equal to"), "{}", stderr(&refused));
    let check = |to: &str| {
        devnet.quorate(&["session", "check", devnet.nft(), "safeMint(address to)", to]).status.code()
    };
    assert_eq!((check(devnet.account()), check(STRANGER)), (Some(0), Some(3)));

    // A key of the store's has no limits, and can be extended and replaced.
    let limitless = devnet.limitless_policies();
    let with_limits = devnet.quorate(&["session", "create", policies, "--key", "store"]);
    assert_eq!(with_limits.status.code(), Some(2), "{}", stderr(&with_limits));
    let local = devnet.answer(&["session", "create", limitless.to_str().unwrap(), "--key", "store", "--yes"]);
    assert!(local["keyId"].is_null(), "{local}");
    let local = local["session"].as_str().unwrap();
    let extended = devnet.answer(&["session", "extend", local, "--until", "2099-12-31", "--yes"]);
    let extended = extended["session"].as_str().unwrap();
    let shown = devnet.answer(&["session", "show", extended]);
    assert_eq!(shown["policies"][0]["validUntil"], 4_102_444_799_u64, "{shown}");
    let replaced = devnet.answer(&["session", "replace-key", extended, "--yes"]);
    assert_ne!(replaced["sessionKey"], shown["sessionKey"]);
    assert_eq!(devnet.statuses(), ["active", "revoked", "revoked", "active"]);

    let ended = devnet.answer(&["session", "revoke", "--all", "--yes"]);
    assert_eq!(devnet.stored_by(&ended["keys"][0]), 5, "{ended}");
    assert!(devnet.statuses().iter().all(|status| status == "revoked"));
    let after = devnet.mint(devnet.account());
    assert_eq!(after.status.code(), Some(3), "{}", stderr(&after));
    assert_eq!(devnet.answer(&["account", "show"])["deployed"], true);
}

/// The same policy file, where the owner's own account holds it: one word more at the grant, and the key pays for its gas.
#[test]
fn the_same_policy_file_becomes_a_delegation_that_a_network_s_key_redeems() {
    let devnet = Devnet::start();
    let policies = devnet.path("mint.toml");
    let policies = policies.to_str().unwrap();
    let create = ["session", "create", policies, "--target=delegation", "--yes"];

    let store = devnet.quorate(&[&create[..], &["--key", "store"]].concat());
    assert_eq!(store.status.code(), Some(2), "{}", stderr(&store));
    // A comparison that no caveat makes is refused before anybody signs.
    let compared = devnet.path("compared.toml");
    let text = std::fs::read_to_string(policies).unwrap();
    std::fs::write(&compared, text.replace("to == ", "to != ")).unwrap();
    let refused =
        devnet.quorate(&["session", "create", compared.to_str().unwrap(), "--target=delegation", "--yes"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("equal bytes at a place and no other comparison"),
        "{}",
        stderr(&refused)
    );

    // Nobody pays for transactions of the key, so a policy that has somebody else pay needs an account.
    let sponsored = devnet.path("sponsored.toml");
    std::fs::write(&sponsored, text.replace("[limits]\n", "[limits]\npaymaster = \"required\"\n")).unwrap();
    let refused =
        devnet.quorate(&["session", "create", sponsored.to_str().unwrap(), "--target=delegation", "--yes"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--session-account"), "{}", stderr(&refused));

    let created = devnet.quorate(&[&create[..], &["--json"]].concat());
    assert!(created.status.success(), "{}", stderr(&created));
    assert!(stderr(&created).contains("the owner's signer signs the delegation"), "{}", stderr(&created));
    let created: serde_json::Value = serde_json::from_slice(&created.stdout).unwrap();
    let key = created["sessionKey"].as_str().unwrap();

    let redeem = |to: &str| devnet.quorate(&["session", "redeem", devnet.nft(), "safeMint(address to)", to]);
    let poor = redeem(devnet.account());
    assert_eq!(poor.status.code(), Some(3), "{}", stderr(&poor));
    assert!(stderr(&poor).contains("needs"), "{}", stderr(&poor));
    devnet.answer(&["account", "send", key, "0.1 ether", "--yes"]);
    let before = devnet.tokens_of_account();
    let minted = redeem(devnet.account());
    assert!(minted.status.success(), "{}", stderr(&minted));
    assert_eq!(devnet.tokens_of_account(), before + U256::ONE);
    let refused = redeem(STRANGER);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("delegation 0, caveat 2"), "{}", stderr(&refused));

    let listed = devnet.answer(&["session", "list"]);
    assert_eq!(listed["delegated"][0]["status"], "active", "{listed}");
    assert_eq!(listed["delegated"][0]["left"][0]["amount"], "0x63", "{listed}");

    // Through an account of the key's own, by the bundler: the key that was made last redeems.
    let created = devnet.answer(&[&create[..], &["--session-account"]].concat());
    let account = created["sessionAccount"].as_str().unwrap();
    let self_paid = |to: &str| {
        devnet.quorate(&["session", "redeem", devnet.nft(), "safeMint(address to)", to, "--self-paid"])
    };
    let poor = self_paid(devnet.account());
    assert_eq!(poor.status.code(), Some(3), "{}", stderr(&poor));
    assert!(stderr(&poor).to_lowercase().contains(account), "{}", stderr(&poor));
    let sponsored = redeem(devnet.account());
    assert!(sponsored.status.success(), "{}", stderr(&sponsored));
    devnet.answer(&["account", "send", account, "0.1 ether", "--yes"]);
    let minted = self_paid(devnet.account());
    assert!(minted.status.success(), "{}", stderr(&minted));
    assert_eq!(devnet.tokens_of_account(), before + U256::from(3));
    let listed = devnet.answer(&["session", "list"]);
    assert_eq!(listed["delegated"][1]["sessionKey"], created["sessionKey"], "{listed}");
    assert_eq!(listed["delegated"][1]["left"][0]["amount"], "0x62", "{listed}");

    // Settings without the network are no reason to leave its keys out.
    let settings = std::fs::read_to_string(devnet.path("quorate.toml")).unwrap();
    let others = settings.lines().filter(|line| !line.starts_with("network"));
    let without_network = devnet.path("without-network.toml");
    std::fs::write(&without_network, others.collect::<Vec<_>>().join("\n")).unwrap();
    let mut list = Command::new(QUORATE);
    let unlisted = devnet.at_work(&mut list).env("QUORATE_CONFIG", &without_network);
    let unlisted = unlisted.args(["session", "list"]).output().unwrap();
    assert_eq!(unlisted.status.code(), Some(2), "{}", stderr(&unlisted));
    assert!(stderr(&unlisted).contains("network"), "{}", stderr(&unlisted));

    // A key is not forgotten while a quorum has not heard of its end.
    let held_up = devnet.hold_up(&[1, 2, 3]);
    let key = created["sessionKey"].as_str().unwrap();
    let unheard = devnet.quorate(&["session", "revoke", key, "--yes"]);
    drop(held_up);
    assert_eq!(unheard.status.code(), Some(4), "{}", stderr(&unheard));
    assert!(stderr(&unheard).contains("NOT REVOKED YET"), "{}", stderr(&unheard));
    let listed = devnet.answer(&["session", "list"]);
    assert_eq!(listed["delegated"].as_array().unwrap().len(), 2, "{listed}");

    let ended = devnet.answer(&["session", "revoke", "--all", "--yes"]);
    let stored_by = |key: usize| devnet.stored_by(&ended["keys"][key]);
    assert_eq!((stored_by(0), stored_by(1)), (5, 5), "{ended}");
    // `disableDelegation`, which the owner may have their account call besides.
    assert!(ended["keys"][0]["onChain"]["data"].as_str().unwrap().starts_with("0x49934047"), "{ended}");
    let after = redeem(devnet.account());
    assert_eq!(after.status.code(), Some(2), "{}", stderr(&after));
    let nothing = devnet.quorate(&["session", "revoke", "--all", "--yes"]);
    assert_eq!(nothing.status.code(), Some(3), "{}", stderr(&nothing));
}

/// What a guide has its reader type: the lines of its blocks for the shell, in order.
fn typed(guide: &str) -> Vec<&str> {
    let after_fences = guide.split("```sh\n").skip(1);
    after_fences.flat_map(|text| text.split("```").next().unwrap().lines()).collect()
}

#[test]
fn a_first_session_goes_as_its_guide_has_it_typed() {
    let typed = typed(include_str!("../../../quorate/docs/guides/first_session.md"));
    let [build, devnet, second_terminal @ ..] = &typed[..] else { panic!("{typed:?}") };
    assert_eq!(*build, "cargo build --bin quorate"); // which has been done

    // A checkout, in which the program is built.
    let checkout = tempfile::tempdir().unwrap();
    let at = |path: &str| checkout.path().join(path);
    std::fs::create_dir_all(at("target/debug")).unwrap();
    std::fs::create_dir_all(cache()).unwrap();
    symlink(QUORATE, at("target/debug/quorate")).unwrap();
    symlink(cache(), at("target/devnet")).unwrap();
    let mut first = Command::new("bash");
    first.args(["-c", &format!("exec {devnet}")]).current_dir(checkout.path());
    let (folder, files) = (checkout.path().to_owned(), at("devnet"));
    let devnet = Devnet::run(&mut first, checkout, files);

    let mut second = Terminal::run("bash", &folder, &["-euc", &second_terminal.join("\n")], &[]);
    second.press("y\ny\ny\n"); // to each question
    let code = second.exit();
    let said = second.said();
    assert_eq!(code, 0, "{said}");
    for shown in ["only if to is equal to", "Sign this operation? [y/N]", "refused: exit code 3"] {
        assert!(said.contains(shown), "no `{shown}` in: {said}");
    }
    assert_eq!(devnet.tokens_of_account(), U256::ONE, "{said}");
    assert_eq!(devnet.statuses(), ["revoked"]);
}

/// A command that needs no endpoint, in a folder of its own.
fn offline(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(QUORATE);
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.envs(environment.iter().copied()).output().unwrap()
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let owner = |byte: &str| format!("0x{}", byte.repeat(20));
    let file = format!("[profiles.here]\nowner = \"{}\"\nindex = 1\n", owner("11"));
    std::fs::write(folder.path().join("quorate.toml"), file).unwrap();
    let address = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = offline(folder.path(), &[&["account", "address"], arguments].concat(), environment);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let (environment, flag) = (owner("22"), owner("33"));
    let of_file = address(&[], &[]);
    let of_environment = address(&[], &[("QUORATE_OWNER", &environment)]);
    let of_flag = address(&["--owner", &flag], &[("QUORATE_OWNER", &environment)]);
    assert_eq!(address(&["--owner", &environment], &[]), of_environment);
    assert_eq!(address(&["--owner", &flag], &[]), of_flag);
    assert!(of_file != of_environment && of_environment != of_flag);
    assert_ne!(address(&["--index", "0"], &[]), of_file);
}

#[test]
fn what_is_missing_is_named_with_the_ways_to_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let says = |arguments: &[&str]| {
        let output = offline(folder.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    let rpc = "error: no rpc: set `rpc` in quorate.toml, QUORATE_RPC, or --rpc\n";
    assert_eq!(says(&["session", "list"]), rpc);
    let profile = says(&["session", "list", "--profile", "main"]);
    assert!(profile.contains("there is no quorate.toml here; give --config"), "{profile}");
    std::fs::write(folder.path().join("quorate.toml"), "[profiles.main]\nbundlr = \"http://localhost\"")
        .unwrap();
    let unknown = says(&["session", "list"]);
    assert!(unknown.contains("unknown field `bundlr`") && unknown.contains("bundlr ="), "{unknown}");
}
