//! The variables that the firmware itself reads and sets, through the services that clients use.
#![expect(unsafe_code, reason = "calls members of the runtime services table")]

use alloc::vec::Vec;
use core::ptr;

use r_efi::efi::{self, Status};
use r_efi::protocols::device_path;

use super::services;

/// What the variables about this boot have.
pub const PRESENT: u32 = efi::VARIABLE_BOOTSERVICE_ACCESS | efi::VARIABLE_RUNTIME_ACCESS;
/// What those have that others set too.
pub const PERSISTENT: u32 = PRESENT | efi::VARIABLE_NON_VOLATILE;

/// Sets a global variable (UEFI 2.10, section 3.3).
///
/// # Errors
/// As `SetVariable()`.
pub fn set_global(name: &str, attributes: u32, data: &[u8]) -> Result<(), Status> {
    let mut units = units(name)?;
    let mut vendor = efi::GLOBAL_VARIABLE;
    let value = data.as_ptr().cast_mut().cast();
    // SAFETY: the tables outlive the firmware; the name has its NUL and the value its length, and the service writes to
    // neither.
    let status = unsafe {
        let runtime = (*services::system_table()).runtime_services;
        ((*runtime).set_variable)(units.as_mut_ptr(), &raw mut vendor, attributes, data.len(), value)
    };
    if status.is_error() { Err(status) } else { Ok(()) }
}

/// The content of a global variable; `None` when there is none.
///
/// # Errors
/// As `GetVariable()` (UEFI 2.10, section 8.2.1).
pub fn global(name: &str) -> Result<Option<Vec<u8>>, Status> {
    let mut units = units(name)?;
    let mut vendor = efi::GLOBAL_VARIABLE;
    let mut content: Vec<u8> = Vec::new();
    loop {
        let mut size = content.len();
        let to = if content.is_empty() { ptr::null_mut() } else { content.as_mut_ptr().cast() };
        // SAFETY: as in `set_global`; the buffer has `size` bytes.
        let status = unsafe {
            let runtime = (*services::system_table()).runtime_services;
            ((*runtime).get_variable)(units.as_mut_ptr(), &raw mut vendor, ptr::null_mut(), &raw mut size, to)
        };
        match status {
            Status::SUCCESS => {
                content.truncate(size);
                return Ok(Some(content));
            }
            Status::NOT_FOUND => return Ok(None),
            Status::BUFFER_TOO_SMALL if size > content.len() => {
                content.try_reserve_exact(size - content.len()).map_err(|_| Status::OUT_OF_RESOURCES)?;
                content.resize(size, 0);
            }
            status => return Err(status),
        }
    }
}

/// The name in UCS-2 with its NUL.
fn units(name: &str) -> Result<Vec<u16>, Status> {
    let mut units: Vec<u16> = Vec::new();
    units.try_reserve_exact(name.len() + 1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    units.extend(name.encode_utf16().chain([0]));
    Ok(units)
}

/// A store that the operating system before has filled is no reason not to boot: what does not fit is not told.
///
/// # Errors
/// `result`, but for `OUT_OF_RESOURCES`.
pub fn unless_full(name: &str, result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(Status::OUT_OF_RESOURCES) => {
            crate::log::warn!("no room for the variable {name}");
            Ok(())
        }
        result => result,
    }
}

/// Tells of the console: which it is, and that there is no other.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn publish_console() -> Result<(), Status> {
    // SAFETY: as above.
    let handle = unsafe { (*services::system_table()).console_out_handle };
    let path = services::interface(handle, &device_path::PROTOCOL_GUID)?;
    // SAFETY: the interface is the device path that the firmware has installed, and no client has run yet.
    let path = unsafe { services::device_path::bytes(path.cast()) }.ok_or(Status::NOT_FOUND)?;
    let names = ["ConIn", "ConOut", "ErrOut"].map(|name| (name, PERSISTENT));
    let devices = ["ConInDev", "ConOutDev", "ErrOutDev"].map(|name| (name, PRESENT));
    for (name, attributes) in names.into_iter().chain(devices) {
        unless_full(name, set_global(name, attributes, path))?;
    }
    Ok(())
}
