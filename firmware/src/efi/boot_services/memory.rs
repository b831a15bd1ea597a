//! Memory services (UEFI 2.10, section 7.2).
#![expect(unsafe_code, reason = "reads and writes through the pointers of EFI clients")]

use core::ffi::c_void;

use r_efi::efi::{
    self, AllocateType, MEMORY_DESCRIPTOR_VERSION, MemoryDescriptor, MemoryType, PhysicalAddress, Status,
};
use uefi_core::memory_map::{PAGE_SIZE, Placement};

use super::status;
use crate::efi::services::{self, events, state};

/// The distance between descriptors. It is larger than the structure, as in EDK2, so that a client that steps by the
/// size of the structure it knows is found out here and not on another firmware.
const DESCRIPTOR_SIZE: usize = 48;

/// `AllocatePages()`.
pub unsafe extern "efiapi" fn allocate_pages(
    allocate_type: AllocateType,
    memory_type: MemoryType,
    pages: usize,
    memory: *mut PhysicalAddress,
) -> Status {
    if memory.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointer, not null.
    let wanted = unsafe { memory.read_unaligned() };
    let placement = match allocate_type {
        efi::ALLOCATE_ANY_PAGES => Placement::Any,
        efi::ALLOCATE_MAX_ADDRESS => Placement::Below(wanted),
        efi::ALLOCATE_ADDRESS => Placement::At(wanted),
        _ => return Status::INVALID_PARAMETER,
    };
    match services::allocate_pages(placement, memory_type, pages as u64, PAGE_SIZE) {
        Ok(address) => {
            // SAFETY: as above.
            unsafe { memory.write_unaligned(address) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// `FreePages()`.
pub unsafe extern "efiapi" fn free_pages(memory: PhysicalAddress, pages: usize) -> Status {
    status(services::free_pages(memory, pages as u64))
}

/// `GetMemoryMap()`.
pub unsafe extern "efiapi" fn get_memory_map(
    map_size: *mut usize,
    map: *mut MemoryDescriptor,
    map_key: *mut usize,
    descriptor_size: *mut usize,
    descriptor_version: *mut u32,
) -> Status {
    // Before the map is looked at: what runs may change it.
    events::poll();
    if map_size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers; each is checked for null, and none is read but the first.
    unsafe {
        if !descriptor_size.is_null() {
            descriptor_size.write_unaligned(DESCRIPTOR_SIZE);
        }
        if !descriptor_version.is_null() {
            descriptor_version.write_unaligned(MEMORY_DESCRIPTOR_VERSION);
        }
    }
    state::with_core(|core| {
        let needed = core.memory.descriptors().count().saturating_mul(DESCRIPTOR_SIZE);
        // SAFETY: the caller's pointer, not null.
        let room = unsafe { map_size.read_unaligned() };
        // SAFETY: as above.
        unsafe { map_size.write_unaligned(needed) };
        if room < needed {
            return Status::BUFFER_TOO_SMALL;
        }
        if map.is_null() {
            return Status::INVALID_PARAMETER;
        }
        for (index, descriptor) in core.memory.descriptors().enumerate() {
            // SAFETY: the caller gave `room` bytes, and the descriptors end within `needed`.
            unsafe {
                let to = map.cast::<u8>().add(index * DESCRIPTOR_SIZE);
                to.write_bytes(0, DESCRIPTOR_SIZE);
                to.cast::<MemoryDescriptor>().write_unaligned(descriptor);
            }
        }
        if !map_key.is_null() {
            // SAFETY: the caller's pointer, not null.
            unsafe { map_key.write_unaligned(core.memory.key()) };
        }
        Status::SUCCESS
    })
}

/// `AllocatePool()`.
pub unsafe extern "efiapi" fn allocate_pool(memory_type: MemoryType, size: usize, buffer: *mut *mut c_void) -> Status {
    if buffer.is_null() {
        return Status::INVALID_PARAMETER;
    }
    match services::allocate_pool(memory_type, size) {
        Ok(memory) => {
            // SAFETY: the caller's pointer, not null.
            unsafe { buffer.write_unaligned(memory.as_ptr().cast()) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// `FreePool()`.
pub unsafe extern "efiapi" fn free_pool(buffer: *mut c_void) -> Status {
    status(services::free_pool(buffer))
}
