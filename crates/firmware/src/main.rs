//! A hardware signer on a Cortex-M4: [`quorate_device::Device`] behind a serial port.

#![no_std]
#![no_main]

#[cfg(feature = "evaluate")]
mod evaluate;

use core::cell::RefCell;

use cortex_m_rt::entry;
use k256::ecdsa::SigningKey;
use quorate_core::{KnownFunction, TrustedContext, known_functions};
use quorate_device::{Device, LastRoot, SoftwareKey};
use quorate_firmware::dangerous::{RemoteButton, RemoteScreen};
use quorate_firmware::{DEVELOPMENT_KEY, FixedEntropy, Serial, ports, stop};

/// The functions whose arguments the screen names.
const FUNCTIONS: &[KnownFunction<'static>] = known_functions![
    "safeMint(address to)",
    "transfer(address to, uint256 amount)",
    "approve(address spender, uint256 amount)",
    "transferFrom(address from, address to, uint256 amount)",
];

type Signer =
    Device<'static, SoftwareKey<FixedEntropy>, RemoteScreen<'static>, RemoteButton<'static>, LastRoot>;

#[entry]
fn main() -> ! {
    let (mut port, user) = ports();
    match device(key(), user).serve(&mut port) {
        Ok(()) => stop("the port ended"),
        Err(never) => match never {},
    }
}

/// Computes the public key, which takes much of the stack: before there is a device on it.
#[inline(never)]
fn key() -> SoftwareKey<FixedEntropy> {
    let Ok(key) = SigningKey::from_slice(&DEVELOPMENT_KEY) else { stop("the key is no key") };
    SoftwareKey::new(key, FixedEntropy)
}

/// Puts the device into its place. On the way there it is on the stack, in this function's frame.
#[inline(never)]
fn device(key: SoftwareKey<FixedEntropy>, user: Serial) -> &'static mut Signer {
    let user = cortex_m::singleton!(: RefCell<Serial> = RefCell::new(user));
    let Some(user) = user else { stop("main runs twice") };
    let trusted = TrustedContext { functions: FUNCTIONS, ..TrustedContext::CANONICAL };
    let (screen, button) = (RemoteScreen(user), RemoteButton(user));
    let device = cortex_m::singleton!(
        : Signer = Device::with_memory(key, screen, button, LastRoot::default(), trusted)
    );
    device.unwrap_or_else(|| stop("main runs twice"))
}
