//! The bookkeeping of `AllocatePool()` and `FreePool()` (UEFI 2.10, section 7.2).
//!
//! Nothing is kept inside the memory handed out: small blocks come from pages cut into slots of
//! one size, with a bitmap here, and large blocks are whole pages. A stray write of a client can
//! damage its own data but not the allocator, and freeing a garbage pointer is noticed without
//! looking at the memory behind it.

use alloc::vec::Vec;
use core::ops::Range;

use r_efi::efi::MemoryType;

use crate::memory_map::{MapError, MemoryMap, Owner, PAGE_SIZE, Placement, granule};

/// The sizes of slots in bytes; what is larger than the last takes whole pages. The smallest lets
/// the bitmap of a page be one `u128`.
const SLOT_SIZES: [u64; 7] = [32, 64, 128, 256, 512, 1024, 2048];

/// Memory handed out by the pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Allocation {
    /// The first byte, aligned to at least 32 bytes.
    pub address: u64,
    /// The pages that were taken from the memory map to satisfy the request, if any.
    pub claimed: Option<Range<u64>>,
}

/// One page of slots.
#[derive(Debug)]
struct SlotPage {
    start: u64,
    kind: MemoryType,
    /// The slot size. A page without used slots can change its size.
    slot: u64,
    used: u128,
}

impl SlotPage {
    fn slots(&self) -> u64 {
        PAGE_SIZE / self.slot
    }

    /// The index of a slot that is free, if there is one.
    fn vacant(&self) -> Option<u32> {
        let index = self.used.trailing_ones();
        (u64::from(index) < self.slots()).then_some(index)
    }

    /// The bit of the slot in use that begins at `address`.
    fn bit_of(&self, address: u64) -> Option<u128> {
        let offset = address.checked_sub(self.start)?;
        if !offset.is_multiple_of(self.slot) {
            return None;
        }
        let index = u32::try_from(offset / self.slot).ok()?;
        let bit = 1u128.checked_shl(index)?;
        (self.used & bit != 0).then_some(bit)
    }
}

/// The pool allocator. Its pages belong to [`Owner::Pool`] in the memory map.
#[derive(Debug, Default)]
pub struct Pool {
    /// Sorted by address.
    slot_pages: Vec<SlotPage>,
    /// Blocks of whole pages, sorted by address.
    large: Vec<Range<u64>>,
}

impl Pool {
    /// A pool without memory.
    pub const fn new() -> Self {
        Self { slot_pages: Vec::new(), large: Vec::new() }
    }

    /// Allocates `size` bytes of `kind`. A size of zero gives a block of the smallest size.
    ///
    /// # Errors
    /// [`MapError::Invalid`] for a type that cannot be allocated; [`MapError::OutOfResources`].
    pub fn allocate(&mut self, map: &mut MemoryMap, kind: MemoryType, size: u64) -> Result<Allocation, MapError> {
        if !crate::memory_map::is_allocatable(kind) {
            return Err(MapError::Invalid);
        }
        match SLOT_SIZES.into_iter().find(|slot| size <= *slot) {
            Some(slot) => self.allocate_slot(map, kind, slot),
            None => self.allocate_pages(map, kind, size),
        }
    }

    /// Frees a block. Returns the pages that went back to the memory map, if any.
    ///
    /// # Errors
    /// [`MapError::Invalid`] when no block that is in use begins at `address`;
    /// [`MapError::OutOfResources`] when the map has no room to note the change, and then the
    /// block is still allocated.
    pub fn free(&mut self, map: &mut MemoryMap, address: u64) -> Result<Option<Range<u64>>, MapError> {
        if let Ok(at) = self.large.binary_search_by_key(&address, |r| r.start) {
            let range = self.large.get(at).cloned().ok_or(MapError::Invalid)?;
            let freed = map.free(range.start, (range.end - range.start) / PAGE_SIZE, Owner::Pool)?;
            self.large.remove(at);
            return Ok(Some(freed));
        }
        let start = address & !(PAGE_SIZE - 1);
        let at = self.slot_pages.binary_search_by_key(&start, |p| p.start).map_err(|_| MapError::Invalid)?;
        let page = self.slot_pages.get_mut(at).ok_or(MapError::Invalid)?;
        let bit = page.bit_of(address).ok_or(MapError::Invalid)?;
        page.used &= !bit;
        if page.used != 0 {
            return Ok(None);
        }
        let kind = page.kind;
        Ok(self.give_back(map, start, kind))
    }

    fn allocate_slot(&mut self, map: &mut MemoryMap, kind: MemoryType, slot: u64) -> Result<Allocation, MapError> {
        let usable = |page: &&mut SlotPage| page.kind == kind && (page.slot == slot || page.used == 0);
        // The map hands out memory downwards, so the newest page, which is the likeliest to have
        // room, comes first.
        for page in self.slot_pages.iter_mut().filter(usable) {
            page.slot = slot;
            if let Some(address) = take_slot(page) {
                return Ok(Allocation { address, claimed: None });
            }
        }
        let claimed = self.add_slot_pages(map, kind, slot)?;
        let address = self
            .slot_pages
            .iter_mut()
            .find(|page| page.start == claimed.start)
            .and_then(take_slot)
            .ok_or(MapError::OutOfResources)?;
        Ok(Allocation { address, claimed: Some(claimed) })
    }

    /// Takes one granule of `kind` from the map and cuts it into pages of slots.
    fn add_slot_pages(&mut self, map: &mut MemoryMap, kind: MemoryType, slot: u64) -> Result<Range<u64>, MapError> {
        let pages = granule(kind) / PAGE_SIZE;
        let count = usize::try_from(pages).map_err(|_| MapError::OutOfResources)?;
        self.slot_pages.try_reserve(count).map_err(|_| MapError::OutOfResources)?;
        let range = map.allocate(Placement::Any, kind, pages, PAGE_SIZE, Owner::Pool)?;
        let at = self.slot_pages.partition_point(|p| p.start < range.start);
        let new = (0..pages).map(|page| SlotPage { start: range.start + page * PAGE_SIZE, kind, slot, used: 0 });
        self.slot_pages.splice(at..at, new);
        Ok(range)
    }

    /// Returns the granule around the page at `start` to the map when none of it is in use. A
    /// failure of the map leaves the pages with the pool, which can use them again.
    fn give_back(&mut self, map: &mut MemoryMap, start: u64, kind: MemoryType) -> Option<Range<u64>> {
        let granule = granule(kind);
        let start = start & !(granule - 1);
        let first = self.slot_pages.partition_point(|p| p.start < start);
        let behind = self.slot_pages.partition_point(|p| p.start < start + granule);
        if self.slot_pages.get(first..behind)?.iter().any(|p| p.used != 0) {
            return None;
        }
        let freed = map.free(start, granule / PAGE_SIZE, Owner::Pool).ok()?;
        self.slot_pages.drain(first..behind);
        Some(freed)
    }

    fn allocate_pages(&mut self, map: &mut MemoryMap, kind: MemoryType, size: u64) -> Result<Allocation, MapError> {
        self.large.try_reserve(1).map_err(|_| MapError::OutOfResources)?;
        let pages = size.div_ceil(PAGE_SIZE);
        let range = map.allocate(Placement::Any, kind, pages, PAGE_SIZE, Owner::Pool)?;
        let at = self.large.partition_point(|r| r.start < range.start);
        self.large.insert(at, range.clone());
        Ok(Allocation { address: range.start, claimed: Some(range) })
    }
}

fn take_slot(page: &mut SlotPage) -> Option<u64> {
    let index = page.vacant()?;
    page.used |= 1u128.checked_shl(index)?;
    Some(page.start + u64::from(index) * page.slot)
}

#[cfg(test)]
mod tests;
