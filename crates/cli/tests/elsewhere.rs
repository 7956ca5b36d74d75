//! An owner who signs elsewhere: the program prints what is to be signed, and takes the signature later.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod revoked;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use alloy_dyn_abi::TypedData;
use alloy_primitives::{B256, hex, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate::{Address, Quorate};
use quorate_devnet::{Devnet, LocalNetwork, Quiet};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate");

/// A chain, a network, and an owner whose key is in this process alone.
struct Scene {
    devnet: Devnet,
    network: LocalNetwork,
    owner: PrivateKeySigner,
    account: Address,
    folder: TempDir,
}

impl Scene {
    async fn set() -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
        let devnet = Devnet::builder(cache).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let network = folder.path().join("network");
        let network = LocalNetwork::start(PROGRAM.as_ref(), &network, 3, 2, &Quiet).await.unwrap();
        let owner = PrivateKeySigner::random();
        let client = Quorate::connect(devnet.rpc_url().clone(), devnet.bundler_url().clone()).await.unwrap();
        let account = client.account(owner.address(), 0).address();
        let settings = format!(
            "[profiles.devnet]\nrpc = \"{}\"\nbundler = \"{}\"\nstore = \"sessions.db\"\nstore_key = \"sessions.key\"\nowner = \"{}\"\n\
             network = \"network/network.json\"\n[profiles.devnet.paymaster]\nservice = \"biconomy\"\nurl = \"{}\"\nsponsor = \"{}\"\n",
            devnet.rpc_url(),
            devnet.bundler_url(),
            owner.address(),
            devnet.paymaster_url(),
            devnet.verifying_paymaster(),
        );
        let policy = format!(
            "for = \"7 days\"\n[limits]\nuses = 100\n[[allow]]\ncontract = \"{}\"\nfunction = \"safeMint(address to)\"\n\
             rules = [\"to == {account}\"]\n",
            devnet.nft(),
        );
        std::fs::write(folder.path().join("quorate.toml"), settings).unwrap();
        std::fs::write(folder.path().join("mint.toml"), policy).unwrap();
        Self { devnet, network, owner, account, folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn statuses(&self) -> Vec<String> {
        let listed = self.command(&["session", "list", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let sessions = listed["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["status"].as_str().unwrap().to_owned()).collect()
    }

    /// Has a command print, and signs the typed data that it asks for meanwhile.
    fn print(&self, arguments: &[&str], draft: &Path) -> Output {
        let arguments = [arguments, &["--print", draft.to_str().unwrap(), "--json"]].concat();
        let mut command = self.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut stdin, mut said) = (child.stdin.take().unwrap(), Vec::new());
        for line in BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap) {
            if let Some(file) = line.strip_prefix("typed data  ") {
                let document: TypedData = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
                let signature = self.owner.sign_hash_sync(&document.eip712_signing_hash().unwrap()).unwrap();
                writeln!(stdin, "{signature}").unwrap();
            }
            said.push(line);
        }
        let output = child.wait_with_output().unwrap();
        Output { stderr: said.join("\n").into_bytes(), ..output }
    }

    /// The same for a command that succeeds: what it answers, and what it showed.
    fn printed(&self, arguments: &[&str], draft: &Path) -> (Value, String) {
        let output = self.print(arguments, draft);
        assert!(output.status.success(), "{}", stderr(&output));
        (serde_json::from_slice(&output.stdout).unwrap(), stderr(&output))
    }

    fn submit(&self, draft: &Path, signature: &str) -> Output {
        let arguments = ["submit", draft.to_str().unwrap(), "--signature", signature, "--json"];
        self.command(&arguments).output().unwrap()
    }

    /// The answer to a signature that is taken.
    fn submitted(&self, draft: &Path, signature: &str) -> Value {
        let output = self.submit(draft, signature);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What is said where nothing is sent.
    fn refused(&self, draft: &Path, signature: &str) -> String {
        let output = self.submit(draft, signature);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        let resumed = self.command(&["session", "resume", "--json"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&resumed.stdout).trim(), "{\"operations\":[]}");
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sign(signer: &PrivateKeySigner, printed: &Value) -> String {
    let hash: B256 = printed["userOpHash"].as_str().unwrap().parse().unwrap();
    hex::encode_prefixed(signer.sign_message_sync(hash.as_slice()).unwrap().as_bytes())
}

/// The file with one digit of a field changed, beside it.
fn altered(draft: &Path, field: &str) -> PathBuf {
    let mut text = std::fs::read_to_string(draft).unwrap();
    let start = text.find(&format!("\"{field}\"")).unwrap_or_else(|| panic!("no {field} in {text}"));
    let place = start + text[start..].find("0x").unwrap() + 4;
    let digit = if &text[place..=place] == "7" { "8" } else { "7" };
    text.replace_range(place..=place, digit);
    let path = draft.with_extension(field);
    std::fs::write(&path, text).unwrap();
    path
}

/// The same with a checksum that fits.
fn forged(draft: &Path, field: &str) -> PathBuf {
    let path = altered(draft, field);
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let summed = json!([file["command"], file["purpose"], file["draft"]]).to_string();
    file["checksum"] = json!(keccak256(summed));
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_granted_and_revoked_by_drafts_that_wait_for_the_owner_s_signature() {
    let scene = Scene::set().await;
    let scene = tokio::task::spawn_blocking(move || {
        live(&scene);
        scene
    });
    let Scene { devnet, network, .. } = scene.await.unwrap();
    network.shutdown().await;
    devnet.shutdown().await;
}

fn live(scene: &Scene) {
    let (grant, revocation) = (scene.path("grant.json"), scene.path("revocation.json"));

    // The network's key is made at once, the operation waits.
    let create = ["session", "create", "mint.toml"];
    let (printed, shown) = scene.printed(&create, &grant);
    // What is signed is shown first, from its bytes; and what the chain does not hold.
    for words in [
        "only if to is equal to",
        "[nodes alone]",
        "Have the network make a key",
        "(for 60 s)",
        "Hash of all this 0x",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(printed["method"], "personal_sign");
    assert!(printed["validUntil"].is_u64(), "a paymaster pays: {printed}");
    assert_eq!(grant.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!scene.path("grant.json.typed-data.json").exists());
    assert_eq!(scene.statuses(), ["inactive"]);
    let again = scene.print(&create, &grant);
    assert_eq!(again.status.code(), Some(2), "{}", stderr(&again));
    assert!(stderr(&again).contains("is not overwritten"), "{}", stderr(&again));

    // What is not what the owner signed sends nothing.
    let signature = sign(&scene.owner, &printed);
    for field in ["callData", "leaves", "sessionKey", "checksum"] {
        let refused = scene.refused(&altered(&grant, field), &signature);
        assert!(refused.contains("it was changed since it was written"), "{field}: {refused}");
    }
    assert!(scene.refused(&forged(&grant, "callGasLimit"), &signature).contains("nothing was sent"));
    assert!(scene.refused(&forged(&grant, "leaves"), &signature).contains("nothing was sent"));
    let stranger = sign(&PrivateKeySigner::random(), &printed);
    assert!(scene.refused(&grant, &stranger).contains("nothing was sent"));
    assert!(scene.refused(&grant, "0x1234").contains("130 hex digits"));
    assert!(scene.refused(&grant, "-").contains("stdin ended without a signature"));
    assert_eq!(scene.statuses(), ["inactive"]);

    // The signature comes, twice: the second time it is told what became of the first.
    let granted = scene.submitted(&grant, &signature);
    assert_eq!(scene.statuses(), ["active"]);
    let second = scene.submit(&grant, &signature);
    assert!(second.status.success() && stderr(&second).contains("was sent before"), "{}", stderr(&second));
    assert_eq!(serde_json::from_slice::<Value>(&second.stdout).unwrap(), granted);
    let (nft, account) = (scene.devnet.nft().to_string(), scene.account.to_string());
    let minted = scene.command(&["session", "use", &nft, "safeMint(address to)", &account]).output().unwrap();
    assert!(minted.status.success(), "{}", stderr(&minted));

    // The key ends at the network first, and then the session by a draft.
    let (printed, shown) = scene.printed(&["session", "revoke", "--all"], &revocation);
    assert!(shown.contains("End a session's key") && shown.contains("without an end"), "{shown}");
    let ended = scene.submitted(&revocation, &sign(&scene.owner, &printed));
    assert_eq!(ended["revoked"], json!([granted["session"]]));
    let stored_by = revoked::stored_by(&ended["keys"][0], &scene.path("network/network.json"), &scene.owner);
    assert_eq!(stored_by, 3, "{ended}");
    assert_eq!(scene.statuses(), ["revoked"]);
}
