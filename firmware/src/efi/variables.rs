//! The variables that the firmware itself sets, through the services that clients use.
#![expect(unsafe_code, reason = "calls a member of the runtime services table")]

use alloc::vec::Vec;

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
    let mut units: Vec<u16> = Vec::new();
    units.try_reserve_exact(name.len() + 1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    units.extend(name.encode_utf16().chain([0]));
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
    for name in ["ConIn", "ConOut", "ErrOut"] {
        set_global(name, PERSISTENT, path)?;
    }
    for name in ["ConInDev", "ConOutDev", "ErrOutDev"] {
        set_global(name, PRESENT, path)?;
    }
    Ok(())
}
