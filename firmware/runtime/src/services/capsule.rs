//! Capsule services (UEFI 2.10, section 8.5.3): no capsule is known, so after the checks that the
//! specification names each is unsupported.
#![expect(unsafe_code, reason = "reads what the caller points at")]

use r_efi::efi::{self, CapsuleHeader, PhysicalAddress, ResetType, Status};

/// `UpdateCapsule()`.
pub unsafe extern "efiapi" fn update_capsule(
    headers: *mut *mut CapsuleHeader,
    count: usize,
    scatter_gather_list: PhysicalAddress,
) -> Status {
    // SAFETY: as the caller of UpdateCapsule() promises.
    unsafe { refuse(headers, count, Some(scatter_gather_list)) }
}

/// `QueryCapsuleCapabilities()`.
pub unsafe extern "efiapi" fn query_capsule_capabilities(
    headers: *mut *mut CapsuleHeader,
    count: usize,
    maximum_size: *mut u64,
    reset: *mut ResetType,
) -> Status {
    if maximum_size.is_null() || reset.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: as the caller of QueryCapsuleCapabilities() promises.
    unsafe { refuse(headers, count, None) }
}

/// The status for capsules that cannot be taken. `list` is the scatter-gather list, where there is
/// one to check.
///
/// # Safety
/// `headers` is null or has `count` pointers, each null or to a valid header.
unsafe fn refuse(headers: *mut *mut CapsuleHeader, count: usize, list: Option<PhysicalAddress>) -> Status {
    if headers.is_null() || count == 0 {
        return Status::INVALID_PARAMETER;
    }
    let mut index = 0;
    while index < count {
        // SAFETY: below `count`, as the caller promises.
        let header = unsafe { headers.wrapping_add(index).read_unaligned() };
        if header.is_null() {
            return Status::INVALID_PARAMETER;
        }
        // SAFETY: the caller's headers are valid.
        let flags = unsafe { (&raw const (*header).flags).read_unaligned() };
        let persists = flags & efi::CAPSULE_FLAGS_PERSIST_ACROSS_RESET != 0;
        let needs_persistence = efi::CAPSULE_FLAGS_POPULATE_SYSTEM_TABLE | efi::CAPSULE_FLAGS_INITIATE_RESET;
        if (flags & needs_persistence != 0 && !persists) || (persists && list == Some(0)) {
            return Status::INVALID_PARAMETER;
        }
        index = index.saturating_add(1);
    }
    Status::UNSUPPORTED
}
