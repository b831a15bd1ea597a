//! The Rust heap, apart from what UEFI clients allocate: a fixed part of the image's memory, and more once there is RAM
//! to give.
#![expect(unsafe_code, reason = "a global allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{self, NonNull};

use boot_asm::layout;
use linked_list_allocator::Heap;
use spin::Mutex;

struct Heaps {
    /// In the image.
    first: Heap,
    /// In RAM; without memory until [`extend`].
    second: Heap,
}

/// Only a fault in the heap itself leaves it locked: whoever tells of that gets nothing from it, and does not wait.
struct GlobalHeap(Mutex<Heaps>);

#[global_allocator]
static HEAP: GlobalHeap = GlobalHeap(Mutex::new(Heaps { first: Heap::empty(), second: Heap::empty() }));

/// Gives the heap its memory.
///
/// # Safety
/// Called once, before the first allocation.
pub unsafe fn init() {
    let start = layout::heap_start();
    let size = layout::heap_end() - start;
    let start = ptr::with_exposed_provenance_mut(start as usize);
    // SAFETY: the linker script sets the range aside, boot-asm has mapped it writable, nothing else uses it.
    unsafe { HEAP.0.lock().first.init(start, size as usize) };
}

/// Gives the heap more memory.
///
/// # Safety
/// Called once. `range` is RAM, mapped read-write, that nothing else uses from now on.
pub unsafe fn extend(range: Range<u64>) {
    let start = ptr::with_exposed_provenance_mut(range.start as usize);
    // SAFETY: the caller gives the range away, and no earlier call has given the second heap memory.
    unsafe { HEAP.0.lock().second.init(start, (range.end - range.start) as usize) };
}

// SAFETY: `Heap` hands out disjoint blocks of the size and alignment asked for; the mutex is only ever held for
// the length of one call, and interrupts are masked.
unsafe impl GlobalAlloc for GlobalHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(mut heaps) = self.0.try_lock() else { return ptr::null_mut() };
        let heaps = &mut *heaps;
        let block = heaps.first.allocate_first_fit(layout).or_else(|()| heaps.second.allocate_first_fit(layout));
        block.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let (Some(block), Some(mut heaps)) = (NonNull::new(block), self.0.try_lock()) {
            let heaps = &mut *heaps;
            let is_first = (heaps.first.bottom()..heaps.first.top()).contains(&block.as_ptr());
            let heap = if is_first { &mut heaps.first } else { &mut heaps.second };
            // SAFETY: the caller passes what `alloc` returned for this layout, and the heaps are apart.
            unsafe { heap.deallocate(block, layout) };
        }
    }
}
