//! The image services as members of EFI_BOOT_SERVICES (UEFI 2.10, 7.4).
#![expect(unsafe_code, reason = "called by EFI images with raw pointers")]

use core::ffi::c_void;
use core::slice;

use r_efi::efi::{Boolean, Char16, Handle, Status};
use r_efi::protocols::device_path;

use super::super::services;
use super::load::LoadError;
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
    // SAFETY: null or a device path, by the service's contract.
    let full = unsafe { path::bytes(path) };
    if full.is_none() && !path.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let loaded = if source.is_null() {
        load_file(bool::from(boot_policy), parent, full)
    } else if source_size == 0 || isize::try_from(source_size).is_err() {
        Err(Status::LOAD_ERROR.into())
    } else {
        // SAFETY: not null, and of this size by the service's contract; nothing writes to it
        // while it is parsed and copied, as there is one thread.
        let source = unsafe { slice::from_raw_parts(source.cast::<u8>(), source_size) };
        registry::load_from_buffer(parent, full, source)
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
    let (data_size, data) = if data.is_null() { (0, core::ptr::null_mut()) } else { (data_size, data) };
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
