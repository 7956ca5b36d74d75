//! A hardware signer on a Cortex-M4: [`quorate_device::Device`] behind a serial port.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use k256::ecdsa::SigningKey;
use quorate_contracts::Deployment;
use quorate_core::Known;
use quorate_device::{Device, FrameBuffer};
use quorate_firmware::{DEVELOPMENT_KEY, Port, stop};

/// The functions whose arguments the screen names.
const FUNCTIONS: &[&str] = &[
    "safeMint(address to)",
    "transfer(address to, uint256 amount)",
    "approve(address spender, uint256 amount)",
    "transferFrom(address from, address to, uint256 amount)",
];

#[entry]
fn main() -> ! {
    let deployment = Deployment::canonical();
    let known = Known {
        session_key_manager: deployment.session_key_manager,
        abi_session_validation_module: deployment.abi_session_validation_module,
        functions: FUNCTIONS,
    };
    let Ok(key) = SigningKey::from_slice(&DEVELOPMENT_KEY) else { stop("the key is no key") };
    let frames = cortex_m::singleton!(: [FrameBuffer; 2] = [FrameBuffer::new(), FrameBuffer::new()]);
    let Some(frames) = frames else { stop("main runs twice") };
    match Device::new(key, known).serve(&mut Port::new(), frames) {
        Ok(never) => match never {},
        Err(never) => match never {},
    }
}
