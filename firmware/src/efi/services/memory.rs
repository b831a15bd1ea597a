//! Pages and pool (UEFI 2.10, section 7.2).
#![expect(unsafe_code, reason = "turns the addresses of allocated memory into pointers")]

use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{self, NonNull};

use r_efi::efi::{self, MemoryType, PhysicalAddress, Status};
use uefi_core::memory_map::{Owner, Placement, Region};

use super::events;
use super::state::{Core, to_u64, with_core};
use super::status::ToStatus;
use crate::memory::Access;

/// Allocates `pages` pages of 4 KiB as `memory_type`, aligned to `alignment` bytes (a power of two; 4096 when nothing
/// more is needed). The contents are undefined. Some types come in granules of 64 KiB.
///
/// # Errors
/// As `AllocatePages()` (UEFI 2.10, section 7.2.1).
pub fn allocate_pages(
    placement: Placement,
    memory_type: MemoryType,
    pages: u64,
    alignment: u64,
) -> Result<PhysicalAddress, Status> {
    let range = change(|core| {
        core.memory.allocate(placement, memory_type, pages, alignment, Owner::Pages).map_err(ToStatus::status)
    })?;
    if let Err(status) = open_for(memory_type, &range) {
        withdraw(&range, Owner::Pages);
        return Err(status);
    }
    events::poll();
    Ok(range.start)
}

/// Frees pages that [`allocate_pages`] or the boot service handed out.
///
/// # Errors
/// As `FreePages()` (UEFI 2.10, section 7.2.2).
pub fn free_pages(start: PhysicalAddress, pages: u64) -> Result<(), Status> {
    let range = change(|core| core.memory.free(start, pages, Owner::Pages).map_err(ToStatus::status))?;
    reset_protection(&range);
    events::poll();
    Ok(())
}

/// Allocates `size` bytes of pool, 8-byte aligned, contents undefined.
///
/// # Errors
/// As `AllocatePool()` (UEFI 2.10, section 7.2.4).
pub fn allocate_pool(memory_type: MemoryType, size: usize) -> Result<NonNull<u8>, Status> {
    let size = u64::try_from(size).map_err(|_| Status::OUT_OF_RESOURCES)?;
    let allocation = change(|core| core.pool.allocate(&mut core.memory, memory_type, size).map_err(ToStatus::status))?;
    if let Some(claimed) = &allocation.claimed
        && let Err(status) = open_for(memory_type, claimed)
    {
        // The block is alone in what was claimed, so freeing it gives the pages back.
        let _ = change(|core| core.pool.free(&mut core.memory, allocation.address));
        return Err(status);
    }
    events::poll();
    let address = usize::try_from(allocation.address).map_err(|_| Status::OUT_OF_RESOURCES)?;
    NonNull::new(ptr::with_exposed_provenance_mut(address)).ok_or(Status::OUT_OF_RESOURCES)
}

/// Frees pool memory. Any address is safe to pass: what was not allocated is refused.
///
/// # Errors
/// As `FreePool()` (UEFI 2.10, section 7.2.5).
pub fn free_pool(address: *mut c_void) -> Result<(), Status> {
    let released = change(|core| core.pool.free(&mut core.memory, to_u64(address)).map_err(ToStatus::status))?;
    if let Some(range) = released {
        reset_protection(&range);
    }
    events::poll();
    Ok(())
}

/// Allocates pool of `BootServicesData` for `values`, copies them and returns the array, which the client frees.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn pool_array<T: Copy>(values: &[T]) -> Result<NonNull<T>, Status> {
    let memory = allocate_pool(efi::BOOT_SERVICES_DATA, size_of_val(values))?.cast::<T>();
    // SAFETY: the allocation has room for all values, pool is aligned to 32 bytes, which suits every type that is
    // copied here, and a fresh allocation overlaps nothing.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), memory.as_ptr(), values.len()) };
    Ok(memory)
}

/// Whether a part of `range` is the firmware's own: what it claimed for itself before any client ran, which nobody can
/// free.
pub fn is_firmware(range: &Range<u64>) -> bool {
    let own = |region: &Region| region.owner == Owner::Platform && region.kind != efi::CONVENTIONAL_MEMORY;
    let touches = |start: u64, end: u64| range.start < end && start < range.end;
    let image = crate::memory::image();
    // In the map the image is only where the device tree describes its memory.
    touches(image.start, image.end)
        || with_core(|core| core.memory.regions().iter().any(|region| own(region) && touches(region.start, region.end)))
}

/// Works on the state, and signals the group of map changes when the work changed the map. The caller dispatches once
/// the memory is in order.
fn change<T>(work: impl FnOnce(&mut Core) -> T) -> T {
    with_core(|core| {
        let key = core.memory.key();
        let result = work(core);
        if core.memory.key() != key {
            core.events.signal_group(&efi::EVENT_GROUP_MEMORY_MAP_CHANGE);
        }
        result
    })
}

/// Makes memory that is allocated as code executable. It stays writable: loaders copy code into such memory and run it
/// without asking for other protection, as EDK2 lets them.
fn open_for(memory_type: MemoryType, range: &Range<u64>) -> Result<(), Status> {
    match memory_type {
        efi::LOADER_CODE | efi::BOOT_SERVICES_CODE | efi::RUNTIME_SERVICES_CODE => {
            crate::memory::set_attributes(range.clone(), Access::ReadWriteExecute).map_err(|_| Status::OUT_OF_RESOURCES)
        }
        _ => Ok(()),
    }
}

fn withdraw(range: &Range<u64>, owner: Owner) {
    let pages = (range.end - range.start) / uefi_core::memory_map::PAGE_SIZE;
    // A failure leaves the pages allocated, which is a leak and nothing worse.
    let _ = change(|core| core.memory.free(range.start, pages, owner));
    reset_protection(range);
}

/// Makes free memory plain data again, whatever its last user did to its protection.
fn reset_protection(range: &Range<u64>) {
    if crate::memory::set_attributes(range.clone(), Access::ReadWrite).is_ok() {
        return;
    }
    // Memory that cannot be made writable must not be handed out again.
    crate::log::warn!("free memory at {:#x} keeps its protection and is withdrawn", range.start);
    let _ = change(|core| core.memory.claim(efi::BOOT_SERVICES_DATA, range.clone()));
}
