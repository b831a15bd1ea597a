//! The Rust heap: a fixed part of the image's memory, apart from what UEFI clients allocate.
#![expect(unsafe_code, reason = "a global allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use boot_asm::layout;
use linked_list_allocator::Heap;
use spin::Mutex;

struct ImageHeap(Mutex<Heap>);

#[global_allocator]
static HEAP: ImageHeap = ImageHeap(Mutex::new(Heap::empty()));

/// Gives the heap its memory.
///
/// # Safety
/// Called once, before the first allocation.
pub unsafe fn init() {
    let start = layout::heap_start();
    let size = layout::heap_end() - start;
    let start = ptr::with_exposed_provenance_mut(start as usize);
    // SAFETY: the linker script sets the range aside, boot-asm has mapped it writable, nothing else uses it.
    unsafe { HEAP.0.lock().init(start, size as usize) };
}

// SAFETY: `Heap` hands out disjoint blocks of the size and alignment asked for; the mutex is only ever held for
// the length of one call, and interrupts are masked.
unsafe impl GlobalAlloc for ImageHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller passes what `alloc` returned for this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}
