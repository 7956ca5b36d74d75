//! The same board with the curve alone: it signs every 32 bytes that it receives. What it takes in flash and stack is
//! what any signer with this key takes; the rest of the signer's is the review's and the protocol's.

#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m_rt::entry;
use k256::ecdsa::SigningKey;
use quorate_device::Link as _;
use quorate_firmware::{DEVELOPMENT_KEY, Port, stop};

#[entry]
fn main() -> ! {
    let Ok(key) = SigningKey::from_slice(&DEVELOPMENT_KEY) else { stop("the key is no key") };
    match sign_all(&key, &mut Port::new()) {
        Ok(never) => match never {},
        Err(never) => match never {},
    }
}

fn sign_all(key: &SigningKey, port: &mut Port) -> Result<Infallible, Infallible> {
    loop {
        let mut digest = [0; 32];
        for byte in &mut digest {
            *byte = port.read()?;
        }
        let (signature, recovery) = key.sign_prehash_recoverable(&digest);
        port.write(&signature.to_bytes())?;
        port.write(&[recovery.to_byte()])?;
    }
}
