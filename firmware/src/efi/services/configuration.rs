//! The system table: its consoles and configuration tables (UEFI 2.10, sections 4.3 and 7.5.6).
#![expect(unsafe_code, reason = "reads and writes the tables in the runtime data region")]

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;

use r_efi::efi::{self, ConfigurationTable, Guid, Handle, ResetType, Status, SystemTable, TableHeader};
use r_efi::protocols::{simple_text_input, simple_text_output};
use uefi_core::crc32::Crc32;

use super::state::{with_core, with_core_if_any};
use super::{allocate_pool, events};

/// The configuration tables of the system table, with room for 32.
pub type Entries = [ConfigurationTable; 32];

/// Where the console handles and interfaces of the system table point.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// The handle that carries the input protocol.
    pub input_handle: Handle,
    /// `ConIn`.
    pub input: *mut simple_text_input::Protocol,
    /// The handle that carries the output protocol.
    pub output_handle: Handle,
    /// `ConOut` and `StdErr`.
    pub output: *mut simple_text_output::Protocol,
}

/// The EFI system table. Null before [`crate::efi::init`].
pub fn system_table() -> *mut SystemTable {
    // SAFETY: the tables outlive the firmware (`init`), and this takes an address without an access.
    with_core_if_any(|core| unsafe { &raw mut (*core.tables.as_ptr()).system_table }).unwrap_or(ptr::null_mut())
}

/// Sets the consoles of the system table and updates its checksum.
pub fn set_console(console: Console) {
    with_core(|core| {
        change_system_table(core.tables, |table| {
            table.console_in_handle = console.input_handle;
            table.con_in = console.input;
            table.console_out_handle = console.output_handle;
            table.con_out = console.output;
            table.standard_error_handle = console.output_handle;
            table.std_err = console.output;
        });
    });
}

/// Adds, replaces or (with a null `table`) removes a configuration table of the system table, and signals the event
/// group of its GUID.
///
/// # Errors
/// `NOT_FOUND` when there is none to remove; `OUT_OF_RESOURCES` when the array is full (UEFI 2.10, section 7.5.6).
pub fn install_configuration_table(guid: &Guid, table: *mut c_void) -> Result<(), Status> {
    let mut array = entries()?;
    with_core(|core| {
        // SAFETY: the tables are initialised (`init`); what the client wrote there is a number in any case.
        let count = unsafe { (*core.tables.as_ptr()).system_table.number_of_table_entries };
        // SAFETY: memory that is kept for the entries, all of which are initialised, and no client runs while the
        // reference lives.
        let entries = unsafe { array.as_mut() };
        let count = count.min(entries.len());
        let count = edit(entries, count, guid, table)?;
        change_system_table(core.tables, |system_table| {
            system_table.number_of_table_entries = count;
            system_table.configuration_table = array.as_ptr().cast();
        });
        Ok(())
    })?;
    events::signal_group(guid);
    Ok(())
}

/// The memory for the configuration tables, of the type that section 7.5.6 gives it.
fn entries() -> Result<NonNull<Entries>, Status> {
    if let Some(entries) = with_core(|core| core.configuration) {
        return Ok(entries);
    }
    let entries = allocate_pool(efi::RUNTIME_SERVICES_DATA, size_of::<Entries>())?.cast::<Entries>();
    // SAFETY: pool memory of this size, aligned to 8 bytes; zero is a value of everything in it.
    unsafe { entries.write_bytes(0, 1) };
    with_core(|core| core.configuration = Some(entries));
    Ok(entries)
}

/// Does the change within the first `count` entries and returns how many there are then.
fn edit(entries: &mut [ConfigurationTable], count: usize, guid: &Guid, table: *mut c_void) -> Result<usize, Status> {
    let found = entries.iter().take(count).position(|entry| entry.vendor_guid == *guid);
    match found {
        Some(at) if table.is_null() => {
            entries.get_mut(at..count).ok_or(Status::NOT_FOUND)?.rotate_left(1);
            Ok(count.saturating_sub(1))
        }
        Some(at) => {
            entries.get_mut(at).ok_or(Status::NOT_FOUND)?.vendor_table = table;
            Ok(count)
        }
        None if table.is_null() => Err(Status::NOT_FOUND),
        None => {
            *entries.get_mut(count).ok_or(Status::OUT_OF_RESOURCES)? =
                ConfigurationTable { vendor_guid: *guid, vendor_table: table };
            Ok(count.saturating_add(1))
        }
    }
}

/// Changes the system table and makes its checksum right again.
pub fn change_system_table(tables: NonNull<runtime_abi::Tables>, change: impl FnOnce(&mut SystemTable)) {
    // SAFETY: the tables are initialised and outlive the firmware (`init`); no client runs while the reference lives.
    let table = unsafe { &mut (*tables.as_ptr()).system_table };
    change(table);
    // SAFETY: an `EFI_SYSTEM_TABLE` begins with its header.
    unsafe { update_checksum((&raw mut *table).cast()) };
}

/// Computes the checksum of an EFI table over the length that its header gives (UEFI 2.10, section 4.2).
///
/// # Safety
/// `header` points to a table of `header_size` bytes, all of which can be read, that nothing else uses meanwhile.
pub unsafe fn update_checksum(header: *mut TableHeader) {
    // SAFETY: the caller's promise. Padding between the fields of an EFI table does not occur, but for the four bytes
    // behind `firmware_revision`, which the runtime image zeroed with the whole region.
    unsafe {
        (*header).crc32 = 0;
        let length = usize::try_from((*header).header_size).unwrap_or_default();
        let bytes = slice::from_raw_parts(header.cast::<u8>(), length);
        (*header).crc32 = Crc32::default().update(bytes).value();
    }
}

/// Sets what `ResetSystem()` calls first, until boot services end.
pub fn set_reset_notification(notification: runtime_abi::ResetNotification) {
    // SAFETY: as in `change_system_table`.
    with_core(|core| unsafe { (*core.tables.as_ptr()).reset_notification = Some(notification) });
}

/// Tells of a reset by the firmware itself who asked to be told of `ResetSystem()`.
pub fn notify_reset(kind: ResetType, status: Status) {
    // SAFETY: as in `change_system_table`.
    let notification = with_core(|core| unsafe { (*core.tables.as_ptr()).reset_notification });
    if let Some(notify) = notification {
        // SAFETY: the firmware's own function, which takes any arguments; nothing of the core is borrowed.
        unsafe { notify(kind, status, 0, ptr::null_mut()) };
    }
}

/// The next value of the monotonic count.
pub fn next_monotonic_count() -> u64 {
    with_core(|core| {
        // SAFETY: as in `change_system_table`.
        let high = unsafe { &mut (*core.tables.as_ptr()).monotonic_high };
        core.monotonic_count.next(high)
    })
}
