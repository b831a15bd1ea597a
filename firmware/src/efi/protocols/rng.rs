//! EFI_RNG_PROTOCOL from the processor's RNDR (UEFI 2.10, 37.5), with what the VMM's entropy device gave mixed in.
//! Without RNDR it is not there: a guest has no other source of which it knows that the host does not see it.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;

use r_efi::efi::{Guid, Status};
use r_efi::protocols::rng::{ALGORITHM_RAW, Algorithm, Protocol};

use crate::arch;
use crate::devices::entropy;

/// EFI_RNG_ALGORITHM_ARM_RNDR (UEFI 2.11, 37.5.2).
const ALGORITHM_ARM_RNDR: Guid =
    Guid::from_fields(0x43d2_fde3, 0x9d4e, 0x4d79, 0x02, 0x96, &[0xa8, 0x9b, 0xca, 0x78, 0x08, 0x41]);

/// The default algorithm comes first. RNDR is more than a raw source has to be.
const ALGORITHMS: [Algorithm; 2] = [ALGORITHM_ARM_RNDR, ALGORITHM_RAW];

/// Makes the protocol instance if the processor has a random number generator.
pub fn create() -> Option<*mut Protocol> {
    arch::random()?;
    Some(Box::leak(Box::new(Protocol { get_info, get_rng })))
}

unsafe extern "efiapi" fn get_info(_this: *mut Protocol, size: *mut usize, list: *mut Algorithm) -> Status {
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a UINTN to read and write.
    let room = unsafe { size.replace(size_of_val(&ALGORITHMS)) };
    if room < size_of_val(&ALGORITHMS) {
        return Status::BUFFER_TOO_SMALL;
    }
    if list.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller said that `list` has room for `room` bytes, which is enough; a Rust
    // reference to it does not exist, and byte copies need no alignment.
    unsafe {
        ALGORITHMS.as_ptr().cast::<u8>().copy_to(list.cast(), size_of_val(&ALGORITHMS));
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn get_rng(
    _this: *mut Protocol,
    algorithm: *mut Algorithm,
    length: usize,
    value: *mut u8,
) -> Status {
    if length == 0 || value.is_null() {
        return Status::INVALID_PARAMETER;
    }
    if !algorithm.is_null() {
        // SAFETY: not null; the caller passes a GUID, which need not be aligned.
        let algorithm = unsafe { algorithm.read_unaligned() };
        if !ALGORITHMS.contains(&algorithm) {
            return Status::UNSUPPORTED;
        }
    }
    let mut filled = 0;
    while filled < length {
        let Some(random) = entropy::random() else { return Status::DEVICE_ERROR };
        let count = random.len().min(length - filled);
        // SAFETY: the caller's buffer has `length` bytes, `filled + count` is at most that, and
        // `count` is at most the length of `random`.
        unsafe { random.as_ptr().copy_to_nonoverlapping(value.wrapping_add(filled), count) };
        filled += count;
    }
    Status::SUCCESS
}
