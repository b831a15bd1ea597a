//! Where the operating system finds the event log: reserved memory that the device tree names.
#![expect(unsafe_code, reason = "writes to pages that outlive the firmware")]

use core::ops::Range;
use core::{ptr, slice};

use r_efi::efi::{self, Status};
use spin::Mutex;

use super::services::{self, Placement};
use crate::measurement::{self, LOG_SIZE};

static PLACE: Mutex<Option<Range<u64>>> = Mutex::new(None);

/// Sets aside the pages that the log will be in, and returns where they are.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn reserve() -> Result<Range<u64>, Status> {
    let size = LOG_SIZE as u64;
    let start = services::allocate_pages(Placement::Any, efi::RESERVED_MEMORY_TYPE, size / 4096, 4096)?;
    let place = start..start.saturating_add(size);
    *PLACE.lock() = Some(place.clone());
    Ok(place)
}

/// Puts the log, which is complete now, to its place.
///
/// # Errors
/// [`measurement::Error`].
pub fn hand_over() -> Result<(), measurement::Error> {
    let Some(place) = PLACE.lock().take() else { return Ok(()) };
    let start = ptr::with_exposed_provenance_mut::<u8>(place.start as usize);
    // SAFETY: the pages were allocated for this and never freed; they are mapped read-write, and nobody else has a
    // reference to them.
    measurement::copy_log(unsafe { slice::from_raw_parts_mut(start, LOG_SIZE) })
}
