//! The device's side in a thread, the host's side at the other end of a TCP connection.

#![cfg(feature = "host")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, U256};
use alloy_signer::Signer as _;
use alloy_signer_local::PrivateKeySigner;
use k256::ecdsa::SigningKey;
use quorate_core::{
    Call, Condition, Domain, Encode as _, Execute, Known, Leaf, Policy, Rule, SessionEpoch, SessionKeyData,
    SessionLeaf, UserOperation,
};
use quorate_device::host::{DeviceError, DeviceSigner, Person, SigningRequest};
use quorate_device::{Device, Link};
use quorate_signer::sign_as_owner;

const MANAGER: Address = Address::repeat_byte(0x0e);
const MODULE: Address = Address::repeat_byte(0x0f);

struct Port(TcpStream);

impl Link for Port {
    type Error = std::io::Error;

    fn read(&mut self) -> std::io::Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }
}

/// A device with the key of 32 sevens, which serves one connection.
async fn device() -> DeviceSigner<tokio::net::TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let known = Known {
            session_key_manager: MANAGER,
            abi_session_validation_module: MODULE,
            functions: &["safeMint(address to)"],
        };
        let device = Device::new(SigningKey::from_slice(&[7; 32]).unwrap(), known);
        let (stream, _) = listener.accept().unwrap();
        let _ = device.serve(&mut Port(stream), &mut Default::default());
    });
    DeviceSigner::connect(tokio::net::TcpStream::connect(address).await.unwrap()).await.unwrap()
}

#[derive(Clone)]
struct Somebody {
    lines: Arc<Mutex<Vec<String>>>,
    says_yes: bool,
}

impl Somebody {
    fn who_says(says_yes: bool) -> Self {
        Self { lines: Arc::default(), says_yes }
    }

    fn saw(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl Person for Somebody {
    fn see(&mut self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn approve(&mut self) -> bool {
        self.says_yes
    }
}

/// The grant of a session that may mint to a friend.
fn grant() -> SigningRequest {
    let policy: Policy = Policy::new(Address::repeat_byte(0xaa), "safeMint(address)".parse().unwrap())
        .with_rule(Rule::new(0, Condition::Equal, Address::repeat_byte(0xcc)))
        .unwrap();
    let session_key_data = SessionKeyData::new(Address::repeat_byte(0xbb), &policy).to_vec();
    let epoch = SessionEpoch::UNLIMITED;
    let leaf = SessionLeaf { epoch, validation_module: MODULE, session_key_data: &session_key_data };
    let set_root = [&[0x7c, 0xb6, 0x47, 0x59], leaf.hash().as_slice()].concat();
    let call_data = Execute(Call { to: MANAGER, value: U256::ZERO, data: &set_root }).to_vec();
    SigningRequest {
        target: Domain { entry_point: Address::repeat_byte(0xee), chain_id: 137 },
        operation: UserOperation {
            sender: Address::repeat_byte(0xac),
            call_data,
            ..UserOperation::default()
        },
        sessions: vec![Leaf { epoch, validation_module: MODULE, session_key_data }],
    }
}

#[tokio::test]
async fn what_was_shown_and_approved_is_signed() {
    let device = device().await;
    let key = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    assert_eq!(device.address(), key.address());

    // Twice, since a device does not stop after one request.
    for _ in 0..2 {
        let (request, person) = (grant(), Somebody::who_says(true));
        let hash = request.operation.hash(request.target.entry_point, request.target.chain_id);
        let signature = sign_as_owner(&device.signer(request, person.clone()), hash).await.unwrap();
        // Deterministic, and so the same as of any other signer with the key.
        assert_eq!(signature, key.sign_message(hash.as_slice()).await.unwrap().as_bytes());
        let friend = Address::repeat_byte(0xcc);
        assert!(person.saw().contains(&format!("only if to is equal to {friend}")), "{}", person.saw());
        assert!(person.saw().ends_with(&format!("Hash of all this: {hash}")));
    }
}

#[tokio::test]
async fn what_is_rejected_or_altered_is_not_signed() {
    let device = device().await;
    let sign = async |request: SigningRequest, says_yes| {
        device.signer(request, Somebody::who_says(says_yes)).sign().await.unwrap_err().to_string()
    };
    assert!(sign(grant(), false).await.contains("rejected on the device"));

    let mut altered = grant();
    altered.sessions[0].session_key_data[61] ^= 1;
    assert!(sign(altered, true).await.contains("session"));
    let mut altered = grant();
    altered.sessions[0].epoch = SessionEpoch::new(0, 1_900_000_000).unwrap();
    assert!(sign(altered, true).await.contains("other sessions would be granted"));
    let mut hidden = grant();
    hidden.sessions.clear();
    assert!(sign(hidden, true).await.contains("were not given"));
    let mut unreadable = grant();
    unreadable.operation.call_data.push(0);
    assert!(sign(unreadable, true).await.contains("cannot be read"));

    // And after all that it still signs.
    device.signer(grant(), Somebody::who_says(true)).sign().await.unwrap();
}

#[tokio::test]
async fn nothing_but_the_request_s_own_hash_is_signed() {
    let device = device().await;
    let signer = device.signer(grant(), Somebody::who_says(true));
    assert!(signer.sign_message(&[1; 32]).await.unwrap_err().to_string().contains("0x0101"));
    assert!(signer.sign_message(b"any text").await.is_err());
    assert!(signer.sign_hash(&[1; 32].into()).await.is_err());
}

#[tokio::test]
async fn call_data_of_any_length_goes_through() {
    let device = device().await;
    let mut request = grant();
    request.sessions.clear();
    let data = vec![9; 100_000];
    request.operation.call_data =
        Execute(Call { to: Address::repeat_byte(1), value: U256::ZERO, data: &data }).to_vec();
    device.signer(request, Somebody::who_says(true)).sign().await.unwrap();

    let mut long = grant();
    long.operation.init_code = vec![1; 2000];
    let error = device.signer(long, Somebody::who_says(true)).sign().await.unwrap_err();
    assert!(matches!(error, DeviceError::Frame(_)), "{error}");
}
