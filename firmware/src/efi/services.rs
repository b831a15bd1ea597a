//! Boot services for the rest of the firmware: the same state as the EFI boot services table,
//! behind Rust signatures.
//!
//! Every function may run notifications of the client before it returns, so no caller may hold a
//! borrow of state that a notification can reach. Errors are the EFI status that the matching
//! boot service returns (UEFI 2.10, section 7).

use core::ffi::c_void;
use core::ptr::NonNull;

use alloc::vec::Vec;
use r_efi::efi::{self, Guid, Handle, Status};

pub use uefi_core::memory_map::Placement;

/// Allocates `pages` pages of 4 KiB as `memory_type`, aligned to `alignment` bytes (a power of
/// two; 4096 when nothing more is needed). The contents are undefined.
///
/// # Errors
/// As `AllocatePages()` (UEFI 2.10, section 7.2.1).
pub fn allocate_pages(
    placement: Placement,
    memory_type: efi::MemoryType,
    pages: u64,
    alignment: u64,
) -> Result<efi::PhysicalAddress, Status> {
    let _ = (placement, memory_type, pages, alignment);
    Err(Status::UNSUPPORTED)
}

/// Frees pages that [`allocate_pages`] or the boot service handed out.
///
/// # Errors
/// As `FreePages()` (UEFI 2.10, section 7.2.2).
pub fn free_pages(start: efi::PhysicalAddress, pages: u64) -> Result<(), Status> {
    let _ = (start, pages);
    Err(Status::UNSUPPORTED)
}

/// Allocates `size` bytes of pool, 8-byte aligned, contents undefined.
///
/// # Errors
/// As `AllocatePool()` (UEFI 2.10, section 7.2.4).
pub fn allocate_pool(memory_type: efi::MemoryType, size: usize) -> Result<NonNull<u8>, Status> {
    let _ = (memory_type, size);
    Err(Status::UNSUPPORTED)
}

/// Frees pool memory. Any address is safe to pass: what was not allocated is refused.
///
/// # Errors
/// As `FreePool()` (UEFI 2.10, section 7.2.5).
pub fn free_pool(address: *mut c_void) -> Result<(), Status> {
    let _ = address;
    Err(Status::UNSUPPORTED)
}

/// Installs `interface` as `protocol` on `handle`, or on a new handle when there is none, and
/// returns the handle.
///
/// # Errors
/// As `InstallProtocolInterface()` (UEFI 2.10, section 7.3.2).
pub fn install_protocol(
    handle: Option<Handle>,
    protocol: &Guid,
    interface: *mut c_void,
) -> Result<Handle, Status> {
    let _ = (handle, protocol, interface);
    Err(Status::UNSUPPORTED)
}

/// Removes `interface` from `handle`, disconnecting the drivers that use it. The handle vanishes
/// with its last protocol.
///
/// # Errors
/// As `UninstallProtocolInterface()` (UEFI 2.10, section 7.3.3).
pub fn uninstall_protocol(
    handle: Handle,
    protocol: &Guid,
    interface: *mut c_void,
) -> Result<(), Status> {
    let _ = (handle, protocol, interface);
    Err(Status::UNSUPPORTED)
}

/// Looks up the interface of `protocol` on `handle` without recording that it was opened.
///
/// # Errors
/// `INVALID_PARAMETER` when `handle` is none, `UNSUPPORTED` when it lacks the protocol.
pub fn interface(handle: Handle, protocol: &Guid) -> Result<*mut c_void, Status> {
    let _ = (handle, protocol);
    Err(Status::UNSUPPORTED)
}

/// The first installed interface of `protocol`, with its handle.
pub fn locate_protocol(protocol: &Guid) -> Option<(Handle, *mut c_void)> {
    let _ = protocol;
    None
}

/// Every handle that carries `protocol`, in the order of installation.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn locate_handles(protocol: &Guid) -> Result<Vec<Handle>, Status> {
    let _ = protocol;
    Err(Status::UNSUPPORTED)
}

/// Finds the handle with `protocol` whose device path is the longest prefix of `path`. Returns it
/// with the rest of the path.
///
/// # Errors
/// As `LocateDevicePath()` (UEFI 2.10, section 7.3.13).
///
/// # Safety
/// `path` points to a device path, ended by an end node, that nothing changes during the call.
pub unsafe fn locate_device_path(
    protocol: &Guid,
    path: *const efi::protocols::device_path::Protocol,
) -> Result<(Handle, *const efi::protocols::device_path::Protocol), Status> {
    let _ = (protocol, path);
    Err(Status::UNSUPPORTED)
}

/// Whether `handle` is in the handle database. Any value is safe to pass.
pub fn is_handle(handle: Handle) -> bool {
    let _ = handle;
    false
}

/// Forgets every protocol that `agent` has open, as unloading an image must.
pub fn close_protocols_of_agent(agent: Handle) {
    let _ = agent;
}

/// Creates an event. `notify` is called at `tpl` with `context`.
///
/// # Errors
/// As `CreateEventEx()` (UEFI 2.10, section 7.1.2).
pub fn create_event(
    kind: u32,
    tpl: efi::Tpl,
    notify: Option<efi::EventNotify>,
    context: *mut c_void,
    group: Option<&Guid>,
) -> Result<efi::Event, Status> {
    let _ = (kind, tpl, notify, context, group);
    Err(Status::UNSUPPORTED)
}

/// Signals an event, and with it its group.
///
/// # Errors
/// `INVALID_PARAMETER` when `event` is none.
pub fn signal_event(event: efi::Event) -> Result<(), Status> {
    let _ = event;
    Err(Status::UNSUPPORTED)
}

/// Signals every event of a group, for instance `EVENT_GROUP_READY_TO_BOOT`.
pub fn signal_group(group: &Guid) {
    let _ = group;
}

/// Closes an event.
///
/// # Errors
/// `INVALID_PARAMETER` when `event` is none.
pub fn close_event(event: efi::Event) -> Result<(), Status> {
    let _ = event;
    Err(Status::UNSUPPORTED)
}

/// The task priority level the firmware runs at.
pub fn current_tpl() -> efi::Tpl {
    efi::TPL_APPLICATION
}

/// Raises the task priority level and returns the former one.
pub fn raise_tpl(tpl: efi::Tpl) -> efi::Tpl {
    let _ = tpl;
    efi::TPL_APPLICATION
}

/// Lowers the task priority level and runs the notifications that waited for it.
pub fn restore_tpl(tpl: efi::Tpl) {
    let _ = tpl;
}

/// Notices the time that has passed: expires timers and the watchdog and runs the notifications
/// that are due. A loop that waits inside the firmware calls it on every turn.
pub fn poll() {}

/// Adds, replaces or (with a null `table`) removes a configuration table of the system table.
///
/// # Errors
/// As `InstallConfigurationTable()` (UEFI 2.10, section 7.5.6).
pub fn install_configuration_table(guid: &Guid, table: *mut c_void) -> Result<(), Status> {
    let _ = (guid, table);
    Err(Status::UNSUPPORTED)
}

/// Arms the watchdog for `seconds`, or disarms it with zero.
pub fn set_watchdog(seconds: u64) {
    let _ = seconds;
}

/// Connects the drivers of `controller` and, when `recursive`, those of its children.
///
/// # Errors
/// As `ConnectController()` (UEFI 2.10, section 7.3.12).
pub fn connect_controller(controller: Handle, recursive: bool) -> Result<(), Status> {
    let _ = (controller, recursive);
    Err(Status::UNSUPPORTED)
}

/// Whether `ExitBootServices()` has succeeded.
pub fn exited() -> bool {
    false
}

/// The EFI system table. Null before [`super::init`].
pub fn system_table() -> *mut efi::SystemTable {
    core::ptr::null_mut()
}

/// Where the console handles and interfaces of the system table point.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// The handle that carries the input protocol.
    pub input_handle: Handle,
    /// `ConIn`.
    pub input: *mut efi::protocols::simple_text_input::Protocol,
    /// The handle that carries the output protocol.
    pub output_handle: Handle,
    /// `ConOut` and `StdErr`.
    pub output: *mut efi::protocols::simple_text_output::Protocol,
}

/// Sets the consoles of the system table and updates its checksum.
pub fn set_console(console: Console) {
    let _ = console;
}
