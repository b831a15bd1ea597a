//! Where the operating system finds the event log of a realm: reserved memory that the device tree names, and for what
//! is measured after it has read the log, EFI_CC_FINAL_EVENTS_TABLE (UEFI 2.11, section 38.2.3).
#![expect(unsafe_code, reason = "gives pages that outlive the firmware to the log")]

use core::ops::Range;
use core::{ptr, slice};

use r_efi::efi::{self, Guid, MemoryType, Status};
use spin::Mutex;

use super::services::{self, Placement};
use crate::measurement;

/// Bytes of the log: a thousand events. The table of final events has as many, so that it is never full before the log.
const LOG_SIZE: usize = 128 * 1024;

/// EFI_CC_FINAL_EVENTS_TABLE_GUID.
const FINAL_EVENTS_TABLE: Guid =
    Guid::from_fields(0xdd4a_4648, 0x2de7, 0x4665, 0x96, 0x4d, &[0x21, 0xd9, 0xef, 0x5f, 0xb4, 0x46]);

static PLACE: Mutex<Option<Range<u64>>> = Mutex::new(None);

/// Moves the log of a realm to pages that the operating system keeps. Called once.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn start() -> Result<(), Status> {
    let log = pages(efi::RESERVED_MEMORY_TYPE)?;
    // Linux looks at the table before it has set up what it reserved, and maps this type.
    let final_events = pages(efi::ACPI_MEMORY_NVS)?;
    let (start, table) = (log.as_ptr().addr() as u64, final_events.as_mut_ptr());
    measurement::move_log(log, final_events).map_err(|_| Status::OUT_OF_RESOURCES)?;
    *PLACE.lock() = Some(start..start + LOG_SIZE as u64);
    services::install_configuration_table(&FINAL_EVENTS_TABLE, table.cast())
}

/// Where the log is; none in a plain VM.
pub fn place() -> Option<Range<u64>> {
    PLACE.lock().clone()
}

fn pages(kind: MemoryType) -> Result<&'static mut [u8], Status> {
    let start = services::allocate_pages(Placement::Any, kind, LOG_SIZE as u64 / 4096, 4096)?;
    let start = ptr::with_exposed_provenance_mut::<u8>(start as usize);
    // SAFETY: the pages were allocated just now and are never freed; they are mapped read-write, nobody else has a
    // reference to them, and what is in them is written before it is read.
    Ok(unsafe {
        start.write_bytes(0, LOG_SIZE);
        slice::from_raw_parts_mut(start, LOG_SIZE)
    })
}
