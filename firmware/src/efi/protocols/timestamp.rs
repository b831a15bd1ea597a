//! EFI_TIMESTAMP_PROTOCOL: the generic timer's virtual counter (UEFI 2.11, 39.1).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;

use r_efi::efi::Status;
use r_efi::protocols::timestamp::{Properties, Protocol};

use crate::arch;

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    Box::leak(Box::new(Protocol { get_timestamp, get_properties }))
}

unsafe extern "efiapi" fn get_timestamp() -> u64 {
    arch::counter()
}

unsafe extern "efiapi" fn get_properties(properties: *mut Properties) -> Status {
    if properties.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes an EFI_TIMESTAMP_PROPERTIES to write.
    unsafe { properties.write(Properties { frequency: arch::counter_frequency(), end_value: u64::MAX }) };
    Status::SUCCESS
}
