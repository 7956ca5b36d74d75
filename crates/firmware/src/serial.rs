//! The board's first serial port, a CMSDK APB UART.

use core::convert::Infallible;
use core::ptr;

use quorate_device::Link;

/// The only user of the port.
pub(crate) struct Serial(());

const DATA: *mut u32 = 0x4000_4000 as *mut u32;
const STATE: *const u32 = 0x4000_4004 as *const u32;
const CONTROL: *mut u32 = 0x4000_4008 as *mut u32;
const BAUD_DIVISOR: *mut u32 = 0x4000_4010 as *mut u32;

const SENDER_FULL: u32 = 1;
const RECEIVER_FULL: u32 = 2;
const SEND_AND_RECEIVE: u32 = 3;
const SHORTEST_DIVISOR: u32 = 16;

impl Serial {
    pub(crate) fn new() -> Self {
        // Safety: these are the port's registers, and nobody else touches them.
        unsafe {
            ptr::write_volatile(BAUD_DIVISOR, SHORTEST_DIVISOR);
            ptr::write_volatile(CONTROL, SEND_AND_RECEIVE);
        }
        Self(())
    }

    fn state(&self) -> u32 {
        // Safety: as in `new`.
        unsafe { ptr::read_volatile(STATE) }
    }
}

impl Link for Serial {
    type Error = Infallible;

    fn read(&mut self) -> Result<u8, Infallible> {
        while self.state() & RECEIVER_FULL == 0 {}
        // Safety: as in `new`.
        let word = unsafe { ptr::read_volatile(DATA) };
        Ok(word.to_le_bytes()[0])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        for byte in bytes {
            while self.state() & SENDER_FULL != 0 {}
            // Safety: as in `new`.
            unsafe { ptr::write_volatile(DATA, u32::from(*byte)) };
        }
        Ok(())
    }
}
