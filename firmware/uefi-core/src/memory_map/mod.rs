//! The memory map: which pages exist, what they are used for, and the services that change that
//! (UEFI 2.10, section 7.2).
//!
//! One sorted vector of disjoint regions stands for all memory, so its size depends on how memory
//! is used and not on how much there is.

use alloc::vec::Vec;
use core::ops::Range;

use r_efi::efi::{
    self, ACPI_MEMORY_NVS, CONVENTIONAL_MEMORY, MEMORY_RUNTIME, MEMORY_UC, MEMORY_WB, MEMORY_WC, MEMORY_WT, MemoryType,
    PERSISTENT_MEMORY, RESERVED_MEMORY_TYPE, RUNTIME_SERVICES_CODE, RUNTIME_SERVICES_DATA, UNACCEPTED_MEMORY_TYPE,
};

/// The size of a page of the map in bytes (UEFI 2.10, section 7.2.1).
pub const PAGE_SIZE: u64 = 4096;

/// The alignment and size in bytes that memory which stays mapped under an operating system with
/// 64 KiB pages needs (UEFI 2.10, section 2.3.6.1).
pub const RUNTIME_GRANULE: u64 = 64 * 1024;

/// What RAM can be mapped as: the attributes of every RAM descriptor.
pub const RAM_ATTRIBUTES: u64 = MEMORY_UC | MEMORY_WC | MEMORY_WT | MEMORY_WB;

/// The first type without a meaning in the specification (`EfiMaxMemoryType`).
const MAX_MEMORY_TYPE: MemoryType = UNACCEPTED_MEMORY_TYPE + 1;
/// The first type reserved for OEMs; those for operating systems follow up to the end.
const OEM_MEMORY_TYPE: MemoryType = 0x7000_0000;

/// Why a change of the map was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MapError {
    /// An argument is wrong in itself.
    #[error("invalid argument")]
    Invalid,
    /// The range is not there, or not in the state that the change needs.
    #[error("no such memory")]
    NotFound,
    /// No memory is left for the request or for its bookkeeping.
    #[error("out of memory")]
    OutOfResources,
}

/// Who may free a region.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Nobody: it was there from the start (conventional memory, devices, the firmware itself).
    Platform,
    /// Who calls [`MemoryMap::free`] as the client of the page services.
    Pages,
    /// The pool.
    Pool,
}

/// Where an allocation may lie (`EFI_ALLOCATE_TYPE`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// Anywhere.
    Any,
    /// With its last byte at this address or below.
    Below(u64),
    /// At exactly this address.
    At(u64),
}

/// One region of the map.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    /// `EFI_MEMORY_TYPE`.
    pub kind: MemoryType,
    /// The first byte, on a page boundary.
    pub start: u64,
    /// The first byte behind the region, on a page boundary.
    pub end: u64,
    /// `EFI_MEMORY_DESCRIPTOR.Attribute`.
    pub attributes: u64,
    /// Who may free it.
    pub owner: Owner,
}

impl Region {
    /// The number of pages.
    pub fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    /// Whether `address` lies in the region.
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    fn is_free(&self) -> bool {
        self.kind == CONVENTIONAL_MEMORY
    }

    fn continues(&self, next: &Region) -> bool {
        self.end == next.start
            && self.kind == next.kind
            && self.attributes == next.attributes
            && self.owner == next.owner
    }
}

/// The alignment and granularity in bytes of allocations of `kind`.
///
/// The four types that the Arm binding (section 2.3.6.1) wants free of mixed attributes within
/// 64 KiB get 64 KiB, all others one page.
pub fn granule(kind: MemoryType) -> u64 {
    match kind {
        RESERVED_MEMORY_TYPE | RUNTIME_SERVICES_CODE | RUNTIME_SERVICES_DATA | ACPI_MEMORY_NVS => RUNTIME_GRANULE,
        _ => PAGE_SIZE,
    }
}

/// Whether `AllocatePages()` and `AllocatePool()` accept the type (section 7.2.1): those the
/// specification defines except free, persistent and unaccepted memory, and the ranges of OEMs
/// and operating systems.
pub fn is_allocatable(kind: MemoryType) -> bool {
    !matches!(kind, CONVENTIONAL_MEMORY | PERSISTENT_MEMORY | UNACCEPTED_MEMORY_TYPE | MAX_MEMORY_TYPE..OEM_MEMORY_TYPE)
}

fn attributes_of(kind: MemoryType) -> u64 {
    match kind {
        RUNTIME_SERVICES_CODE | RUNTIME_SERVICES_DATA => RAM_ATTRIBUTES | MEMORY_RUNTIME,
        _ => RAM_ATTRIBUTES,
    }
}

/// The memory map.
#[derive(Debug, Default)]
pub struct MemoryMap {
    /// Sorted, disjoint, and no two neighbours that [`Region::continues`] joins.
    regions: Vec<Region>,
    key: usize,
}

impl MemoryMap {
    /// A map of no memory.
    pub const fn new() -> Self {
        Self { regions: Vec::new(), key: 0 }
    }

    /// Adds free RAM.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_ram(&mut self, range: Range<u64>) -> Result<(), MapError> {
        self.add(CONVENTIONAL_MEMORY, range, RAM_ATTRIBUTES)
    }

    /// Adds memory that is not RAM to allocate from, for instance the registers of a device that
    /// runtime services need: `MEMORY_MAPPED_IO` with `MEMORY_UC | MEMORY_XP | MEMORY_RUNTIME`.
    ///
    /// # Errors
    /// [`MapError::Invalid`] when the range is empty, reversed, not on page boundaries, or
    /// overlaps what is there; [`MapError::OutOfResources`].
    pub fn add(&mut self, kind: MemoryType, range: Range<u64>, attributes: u64) -> Result<(), MapError> {
        check_range(&range)?;
        let at = self.regions.partition_point(|r| r.end <= range.start);
        if self.regions.get(at).is_some_and(|next| next.start < range.end) {
            return Err(MapError::Invalid);
        }
        self.reserve(1)?;
        self.regions
            .insert(at, Region { kind, start: range.start, end: range.end, attributes, owner: Owner::Platform });
        self.changed(at, at + 1);
        Ok(())
    }

    /// Claims free RAM for the firmware itself. What is claimed cannot be freed by a client, and
    /// its granularity is the caller's to keep.
    ///
    /// # Errors
    /// [`MapError::Invalid`] for a bad range; [`MapError::NotFound`] when part of it is not free
    /// RAM; [`MapError::OutOfResources`].
    pub fn claim(&mut self, kind: MemoryType, range: Range<u64>) -> Result<(), MapError> {
        check_range(&range)?;
        self.set(&range, kind, Owner::Platform, Region::is_free)
    }

    /// Allocates pages and returns the range, which can be longer than asked for: some types
    /// come in granules of 64 KiB ([`granule`]).
    ///
    /// `alignment` in bytes is a power of two. With [`Placement::Any`] and [`Placement::Below`]
    /// the highest free memory that fits is taken.
    ///
    /// # Errors
    /// [`MapError::Invalid`] for a type that cannot be allocated or an alignment that is not a
    /// power of two; [`MapError::NotFound`] when the wanted address is not free or not aligned;
    /// [`MapError::OutOfResources`] when there is no room, which is always so for zero pages.
    pub fn allocate(
        &mut self,
        placement: Placement,
        kind: MemoryType,
        pages: u64,
        alignment: u64,
        owner: Owner,
    ) -> Result<Range<u64>, MapError> {
        if !is_allocatable(kind) || !alignment.is_power_of_two() {
            return Err(MapError::Invalid);
        }
        let alignment = alignment.max(granule(kind));
        let size = pages
            .checked_mul(PAGE_SIZE)
            .and_then(|size| size.checked_next_multiple_of(granule(kind)))
            .filter(|size| *size > 0);
        let range = match placement {
            Placement::Any => self
                .highest_free(size.ok_or(MapError::OutOfResources)?, alignment, u64::MAX)
                .ok_or(MapError::OutOfResources)?,
            Placement::Below(last) => self
                .highest_free(size.ok_or(MapError::OutOfResources)?, alignment, last)
                .ok_or(MapError::OutOfResources)?,
            Placement::At(start) => {
                if !start.is_multiple_of(alignment) {
                    return Err(MapError::NotFound);
                }
                let end = size.and_then(|size| start.checked_add(size)).ok_or(MapError::NotFound)?;
                start..end
            }
        };
        self.set(&range, kind, owner, Region::is_free)?;
        Ok(range)
    }

    /// Makes pages conventional memory again and returns the range, which is whole granules of
    /// the type they had. Part of an allocation, and several neighbouring ones of one owner, can
    /// be freed at once.
    ///
    /// # Errors
    /// [`MapError::Invalid`] when the start is not on a boundary of the type's granule or the
    /// range is empty or wraps; [`MapError::NotFound`] when part of it is not allocated to
    /// `owner`; [`MapError::OutOfResources`].
    pub fn free(&mut self, start: u64, pages: u64, owner: Owner) -> Result<Range<u64>, MapError> {
        let end = pages.checked_mul(PAGE_SIZE).and_then(|size| start.checked_add(size)).ok_or(MapError::Invalid)?;
        check_range(&(start..end))?;
        let first = self.region_at(start).ok_or(MapError::NotFound)?;
        let granule = granule(first.kind);
        if !start.is_multiple_of(granule) {
            return Err(MapError::Invalid);
        }
        let end = end.checked_next_multiple_of(granule).ok_or(MapError::Invalid)?;
        let range = start..end;
        self.set(&range, CONVENTIONAL_MEMORY, Owner::Platform, |region| region.owner == owner && !region.is_free())?;
        Ok(range)
    }

    /// The key of the present state: another one after each change, the same in between.
    pub fn key(&self) -> usize {
        self.key
    }

    /// The regions in the order of their addresses.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region that contains `address`.
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        let at = self.regions.partition_point(|r| r.end <= address);
        self.regions.get(at).filter(|r| r.start <= address)
    }

    /// The number of pages of `kind`.
    pub fn pages_of(&self, kind: MemoryType) -> u64 {
        self.regions.iter().filter(|r| r.kind == kind).map(Region::pages).sum()
    }

    /// The descriptors as `GetMemoryMap()` reports them: neighbours that differ only in who may
    /// free them are one.
    pub fn descriptors(&self) -> impl Iterator<Item = efi::MemoryDescriptor> + '_ {
        Descriptors { regions: &self.regions }
    }

    fn highest_free(&self, size: u64, alignment: u64, last: u64) -> Option<Range<u64>> {
        self.regions.iter().rev().filter(|r| r.is_free() && r.start <= last).find_map(|r| {
            // `last` is inclusive; adding one would wrap at the top of the address space.
            let end = if r.end - 1 <= last { r.end } else { last + 1 };
            let start = end.checked_sub(size)? & !(alignment - 1);
            // Page 0 is never handed out: its address would read as a null pointer.
            (start >= r.start.max(PAGE_SIZE)).then(|| start..start + size)
        })
    }

    /// Gives the whole of `range` the type, its attributes and the owner, provided that it lies in
    /// regions that all satisfy `allowed`. Changes nothing on failure.
    fn set(
        &mut self,
        range: &Range<u64>,
        kind: MemoryType,
        owner: Owner,
        allowed: impl Fn(&Region) -> bool,
    ) -> Result<(), MapError> {
        let first = self.regions.partition_point(|r| r.end <= range.start);
        let mut covered = range.start;
        for region in self.regions.iter().skip(first) {
            if covered >= range.end {
                break;
            }
            if region.start > covered || !allowed(region) {
                return Err(MapError::NotFound);
            }
            covered = region.end;
        }
        if covered < range.end {
            return Err(MapError::NotFound);
        }
        // Whole regions change without memory, so that what is out of memory can still be freed.
        let is_inside = |address: u64| self.region_at(address).is_some_and(|region| region.start < address);
        let splits = [range.start, range.end].into_iter().filter(|address| is_inside(*address)).count();
        self.reserve(splits)?;
        self.split(range.start);
        self.split(range.end);
        let first = self.regions.partition_point(|r| r.end <= range.start);
        let behind = self.regions.partition_point(|r| r.end <= range.end);
        for region in self.regions.iter_mut().take(behind).skip(first) {
            region.kind = kind;
            region.attributes = attributes_of(kind);
            region.owner = owner;
        }
        self.changed(first, behind);
        Ok(())
    }

    fn reserve(&mut self, additional: usize) -> Result<(), MapError> {
        self.regions.try_reserve(additional).map_err(|_| MapError::OutOfResources)
    }

    /// Cuts the region around `address` in two. Room for one more region is reserved.
    fn split(&mut self, address: u64) {
        let at = self.regions.partition_point(|r| r.end <= address);
        let Some(region) = self.regions.get_mut(at) else {
            return;
        };
        if region.start >= address {
            return;
        }
        let mut upper = *region;
        region.end = address;
        upper.start = address;
        self.regions.insert(at + 1, upper);
    }

    /// Joins what has become equal in `first..behind` and its neighbours, and moves the key on.
    fn changed(&mut self, first: usize, behind: usize) {
        let mut at = first.saturating_sub(1);
        let mut last = behind;
        while at < last {
            match (self.regions.get(at).copied(), self.regions.get(at + 1)) {
                (Some(lower), Some(upper)) if lower.continues(upper) => {
                    let end = upper.end;
                    self.regions.remove(at + 1);
                    if let Some(lower) = self.regions.get_mut(at) {
                        lower.end = end;
                    }
                    last -= 1;
                }
                _ => at += 1,
            }
        }
        self.key = self.key.wrapping_add(1);
    }
}

fn check_range(range: &Range<u64>) -> Result<(), MapError> {
    if range.start < range.end && range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE) {
        Ok(())
    } else {
        Err(MapError::Invalid)
    }
}

struct Descriptors<'a> {
    regions: &'a [Region],
}

impl Iterator for Descriptors<'_> {
    type Item = efi::MemoryDescriptor;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, mut rest) = self.regions.split_first()?;
        let mut joined = *first;
        while let Some((next, behind)) = rest.split_first() {
            let same = Region { owner: joined.owner, ..*next };
            if !joined.continues(&same) {
                break;
            }
            joined.end = next.end;
            rest = behind;
        }
        self.regions = rest;
        Some(efi::MemoryDescriptor {
            r#type: joined.kind,
            physical_start: joined.start,
            virtual_start: 0,
            number_of_pages: joined.pages(),
            attribute: joined.attributes,
        })
    }
}

#[cfg(test)]
mod tests;
