//! The log channel, the heap, and the end of everything.

#![expect(unsafe_code, reason = "the allocator's contract and the heap's memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use linked_list_allocator::Heap;
use spin::Mutex;

use super::semihosting;

/// Writes one line to the log channel.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::el2::log::line(::alloc::format!($($argument)*))
    };
}

/// Writes one line to the log channel.
pub fn line(mut text: alloc::string::String) {
    text.push('\n');
    semihosting::write(&text);
}

/// How a realm ends; the number is QEMU's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum End {
    /// PSCI_SYSTEM_OFF.
    Off = 0,
    /// PSCI_SYSTEM_RESET.
    Reset = 10,
    /// An exit that the host cannot resolve.
    Fault = 11,
    /// All RECs wait and nothing can wake them.
    Deadlock = 12,
    /// The model cannot do what it is asked to.
    Model = 13,
}

/// Ends QEMU because the model cannot go on.
pub fn stop(why: alloc::string::String) -> ! {
    log!("model: {why}");
    semihosting::exit(End::Model as u64)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::write("model: panic\n");
    log!("model: {info}");
    semihosting::exit(End::Model as u64)
}

struct Allocator(Mutex<Heap>);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(Mutex::new(Heap::empty()));

// SAFETY: the heap hands out disjoint blocks of the layout asked for, under a lock.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.0.lock().allocate_first_fit(layout);
        block.map_or(core::ptr::null_mut(), |block| block.as_ptr())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = core::ptr::NonNull::new(block) {
            // SAFETY: by the contract of `dealloc` the block came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) }
        }
    }
}

/// Gives the allocator its memory; called once, before anything is allocated.
pub fn init_heap() {
    // HEAP_BASE of `linker/model-rmm.ld` up to the end of what the model keeps for itself.
    const BASE: u64 = 0x2_3800_0000;
    const SIZE: usize = (model_rmm::layout::MODEL.end - BASE) as usize;
    // SAFETY: the linker script keeps the program below BASE, `phys` refuses accesses to the
    // model's range, and the pool leaves it out: nobody else uses these bytes.
    unsafe { ALLOCATOR.0.lock().init(BASE as *mut u8, SIZE) }
}
