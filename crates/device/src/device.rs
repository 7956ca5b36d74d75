//! The device's side.

use core::cell::RefCell;
use core::fmt::{self, Write as _};

use alloy_primitives::Keccak256;
use k256::ecdsa::SigningKey;
use quorate_core::{Address, B256, Domain, Known, Review, ReviewError, signing_hash};

use crate::frame::{FrameBuffer, FromDevice, Head, ToDevice, encode, session_leaf};

/// The port to the host.
pub trait Link {
    /// What is wrong with the port.
    type Error;

    /// Waits for the next byte.
    ///
    /// # Errors
    /// A port that is gone.
    fn read(&mut self) -> Result<u8, Self::Error>;

    /// Sends bytes.
    ///
    /// # Errors
    /// A port that is gone.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A hardware signer: a key, and what the device knows by itself.
///
/// It signs user operations, and only those that it has shown: there is no frame that makes it sign a hash.
pub struct Device<'a> {
    key: SigningKey,
    known: Known<'a>,
}

impl fmt::Debug for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}, [redacted])", self.address())
    }
}

/// How one request goes on.
type Step<E> = Result<(), Stop<E>>;

/// Why a request ends without a signature.
enum Stop<E> {
    /// The host is told, and may ask again.
    Refused(Refusal),
    /// There is nobody to tell.
    Link(E),
}

enum Refusal {
    Review(ReviewError),
    Rejected,
    Unexpected,
    Malformed,
    Epoch,
}

impl<'a> Device<'a> {
    /// A device with this key.
    pub const fn new(key: SigningKey, known: Known<'a>) -> Self {
        Self { key, known }
    }

    /// Whose signatures it makes.
    pub fn address(&self) -> Address {
        let point = self.key.verifying_key().to_sec1_point(false);
        let mut hasher = Keccak256::new();
        // The point's coordinates, without the byte that says that it is not compressed.
        hasher.update(point.as_bytes().get(1..).unwrap_or_default());
        let hash = hasher.finalize();
        Address::from_slice(hash.get(12..).unwrap_or_default())
    }

    /// Serves one host until its port is gone.
    ///
    /// `frames` is where frames are kept while they are read: some 2 KiB that need not be on the stack.
    ///
    /// # Errors
    /// The port's.
    pub fn serve<L: Link>(
        &self,
        link: &mut L,
        frames: &mut [FrameBuffer; 2],
    ) -> Result<core::convert::Infallible, L::Error> {
        let link = RefCell::new(link);
        let [request, next] = frames;
        loop {
            read(&link, request)?;
            let served = match request.decode() {
                Ok(ToDevice::Address) => send(&link, &FromDevice::Address(self.address().into_array())),
                Ok(ToDevice::Begin { entry_point, chain_id, head }) => {
                    let target = Domain { entry_point: entry_point.into(), chain_id };
                    // One after the other, so that the stack holds but one of them.
                    self.review(&link, next, target, &head)
                        .and_then(|hash| await_button(&link, next, hash))
                        .and_then(|hash| self.sign(&link, hash))
                }
                Ok(_) => Err(Stop::Refused(Refusal::Unexpected)),
                Err(_) => Err(Stop::Refused(Refusal::Malformed)),
            };
            match served {
                Ok(()) => {}
                Err(Stop::Refused(refusal)) => tell(&link, &refusal)?,
                Err(Stop::Link(error)) => return Err(error),
            }
        }
    }

    /// Shows an operation as it arrives, and gives its hash.
    #[inline(never)]
    fn review<L: Link>(
        &self,
        link: &RefCell<&mut L>,
        frame: &mut FrameBuffer,
        target: Domain,
        head: &Head<'_>,
    ) -> Result<B256, Stop<L::Error>> {
        let mut review: Review<'_, _> = Review::begin(self.known, target, (*head).into(), Screen::new(link));
        loop {
            send(link, &FromDevice::Ready)?;
            read(link, frame).map_err(Stop::Link)?;
            match frame.decode() {
                Ok(ToDevice::Session { valid_after, valid_until, validation_module, session_key_data }) => {
                    let leaf = session_leaf(valid_after, valid_until, validation_module, session_key_data);
                    review.session(&leaf.ok_or(Stop::Refused(Refusal::Epoch))?)?;
                }
                Ok(ToDevice::CallData(piece)) => review.call_data(piece)?,
                Ok(ToDevice::End) => return Ok(review.finish()?),
                Ok(_) => return Err(Stop::Refused(Refusal::Unexpected)),
                Err(_) => return Err(Stop::Refused(Refusal::Malformed)),
            }
        }
    }

    #[inline(never)]
    fn sign<L: Link>(&self, link: &RefCell<&mut L>, user_op_hash: B256) -> Step<L::Error> {
        let signature = self.signature(user_op_hash);
        send(link, &FromDevice::Signature(&signature))
    }

    /// Deterministic (RFC 6979), low s.
    fn signature(&self, user_op_hash: B256) -> [u8; 65] {
        let digest = signing_hash(user_op_hash);
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice());
        let mut bytes = [0; 65];
        let (r_and_s, v) = bytes.split_at_mut(64);
        r_and_s.copy_from_slice(&signature.to_bytes());
        v.copy_from_slice(&[27 + recovery.to_byte()]);
        bytes
    }
}

/// Waits until the hash is approved.
fn await_button<L: Link>(
    link: &RefCell<&mut L>,
    frame: &mut FrameBuffer,
    hash: B256,
) -> Result<B256, Stop<L::Error>> {
    send(link, &FromDevice::Approval(hash.0))?;
    read(link, frame).map_err(Stop::Link)?;
    match frame.decode() {
        Ok(ToDevice::Approve) => Ok(hash),
        Ok(ToDevice::Reject) => Err(Stop::Refused(Refusal::Rejected)),
        Ok(_) => Err(Stop::Refused(Refusal::Unexpected)),
        Err(_) => Err(Stop::Refused(Refusal::Malformed)),
    }
}

/// Reads up to a frame's end.
fn read<L: Link>(link: &RefCell<&mut L>, frame: &mut FrameBuffer) -> Result<(), L::Error> {
    frame.clear();
    while !frame.push(link.borrow_mut().read()?) {}
    Ok(())
}

#[inline(never)]
fn send<L: Link>(link: &RefCell<&mut L>, frame: &FromDevice<'_>) -> Step<L::Error> {
    let mut buffer = [0; LONGEST_ANSWER];
    // Lines are cut and reasons are short, so that each frame fits.
    let bytes = encode(frame, &mut buffer).unwrap_or_default();
    link.borrow_mut().write(bytes).map_err(Stop::Link)
}

/// Tells the host why nothing is signed.
#[inline(never)]
fn tell<L: Link>(link: &RefCell<&mut L>, refusal: &Refusal) -> Result<(), L::Error> {
    let mut reason = Line::new();
    // What does not fit is cut.
    let _ = write!(Cut(&mut reason), "{refusal}");
    match send(link, &FromDevice::Refused(&reason)) {
        Err(Stop::Link(error)) => Err(error),
        _ => Ok(()),
    }
}

impl<E> From<ReviewError> for Stop<E> {
    fn from(error: ReviewError) -> Self {
        Self::Refused(Refusal::Review(error))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Review(error) => error.fmt(f),
            Self::Rejected => f.write_str("rejected on the device"),
            Self::Unexpected => f.write_str("the frame is not expected here; a request starts with Begin"),
            Self::Malformed => f.write_str("the frame cannot be read"),
            Self::Epoch => f.write_str("a session's time has more than 48 bits"),
        }
    }
}

/// A line on the screen.
type Line = heapless::String<LONGEST_LINE>;
const LONGEST_LINE: usize = 240;
/// The line with its variant, its length, and what COBS adds.
const LONGEST_ANSWER: usize = LONGEST_LINE + 8;

/// The screen: lines that are sent to the host, which stands for a display here.
struct Screen<'l, 'm, L> {
    link: &'l RefCell<&'m mut L>,
    line: Line,
}

impl<'l, 'm, L: Link> Screen<'l, 'm, L> {
    const fn new(link: &'l RefCell<&'m mut L>) -> Self {
        Self { link, line: Line::new() }
    }
}

impl<L: Link> fmt::Write for Screen<'_, '_, L> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            // A line that does not fit is not cut: what cannot be shown is not signed.
            self.line.push_str(piece.trim_end_matches('\n')).map_err(|_| fmt::Error)?;
            if piece.ends_with('\n') {
                send(self.link, &FromDevice::Line(&self.line)).map_err(|_| fmt::Error)?;
                self.line.clear();
            }
        }
        Ok(())
    }
}

/// Writes what fits.
struct Cut<'l>(&'l mut Line);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| self.0.push(letter)).map_err(|_| fmt::Error)
    }
}
