//! The device: its port around its requests.

use core::fmt;

use embedded_io::{Read, ReadReady, Write};
use quorate_core::{Address, TrustedContext, Written as _};

use crate::{
    frame::{FrameBuffer, FromDevice, Numbered, encode_from_device},
    key::{Key, address_of},
    memory::{Memory, NoMemory},
    refusal::Refusal,
    request::{Answer, Requests},
    user::{Consent, Display},
};

/// A hardware signer without its hardware: give it a key, a screen, a button and a port.
///
/// It signs user operations and requests for distributed keys, and only those that it has shown whole and that its button
/// approved; there is no message that makes it sign a hash. It has room for `CALLS` calls in an operation, and takes some
/// 5 KiB of RAM, which belong in a static and not on the stack.
///
/// ```
/// use k256::ecdsa::SigningKey;
/// use quorate_core::{B256, Item, NotShown, Show, TrustedContext};
/// use quorate_device::{Consent, Decision, Deterministic, Device, Display, SoftwareKey};
///
/// struct Panel(String);
///
/// impl Show for Panel {
///     fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
///         use std::fmt::Write as _;
///         Ok(writeln!(self.0, "{item}")?)
///     }
/// }
///
/// impl Display for Panel {
///     fn clear(&mut self) {
///         self.0.clear();
///     }
/// }
///
/// struct Button;
///
/// impl Consent for Button {
///     fn ask(&mut self, _hash: B256) {}
///
///     fn answer(&mut self) -> Option<Decision> {
///         Some(Decision::Reject)
///     }
/// }
///
/// let key = SoftwareKey::new(SigningKey::from_slice(&[7; 32])?, Deterministic);
/// let device: Device<'_, _, _, _> = Device::new(key, Panel(String::new()), Button, TrustedContext::CANONICAL);
/// assert_eq!(device.address().to_string(), "0x4a62316623ad457F02cDC5D997deD67a383EC569");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Device<'a, K, D, C, M = NoMemory, const CALLS: usize = 8> {
    frame: FrameBuffer,
    requests: Requests<'a, K, D, C, M, CALLS>,
}

impl<K: Key, D, C, M, const CALLS: usize> fmt::Debug for Device<'_, K, D, C, M, CALLS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}, [redacted])", address_of(&self.requests.key.public_key()))
    }
}

impl<'a, K: Key, D: Display, C: Consent, const CALLS: usize> Device<'a, K, D, C, NoMemory, CALLS> {
    /// A device that does not remember what it has signed.
    pub fn new(key: K, display: D, consent: C, trusted: TrustedContext<'a>) -> Self {
        Self::with_memory(key, display, consent, NoMemory, trusted)
    }
}

impl<'a, K: Key, D: Display, C: Consent, M: Memory, const CALLS: usize> Device<'a, K, D, C, M, CALLS> {
    /// A device that remembers the last root that it has signed.
    pub fn with_memory(key: K, display: D, consent: C, memory: M, trusted: TrustedContext<'a>) -> Self {
        Self { frame: FrameBuffer::new(), requests: Requests::new(key, display, consent, memory, trusted) }
    }

    /// Whose signatures it makes.
    pub fn address(&self) -> Address {
        address_of(&self.requests.key.public_key())
    }

    /// Serves the host until the port is at its end.
    ///
    /// # Errors
    /// The port's.
    pub fn serve<P: Read + ReadReady + Write>(&mut self, port: &mut P) -> Result<(), P::Error> {
        loop {
            if self.is_waiting() {
                self.poll(port)?;
                if !port.read_ready()? {
                    continue;
                }
            }
            let mut byte = [0];
            if port.read(&mut byte)? == 0 {
                return Ok(());
            }
            self.feed(byte[0], port)?;
        }
    }

    /// Takes a byte from the host, and answers the frame that it ends.
    ///
    /// # Errors
    /// The port's.
    #[inline(never)]
    pub fn feed<P: Write>(&mut self, byte: u8, port: &mut P) -> Result<(), P::Error> {
        let Some(whole) = self.frame.push(byte) else { return Ok(()) };
        let Self { frame, requests } = self;
        let (number, answer) = match whole.and_then(|()| frame.decode_to_device()) {
            Ok(message) => (message.request, requests.step(&message, frame.message_bytes())),
            Err(error) => (requests.number(), Err(Refusal::Frame(error))),
        };
        match answer {
            Ok(Answer::Ready) => self.send(number, FromDevice::Ready, port),
            Ok(Answer::Waiting(hash)) => self.send(number, FromDevice::Waiting(hash.0), port),
            Ok(Answer::Address) => {
                let address = self.address().into_array();
                self.send(number, FromDevice::Address(address), port)
            }
            Err(refusal) => self.refuse(number, &refusal, port),
        }
    }

    /// Looks at the button, and signs what was shown if it was pressed. To be called again and again while the device
    /// [waits](Self::is_waiting).
    ///
    /// # Errors
    /// The port's.
    #[inline(never)]
    pub fn poll<P: Write>(&mut self, port: &mut P) -> Result<(), P::Error> {
        let number = self.requests.number();
        match self.requests.decide() {
            None => Ok(()),
            Some(Ok(signature)) => self.send(number, FromDevice::Signature(&signature), port),
            Some(Err(refusal)) => self.refuse(number, &refusal, port),
        }
    }

    /// Whether everything was shown, and the device waits for its button.
    pub const fn is_waiting(&self) -> bool {
        self.requests.is_waiting()
    }

    /// Ends the request, and tells both the person and the host why.
    #[inline(never)]
    fn refuse<P: Write>(&mut self, number: u32, refusal: &Refusal, port: &mut P) -> Result<(), P::Error> {
        self.requests.refuse(refusal);
        let mut reason = Reason::new();
        // The screen has the whole reason; what does not fit into a frame is cut.
        let _ = refusal.write(&mut |piece| cut(piece, &mut reason));
        self.send(number, FromDevice::Refused(&reason), port)
    }

    /// An answer that cannot be encoded ends the request: the host would wait for it.
    #[inline(never)]
    fn send<P: Write>(
        &mut self,
        request: u32,
        message: FromDevice<'_>,
        port: &mut P,
    ) -> Result<(), P::Error> {
        let mut buffer = [0; LONGEST_ANSWER];
        match encode_from_device(&Numbered { request, message }, &mut buffer) {
            Ok(bytes) => port.write_all(bytes).and_then(|()| port.flush()),
            Err(error) => {
                self.requests.refuse(&Refusal::Frame(error));
                Ok(())
            }
        }
    }
}

type Reason = heapless::String<LONGEST_REASON>;
const LONGEST_REASON: usize = 320;
/// The reason with the request's number, its variant, its length, and what COBS adds.
const LONGEST_ANSWER: usize = LONGEST_REASON + 12;

/// Writes what fits.
fn cut(piece: &str, reason: &mut Reason) -> fmt::Result {
    let fits = piece.len().min(reason.capacity() - reason.len());
    // All reasons are ASCII.
    let _ = reason.push_str(piece.get(..fits).unwrap_or_default());
    if fits < piece.len() { Err(fmt::Error) } else { Ok(()) }
}
