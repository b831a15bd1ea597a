//! The image services as members of EFI_BOOT_SERVICES (UEFI 2.10, 7.4).
#![expect(unsafe_code, reason = "called by EFI images with raw pointers")]

use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{self, Boolean, Char16, Handle, Status};
use r_efi::protocols::device_path;

use super::super::services;
use super::load::{Buffer, LoadError};
use super::registry::{self, Outcome};
use super::{file, path};
use crate::log;

/// `LoadImage()`.
///
/// # Safety
/// The pointers are as UEFI 2.10, 7.4.1 has them: `path` a device path or null, `source` as many
/// bytes as `source_size` says or null, `image` to be written.
pub unsafe extern "efiapi" fn load_image(
    boot_policy: Boolean,
    parent: Handle,
    path: *mut device_path::Protocol,
    source: *mut c_void,
    source_size: usize,
    image: *mut Handle,
) -> Status {
    if image.is_null() || !registry::is_image(parent) {
        return Status::INVALID_PARAMETER;
    }
    if path.is_null() && source.is_null() {
        return Status::NOT_FOUND;
    }
    // SAFETY: null or a device path, by the service's contract; the borrow ends with the copy, during which nothing
    // outside is called.
    let full = match unsafe { path::bytes(path) }.map(copy_of).transpose() {
        Ok(None) if !path.is_null() => return Status::INVALID_PARAMETER,
        Ok(full) => full,
        Err(status) => return status,
    };
    let loaded = if source.is_null() {
        load_file(bool::from(boot_policy), parent, full.as_deref())
    } else if source_size == 0 || isize::try_from(source_size).is_err() {
        Err(Status::LOAD_ERROR.into())
    } else {
        // SAFETY: not null, and of this size by the service's contract.
        let file = unsafe { copy_of_file(source.cast(), source_size) };
        file.and_then(|file| registry::load_from_buffer(parent, full.as_deref(), file.bytes()))
    };
    match loaded {
        Ok(handle) => {
            // SAFETY: not null; the caller passes a handle to write.
            unsafe { image.write(handle) };
            Status::SUCCESS
        }
        Err(error) => {
            log::info!("LoadImage: {error}");
            error.status()
        }
    }
}

fn copy_of(path: &[u8]) -> Result<Vec<u8>, Status> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(path.len()).map_err(|_| Status::OUT_OF_RESOURCES)?;
    copy.extend_from_slice(path);
    Ok(copy)
}

/// Copies the caller's file to pages of the firmware's own. Allocating, here and when the image is loaded, runs
/// notifications, and they may write to the caller's memory: what is checked has to be what is loaded.
///
/// # Safety
/// `source` can be read for `size` bytes.
unsafe fn copy_of_file(source: *const u8, size: usize) -> Result<Buffer, LoadError> {
    let mut copy = Buffer::allocate(efi::BOOT_SERVICES_DATA, size as u64, 1)?;
    // SAFETY: the caller's bytes and as many of the pages just allocated, which nothing else uses. This reads and
    // writes raw memory, so it does not matter who else has pointers to the source.
    unsafe { ptr::copy(source, copy.bytes_mut().as_mut_ptr(), size) };
    Ok(copy)
}

fn load_file(boot_policy: bool, parent: Handle, path: Option<&[u8]>) -> Result<Handle, LoadError> {
    let path = path.ok_or(Status::NOT_FOUND)?;
    let file = file::read(boot_policy, path)?;
    registry::load_from_buffer(parent, Some(path), file.bytes())
}

/// `StartImage()`.
///
/// # Safety
/// `data_size` and `data` can be written, or are null (UEFI 2.10, 7.4.2).
pub unsafe extern "efiapi" fn start_image(image: Handle, data_size: *mut usize, data: *mut *mut Char16) -> Status {
    let outcome = match registry::start(image) {
        Ok(outcome) => outcome,
        Err(status) => return status,
    };
    if data_size.is_null() || data.is_null() {
        if !outcome.data.is_null() {
            // The caller does not want it, and nobody else knows of it.
            let _ = services::free_pool(outcome.data.cast());
        }
    } else {
        // SAFETY: not null; the caller passes both to be written.
        unsafe {
            data_size.write(outcome.data_size);
            data.write(outcome.data);
        }
    }
    outcome.status
}

/// `Exit()`.
///
/// # Safety
/// Called by an image for itself, or for one that it has loaded and not started (UEFI 2.10,
/// 7.4.5).
pub unsafe extern "efiapi" fn exit(image: Handle, status: Status, data_size: usize, data: *mut Char16) -> Status {
    let (data_size, data) = if data.is_null() { (0, ptr::null_mut()) } else { (data_size, data) };
    // SAFETY: the caller gives up the image's frames; this function has none to drop.
    unsafe { registry::exit(image, Outcome { status, data_size, data }) }
}

/// `UnloadImage()`.
///
/// # Safety
/// Nothing uses the image any more (UEFI 2.10, 7.4.4).
pub unsafe extern "efiapi" fn unload_image(image: Handle) -> Status {
    registry::unload(image).err().unwrap_or(Status::SUCCESS)
}
