//! The board's serial ports, CMSDK APB UARTs.

use core::convert::Infallible;
use core::fmt;
use core::ptr;

use quorate_device::embedded_io::{ErrorType, Read, ReadReady, Write};

/// A serial port, of which there is one value.
pub struct Serial {
    registers: *mut u32,
}

// Words from the start of the registers.
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const BAUD_DIVISOR: usize = 4;

const SENDER_FULL: u32 = 1;
const RECEIVER_FULL: u32 = 2;
const SEND_AND_RECEIVE: u32 = 3;
const SHORTEST_DIVISOR: u32 = 16;

impl Serial {
    /// The port whose registers are there.
    ///
    /// # Safety
    /// A UART is at `registers`, and nobody else touches it.
    pub(crate) unsafe fn new(registers: *mut u32) -> Self {
        let mut port = Self { registers };
        port.write_register(BAUD_DIVISOR, SHORTEST_DIVISOR);
        port.write_register(CONTROL, SEND_AND_RECEIVE);
        port
    }

    fn is(&self, state: u32) -> bool {
        // SAFETY: `new` was promised that the registers are there, and the state's is one of them.
        unsafe { ptr::read_volatile(self.registers.add(STATE)) & state != 0 }
    }

    fn write_register(&mut self, register: usize, value: u32) {
        // SAFETY: `new` was promised that the registers are there and nobody else's; `register` is one of the constants.
        unsafe { ptr::write_volatile(self.registers.add(register), value) };
    }
}

impl ErrorType for Serial {
    type Error = Infallible;
}

impl Read for Serial {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while !self.is(RECEIVER_FULL) {}
        // SAFETY: `new` was promised that the registers are there, and the data's is one of them.
        let word = unsafe { ptr::read_volatile(self.registers.add(DATA)) };
        *first = word.to_le_bytes()[0];
        Ok(1)
    }
}

impl ReadReady for Serial {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.is(RECEIVER_FULL))
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            while self.is(SENDER_FULL) {}
            self.write_register(DATA, u32::from(*byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.write(text.as_bytes()) {
            Ok(_) => Ok(()),
            Err(never) => match never {},
        }
    }
}
