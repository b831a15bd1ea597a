//! Searching services (UEFI 2.10, section 7.3).
#![expect(unsafe_code, reason = "reads and writes through the pointers of EFI clients")]

use core::ffi::c_void;
use core::ptr;

use alloc::vec::Vec;
use r_efi::efi::protocols::device_path;
use r_efi::efi::{self, Guid, Handle, LocateSearchType, Status};
use uefi_core::handles::Registration;

use super::protocols::guid;
use crate::efi::services::events;
use crate::efi::services::locate as rules;
use crate::efi::services::memory::pool_array;
use crate::efi::services::state::to_u64;

/// `LocateHandle()`.
pub unsafe extern "efiapi" fn locate_handle(
    search: LocateSearchType,
    protocol: *mut Guid,
    key: *mut c_void,
    size: *mut usize,
    buffer: *mut Handle,
) -> Status {
    events::poll();
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's arguments, passed on.
    let handles = match unsafe { find(search, protocol, key) } {
        Ok(handles) => handles,
        Err(status) => return status,
    };
    let needed = size_of_val(handles.as_slice());
    // SAFETY: the caller's pointer, not null.
    let room = unsafe { size.read_unaligned() };
    // SAFETY: as above.
    unsafe { size.write_unaligned(needed) };
    if room < needed {
        return Status::BUFFER_TOO_SMALL;
    }
    if buffer.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller gave `room` bytes.
    unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(handles.as_ptr().cast(), needed) };
    reported(search, key, &handles);
    Status::SUCCESS
}

/// `LocateHandleBuffer()`. The array is pool that the caller frees.
pub unsafe extern "efiapi" fn locate_handle_buffer(
    search: LocateSearchType,
    protocol: *mut Guid,
    key: *mut c_void,
    count: *mut usize,
    buffer: *mut *mut Handle,
) -> Status {
    events::poll();
    if count.is_null() || buffer.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers, not null; its arguments, passed on.
    let found = unsafe {
        count.write_unaligned(0);
        buffer.write_unaligned(ptr::null_mut());
        find(search, protocol, key)
    };
    match found.and_then(|handles| Ok((pool_array(&handles)?, handles))) {
        Ok((array, handles)) => {
            // SAFETY: as above.
            unsafe {
                count.write_unaligned(handles.len());
                buffer.write_unaligned(array.as_ptr());
            }
            reported(search, key, &handles);
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// `LocateProtocol()`.
pub unsafe extern "efiapi" fn locate_protocol(
    protocol: *mut Guid,
    registration: *mut c_void,
    interface: *mut *mut c_void,
) -> Status {
    events::poll();
    // SAFETY: the caller's pointer, null or a GUID.
    let Some(protocol) = (unsafe { guid(protocol) }) else {
        return Status::INVALID_PARAMETER;
    };
    if interface.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let found = if registration.is_null() {
        rules::locate_protocol(&protocol)
    } else {
        rules::next_new(registration_from(registration))
    };
    // SAFETY: the caller's pointer, not null.
    unsafe { interface.write_unaligned(found.map_or(ptr::null_mut(), |(_, found)| found)) };
    let Some((handle, _)) = found else {
        return Status::NOT_FOUND;
    };
    if !registration.is_null() {
        rules::advance(registration_from(registration), handle);
    }
    Status::SUCCESS
}

/// `LocateDevicePath()`.
pub unsafe extern "efiapi" fn locate_device_path(
    protocol: *mut Guid,
    path: *mut *mut device_path::Protocol,
    device: *mut Handle,
) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    let Some(protocol) = (unsafe { guid(protocol) }) else {
        return Status::INVALID_PARAMETER;
    };
    if path.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers, the first not null, the second a device path or null, which is refused.
    match unsafe { rules::locate_device_path(&protocol, path.read_unaligned()) } {
        Ok(_) if device.is_null() => Status::INVALID_PARAMETER,
        Ok((handle, rest)) => {
            // SAFETY: as above.
            unsafe {
                device.write_unaligned(handle);
                path.write_unaligned(rest.cast_mut());
            }
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// The handles that a search finds; not finding any is an error.
///
/// # Safety
/// `protocol` is null or points to a GUID.
unsafe fn find(search: LocateSearchType, protocol: *mut Guid, key: *mut c_void) -> Result<Vec<Handle>, Status> {
    let handles = match search {
        efi::ALL_HANDLES => rules::all_handles()?,
        efi::BY_REGISTER_NOTIFY if !key.is_null() => {
            let mut handles = Vec::new();
            handles.try_reserve_exact(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
            handles.extend(rules::next_new(registration_from(key)).map(|(handle, _)| handle));
            handles
        }
        efi::BY_PROTOCOL => {
            // SAFETY: the caller's promise.
            let protocol = unsafe { guid(protocol) }.ok_or(Status::INVALID_PARAMETER)?;
            rules::locate_handles(&protocol)?
        }
        _ => return Err(Status::INVALID_PARAMETER),
    };
    if handles.is_empty() { Err(Status::NOT_FOUND) } else { Ok(handles) }
}

/// Notes that the caller has got the handle that is new to its registration.
fn reported(search: LocateSearchType, key: *mut c_void, handles: &[Handle]) {
    if search == efi::BY_REGISTER_NOTIFY
        && let [handle] = handles
    {
        rules::advance(registration_from(key), *handle);
    }
}

fn registration_from(key: *mut c_void) -> Registration {
    Registration::from_raw(to_u64(key))
}
