//! EFI_MEMORY_ATTRIBUTE_PROTOCOL: what may be done with a page, asked and changed
//! (UEFI 2.10, 37.7).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ops::Range;

use address_space::page_table::{PAGE_SIZE, Protection};
use r_efi::efi::{self, PhysicalAddress, Status};
use r_efi::protocols::memory_attribute::Protocol;

use super::super::services;
use crate::memory::{self, MapError};

/// The attributes that the protocol deals in.
const SUPPORTED: u64 = efi::MEMORY_RP | efi::MEMORY_RO | efi::MEMORY_XP;

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    Box::leak(Box::new(Protocol { get_memory_attributes, set_memory_attributes, clear_memory_attributes }))
}

/// The range, if it is made of pages.
fn pages(base: PhysicalAddress, length: u64) -> Result<Range<u64>, Status> {
    if length == 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    let end = base.checked_add(length).ok_or(Status::UNSUPPORTED)?;
    if base.is_multiple_of(PAGE_SIZE) && end.is_multiple_of(PAGE_SIZE) {
        Ok(base..end)
    } else {
        Err(Status::UNSUPPORTED)
    }
}

fn status(error: MapError) -> Status {
    match error {
        MapError::OutOfTables => Status::OUT_OF_RESOURCES,
        _ => Status::UNSUPPORTED,
    }
}

fn attributes(protection: Protection) -> u64 {
    let bit = |set, bit| if set { bit } else { 0 };
    bit(protection.read_protect, efi::MEMORY_RP)
        | bit(protection.read_only, efi::MEMORY_RO)
        | bit(protection.execute_never, efi::MEMORY_XP)
}

fn change(base: PhysicalAddress, length: u64, bits: u64, to: impl Fn(u64, u64) -> u64) -> Result<(), Status> {
    if bits == 0 || bits & !SUPPORTED != 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    let range = pages(base, length)?;
    // Its code, its page tables, the runtime services: a client that changes these has no firmware any more.
    if services::is_firmware(&range) {
        return Err(match memory::protection(range) {
            // Pages that differ are no error here, but devices and holes are.
            Ok(_) | Err(MapError::Mapped) => Status::ACCESS_DENIED,
            Err(error) => status(error),
        });
    }
    memory::change_protection(range, |protection| {
        let bits = to(attributes(protection), bits);
        Protection {
            read_protect: bits & efi::MEMORY_RP != 0,
            read_only: bits & efi::MEMORY_RO != 0,
            execute_never: bits & efi::MEMORY_XP != 0,
        }
    })
    .map_err(status)
}

unsafe extern "efiapi" fn get_memory_attributes(
    _this: *mut Protocol,
    base: PhysicalAddress,
    length: u64,
    result: *mut u64,
) -> Status {
    if result.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let range = match pages(base, length) {
        Ok(range) => range,
        Err(status) => return status,
    };
    match memory::protection(range) {
        Ok(protection) => {
            // SAFETY: not null; the caller passes a UINT64 to write.
            unsafe { result.write(attributes(protection)) };
            Status::SUCCESS
        }
        // Parts of the range differ.
        Err(MapError::Mapped) => Status::NO_MAPPING,
        Err(error) => status(error),
    }
}

unsafe extern "efiapi" fn set_memory_attributes(
    _this: *mut Protocol,
    base: PhysicalAddress,
    length: u64,
    bits: u64,
) -> Status {
    change(base, length, bits, |old, bits| old | bits).err().unwrap_or(Status::SUCCESS)
}

unsafe extern "efiapi" fn clear_memory_attributes(
    _this: *mut Protocol,
    base: PhysicalAddress,
    length: u64,
    bits: u64,
) -> Status {
    change(base, length, bits, |old, bits| old & !bits).err().unwrap_or(Status::SUCCESS)
}
