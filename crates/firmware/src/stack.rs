//! How much of the stack was ever used, and what happens when it is not enough.

use core::ptr;

use cortex_m::asm;
use cortex_m::peripheral::MPU;

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

/// Makes what lies below the stack's end no memory, so that too much of the stack is a fault and overwrites nothing. To be
/// called once, at the beginning.
pub(crate) fn guard() {
    // SAFETY: nobody else has the protection unit, and no code of the program uses what it takes away.
    unsafe {
        let unit = &*MPU::PTR;
        unit.rbar.write(((&raw const _stack_end).addr() as u32 - GUARDED) | USE_REGION);
        unit.rasr.write(EXECUTE_NEVER | ((GUARDED.ilog2() - 1) << 1) | ENABLE);
        // All else is as it is without the unit.
        unit.ctrl.write(DEFAULT_MAP | ENABLE);
    }
    asm::dsb();
    asm::isb();
}

/// The bytes below the stack's end that are no memory, a power of two: more than any function's frame.
const GUARDED: u32 = 32 * 1024;

// Bits of the protection unit's registers (ARMv7-M Architecture Reference Manual, B3.5).
const USE_REGION: u32 = 1 << 4;
const EXECUTE_NEVER: u32 = 1 << 28;
const DEFAULT_MAP: u32 = 1 << 2;
const ENABLE: u32 = 1;

/// Stops the machine at a fault, as a stack that overflows causes one: on the stack's start, since there is none left.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn HardFault() -> ! {
    core::arch::naked_asm!("ldr r0, =_stack_start", "mov sp, r0", "b {faulted}", faulted = sym faulted)
}

extern "C" fn faulted() -> ! {
    crate::stop("fault")
}
