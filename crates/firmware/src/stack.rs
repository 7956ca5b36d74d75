//! How much of the stack was ever used, and what happens when it is not enough.

use core::ptr;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// What `cortex-m-rt` fills the stack with before `main`.
const PAINT: u32 = cortex_m_rt::STACK_PAINT_VALUE;

/// The bytes between the stack's start and the deepest word that is no longer painted.
pub(crate) fn used() -> usize {
    let (top, bottom) = (&raw const _stack_start, &raw const _stack_end);
    let mut at = bottom;
    // SAFETY: all words between the linker's two symbols are the stack's, and reading them changes nothing.
    while at < top && unsafe { ptr::read_volatile(at) } == PAINT {
        at = at.wrapping_add(1);
    }
    top.addr() - at.addr()
}

/// Stops the machine at a fault, as a stack that overflows causes one: on the stack's start, since there is none left.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn HardFault() -> ! {
    core::arch::naked_asm!("ldr r0, =_stack_start", "mov sp, r0", "b {faulted}", faulted = sym faulted)
}

extern "C" fn faulted() -> ! {
    crate::stop("fault")
}
