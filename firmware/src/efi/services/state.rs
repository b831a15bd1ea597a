//! The one state behind boot services, and the way to it.
#![expect(unsafe_code, reason = "shares one cell between the functions that EFI clients call")]

use core::cell::RefCell;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use r_efi::efi::{self, EventNotify};
use uefi_core::events::{Event, EventTable};
use uefi_core::handles::{Handle, HandleDatabase};
use uefi_core::memory_map::MemoryMap;
use uefi_core::pool::Pool;
use uefi_core::time::{Clock, MonotonicCount, Watchdog};

use super::configuration::Entries;
use super::memory_attributes::MemoryAttributes;

/// What a notification calls.
#[derive(Clone, Copy, Debug)]
pub struct Notify {
    /// The function.
    pub function: EventNotify,
    /// Its second argument.
    pub context: *mut c_void,
}

/// Everything that boot services remember.
pub struct Core {
    /// Which pages are what.
    pub memory: MemoryMap,
    /// What was allocated below the size of pages.
    pub pool: Pool,
    /// Handles and their protocols.
    pub handles: HandleDatabase,
    /// Events, timers and the task priority level.
    pub events: EventTable<Notify>,
    /// The frequency of the counter.
    pub clock: Clock,
    /// The watchdog.
    pub watchdog: Watchdog,
    /// The low half of the monotonic count.
    pub monotonic_count: MonotonicCount,
    /// The tables in the runtime data region.
    pub tables: NonNull<runtime_abi::Tables>,
    /// The configuration tables, once there is one.
    pub configuration: Option<NonNull<Entries>>,
    /// The memory attributes table, once there is one.
    pub memory_attributes: Option<MemoryAttributes>,
    /// What the runtime services image does when boot services end.
    pub enter_runtime: runtime_abi::ExitBootServices,
    /// The group of the last moment before `ExitBootServices()` is signalled once only.
    pub before_exit_signalled: bool,
    /// Whether boot services have ended.
    pub exited: bool,
}

struct CoreCell(RefCell<Option<Core>>);

// SAFETY: the firmware runs on one CPU and takes no interrupts, so nothing runs beside the borrower of the cell.
unsafe impl Sync for CoreCell {}

static CORE: CoreCell = CoreCell(RefCell::new(None));

/// Works on the state. `work` may not call out: a notification, a protocol or an image that came back to a boot
/// service would find the state borrowed.
///
/// # Panics
/// When the state is in use already, or there is none yet.
pub fn with_core<T>(work: impl FnOnce(&mut Core) -> T) -> T {
    let Some(result) = with_core_if_any(work) else {
        panic!("boot services used before they were started");
    };
    result
}

/// As [`with_core`]; `None` before boot services are started.
pub fn with_core_if_any<T>(work: impl FnOnce(&mut Core) -> T) -> Option<T> {
    CORE.0.borrow_mut().as_mut().map(work)
}

/// Puts the state in place.
pub fn start(core: Core) {
    *CORE.0.borrow_mut() = Some(core);
}

/// The handle that a client passed, which may be anything.
pub fn handle_from(raw: efi::Handle) -> Handle {
    Handle::from_raw(to_u64(raw))
}

/// The handle for a client, which null stands for none.
pub fn optional_handle_from(raw: efi::Handle) -> Option<Handle> {
    (!raw.is_null()).then(|| handle_from(raw))
}

/// The value of a handle that a client gets to see.
pub fn handle_to_raw(handle: Handle) -> efi::Handle {
    from_u64(handle.raw())
}

/// The event that a client passed, which may be anything.
pub fn event_from(raw: efi::Event) -> Event {
    Event::from_raw(to_u64(raw))
}

/// The value of an event that a client gets to see.
pub fn event_to_raw(event: Event) -> efi::Event {
    from_u64(event.raw())
}

/// The number in a value that is a pointer only by its C type.
pub fn to_u64(raw: *mut c_void) -> u64 {
    // A pointer has 64 bits on this architecture.
    raw.addr() as u64
}

/// The reverse of [`to_u64`].
pub fn from_u64(value: u64) -> *mut c_void {
    ptr::without_provenance_mut(value as usize)
}
