//! Searching the handle database (UEFI 2.10, section 7.3).
#![expect(unsafe_code, reason = "reads the device paths that handles carry")]

use core::ffi::c_void;

use alloc::vec::Vec;
use r_efi::efi::protocols::device_path;
use r_efi::efi::{Guid, Handle, Status};
use uefi_core::device_path::first_instance;
use uefi_core::handles::Registration;

use super::device_path::bytes;
use super::protocols::interface;
use super::state::{handle_from, handle_to_raw, with_core};
use super::status::ToStatus;

/// The first installed interface of `protocol`, with its handle.
pub fn locate_protocol(protocol: &Guid) -> Option<(Handle, *mut c_void)> {
    let (handle, interface) = with_core(|core| core.handles.first(protocol))?;
    Some((handle_to_raw(handle), interface))
}

/// Every handle that carries `protocol`, in the order of installation.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn locate_handles(protocol: &Guid) -> Result<Vec<Handle>, Status> {
    let handles = with_core(|core| core.handles.by_protocol(protocol)).map_err(ToStatus::status)?;
    raw(&handles)
}

/// Every handle.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn all_handles() -> Result<Vec<Handle>, Status> {
    let handles = with_core(|core| core.handles.all()).map_err(ToStatus::status)?;
    raw(&handles)
}

/// The oldest handle that is new to a registration, until [`advance`].
pub fn next_new(registration: Registration) -> Option<(Handle, *mut c_void)> {
    let (handle, interface) = with_core(|core| core.handles.next_new(registration))?;
    Some((handle_to_raw(handle), interface))
}

/// Marks the handle that [`next_new`] returned as reported.
pub fn advance(registration: Registration, handle: Handle) {
    with_core(|core| core.handles.advance(registration, handle_from(handle)));
}

/// Finds the handle with `protocol` whose device path is the longest prefix of the first instance of `path`. Returns
/// it with the rest of the path.
///
/// # Errors
/// As `LocateDevicePath()` (UEFI 2.10, section 7.3.13).
///
/// # Safety
/// `path` points to a device path, ended by an end node, that nothing changes during the call.
pub unsafe fn locate_device_path(
    protocol: &Guid,
    path: *const device_path::Protocol,
) -> Result<(Handle, *const device_path::Protocol), Status> {
    // SAFETY: the caller's promise.
    let wanted = unsafe { bytes(path) }.and_then(first_instance).ok_or(Status::INVALID_PARAMETER)?;
    let mut best: Option<(Handle, usize)> = None;
    for handle in locate_handles(protocol)? {
        let Ok(candidate) = interface(handle, &device_path::PROTOCOL_GUID) else {
            continue;
        };
        // SAFETY: the interface was installed as a device path (`install_protocol`), and no client runs meanwhile.
        let Some(candidate) = (unsafe { bytes(candidate.cast()) }) else {
            continue;
        };
        let nodes = candidate.len() - size_of::<device_path::End>();
        let is_prefix = candidate.get(..nodes).is_some_and(|nodes| wanted.starts_with(nodes));
        if is_prefix && best.is_none_or(|(_, length)| nodes > length) {
            best = Some((handle, nodes));
        }
    }
    let (handle, length) = best.ok_or(Status::NOT_FOUND)?;
    // SAFETY: `length` bytes of the path are equal to those of the candidate, so the rest begins inside the path.
    Ok((handle, unsafe { path.byte_add(length) }))
}

/// Whether a handle carries exactly this device path.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
///
/// # Safety
/// As [`locate_device_path`].
pub unsafe fn has_device_path(path: *const device_path::Protocol) -> Result<bool, Status> {
    // SAFETY: the caller's promise.
    let Some(wanted) = (unsafe { bytes(path) }) else {
        return Ok(false);
    };
    let handles = locate_handles(&device_path::PROTOCOL_GUID)?;
    Ok(handles.into_iter().any(|handle| {
        interface(handle, &device_path::PROTOCOL_GUID).is_ok_and(|candidate| {
            // SAFETY: as in `locate_device_path`.
            let present = unsafe { bytes(candidate.cast()) };
            present == Some(wanted)
        })
    }))
}

/// The values of handles that a client gets to see.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn raw(handles: &[uefi_core::handles::Handle]) -> Result<Vec<Handle>, Status> {
    let mut raw = Vec::new();
    raw.try_reserve_exact(handles.len()).map_err(|_| Status::OUT_OF_RESOURCES)?;
    raw.extend(handles.iter().map(|handle| handle_to_raw(*handle)));
    Ok(raw)
}
