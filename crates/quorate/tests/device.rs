//! An emulated hardware signer that shows, approves and signs: a grant on a real chain, and whatever else it takes.
//!
//! `cargo xtask firmware` builds the firmware, names it in `QUORATE_FIRMWARE`, and runs this.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, U256, keccak256};
use alloy_signer::Signer as _;
use alloy_sol_types::SolCall as _;
use quorate::{
    Call, Condition, Draft, FunctionSelector, LocalSessionKey, Policy, Quorate, Rule, SessionGrant,
};
use quorate_contracts::Erc721;
use quorate_core::delegation::{Caveats, Delegation, MANAGER_V1_3_0, ROOT_AUTHORITY};
use quorate_core::{
    DelegationDomain, Domain, EntryPointVersion, Initialization, Paymaster, UnpackedUserOperation, merkle,
    signing_hash,
};
use quorate_device::host::{
    Deadlines, DelegationRequest, DeviceSigner, GrantedSession, KeyRequestText, Operation, OperationRequest,
    SigningRequest,
};
use quorate_devnet::Devnet;
use quorate_protocol::{Limits, Permissions, PermittedPolicy};
use quorate_signer::sign_as_owner;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// How long is waited for the machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The firmware in QEMU, with its port to the host on one socket, and its screen and button on another.
struct Emulator {
    _machine: Machine,
    device: DeviceSigner<UnixStream>,
    screen: Screen,
    _ports: TempDir,
}

/// The lines of the screen, all that were ever there.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<String>>>);

impl Screen {
    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Reads the screen, and presses the button whenever it is asked for.
    async fn approve_all(self, port: UnixStream) {
        let (reader, mut writer) = port.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line == "?" {
                writer.write_all(b"y").await.unwrap();
            } else {
                self.0.lock().unwrap().push(line);
            }
        }
    }
}

impl Emulator {
    async fn start() -> Self {
        let firmware =
            std::env::var_os("QUORATE_FIRMWARE").expect("`cargo xtask firmware` names the firmware");
        let ports = tempfile::tempdir().unwrap();
        let [host, user] = ["host", "user"].map(|port| ports.path().join(port));
        let serial = |port: &Path| format!("unix:{},server=on,wait=on", port.display());
        let machine = Command::new("qemu-system-arm")
            .args(["-machine", "mps2-an386", "-cpu", "cortex-m4", "-nographic", "-monitor", "none"])
            .args(["-semihosting-config", "enable=on,target=native"])
            .args(["-serial", &serial(&host), "-serial", &serial(&user)])
            .arg("-kernel")
            .arg(firmware)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Machine(machine);
        let (stream, user) = (connect(&mut machine, &host).await, connect(&mut machine, &user).await);
        let screen = Screen::default();
        tokio::spawn(screen.clone().approve_all(user));
        // The machine is emulated beside other tests.
        let deadlines = Deadlines { answer: PATIENCE, ..Deadlines::default() };
        let device = DeviceSigner::connect_with(stream, deadlines).await.unwrap();
        Self { _machine: machine, device, screen, _ports: ports }
    }

    /// Has the device sign, and verifies what it gives; gives what it showed.
    async fn sign(&self, request: SigningRequest) -> String {
        self.screen.forget();
        let hash = request.hash().unwrap();
        let digest = match request {
            SigningRequest::Key(_) | SigningRequest::Delegation(_) => hash,
            SigningRequest::Operation(_) | SigningRequest::Use(_) => signing_hash(hash),
        };
        let signature = self.device.sign(&request).await.unwrap();
        assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), self.device.address());
        let screen = self.screen.text();
        assert!(screen.contains(&format!("Hash of all this {hash}")), "{screen}");
        screen
    }
}

/// Connects to a port of the machine, which opens them one after the other.
async fn connect(machine: &mut Machine, port: &Path) -> UnixStream {
    let connect = async {
        loop {
            if let Ok(stream) = UnixStream::connect(port).await {
                return stream;
            }
            assert_eq!(machine.0.try_wait().unwrap(), None, "the machine has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connect).await.unwrap()
}

/// QEMU, which ends with this.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn request(draft: &Draft<SessionGrant>) -> OperationRequest {
    let message = draft.operation();
    OperationRequest {
        domain: Domain { entry_point: message.entry_point, chain_id: message.chain_id },
        operation: message.operation.clone().into(),
        sessions: draft.intent().session.policies().iter().cloned().map(GrantedSession::Shown).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_shows_and_signs_a_grant_that_the_chain_takes() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
    let devnet = Devnet::builder(cache).start().await.unwrap();
    let client = Quorate::connect(devnet.rpc_url().clone(), devnet.bundler_url().clone()).await.unwrap();
    let emulator = Emulator::start().await;

    let account = client.account(emulator.device.address(), 0);
    devnet.set_balance(account.address(), U256::from(10).pow(U256::from(18))).await.unwrap();
    let mint = FunctionSelector::parse("safeMint(address)").unwrap();
    let policy =
        Policy::new(devnet.nft(), mint).with_rule(Rule::new(0, Condition::Equal, account.address())).unwrap();
    let key = LocalSessionKey::random();
    let draft = account.prepare(account.grant([policy]).unwrap(), &key).await.unwrap();

    // Sessions that are not those of the operation are refused on the device's screen.
    let mut tampered = request(&draft);
    let GrantedSession::Shown(session) = &mut tampered.sessions[0] else { panic!("it is shown") };
    session.session_key_data[..20].copy_from_slice(Address::repeat_byte(0x66).as_slice());
    let refused = emulator.device.sign(&SigningRequest::Operation(tampered)).await.unwrap_err();
    assert!(refused.to_string().contains("other sessions would be granted"), "{refused}");
    let screen = emulator.screen.text();
    assert!(screen.contains("REFUSED: the sessions shown make the root"), "{screen}");
    assert!(!screen.contains("Hash of all this"), "{screen}");

    emulator.screen.forget();
    let signer = emulator.device.signer(SigningRequest::Operation(request(&draft)));
    let signature = sign_as_owner(&signer, draft.user_op_hash()).await.unwrap();
    let screen = emulator.screen.text();
    println!("{screen}");
    assert!(screen.contains("function safeMint(address to) (0x40d097c3)"), "{screen}");
    assert!(screen.contains(&format!("only if to is equal to {}", account.address())), "{screen}");
    assert!(screen.contains("lets sessions act for the account"), "{screen}");
    assert!(screen.contains(&format!("Hash of all this {}", draft.user_op_hash())), "{screen}");

    let granted = account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
    let session = client.session(granted, Arc::new(key)).unwrap();
    let data = Erc721::safeMintCall { to: account.address() }.abi_encode();
    let minted = session.send(Call::raw(devnet.nft(), data)).await.unwrap();
    assert!(minted.wait().await.unwrap().success);
    devnet.shutdown().await;
}

const ACCOUNT: Address = Address::repeat_byte(0xac);
const MODULE: Address = quorate_core::address!("000006bC2eCdAe38113929293d241Cf252D91861");
const MANAGER: Address = quorate_core::address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");

/// A policy of many rules, for which the device has the most to do.
fn policy() -> Policy {
    let mint = FunctionSelector::parse("transfer(address,uint256)").unwrap();
    let rules = (0..16).map(|rule| Rule::new(32 * rule, Condition::LessThanOrEqual, U256::from(rule)));
    rules.fold(Policy::new(Address::repeat_byte(0xaa), mint), |policy, rule| policy.with_rule(rule).unwrap())
}

/// The grant of some sessions by an account that a factory makes and for which a paymaster pays.
fn grant(version: EntryPointVersion) -> OperationRequest {
    use quorate_core::{Encode as _, Execute, Leaf, SessionKeyData};
    let session = |key: u8| Leaf {
        epoch: policy().epoch(),
        validation_module: MODULE,
        session_key_data: SessionKeyData::new(Address::repeat_byte(key), &policy()).to_vec(),
    };
    let sessions: Vec<_> = (1..=5).map(session).collect();
    let leaves: Vec<_> = sessions.iter().map(Leaf::hash).collect();
    let set_root = [&[0x7c, 0xb6, 0x47, 0x59], merkle::root(&leaves).unwrap().as_slice()].concat();
    let call_data = Execute(quorate_core::Call { to: MANAGER, value: U256::ZERO, data: &set_root }).to_vec();
    let operation = UnpackedUserOperation {
        sender: ACCOUNT,
        init: Initialization::Factory { factory: Address::repeat_byte(0xfa), data: vec![1; 200] },
        call_data,
        max_fee_per_gas: 40_000_000_000,
        call_gas_limit: 1_000_000,
        paymaster: Some(Paymaster {
            paymaster: Address::repeat_byte(0x9a),
            verification_gas_limit: 100_000,
            post_op_gas_limit: 20_000,
            data: vec![2; 100],
        }),
        ..UnpackedUserOperation::default()
    };
    OperationRequest {
        domain: Domain { entry_point: version.address(), chain_id: 137 },
        operation: match version {
            EntryPointVersion::V0_8 => Operation::V0_8(operation),
            EntryPointVersion::V0_9 => Operation::V0_9(operation),
            _ => Operation::V0_7(operation),
        },
        sessions: sessions.into_iter().map(GrantedSession::Shown).collect(),
    }
}

fn key_request() -> KeyRequestText {
    let permissions = Permissions {
        owner: Address::repeat_byte(1),
        account: ACCOUNT,
        chain_id: 137,
        entry_point: EntryPointVersion::V0_6.address(),
        session_key_manager: MANAGER,
        policies: vec![PermittedPolicy { validation_module: MODULE, policy: policy().into() }],
        limits: Limits::default(),
    }
    .to_json();
    let hash = keccak256(&permissions);
    let ephemeral = format!(r#"{{"ephId":"app","ephPK":"{hash}","expiry":1900000000}}"#);
    let claim = format!(r#"{{"network":"{hash}","chainId":137,"permissions":"{hash}"}}"#);
    KeyRequestText {
        threshold: 3,
        nodes: 5,
        metadata: vec![(2, ephemeral), (4, claim)],
        challenge: "9f".repeat(100),
        permissions,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_signs_at_each_entry_point_and_for_a_distributed_key() {
    let emulator = Emulator::start().await;
    for version in [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        let screen = emulator.sign(SigningRequest::Operation(grant(version))).await;
        assert!(screen.contains(&format!("entry point {version}")), "{screen}");
    }
    let screen = emulator.sign(SigningRequest::Key(key_request())).await;
    assert!(screen.contains("New session key, made by a number of nodes: 5"), "{screen}");
    assert!(!screen.contains("is not shown"), "{screen}");
    // The firmware is built without the feature for it.
    let refused = emulator.device.sign(&SigningRequest::Delegation(delegation())).await.unwrap_err();
    assert!(refused.to_string().contains("this device signs no delegations"), "{refused}");
    assert!(emulator.device.sign_hash(&keccak256("anything")).await.is_err());
}

fn delegation() -> DelegationRequest {
    let delegation = Delegation {
        delegate: Address::repeat_byte(2),
        delegator: Address::repeat_byte(1),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::default(),
        salt: U256::ZERO,
        signature: &[],
    };
    DelegationRequest::new(DelegationDomain { chain_id: 137, manager: MANAGER_V1_3_0 }, &delegation)
}
