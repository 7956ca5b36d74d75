//! The board's interrupts, of which none is ever enabled: the signer asks its ports.

/// The vectors after those of the processor's own exceptions, of which the linker's script wants at least one. What is not
/// the address of a handler is a fault, as is an interrupt that nobody enabled.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [usize; 1] = [0];
