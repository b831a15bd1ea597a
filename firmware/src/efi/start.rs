//! From a machine to running boot services: the memory map's seed, the runtime region, the firmware's protocols.

#![expect(unsafe_code, reason = "gives memory to UEFI for good")]

use core::ops::{Range, RangeInclusive};

use address_space::page_table::PAGE_SIZE;
use address_space::ram::RamLayout;
use address_space::ranges::subtract;
use boot_asm::layout;
use formats::machine::Machine;
use r_efi::efi::{self, Status};
use thiserror::Error;
use uefi_core::memory_map::{MapError, MemoryMap, Owner, Placement};

use super::boot_services::{self, EfiParameters};
use super::{event_log, image, protocols, runtime, variables};
use crate::arch;
use crate::{memory, realm};

/// Registers that an operating system must map for runtime services.
const RUNTIME_MMIO: u64 = efi::MEMORY_UC | efi::MEMORY_XP | efi::MEMORY_RUNTIME;

/// The part of free RAM that the firmware's heap gets for handles, events and images: one in so many bytes, within
/// the limits behind. What the heap has is free again when boot services end.
const HEAP_SHARE: u64 = 32;
const HEAP_LIMITS: RangeInclusive<u64> = 1 << 20..=32 << 20;

/// Why UEFI cannot be started.
#[derive(Clone, Copy, Debug, Error)]
pub enum Error {
    /// The memory map cannot be made.
    #[error("memory map: {0}")]
    Map(#[from] MapError),
    /// The runtime services cannot be placed.
    #[error("{0}")]
    Runtime(#[from] runtime::Error),
    /// The clock's registers cannot be mapped.
    #[error("clock: {0}")]
    Clock(#[from] memory::Error),
    /// One of the firmware's own protocols or tables cannot be installed.
    #[error("firmware protocols: {0}")]
    Service(Status),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Service(status)
    }
}

/// Starts boot and runtime services.
///
/// # Errors
/// [`Error`]: for want of memory, nearly always.
///
/// # Safety
/// Called once, after `memory::map_ram(ram)`: UEFI owns what `ram` says is free.
pub unsafe fn start(machine: &Machine, ram: &RamLayout) -> Result<(), Error> {
    let mut memory_map = seed(machine, ram)?;
    extend_heap(&mut memory_map)?;
    let pages = runtime::region_size()? / PAGE_SIZE;
    let kind = efi::RUNTIME_SERVICES_CODE;
    let region = memory_map.allocate(Placement::Any, kind, pages, PAGE_SIZE, Owner::Platform)?;
    if let Some(rtc) = machine.rtc {
        // The clock is read before the operating system has mapped it, too.
        memory::map_device(rtc.base(), rtc.size())?;
    }
    let rtc = machine.rtc.map(|rtc| rtc.base());
    // SAFETY: the region is free RAM that was just claimed for it, mapped by the caller.
    let runtime = unsafe { runtime::install(region.start, rtc, machine.psci)? };
    // SAFETY: the tables are the runtime image's, complete, and this is the only call.
    unsafe {
        boot_services::init(EfiParameters {
            memory_map,
            tables: runtime.tables,
            enter_runtime: runtime.exit_boot_services,
            counter_frequency: arch::counter_frequency(),
        });
    }
    image::init()?;
    if realm::is_realm() {
        event_log::start()?;
    }
    protocols::install()?;
    variables::publish_console()?;
    runtime.publish()?;
    Ok(())
}

/// Gives the heap its part of the RAM that is free.
fn extend_heap(map: &mut MemoryMap) -> Result<(), MapError> {
    let share = map.pages_of(efi::CONVENTIONAL_MEMORY) * PAGE_SIZE / HEAP_SHARE;
    let pages = share.clamp(*HEAP_LIMITS.start(), *HEAP_LIMITS.end()) / PAGE_SIZE;
    let range = map.allocate(Placement::Any, efi::BOOT_SERVICES_DATA, pages, PAGE_SIZE, Owner::Platform)?;
    // SAFETY: free RAM, which `start`'s caller has mapped, just claimed for this; `start` is called once.
    unsafe { memory::heap::extend(range) };
    Ok(())
}

/// The memory map that UEFI starts with.
///
/// The image's own memory is given back with boot services when it lies in RAM; where it does not, the firmware
/// has RAM of its own that the device tree does not describe, and the map says nothing of it either.
fn seed(machine: &Machine, ram: &RamLayout) -> Result<MemoryMap, MapError> {
    let mut map = MemoryMap::new();
    for range in &ram.ram {
        map.add_ram(range.clone())?;
    }
    for range in &ram.no_map {
        map.add(efi::RESERVED_MEMORY_TYPE, range.clone(), 0)?;
    }
    // Kernels that boot by UEFI take reservations from this map and drop those of the tree's reservation block.
    let image = memory::image();
    for range in subtract(&ram.kept, core::slice::from_ref(&image)) {
        map.claim(efi::RESERVED_MEMORY_TYPE, range)?;
    }
    // What a node reserves is the operating system's to use as the node says, once boot services are over.
    for range in subtract(&ram.reserved, core::slice::from_ref(&image)) {
        map.claim(efi::BOOT_SERVICES_DATA, range)?;
    }
    map.claim(efi::BOOT_SERVICES_DATA, ram.tables.clone())?;
    // Private again by the time that the operating system may use it.
    map.claim(efi::BOOT_SERVICES_DATA, ram.shared.clone())?;
    if ram.image_in_ram {
        map.claim(efi::BOOT_SERVICES_CODE, layout::image_start()..layout::rodata_end())?;
        map.claim(efi::BOOT_SERVICES_DATA, layout::rodata_end()..layout::image_end())?;
    }
    if let Some(rtc) = machine.rtc {
        map.add(efi::MEMORY_MAPPED_IO, page_of(rtc.base()), RUNTIME_MMIO)?;
    }
    Ok(map)
}

fn page_of(address: u64) -> Range<u64> {
    let start = address & !(PAGE_SIZE - 1);
    start..start + PAGE_SIZE
}
