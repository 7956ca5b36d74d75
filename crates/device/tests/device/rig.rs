//! A device whose parts are in memory, fed message by message or over a stream.

use std::sync::{Arc, Mutex};

use k256::ecdsa::SigningKey;
use quorate_core::{
    Address, B256, Call, Condition, Domain, Encode as _, EntryPointVersion, Execute, ExecuteBatch, Item,
    Leaf, NotShown, Policy, Rule, SessionEpoch, SessionKeyData, Severity, Show, TrustedContext, U256,
    UserOperation, address,
};
use quorate_device::embedded_io::{ErrorType, Write};
use quorate_device::host::{GrantedSession, OperationRequest};
use quorate_device::{
    Consent, Decision, Deterministic, Device, Display, FrameBuffer, FromDevice, Key, MAX_FRAME, Memory,
    NoMemory, Numbered, OperationFrame, SoftwareKey, ToDevice, encode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Notify;

pub(crate) const MANAGER: Address = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
pub(crate) const OLD_MANAGER: Address = address!("000000456b395c4e107e0302553B90D1eF4a32e9");
pub(crate) const OWNERSHIP: Address = address!("0000001c5b32F37F5beA87BDD5374eB2aC54eA8e");
pub(crate) const ABI_MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");
pub(crate) const ACCOUNT: Address = Address::repeat_byte(0xac);
pub(crate) const NFT: Address = Address::repeat_byte(0xaa);
pub(crate) const FRIEND: Address = Address::repeat_byte(0xcc);
pub(crate) const SECRET: [u8; 32] = [7; 32];
pub(crate) const FUNCTIONS: &[&str] = &["safeMint(address to)"];

pub(crate) fn key() -> SoftwareKey {
    SoftwareKey::new(SigningKey::from_slice(&SECRET).unwrap(), Deterministic)
}

/// What is on the screen, line by line. An empty line is where it was cleared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    lines: Vec<String>,
    dangers: usize,
    /// The number of items after which the display is gone.
    breaks_after: Option<usize>,
}

impl Screen {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    /// What is on the screen now.
    pub(crate) fn text(&self) -> String {
        let lines = self.lines();
        let cleared = lines.iter().rposition(String::is_empty).map_or(0, |at| at + 1);
        lines[cleared..].join("\n")
    }

    pub(crate) fn dangers(&self) -> usize {
        self.0.lock().unwrap().dangers
    }

    pub(crate) fn break_after(&self, items: usize) {
        self.0.lock().unwrap().breaks_after = Some(items);
    }
}

impl Show for Screen {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        let mut shown = self.0.lock().unwrap();
        match &mut shown.breaks_after {
            Some(0) => return Err(NotShown),
            Some(left) => *left -= 1,
            None => {}
        }
        if item.severity == Severity::Refused {
            shown.lines.push(String::new());
        }
        shown.dangers += usize::from(item.severity == Severity::Danger);
        shown.lines.push(item.to_string());
        Ok(())
    }
}

impl Display for Screen {
    fn clear(&mut self) {
        let mut shown = self.0.lock().unwrap();
        if shown.lines.last().is_some_and(|line| !line.is_empty()) {
            shown.lines.push(String::new());
        }
    }
}

/// A button that is pressed from outside, or by itself whenever it is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Button {
    state: Arc<Mutex<Pressed>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Pressed {
    asked: Vec<B256>,
    always: Option<Decision>,
    pressed: Option<Decision>,
}

impl Button {
    pub(crate) fn that(always: Decision) -> Self {
        let button = Self::default();
        button.state.lock().unwrap().always = Some(always);
        button
    }

    pub(crate) fn press(&self, decision: Decision) {
        self.state.lock().unwrap().pressed = Some(decision);
        self.changed.notify_one();
    }

    /// The hashes that it was asked about.
    pub(crate) fn asked(&self) -> Vec<B256> {
        self.state.lock().unwrap().asked.clone()
    }
}

impl Consent for Button {
    fn ask(&mut self, hash: B256) {
        let mut state = self.state.lock().unwrap();
        state.asked.push(hash);
        state.pressed = None;
    }

    fn answer(&mut self) -> Option<Decision> {
        let mut state = self.state.lock().unwrap();
        state.pressed.take().or(state.always)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Output(Vec<u8>);

impl ErrorType for Output {
    type Error = core::convert::Infallible;
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// An answer of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Address(Address),
    Ready,
    Waiting(B256),
    Signature(Vec<u8>),
    Refused(String),
}

/// Reads frames of the device.
pub(crate) fn read(bytes: &[u8]) -> Vec<(u32, Answer)> {
    let mut frame = FrameBuffer::new();
    let mut answers = Vec::new();
    for byte in bytes {
        let Some(whole) = frame.push(*byte) else { continue };
        whole.unwrap();
        let Numbered { request, message } = frame.decode().unwrap();
        answers.push((
            request,
            match message {
                FromDevice::Address(address) => Answer::Address(address.into()),
                FromDevice::Ready => Answer::Ready,
                FromDevice::Waiting(hash) => Answer::Waiting(hash.into()),
                FromDevice::Signature(bytes) => Answer::Signature(bytes.to_vec()),
                FromDevice::Refused(reason) => Answer::Refused(reason.to_owned()),
            },
        ));
    }
    answers
}

pub(crate) fn frame(request: u32, message: ToDevice<'_>) -> Vec<u8> {
    encode(&Numbered { request, message }, &mut [0; MAX_FRAME]).unwrap().to_vec()
}

/// A device with all that is around it.
pub(crate) struct Rig<K = SoftwareKey, M = NoMemory> {
    pub(crate) device: Device<'static, K, Screen, Button, M>,
    pub(crate) screen: Screen,
    pub(crate) button: Button,
}

impl Rig {
    pub(crate) fn new(button: Button) -> Self {
        Self::with(key(), NoMemory, button)
    }
}

impl<K: Key, M: Memory> Rig<K, M> {
    pub(crate) fn with(key: K, memory: M, button: Button) -> Self {
        let trusted = TrustedContext { functions: FUNCTIONS, ..TrustedContext::CANONICAL };
        let screen = Screen::default();
        let device = Device::with_memory(key, screen.clone(), button.clone(), memory, trusted);
        Self { device, screen, button }
    }

    /// Gives the device bytes and looks at its button, and gives the bytes that it sends.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut output = Output::default();
        for byte in bytes {
            self.device.feed(*byte, &mut output).unwrap();
        }
        self.device.poll(&mut output).unwrap();
        output.0
    }

    /// What the device answers to a message.
    pub(crate) fn send(&mut self, request: u32, message: ToDevice<'_>) -> Vec<(u32, Answer)> {
        read(&self.send_bytes(&frame(request, message)))
    }

    /// Sends messages up to a refusal, and gives the last answer.
    pub(crate) fn send_all<'m>(&mut self, messages: impl IntoIterator<Item = ToDevice<'m>>) -> Answer {
        let mut last = Answer::Ready;
        for message in messages {
            for (request, answer) in self.send(1, message) {
                assert_eq!(request, 1);
                last = answer;
            }
            if matches!(last, Answer::Refused(_)) {
                break;
            }
        }
        last
    }

    /// Has an operation reviewed, and signed if the button says so.
    pub(crate) fn sign(&mut self, request: &OperationRequest) -> Answer {
        let OperationRequest { operation, sessions, .. } = request;
        let mut messages = vec![begin(request)];
        messages.extend(sessions.iter().map(|session| match session {
            GrantedSession::Shown(leaf) => ToDevice::session(&leaf.borrow()),
            GrantedSession::Kept { leaf, manager, proof } => {
                let proof = proof.iter().flat_map(|sibling| sibling.0).collect::<Vec<_>>().leak();
                ToDevice::kept_session(*leaf, *manager, proof)
            }
        }));
        messages.extend(operation.call_data().chunks(100).map(ToDevice::CallData));
        messages.push(ToDevice::End);
        self.send_all(messages)
    }
}

impl<K: Key + Send + 'static, M: Memory + Send + 'static> Rig<K, M> {
    /// Puts the device at the other end of a stream. Screen and button stay in the caller's hand.
    pub(crate) fn plug_in(mut self) -> (DuplexStream, Screen, Button) {
        let (host, mut port) = tokio::io::duplex(64);
        let (screen, button) = (self.screen.clone(), self.button.clone());
        tokio::spawn(async move {
            let changed = self.button.changed.clone();
            loop {
                let mut byte = [0];
                let sent = tokio::select! {
                    read = port.read(&mut byte) => match read {
                        Ok(1) => self.send_bytes(&byte),
                        _ => return,
                    },
                    () = changed.notified() => self.send_bytes(&[]),
                };
                if port.write_all(&sent).await.is_err() {
                    return;
                }
            }
        });
        (host, screen, button)
    }
}

pub(crate) fn begin(request: &OperationRequest) -> ToDevice<'_> {
    let OperationRequest { domain, operation, .. } = request;
    ToDevice::Begin(OperationFrame {
        entry_point: domain.entry_point.into_array(),
        chain_id: domain.chain_id,
        head: operation.head(),
    })
}

pub(crate) fn domain(version: EntryPointVersion) -> Domain {
    Domain { entry_point: version.address(), chain_id: 137 }
}

/// A session that may mint to a friend, until 2030.
pub(crate) fn session() -> Leaf {
    session_for(NFT, FRIEND)
}

pub(crate) fn session_for(contract: Address, to: Address) -> Leaf {
    let policy: Policy = Policy::new(contract, "safeMint(address)".parse().unwrap())
        .with_rule(Rule::new(0, Condition::Equal, to))
        .unwrap();
    let session_key_data = SessionKeyData::new(Address::repeat_byte(0xbb), &policy).to_vec();
    Leaf {
        epoch: SessionEpoch::new(0, 1_900_000_000).unwrap(),
        validation_module: ABI_MODULE,
        session_key_data,
    }
}

pub(crate) fn set_root(root: B256) -> Vec<u8> {
    [&[0x7c, 0xb6, 0x47, 0x59], root.as_slice()].concat()
}

/// An operation of EntryPoint v0.6 that makes these calls, and pays a fee.
pub(crate) fn operation(calls: &[(Address, &[u8])]) -> OperationRequest {
    let calls: Vec<_> = calls.iter().map(|(to, data)| Call { to: *to, value: U256::ZERO, data }).collect();
    let call_data = match calls.as_slice() {
        [call] => Execute(*call).to_vec(),
        calls => ExecuteBatch(calls).to_vec(),
    };
    let operation = UserOperation {
        sender: ACCOUNT,
        call_data,
        call_gas_limit: U256::from(100_000),
        max_fee_per_gas: U256::from(1_000_000_000),
        ..UserOperation::default()
    };
    OperationRequest {
        domain: domain(EntryPointVersion::V0_6),
        operation: operation.into(),
        sessions: vec![],
    }
}

/// The grant of [`session`].
pub(crate) fn grant() -> OperationRequest {
    grant_of(vec![session()])
}

/// The grant of at most one session; of none, the end of all.
pub(crate) fn grant_of(sessions: Vec<Leaf>) -> OperationRequest {
    let root = sessions.first().map_or(B256::ZERO, Leaf::hash);
    let mut request = operation(&[(MANAGER, &set_root(root))]);
    request.sessions = sessions.into_iter().map(GrantedSession::from).collect();
    request
}

pub(crate) fn hash(request: &OperationRequest) -> B256 {
    request.operation.hash(request.domain).unwrap()
}
