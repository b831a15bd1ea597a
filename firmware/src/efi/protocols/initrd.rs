//! EFI_LOAD_FILE2_PROTOCOL for the initial ram disk, on the device path where Linux looks for it
//! (LINUX_EFI_INITRD_MEDIA_GUID; UEFI 2.10, 13.2).
//!
//! The file is read when it is asked for, into the memory of whoever asks: there is no copy of it
//! in between.
#![expect(unsafe_code, reason = "the member is called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ffi::c_void;
use core::slice;

use r_efi::efi::{Boolean, Status};
use r_efi::protocols::device_path;
use r_efi::protocols::load_file::Protocol;
use spin::Mutex;

/// Reads the whole file, which has as many bytes as the buffer.
pub type ReadFile = fn(&mut [u8]) -> Result<(), Status>;

struct File {
    size: usize,
    read: ReadFile,
}

static FILE: Mutex<Option<File>> = Mutex::new(None);

/// Makes the protocol instance for a file of `size` bytes.
pub fn create(size: usize, read: ReadFile) -> *mut Protocol {
    *FILE.lock() = Some(File { size, read });
    Box::leak(Box::new(Protocol { load_file }))
}

unsafe extern "efiapi" fn load_file(
    this: *mut Protocol,
    path: *mut device_path::Protocol,
    boot_policy: Boolean,
    size: *mut usize,
    buffer: *mut c_void,
) -> Status {
    if this.is_null() || path.is_null() || size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    if bool::from(boot_policy) {
        return Status::UNSUPPORTED;
    }
    // SAFETY: not null; the caller passes a device path, whose nodes begin with a header.
    let node = unsafe { path.read_unaligned() };
    // The path after the handle's own: the handle is the file, so nothing may follow.
    if node.r#type != device_path::TYPE_END {
        return Status::NOT_FOUND;
    }
    let Some((file_size, read)) = FILE.lock().as_ref().map(|file| (file.size, file.read)) else {
        return Status::NOT_FOUND;
    };
    // SAFETY: not null; the caller passes a UINTN to read and write.
    let room = unsafe { size.replace(file_size) };
    if buffer.is_null() || room < file_size {
        return Status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller gives away `room` bytes at `buffer` for the time of the call, and bytes
    // can hold anything.
    let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), file_size) };
    read(buffer).err().unwrap_or(Status::SUCCESS)
}
