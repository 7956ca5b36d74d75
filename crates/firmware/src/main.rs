//! A hardware signer on a Cortex-M4: [`quorate_device::Device`] behind a serial port.
//!
//! It has no heap: the allocator stops the machine, so that whatever the signer has done, it has done without. The
//! key is a development key, known to everybody; a product has it in its secure storage.

#![no_std]
#![no_main]

mod heap;
mod serial;
mod stack;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use k256::ecdsa::SigningKey;
use quorate_contracts::Deployment;
use quorate_core::Known;
use quorate_device::{Device, Link};

use crate::serial::Serial;

/// Worth nothing anywhere.
const DEVELOPMENT_KEY: [u8; 32] = [7; 32];

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
    let device = Device::new(key, known);
    match device.serve(&mut Measured { port: Serial::new(), most: 0 }) {
        Ok(never) => match never {},
        Err(never) => match never {},
    }
}

/// The port, and a line for whoever runs the machine each time that more of the stack was used than ever before.
struct Measured {
    port: Serial,
    most: usize,
}

impl Link for Measured {
    type Error = core::convert::Infallible;

    fn read(&mut self) -> Result<u8, Self::Error> {
        self.port.read()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.port.write(bytes)?;
        let used = stack::used();
        if used > self.most {
            self.most = used;
            hprintln!("stack {} bytes", used);
        }
        Ok(())
    }
}

fn stop(why: &str) -> ! {
    hprintln!("stopped: {}", why);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::bkpt();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    stop("panic")
}
