//! The same signer with what the core says replaced by constants: it takes every frame, shows one line, and signs one
//! hash. What it takes less of flash than the signer is the core's share.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::fmt::Write as _;
use core::hint::black_box;

use cortex_m_rt::entry;
use k256::ecdsa::SigningKey;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use quorate_device::embedded_io::{Read as _, Write as _};
use quorate_device::{
    FrameBuffer, FromDevice, Numbered, SoftwareKey, ToDevice, checked_signature, encode_from_device,
};
use quorate_firmware::{DEVELOPMENT_KEY, FixedEntropy, HostPort, Serial, ports, stop};

const HASH: [u8; 32] = [1; 32];

#[entry]
fn main() -> ! {
    let Ok(key) = SigningKey::from_slice(&DEVELOPMENT_KEY) else { stop("the key is no key") };
    let (mut port, mut user) = ports();
    let Some(frame) = cortex_m::singleton!(: FrameBuffer = FrameBuffer::new()) else {
        stop("main runs twice")
    };
    match serve(&SoftwareKey::new(key, FixedEntropy), frame, &mut port, &mut user) {
        Ok(never) => match never {},
        Err(never) => match never {},
    }
}

fn serve(
    key: &SoftwareKey<FixedEntropy>,
    frame: &mut FrameBuffer,
    port: &mut HostPort,
    user: &mut Serial,
) -> Result<Infallible, Infallible> {
    loop {
        let mut byte = [0];
        port.read(&mut byte)?;
        let Some(whole) = frame.push(byte[0]) else { continue };
        // All of the frame is decoded, as for the core.
        match black_box(whole.and_then(|()| frame.decode_to_device())) {
            Ok(Numbered { request, message }) => match message {
                ToDevice::Address => send(port, request, FromDevice::Address([2; 20]))?,
                ToDevice::End => {
                    send(port, request, FromDevice::Waiting(HASH))?;
                    let digest = black_box(HASH);
                    let signature = key.sign_prehash(&digest).ok();
                    match signature.and_then(|signature| checked_signature(key, digest.into(), &signature)) {
                        Some(signature) => send(port, request, FromDevice::Signature(&signature))?,
                        None => send(port, request, FromDevice::Refused("no signature"))?,
                    }
                }
                ToDevice::Cancel => send(port, request, FromDevice::Refused("given up by the host"))?,
                _ => {
                    let _ = user.write_str("a line\n");
                    send(port, request, FromDevice::Ready)?;
                }
            },
            Err(_) => send(port, 0, FromDevice::Refused("the frame cannot be read"))?,
        }
    }
}

fn send(port: &mut HostPort, request: u32, message: FromDevice<'_>) -> Result<(), Infallible> {
    let mut buffer = [0; 332];
    port.write_all(encode_from_device(&Numbered { request, message }, &mut buffer).unwrap_or_default())
}
