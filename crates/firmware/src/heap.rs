//! The heap that there is not.

use core::alloc::{GlobalAlloc, Layout};

struct NoHeap;

#[global_allocator]
static HEAP: NoHeap = NoHeap;

// SAFETY: it never gives out memory.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        crate::stop("something wants a heap")
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
