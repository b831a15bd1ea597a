//! The members for keyboard layouts (UEFI 2.10, 34.8.10 to 34.8.12). A terminal has none of its own: it sends
//! characters.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::vec::Vec;

use hii::{Database, Error, Layout};
use r_efi::efi::{Guid, Status};
use r_efi::protocols::hii_database::{KeyboardLayout, Protocol, SET_KEYBOARD_LAYOUT_EVENT_GUID};
use spin::Mutex;

use super::super::super::services;
use super::{client_guid, database, hand_out};

/// The layout that was set last.
static CURRENT: Mutex<Option<hii::Guid>> = Mutex::new(None);

/// As [`hand_out`], for a size of 16 bits.
///
/// # Safety
/// As there.
unsafe fn hand_out_short(found: Result<&[u8], Error>, size: *mut u16, buffer: *mut u8) -> Status {
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller's promise.
    let mut long = usize::from(unsafe { size.read() });
    // SAFETY: the caller's promise.
    let status = unsafe { hand_out(found, &raw mut long, buffer) };
    // SAFETY: as above. More than can be told is the most.
    unsafe { size.write(u16::try_from(long).unwrap_or(u16::MAX)) };
    status
}

/// The layout of a GUID.
fn with_guid(database: &Database, guid: Option<hii::Guid>) -> Option<Layout<'_>> {
    let mut place = 0;
    loop {
        let layout = database.layout(place)?;
        if Some(layout.guid) == guid {
            return Some(layout);
        }
        place += 1;
    }
}

/// The GUIDs of all of them.
fn guids() -> Result<Vec<u8>, Error> {
    let database = database();
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(layout) = database.layout(place) {
        hii::append(&mut found, &layout.guid.to_le_bytes())?;
        place += 1;
    }
    if found.is_empty() { Err(Error::NotFound) } else { Ok(found) }
}

/// `FindKeyboardLayouts()`.
pub unsafe extern "efiapi" fn find(_this: *const Protocol, size: *mut u16, buffer: *mut Guid) -> Status {
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    unsafe { hand_out_short(guids().as_deref().map_err(|error| *error), size, buffer.cast()) }
}

/// `GetKeyboardLayout()`.
pub unsafe extern "efiapi" fn get(
    _this: *const Protocol,
    guid: *const Guid,
    size: *mut u16,
    buffer: *mut KeyboardLayout,
) -> Status {
    // SAFETY: null, for the current one, or a GUID, by the protocol's contract.
    let wanted = unsafe { client_guid(guid) }.or(*CURRENT.lock());
    let database = database();
    let found = with_guid(&database, wanted).map(|layout| layout.bytes).ok_or(Error::NotFound);
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    unsafe { hand_out_short(found, size, buffer.cast()) }
}

/// `SetKeyboardLayout()`.
pub unsafe extern "efiapi" fn set(_this: *const Protocol, guid: *mut Guid) -> Status {
    // SAFETY: null or a GUID, by the protocol's contract.
    let wanted = unsafe { client_guid(guid) };
    if wanted.is_none() {
        return Status::INVALID_PARAMETER;
    }
    if with_guid(&database(), wanted).is_none() {
        return Status::NOT_FOUND;
    }
    *CURRENT.lock() = wanted;
    services::events::signal_group(&SET_KEYBOARD_LAYOUT_EVENT_GUID);
    Status::SUCCESS
}
