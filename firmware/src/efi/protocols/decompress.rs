//! EFI_DECOMPRESS_PROTOCOL (UEFI 2.11, 19.5).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ffi::c_void;
use core::slice;

use formats::compressed::Compressed;
use r_efi::efi::Status;
use r_efi::protocols::decompress::Protocol;

/// What the firmware asks a caller for, in bytes: it has its own memory, but callers pass the size on to AllocatePool().
const SCRATCH_SIZE: u32 = 1;

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    Box::leak(Box::new(Protocol { get_info, decompress }))
}

/// A caller's compressed data; `None` when it is null or corrupted.
///
/// # Safety
/// A source that is not null is readable for `size` bytes, and nothing writes to it while the value lives.
unsafe fn parse<'a>(source: *const c_void, size: u32) -> Option<Compressed<'a>> {
    if source.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller's promise is the same.
    Compressed::parse(unsafe { slice::from_raw_parts(source.cast(), size as usize) }).ok()
}

unsafe extern "efiapi" fn get_info(
    _this: *mut Protocol,
    source: *mut c_void,
    source_size: u32,
    destination_size: *mut u32,
    scratch_size: *mut u32,
) -> Status {
    // SAFETY: null or `source_size` bytes, by the protocol's contract.
    match unsafe { parse(source, source_size) } {
        Some(source) if !destination_size.is_null() && !scratch_size.is_null() => {
            // SAFETY: not null; the caller passes two numbers to write.
            unsafe {
                destination_size.write_unaligned(source.original_size());
                scratch_size.write_unaligned(SCRATCH_SIZE);
            }
            Status::SUCCESS
        }
        _ => Status::INVALID_PARAMETER,
    }
}

unsafe extern "efiapi" fn decompress(
    _this: *mut Protocol,
    source: *mut c_void,
    source_size: u32,
    destination: *mut c_void,
    destination_size: u32,
    _scratch: *mut c_void,
    scratch_size: u32,
) -> Status {
    // SAFETY: null or `source_size` bytes, by the protocol's contract.
    let Some(source) = (unsafe { parse(source, source_size) }) else { return Status::INVALID_PARAMETER };
    let original_size = source.original_size();
    if destination.is_null() || destination_size < original_size || scratch_size < SCRATCH_SIZE {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes `destination_size` bytes to write, apart from the source.
    let original = unsafe { slice::from_raw_parts_mut(destination.cast::<u8>(), original_size as usize) };
    source.expand(original).map_or(Status::INVALID_PARAMETER, |()| Status::SUCCESS)
}
