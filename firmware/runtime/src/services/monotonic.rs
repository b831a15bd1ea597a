//! The monotonic counter (UEFI 2.10, section 8.5.2).
#![expect(unsafe_code, reason = "writes what the caller points at, and the shared table")]

use r_efi::efi::Status;

use crate::region;

/// `GetNextHighMonotonicCount()`. The count lives as long as the VM, or where memory outlives a reset, as that.
pub unsafe extern "efiapi" fn get_next_high_mono_count(high: *mut u32) -> Status {
    if high.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the tables are this image's and nobody else is using them now; the caller's pointer is
    // valid, as GetNextHighMonotonicCount() demands.
    unsafe {
        let count = &raw mut (*region::tables()).monotonic_high;
        let next = count.read().wrapping_add(1);
        count.write(next);
        high.write_unaligned(next);
    }
    region::keep(None);
    Status::SUCCESS
}
