//! EFI_HII_DATABASE_PROTOCOL and EFI_HII_STRING_PROTOCOL (UEFI 2.10, chapter 34). The database itself is the crate
//! `hii`.
#![expect(unsafe_code, reason = "reads and writes what EFI images pass as raw pointers")]

mod database;
mod keyboard;
mod notify;
mod string;

use core::ffi::c_void;
use core::ptr;

use hii::{Database, Error};
use r_efi::efi::{Guid, Status};
use r_efi::protocols::{hii_database, hii_string};
use spin::{Mutex, MutexGuard};

/// No call leaves this folder while it is locked.
static DATABASE: Mutex<Database> = Mutex::new(Database::new());

#[inline(never)]
fn database() -> MutexGuard<'static, Database> {
    DATABASE.lock()
}

/// Installs both protocols.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install() -> Result<(), Status> {
    super::install_on_new(&hii_database::PROTOCOL_GUID, database::create().cast())?;
    super::install_on_new(&hii_string::PROTOCOL_GUID, string::create().cast())?;
    Ok(())
}

fn status(error: Error) -> Status {
    match error {
        Error::Malformed => Status::INVALID_PARAMETER,
        Error::NotFound => Status::NOT_FOUND,
        Error::InvalidLanguage => Status::INVALID_LANGUAGE,
        Error::OutOfResources => Status::OUT_OF_RESOURCES,
    }
}

fn result(result: Result<(), Error>) -> Status {
    result.map_or_else(status, |()| Status::SUCCESS)
}

/// The handle of a package list as images see it: a number that they never follow.
fn to_raw(handle: hii::Handle) -> *mut c_void {
    ptr::without_provenance_mut(handle)
}

/// A client's GUID; `None` for null.
///
/// # Safety
/// `guid` is null or points to a GUID.
unsafe fn client_guid(guid: *const Guid) -> Option<hii::Guid> {
    // SAFETY: the caller's promise; some clients keep GUIDs in packed structures.
    (!guid.is_null()).then(|| unsafe { guid.cast::<hii::Guid>().read_unaligned() })
}

/// Copies what was found into a client's buffer, if it fits, and says how long it is. That there is no place for either
/// counts for more than that nothing was found.
///
/// # Safety
/// `size` is null or can be read and written, and `buffer` is null or has as many bytes as are in `size`.
unsafe fn hand_out(found: Result<&[u8], Error>, size: *mut usize, buffer: *mut u8) -> Status {
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller's promise.
    let room = unsafe { size.read() };
    if buffer.is_null() && room != 0 {
        return Status::INVALID_PARAMETER;
    }
    let bytes = match found {
        Ok(bytes) => bytes,
        Err(error) => return status(error),
    };
    // SAFETY: as above.
    unsafe { size.write(bytes.len()) };
    if room < bytes.len() {
        return Status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the buffer has at least this room; without room, there are no bytes.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
    Status::SUCCESS
}
