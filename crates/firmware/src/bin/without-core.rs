//! The same signer with what the core says replaced by constants: it takes every frame, shows one line, and signs one
//! hash. What it takes less of flash than the signer is the core's share.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::hint::black_box;

use cortex_m_rt::entry;
use k256::ecdsa::SigningKey;
use quorate_device::{FrameBuffer, FromDevice, Link as _, ToDevice, encode};
use quorate_firmware::{DEVELOPMENT_KEY, Port, stop};

const HASH: [u8; 32] = [1; 32];

#[entry]
fn main() -> ! {
    let Ok(key) = SigningKey::from_slice(&DEVELOPMENT_KEY) else { stop("the key is no key") };
    match serve(&key, &mut Port::new()) {
        Ok(never) => match never {},
        Err(never) => match never {},
    }
}

fn serve(key: &SigningKey, port: &mut Port) -> Result<Infallible, Infallible> {
    let mut frame = FrameBuffer::new();
    loop {
        frame.clear();
        while !frame.push(port.read()?) {}
        // All of the frame is decoded, as for the core.
        match black_box(frame.decode()) {
            Ok(ToDevice::Address) => send(port, &FromDevice::Address([2; 20]))?,
            Ok(ToDevice::Begin { .. } | ToDevice::Session { .. } | ToDevice::CallData(_)) => {
                send(port, &FromDevice::Line("a line"))?;
                send(port, &FromDevice::Ready)?;
            }
            Ok(ToDevice::End) => send(port, &FromDevice::Approval(HASH))?,
            Ok(ToDevice::Approve) => {
                let (signature, recovery) = key.sign_prehash_recoverable(black_box(&HASH));
                let mut bytes = [27 + recovery.to_byte(); 65];
                bytes[..64].copy_from_slice(&signature.to_bytes());
                send(port, &FromDevice::Signature(&bytes))?;
            }
            Ok(ToDevice::Reject) => send(port, &FromDevice::Refused("rejected on the device"))?,
            Err(_) => send(port, &FromDevice::Refused("the frame cannot be read"))?,
        }
    }
}

fn send(port: &mut Port, frame: &FromDevice<'_>) -> Result<(), Infallible> {
    let mut buffer = [0; 248];
    port.write(encode(frame, &mut buffer).unwrap_or_default())
}
