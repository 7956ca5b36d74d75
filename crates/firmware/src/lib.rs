//! What the programs on this board are given: serial ports, a screen and a button on one of them, a key, and no heap.
//!
//! The allocator stops the machine, so that whatever a program has done, it has done without.

#![no_std]

pub mod dangerous;
mod heap;
mod interrupts;
mod serial;
mod stack;

use core::convert::Infallible;
use core::fmt;

use cortex_m_semihosting::{debug, hio};
use quorate_core::{Written, write_text};
use quorate_device::Entropy;
use quorate_device::embedded_io::{ErrorType, Read, ReadReady, Write};

pub use self::serial::Serial;

core::arch::global_asm!(include_str!("builtins.s"), options(raw));

/// The key is a development key, known to everybody and worth nothing; a product has its own in secure storage.
pub const DEVELOPMENT_KEY: [u8; 32] = [7; 32];

/// No entropy at all: the board has no source of any, and always the same bytes make a run repeatable. A product has a source.
pub struct FixedEntropy;

impl Entropy for FixedEntropy {
    fn added(&self) -> Result<Option<[u8; 32]>, k256::ecdsa::Error> {
        Ok(Some([0xe7; 32]))
    }
}

/// The port to the host, and the port that stands for screen and button. To be called once, at the beginning: from then on too
/// much of the stack is a fault.
pub fn ports() -> (HostPort, Serial) {
    stack::guard();
    // SAFETY: these are the board's first two UARTs, and no other code has their addresses.
    let (host, user) =
        unsafe { (Serial::new(0x4000_4000 as *mut u32), Serial::new(0x4000_5000 as *mut u32)) };
    (HostPort { serial: host, most: 0 }, user)
}

/// The port to the host, and a line for whoever runs the machine each time that more of the stack was used than ever before.
pub struct HostPort {
    serial: Serial,
    most: usize,
}

impl ErrorType for HostPort {
    type Error = Infallible;
}

impl Read for HostPort {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        self.serial.read(buffer)
    }
}

impl ReadReady for HostPort {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        self.serial.read_ready()
    }
}

impl Write for HostPort {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let used = stack::used();
        if used > self.most {
            self.most = used;
            tell("stack {} bytes\n", &[&used]);
        }
        self.serial.write(bytes)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.serial.flush()
    }
}

/// Writes a line for whoever runs the machine, with a value in the place of each `{}`.
pub fn tell(text: &str, values: &[&dyn Written]) {
    // Where nobody reads it, it is lost.
    if let Ok(mut console) = hio::hstdout() {
        let _ = write_text(text, values, &mut |piece| {
            console.write_all(piece.as_bytes()).map_err(|()| fmt::Error)
        });
    }
}

/// Ends the machine.
pub fn stop(why: &str) -> ! {
    tell("stopped: {}\n", &[&why]);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::bkpt();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    stop("panic")
}
