//! What a static library without an operating system brings along: an allocator that nothing calls, and an end.

#[cfg(feature = "allocator")]
mod allocator {
    use core::alloc::{GlobalAlloc, Layout};

    /// alloy-primitives links the `alloc` crate, so there has to be an allocator; the core never asks for memory.
    struct NoHeap;

    // SAFETY: it gives no memory, which an allocator may always do.
    unsafe impl GlobalAlloc for NoHeap {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[global_allocator]
    static NO_HEAP: NoHeap = NoHeap;
}

#[cfg(feature = "panic-handler")]
mod panic_handler {
    unsafe extern "C" {
        /// Stops the device; the firmware has it.
        fn quorate_stopped() -> !;
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // SAFETY: it takes nothing and does not return.
        unsafe { quorate_stopped() }
    }
}
