#![doc = include_str!("../README.md")]

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Encrypts what is stored.
///
/// ```
/// use quorate_seal::Seal;
///
/// let seal = Seal::new(&[7; 32]);
/// let sealed = seal.seal(b"key a", b"secret")?;
/// assert_eq!(seal.open(b"key a", &sealed).unwrap().as_slice(), b"secret");
/// assert!(seal.open(b"key b", &sealed).is_none());
/// # Ok::<(), getrandom::Error>(())
/// ```
pub struct Seal(XChaCha20Poly1305);

const NONCE: usize = 24;

impl Seal {
    /// Encrypts under this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Encrypts `plaintext`, and binds it to `context`: a random nonce of 24 bytes, then ciphertext and tag (16 bytes).
    ///
    /// # Errors
    /// The system has no random bytes.
    ///
    /// # Panics
    /// Never: no plaintext has 256 GiB.
    pub fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        match self.0.encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: context }) {
            Ok(ciphertext) => Ok([nonce.as_slice(), &ciphertext].concat()),
            Err(_) => unreachable!("only 256 GiB and more cannot be encrypted"),
        }
    }

    /// Decrypts what [`seal`](Self::seal) made in the same context; none where it was another key, or not all of it is the same.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: ciphertext, aad: context };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal([redacted])")
    }
}

/// Encrypts one sender's messages to one reader.
///
/// ```
/// use quorate_seal::Channel;
///
/// let channel = Channel::new(&[7; 32]);
/// let sealed = channel.seal(1, b"run a", b"share");
/// assert_eq!(channel.open(1, b"run a", &sealed).unwrap().as_slice(), b"share");
/// assert!(channel.open(2, b"run a", &sealed).is_none());
/// ```
pub struct Channel(ChaCha20Poly1305);

impl Channel {
    /// Encrypts under this key, which no other channel has.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    /// Encrypts the message of this number, which no other message of the channel has, and binds it to `context`: ciphertext and
    /// tag (16 bytes).
    ///
    /// # Panics
    /// Never: no plaintext has 256 GiB.
    pub fn seal(&self, number: u8, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        match self.0.encrypt(&nonce(number), Payload { msg: plaintext, aad: context }) {
            Ok(ciphertext) => ciphertext,
            Err(_) => unreachable!("only 256 GiB and more cannot be encrypted"),
        }
    }

    /// Decrypts the message of this number; none where anything of it is not the same.
    pub fn open(&self, number: u8, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let payload = Payload { msg: sealed, aad: context };
        self.0.decrypt(&nonce(number), payload).ok().map(Zeroizing::new)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel([redacted])")
    }
}

fn nonce(number: u8) -> Nonce {
    let mut nonce = [0; 12];
    nonce[11] = number;
    nonce.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what was sealed opens, or the test fails")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_under_its_key_and_in_its_context_only() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.seal(b"here", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(seal.open(b"here", &sealed).unwrap().as_slice(), b"secret");
        assert!(seal.open(b"there", &sealed).is_none());
        assert!(Seal::new(&[2; 32]).open(b"here", &sealed).is_none());
        assert!(seal.open(b"here", &sealed[..NONCE - 1]).is_none());
        assert_ne!(seal.seal(b"here", b"secret").unwrap(), sealed, "no nonce comes twice");
    }

    #[test]
    fn a_message_opens_as_the_one_that_it_is() {
        let channel = Channel::new(&[1; 32]);
        let sealed = channel.seal(3, b"run", b"secret");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(channel.open(3, b"run", &sealed).unwrap().as_slice(), b"secret");
        assert!(channel.open(2, b"run", &sealed).is_none());
        assert!(channel.open(3, b"another", &sealed).is_none());
        assert!(Channel::new(&[2; 32]).open(3, b"run", &sealed).is_none());
        assert!(channel.open(3, b"run", &sealed[..sealed.len() - 1]).is_none());
    }

    #[test]
    fn nothing_shows_a_key() {
        assert_eq!(format!("{:?}", Seal::new(&[1; 32])), "Seal([redacted])");
        assert_eq!(format!("{:?}", Channel::new(&[1; 32])), "Channel([redacted])");
    }

    #[test]
    fn keys_are_wiped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
        is_wiped::<XChaCha20Poly1305>();
        is_wiped::<ChaCha20Poly1305>();
    }
}
