//! A grant that an emulated hardware signer shows, approves and signs, on a real chain.
//!
//! `cargo xtask firmware` builds the firmware and runs this.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use quorate::{
    Call, Condition, Draft, FunctionSelector, LocalSessionKey, Policy, Quorate, Rule, SessionGrant,
};
use quorate_contracts::Erc721;
use quorate_core::Domain;
use quorate_device::host::{DeviceSigner, Person, SigningRequest};
use quorate_devnet::Devnet;
use quorate_signer::sign_as_owner;
use tokio::net::TcpStream;

/// The firmware in QEMU, with its serial port on a TCP connection.
struct Emulator {
    machine: Child,
    device: DeviceSigner<TcpStream>,
}

impl Emulator {
    async fn start() -> Self {
        let firmware =
            std::env::var_os("QUORATE_FIRMWARE").expect("`cargo xtask firmware` names the firmware");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let machine = Command::new("qemu-system-arm")
            .args(["-machine", "mps2-an386", "-cpu", "cortex-m4", "-nographic", "-monitor", "none"])
            .args(["-semihosting-config", "enable=on,target=native"])
            .args(["-serial", &format!("tcp:127.0.0.1:{port},server=on,wait=on")])
            .arg("-kernel")
            .arg(firmware)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let connect = async {
            loop {
                match TcpStream::connect(("127.0.0.1", port)).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let stream = tokio::time::timeout(Duration::from_secs(20), connect).await.unwrap();
        let device =
            tokio::time::timeout(Duration::from_secs(60), DeviceSigner::connect(stream)).await.unwrap();
        Self { machine, device: device.unwrap() }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

/// Approves whatever the screen shows, and remembers it.
#[derive(Clone, Default)]
struct Reader(Arc<Mutex<Vec<String>>>);

impl Person for Reader {
    fn see(&mut self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    fn approve(&mut self) -> bool {
        true
    }
}

fn request(draft: &Draft<SessionGrant>) -> SigningRequest {
    let message = draft.operation();
    SigningRequest {
        target: Domain { entry_point: message.entry_point, chain_id: message.chain_id },
        operation: message.operation.clone(),
        sessions: draft.intent().session.policies().to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the firmware and QEMU; `cargo xtask firmware` runs it"]
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

    // Sessions that are not those of the operation are refused on the device.
    let mut tampered = request(&draft);
    let other = Address::repeat_byte(0x66);
    tampered.sessions[0].session_key_data[..20].copy_from_slice(other.as_slice());
    let refused = emulator.device.signer(tampered, Reader::default()).sign().await.unwrap_err();
    assert!(refused.to_string().contains("other sessions would be granted"), "{refused}");

    let reader = Reader::default();
    let signer = emulator.device.signer(request(&draft), reader.clone());
    let signature = sign_as_owner(&signer, draft.user_op_hash()).await.unwrap();
    let screen = reader.0.lock().unwrap().join("\n");
    println!("{screen}");
    assert!(screen.contains("function safeMint(address to) (0x40d097c3)"), "{screen}");
    assert!(screen.contains(&format!("only if to is equal to {}", account.address())), "{screen}");
    assert!(screen.contains("lets sessions act for the account"), "{screen}");
    assert!(screen.ends_with(&format!("Hash of all this: {}", draft.user_op_hash())), "{screen}");

    let granted = account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
    let session = client.session(granted, Arc::new(key)).unwrap();
    let data = Erc721::safeMintCall { to: account.address() }.abi_encode();
    let minted = session.send(Call::raw(devnet.nft(), data)).await.unwrap();
    assert!(minted.wait().await.unwrap().success);
    devnet.shutdown().await;
}
