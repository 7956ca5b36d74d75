//! A chain, a signing network, and the program with an owner whose wallet is in a browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_signer_local::PrivateKeySigner;
use quorate::{Address, Quorate, SmartAccount};
use quorate_devnet::{Devnet, LocalNetwork, Quiet};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::runtime::Runtime;

use crate::chromium::{Browser, chromium};

const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate");

/// One chain serves all tests; each has an owner of its own.
static DEVNET: LazyLock<(Runtime, Devnet)> = LazyLock::new(|| {
    let start = || {
        let runtime = Runtime::new().unwrap();
        let devnet = runtime.block_on(Devnet::builder(cache()).start()).unwrap();
        (runtime, devnet)
    };
    // A test's own runtime does not start another.
    std::thread::spawn(start).join().unwrap()
});

/// The accounts that can be a test's owner; the chain's last one is the stranger.
const OWNERS: usize = 9;

/// How many accounts were given to tests.
static ACCOUNTS: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("devnet")
}

pub(crate) fn devnet() -> &'static Devnet {
    &DEVNET.1
}

/// An account that the chain's node signs for, as a wallet would.
fn unlocked(index: usize) -> Address {
    PrivateKeySigner::from_bytes(&devnet().funded_key(index).unwrap()).unwrap().address()
}

/// Somebody else, whose account is in the wallet as well.
pub(crate) fn stranger() -> Address {
    unlocked(9)
}

/// An owner with a configuration of the program, and a browser with a wallet.
pub(crate) struct Scene {
    pub(crate) owner: Address,
    index: usize,
    pub(crate) browser: Browser,
    folder: TempDir,
    _network: Option<LocalNetwork>,
}

impl Scene {
    /// The wallet has the owner's account and is on the chain, unless `wallet` says otherwise; none where there is no browser.
    pub(crate) async fn set(wallet: Value) -> Option<Self> {
        Self::set_in(wallet, json!({})).await
    }

    pub(crate) async fn set_in(wallet: Value, window: Value) -> Option<Self> {
        let chromium = chromium()?;
        let index = ACCOUNTS.fetch_add(1, Ordering::Relaxed);
        let owner = unlocked(index % OWNERS);
        let chain = format!("{:#x}", devnet().chain_id());
        let mut full = json!({
            "rpc": devnet().rpc_url(), "accounts": [owner], "others": [stranger()], "chainId": chain, "knows": ["0x1", chain],
            "owner": "signs",
        });
        for (name, value) in wallet.as_object().into_iter().flatten() {
            full[name] = value.clone();
        }
        let browser = Browser::start(&chromium, &cache(), full, window).await;
        let folder = tempfile::tempdir().unwrap();
        let scene = Self { owner, index, browser, folder, _network: None };
        scene.configure("");
        Some(scene)
    }

    /// The same with a signing network of three nodes.
    pub(crate) async fn with_network(mut self) -> Self {
        let folder = self.folder.path().join("network");
        let network = LocalNetwork::start(PROGRAM.as_ref(), &folder, 3, 2, &Quiet).await.unwrap();
        self.configure("network = \"network/network.json\"");
        self._network = Some(network);
        self
    }

    fn configure(&self, more: &str) {
        let devnet = devnet();
        let text = format!(
            "[profiles.devnet]\nrpc = \"{}\"\nbundler = \"{}\"\nstore = \"sessions.db\"\nstore_key = \"sessions.key\"\nowner = \"{}\"\nindex = {}\n{more}\n\
             [profiles.devnet.paymaster]\nservice = \"biconomy\"\nurl = \"{}\"\nsponsor = \"{}\"\ntoken_paymaster = \"{}\"\n",
            devnet.rpc_url(),
            devnet.bundler_url(),
            self.owner,
            self.index,
            devnet.paymaster_url(),
            devnet.verifying_paymaster(),
            devnet.token_paymaster(),
        );
        std::fs::write(self.folder.path().join("quorate.toml"), text).unwrap();
    }

    pub(crate) async fn account(&self) -> SmartAccount {
        let [rpc, bundler] = [devnet().rpc_url(), devnet().bundler_url()].map(Clone::clone);
        let client = Quorate::connect(rpc, bundler).await.unwrap();
        client.account(self.owner, self.index.try_into().unwrap())
    }

    /// A policy file that lets the account mint to itself.
    pub(crate) async fn policy(&self) -> String {
        let rule = format!("rules = [\"to == {}\"]", self.account().await.address());
        self.write_policy(&format!("for = \"7 days\"\n{}{rule}\n", self.may_mint()))
    }

    /// One that lets it mint to anybody for ever, which is pointed out.
    pub(crate) fn careless_policy(&self) -> String {
        self.write_policy(&self.may_mint())
    }

    fn may_mint(&self) -> String {
        format!("[[allow]]\ncontract = \"{}\"\nfunction = \"safeMint(address to)\"\n", devnet().nft())
    }

    pub(crate) fn write_policy(&self, text: &str) -> String {
        std::fs::write(self.folder.path().join("mint.toml"), text).unwrap();
        "mint.toml".to_owned()
    }

    /// The owner's key, which the chain's node has as well.
    pub(crate) fn owner_key(&self) -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&devnet().funded_key(self.index % OWNERS).unwrap()).unwrap()
    }

    /// Runs the program to its end, without a browser to wait for.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        Program::start(self.folder.path(), arguments).ends().await
    }

    /// Runs the program until it waits for the browser.
    pub(crate) async fn program(&self, arguments: &[&str]) -> Program {
        let arguments = [arguments, &["--browser", "--no-open"]].concat();
        let mut program = Program::start(self.folder.path(), &arguments);
        let line = program.says("sign in the browser").await;
        program.url = line.split_once(": ").unwrap().1.to_owned();
        program
    }

    /// Runs a command with the page open in a tab.
    pub(crate) async fn begin(&mut self, arguments: &[&str]) -> Program {
        let program = self.program(arguments).await;
        self.browser.open("one", &program.url).await;
        program
    }
}

/// What the program is to do within five minutes.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(300), work).await;
    done.unwrap_or_else(|_| panic!("the program did not come to {what}"))
}

/// The program while it runs.
pub(crate) struct Program {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    pub(crate) url: String,
}

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) answer: Value,
    pub(crate) said: String,
}

impl Program {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .arg("--json")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stderr, url: String::new() }
    }

    /// The next line on stderr that has these words.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let mut said = String::new();
        while let Some(line) = soon(words, self.stderr.next_line()).await.unwrap() {
            if line.contains(words) {
                return line;
            }
            said = format!("{said}{line}\n");
        }
        panic!("it ended without `{words}`: {said}");
    }

    pub(crate) async fn ends(mut self) -> Ended {
        let (mut stdout, mut said) = (String::new(), String::new());
        let mut answer = self.child.stdout.take().unwrap();
        soon("its end", answer.read_to_string(&mut stdout)).await.unwrap();
        while let Some(line) = self.stderr.next_line().await.unwrap() {
            said = format!("{said}{line}\n");
        }
        let code = self.child.wait().await.unwrap().code();
        Ended { code, answer: serde_json::from_str(&stdout).unwrap_or_default(), said }
    }

    /// It has done what it was to do; gives its answer.
    pub(crate) async fn succeeds(self) -> Value {
        let Ended { code, answer, said } = self.ends().await;
        assert_eq!(code, Some(0), "{said}");
        answer
    }
}
