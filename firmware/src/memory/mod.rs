//! The address space: one owner of the page tables, and what becomes of RAM.

pub mod dma;
pub mod heap;
pub mod shared;

use alloc::vec::Vec;
use core::ops::Range;

use address_space::page_table::{Leaf, MemoryType, PAGE_SIZE, PageTable, Protection};
use address_space::ram::RamLayout;
use address_space::ranges;
use formats::machine::{Machine, Reservation};
use spin::{Mutex, MutexGuard, Once};
use thiserror::Error;

use crate::arch::mmio::Mmio;
use crate::arch::mmu::{self, TablePages};
use crate::realm::{self, World};

pub use address_space::page_table::Error as MapError;

/// Bytes of the registers that every device has; virtio over PCI aligns its structures to no more (virtio 1.2, 4.1.4).
const REGISTER_ALIGNMENT: u64 = 4;

static PAGE_TABLE: Mutex<Option<PageTable<TablePages>>> = Mutex::new(None);
static RAM: Once<Vec<Range<u64>>> = Once::new();

/// What can be wrong with memory.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The page tables refused a request.
    #[error("{0}")]
    Map(#[from] MapError),
    /// Memory of the realm is not what it must be.
    #[error("{0}")]
    Realm(#[from] realm::Error),
    /// The pool of shared memory cannot be made.
    #[error("{0}")]
    Shared(#[from] shared::Error),
    /// RAM cannot be divided.
    #[error("{0}")]
    Ram(#[from] address_space::ram::Error),
    /// Registers of a device begin within a register.
    #[error("device registers at {0:#x} are not aligned to {REGISTER_ALIGNMENT} bytes")]
    Misaligned(u64),
    /// Registers of a device lie in RAM.
    #[error("device registers at {0:#x} overlap RAM")]
    DeviceInRam(u64),
}

/// What may be done with pages.
#[expect(clippy::enum_variant_names, reason = "there is no page that may not be read")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Data that nobody writes.
    ReadOnly,
    /// Data.
    ReadWrite,
    /// Code.
    ReadExecute,
    /// Memory that a client allocated as code, which older loaders both write and run.
    ReadWriteExecute,
}

impl From<Access> for Protection {
    fn from(access: Access) -> Self {
        let (read_only, execute_never) = match access {
            Access::ReadOnly => (true, true),
            Access::ReadWrite => (false, true),
            Access::ReadExecute => (true, false),
            Access::ReadWriteExecute => (false, false),
        };
        Self { read_protect: false, read_only, execute_never }
    }
}

/// Takes the page tables over from the entry code, and starts the heap.
///
/// # Safety
/// Called once, first of all.
#[expect(unsafe_code, reason = "passes the duty of being called once on to its caller")]
pub unsafe fn start() {
    // SAFETY: the caller calls once and before any allocation.
    unsafe { heap::init() };
    // SAFETY: likewise once.
    *PAGE_TABLE.lock() = Some(unsafe { mmu::adopt() });
}

fn with_tables<T>(f: impl FnOnce(&mut PageTable<TablePages>) -> Result<T, MapError>) -> Result<T, MapError> {
    // Nothing calls out while it holds the tables, so a lock that is taken is a fault of this file.
    let mut guard: MutexGuard<'_, _> = PAGE_TABLE.try_lock().ok_or(MapError::NotMapped)?;
    f(guard.as_mut().ok_or(MapError::NotMapped)?)
}

/// Takes the page tables from whoever held them at a fault. A table is written one whole descriptor at a time, so that
/// what was begun is no obstacle to what else is mapped.
///
/// # Safety
/// What ran before the fault never runs on.
#[expect(unsafe_code, reason = "breaks a lock")]
pub unsafe fn seize_tables() {
    // SAFETY: the caller says that the holder, if there is one, is gone for good.
    unsafe { PAGE_TABLE.force_unlock() };
}

/// The pages that [start, start + size) touches.
fn pages(start: u64, size: u64) -> Result<Range<u64>, MapError> {
    let end = start.checked_add(size).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE)).ok_or(MapError::Range)?;
    Ok(start & !(PAGE_SIZE - 1)..end)
}

/// Maps, for the length of `read`, what the device tree cannot vouch for: the device tree.
///
/// # Errors
/// [`Error::Realm`] when it is not private memory of the realm, or the page table's refusal.
pub fn with_mapped<T>(start: u64, size: u64, read: impl FnOnce() -> T) -> Result<T, Error> {
    let range = pages(start, size)?;
    if ranges::overlap(&range, &image()) {
        return Err(MapError::Mapped.into());
    }
    realm::verify("device tree", &range)?;
    with_tables(|tables| tables.map(range.clone(), Leaf::ram(Access::ReadOnly.into())))?;
    let result = read();
    with_tables(|tables| tables.unmap(range))?;
    Ok(result)
}

/// Maps the registers of a device.
///
/// # Errors
/// [`Error::Misaligned`]; [`Error::DeviceInRam`] when they are not apart from RAM; or the page table's refusal.
pub fn map_device(base: u64, size: u64) -> Result<Mmio, Error> {
    // Accesses to device memory fault unless they are aligned, and the host says where devices are.
    if !base.is_multiple_of(REGISTER_ALIGNMENT) {
        return Err(Error::Misaligned(base));
    }
    let range = pages(base, size)?;
    if RAM.get().is_some_and(|ram| ram.iter().any(|ram| ranges::overlap(ram, &range))) {
        return Err(Error::DeviceInRam(base));
    }
    // Devices share pages, and a realm asks about each page once.
    let mapped = with_tables(|tables| tables.query(range.clone()));
    if !mapped.is_ok_and(|leaf| leaf.memory == MemoryType::Device) {
        let leaf = Leaf::device(realm::device_offset(&range)?);
        with_tables(|tables| tables.map(range, leaf))?;
    }
    Ok(Mmio::new(base, size))
}

/// Maps RAM as `layout` divides it, read-write and never executable, and gives the page tables their block.
///
/// # Errors
/// The page table's refusal.
#[expect(unsafe_code, reason = "gives RAM away to be page tables")]
pub fn map_ram(layout: &RamLayout) -> Result<(), MapError> {
    let leaf = Leaf::ram(Access::ReadWrite.into());
    with_tables(|page_table| {
        page_table.map(layout.tables.clone(), leaf)?;
        // SAFETY: the layout found the block in RAM that neither the image nor a reservation uses; the memory map
        // has it claimed for good.
        unsafe { page_table.memory_mut().extend(layout.tables.clone()) };
        for range in ranges::subtract(&layout.ram, &[image(), layout.shared.clone()]) {
            page_table.map(range, leaf)?;
        }
        Ok(())
    })?;
    RAM.call_once(|| layout.ram.clone());
    Ok(())
}

/// The image with its heap, stacks and first page tables.
pub fn image() -> Range<u64> {
    boot_asm::layout::image_start()..boot_asm::layout::image_end()
}

/// Sets what may be done with `range` (page aligned).
///
/// # Errors
/// The page table's refusal: bad range, not mapped, out of tables.
pub fn set_attributes(range: Range<u64>, access: Access) -> Result<(), MapError> {
    change_protection(range, |_| access.into())
}

/// Changes the protection of each page of `range` (page aligned).
///
/// # Errors
/// As [`set_attributes`].
pub fn change_protection(range: Range<u64>, change: impl Fn(Protection) -> Protection) -> Result<(), MapError> {
    with_tables(|tables| tables.protect(range, change))
}

/// What is refused of every page of `range` (page aligned), when all are RAM and alike.
///
/// # Errors
/// [`MapError::Mapped`] when pages differ, [`MapError::NotMapped`] when one is not RAM.
pub fn protection(range: Range<u64>) -> Result<Protection, MapError> {
    let leaf = with_tables(|tables| tables.query(range))?;
    if leaf.memory == MemoryType::Device { Err(MapError::NotMapped) } else { Ok(leaf.protection) }
}

/// What an access to `address` is to, when it is the host of a realm that answers it.
pub fn answered_by_host(address: u64) -> Option<&'static str> {
    let page = address & !(PAGE_SIZE - 1);
    let leaf = with_tables(|tables| tables.query(page..page + PAGE_SIZE)).ok()?;
    match (leaf.output_offset, leaf.memory) {
        (0, _) => None,
        (_, MemoryType::Device) => Some("device registers"),
        _ => Some("shared memory"),
    }
}

/// Divides the RAM of `machine`. A realm accepts all of it first.
///
/// # Errors
/// [`Error::Realm`], [`Error::Ram`], [`Error::Shared`].
pub fn divide(machine: &Machine, world: &World) -> Result<RamLayout, Error> {
    for ram in &machine.memory {
        realm::accept("RAM", &(ram.base()..ram.end()))?;
    }
    let all: Vec<_> = machine.memory.iter().map(|ram| ram.base()..ram.end()).collect();
    // A page of which a part is reserved is reserved.
    let reserved = |by: Reservation| -> Result<Vec<_>, MapError> {
        let regions = machine.reserved.iter().filter(|reserved| reserved.by == by);
        regions.map(|reserved| pages(reserved.region.base(), reserved.region.size())).collect()
    };
    let [no_map, kept, node] = [Reservation::NoMap, Reservation::Block, Reservation::Node].map(reserved);
    Ok(RamLayout::new(&all, &no_map?, &kept?, &node?, &image(), shared::pool_size(world)?)?)
}
