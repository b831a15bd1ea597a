//! Driver model services (UEFI 2.10, sections 7.3.12 and 7.3.13).
#![expect(unsafe_code, reason = "reads through the pointers of EFI clients")]

use core::slice;

use r_efi::efi::protocols::device_path;
use r_efi::efi::{Boolean, Handle, Status};

use super::status;
use crate::efi::services::driver_model as rules;

/// `ConnectController()`.
pub unsafe extern "efiapi" fn connect_controller(
    controller: Handle,
    drivers: *mut Handle,
    remaining: *mut device_path::Protocol,
    recursive: Boolean,
) -> Status {
    let mut count = 0;
    // SAFETY: the caller's pointer, null or a list of handles that a null handle ends.
    while !drivers.is_null() && !unsafe { drivers.add(count).read() }.is_null() {
        count += 1;
    }
    let drivers = match count {
        0 => &[],
        // SAFETY: so many were read a moment ago.
        _ => unsafe { slice::from_raw_parts(drivers, count) },
    };
    // SAFETY: the caller's pointer, null or a device path.
    status(unsafe { rules::connect_with(controller, drivers, remaining, recursive.into()) })
}

/// `DisconnectController()`.
pub unsafe extern "efiapi" fn disconnect_controller(controller: Handle, driver: Handle, child: Handle) -> Status {
    let driver = (!driver.is_null()).then_some(driver);
    let child = (!child.is_null()).then_some(child);
    status(rules::disconnect_controller(controller, driver, child))
}
