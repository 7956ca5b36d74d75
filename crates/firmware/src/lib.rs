//! What the programs on this board are given: a serial port, a key, and no heap.
//!
//! The allocator stops the machine, so that whatever a program has done, it has done without.

#![no_std]

mod heap;
mod serial;
mod stack;

use core::convert::Infallible;

use cortex_m_semihosting::{debug, hprintln};
use quorate_device::Link;

use self::serial::Serial;

/// The key is a development key, known to everybody and worth nothing; a product has its own in secure storage.
pub const DEVELOPMENT_KEY: [u8; 32] = [7; 32];

/// The port, and a line for whoever runs the machine each time that more of the stack was used than ever before.
pub struct Port {
    serial: Serial,
    most: usize,
}

impl Port {
    pub fn new() -> Self {
        Self { serial: Serial::new(), most: 0 }
    }
}

impl Link for Port {
    type Error = Infallible;

    fn read(&mut self) -> Result<u8, Infallible> {
        self.serial.read()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.serial.write(bytes)?;
        let used = stack::used();
        if used > self.most {
            self.most = used;
            hprintln!("stack {} bytes", used);
        }
        Ok(())
    }
}

/// Ends the machine.
pub fn stop(why: &str) -> ! {
    hprintln!("stopped: {}", why);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::bkpt();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    stop("panic")
}
