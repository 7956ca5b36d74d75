//! Uses more of the stack than there is. The machine has to fault before anything else of the memory is overwritten.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m_rt::entry;
use quorate_firmware::{ports, stop, tell};

const INTACT: u32 = 0x51ac_ca9e;

/// Where all statics are.
static STATIC: AtomicU32 = AtomicU32::new(INTACT);

#[entry]
fn main() -> ! {
    let _ports = ports();
    tell("using up the stack\n", &[]);
    let depth = deeper(0);
    tell("a depth of {}\n", &[&depth]);
    stop("the stack has no end");
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "it ends in a fault")]
fn deeper(depth: u32) -> u32 {
    let frame = black_box([depth; 16]);
    if STATIC.load(Ordering::Relaxed) != INTACT {
        stop("the stack has overwritten a static");
    }
    // What is done with the frame afterwards keeps it, and the call from being a loop.
    black_box(deeper(depth + 1)) + black_box(&frame)[0]
}
