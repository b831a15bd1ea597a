//! Stage 1 page tables of the AArch64 4 KiB granule: an identity map with permissions by page.
//!
//! Descriptors are those of the Arm ARM, D8.3 (VMSAv8-64, 48-bit addresses, four levels). The largest block
//! that fits is used, so the tables' number depends on how often the attributes change and not on the size of
//! memory. A block that covers live memory is split by break-before-make (D8.16.1); a mere change of permission
//! is written in place.
//!
//! The map is an identity but for [`Leaf::output_offset`], which puts a realm's shared alias behind an address.

use core::ops::Range;

use thiserror::Error;

#[cfg(test)]
mod tests;

/// Bytes of a page, and of a table.
pub const PAGE_SIZE: u64 = 4096;
/// End of the addresses that four levels reach.
pub const ADDRESS_END: u64 = 1 << 48;
/// Entries of a table.
pub const ENTRIES: usize = 512;

const LAST_LEVEL: u32 = 3;
const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTR_INDEX_SHIFT: u32 = 2;
const ATTR_INDEX_MASK: u64 = 0b111 << ATTR_INDEX_SHIFT;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESS_FLAG: u64 = 1 << 10;
const EXECUTE_NEVER: u64 = 0b11 << 53;
/// AP[1], which the EL2 regime holds to be one.
const EL2_RES1: u64 = 1 << 6;
/// A bit left to software: the entry is mapped but made inaccessible (EFI_MEMORY_RP).
const MAPPED: u64 = 1 << 55;
const ADDRESS_MASK: u64 = 0x0000_ffff_ffff_f000;

/// What can be wrong with a request.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// An end of the range is no multiple of the page size, is out of order or beyond [`ADDRESS_END`].
    #[error("range is not made of pages")]
    Range,
    /// Part of the range is mapped already, to something else.
    #[error("already mapped")]
    Mapped,
    /// Part of the range is not mapped.
    #[error("not mapped")]
    NotMapped,
    /// No memory for another table.
    #[error("out of page tables")]
    OutOfTables,
}

/// Memory type: the index into MAIR (see boot-asm).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum MemoryType {
    /// Device-nGnRnE.
    Device = 0,
    /// Normal, non-cacheable.
    NonCacheable = 1,
    /// Normal, write-through.
    WriteThrough = 2,
    /// Normal, write-back.
    WriteBack = 3,
}

/// What may not be done with a page, as EFI_MEMORY_RP, EFI_MEMORY_RO and EFI_MEMORY_XP say it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Protection {
    /// No access at all.
    pub read_protect: bool,
    /// No writes.
    pub read_only: bool,
    /// No instruction fetches.
    pub execute_never: bool,
}

/// How a range is mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// The memory type.
    pub memory: MemoryType,
    /// What is refused.
    pub protection: Protection,
    /// What is added to a virtual address to get the output address: 0, or a realm's shared bit.
    pub output_offset: u64,
}

/// The memory that the tables are in, and the TLB in front of it.
pub trait TableMemory {
    /// Reads entry `index` of the table at `table`.
    fn read(&self, table: u64, index: usize) -> u64;
    /// Writes entry `index` of the table at `table`, in one store that a table walk sees whole.
    fn write(&mut self, table: u64, index: usize, value: u64);
    /// A page for one more table, cleared to zero.
    fn allocate(&mut self) -> Option<u64>;
    /// Makes all entries written so far visible to walks before any that is written later: a walk must not find a
    /// table before what is in it.
    fn publish(&mut self);
    /// Makes all entries written so far visible to walks, and drops what the TLB holds of others.
    fn synchronize(&mut self);
}

/// The translation regime that the tables are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Regime {
    /// EL1&0, or EL2&0, of which nothing at EL0 is used.
    El1,
    /// EL2 alone.
    El2,
}

/// A tree of page tables.
#[derive(Debug)]
pub struct PageTable<M> {
    root: u64,
    regime: Regime,
    memory: M,
}

/// Levels are 0 to [`LAST_LEVEL`], so that nothing wraps; checks of that would be most of a walk.
fn level_shift(level: u32) -> u32 {
    39_u32.wrapping_sub(level.wrapping_mul(9))
}

fn level_size(level: u32) -> u64 {
    1_u64.wrapping_shl(level_shift(level))
}

fn index(address: u64, level: u32) -> usize {
    // The mask keeps nine bits, which any usize holds.
    (address.wrapping_shr(level_shift(level)) & 0x1ff) as usize
}

fn check(range: &Range<u64>) -> Result<(), Error> {
    let pages = range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE);
    if pages && range.start <= range.end && range.end <= ADDRESS_END { Ok(()) } else { Err(Error::Range) }
}

fn is_table(entry: u64, level: u32) -> bool {
    level < LAST_LEVEL && entry & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
}

fn is_mapped(entry: u64) -> bool {
    entry & (VALID | MAPPED) != 0
}

fn memory_type(entry: u64) -> MemoryType {
    match (entry & ATTR_INDEX_MASK) >> ATTR_INDEX_SHIFT {
        0 => MemoryType::Device,
        1 => MemoryType::NonCacheable,
        2 => MemoryType::WriteThrough,
        _ => MemoryType::WriteBack,
    }
}

/// A page and a block differ in one bit.
fn at_level(entry: u64, level: u32) -> u64 {
    if level == LAST_LEVEL { entry | TABLE_OR_PAGE } else { entry & !TABLE_OR_PAGE }
}

impl Leaf {
    /// Private RAM: write-back, identity.
    #[must_use]
    pub fn ram(protection: Protection) -> Self {
        Self { memory: MemoryType::WriteBack, protection, output_offset: 0 }
    }

    /// MMIO: never executable.
    #[must_use]
    pub fn device(output_offset: u64) -> Self {
        let protection = Protection { execute_never: true, ..Protection::default() };
        Self { memory: MemoryType::Device, protection, output_offset }
    }

    fn encode(self, address: u64, level: u32, regime: Regime) -> u64 {
        let mut entry = address.wrapping_add(self.output_offset) & ADDRESS_MASK;
        entry |= (self.memory as u64) << ATTR_INDEX_SHIFT;
        entry |= ACCESS_FLAG;
        if self.memory != MemoryType::Device {
            entry |= INNER_SHAREABLE;
        }
        if regime == Regime::El2 {
            entry |= EL2_RES1;
        }
        at_level(self.protection.apply(entry), level)
    }

    fn decode(entry: u64, address: u64) -> Self {
        let output_offset = (entry & ADDRESS_MASK).wrapping_sub(address);
        Self { memory: memory_type(entry), protection: Protection::of(entry), output_offset }
    }
}

impl Protection {
    fn of(entry: u64) -> Self {
        Self {
            read_protect: entry & VALID == 0,
            read_only: entry & READ_ONLY != 0,
            execute_never: entry & EXECUTE_NEVER != 0,
        }
    }

    fn apply(self, entry: u64) -> u64 {
        let mut entry = (entry & !(VALID | READ_ONLY | EXECUTE_NEVER)) | MAPPED;
        if !self.read_protect {
            entry |= VALID;
        }
        if self.read_only {
            entry |= READ_ONLY;
        }
        if self.execute_never {
            entry |= EXECUTE_NEVER;
        }
        entry
    }
}

impl<M: TableMemory> PageTable<M> {
    /// Takes over the tables whose level-0 table is at `root`.
    ///
    /// Pages that are mapped in it already stay as they are.
    pub fn adopt(root: u64, regime: Regime, memory: M) -> Self {
        Self { root, regime, memory }
    }

    /// The memory of the tables.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Maps `range`, which must not be mapped yet, or be mapped just so.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Mapped`], [`Error::OutOfTables`]; after the last two, part of the range may be
    /// mapped.
    pub fn map(&mut self, range: Range<u64>, leaf: Leaf) -> Result<(), Error> {
        check(&range)?;
        let result = self.map_table(self.root, 0, range, leaf);
        self.memory.synchronize();
        result
    }

    fn map_table(&mut self, table: u64, level: u32, range: Range<u64>, leaf: Leaf) -> Result<(), Error> {
        let size = level_size(level);
        let mut at = range.start;
        while at < range.end {
            let slot_end = (at / size).saturating_add(1).saturating_mul(size);
            let end = slot_end.min(range.end);
            let slot = index(at, level);
            let entry = self.memory.read(table, slot);
            let output = at.wrapping_add(leaf.output_offset);
            if is_table(entry, level) {
                self.map_table(entry & ADDRESS_MASK, level + 1, at..end, leaf)?;
            } else if is_mapped(entry) {
                let base = at & !(size - 1);
                if Leaf::decode(entry, base) != leaf {
                    return Err(Error::Mapped);
                }
            } else if level > 0 && end - at == size && output.is_multiple_of(size) {
                self.memory.write(table, slot, leaf.encode(at, level, self.regime));
            } else {
                let next = self.memory.allocate().ok_or(Error::OutOfTables)?;
                self.map_table(next, level + 1, at..end, leaf)?;
                self.memory.publish();
                self.memory.write(table, slot, next | VALID | TABLE_OR_PAGE);
            }
            at = end;
        }
        Ok(())
    }

    /// Takes every page of `range` out of the map. No block may cross its ends.
    ///
    /// # Errors
    /// [`Error::Range`]; [`Error::Mapped`] when a block reaches beyond the range.
    pub fn unmap(&mut self, range: Range<u64>) -> Result<(), Error> {
        check(&range)?;
        let result = self.unmap_table(self.root, 0, range);
        self.memory.synchronize();
        result
    }

    fn unmap_table(&mut self, table: u64, level: u32, range: Range<u64>) -> Result<(), Error> {
        let size = level_size(level);
        let mut at = range.start;
        while at < range.end {
            let slot_end = (at / size).saturating_add(1).saturating_mul(size);
            let end = slot_end.min(range.end);
            let slot = index(at, level);
            let entry = self.memory.read(table, slot);
            if is_table(entry, level) {
                self.unmap_table(entry & ADDRESS_MASK, level + 1, at..end)?;
            } else if is_mapped(entry) {
                if end - at != size {
                    return Err(Error::Mapped);
                }
                self.memory.write(table, slot, 0);
            }
            at = end;
        }
        Ok(())
    }

    /// Shows `visit` the leaves of `range` in order: the entry, and the first address that it maps.
    fn visit(
        &self,
        table: u64,
        level: u32,
        range: Range<u64>,
        visit: &mut dyn FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let size = level_size(level);
        let mut at = range.start;
        while at < range.end {
            let base = at & !(size - 1);
            let end = range.end.min(base + size);
            let entry = self.memory.read(table, index(at, level));
            if is_table(entry, level) {
                self.visit(entry & ADDRESS_MASK, level + 1, at..end, visit)?;
            } else if is_mapped(entry) {
                visit(entry, base)?;
            } else {
                return Err(Error::NotMapped);
            }
            at = end;
        }
        Ok(())
    }

    /// How `range` is mapped, when all of it is mapped alike.
    ///
    /// # Errors
    /// [`Error::Range`]; [`Error::NotMapped`] for a hole; [`Error::Mapped`] when two parts differ.
    pub fn query(&self, range: Range<u64>) -> Result<Leaf, Error> {
        check(&range)?;
        let mut first = None;
        self.visit(self.root, 0, range, &mut |entry, base| {
            let leaf = Leaf::decode(entry, base);
            if *first.get_or_insert(leaf) == leaf { Ok(()) } else { Err(Error::Mapped) }
        })?;
        first.ok_or(Error::NotMapped)
    }

    /// Changes the protection of every page of `range` by `change`.
    ///
    /// Nothing is changed when a page is not mapped or a device's. When a block must be split and no table is left,
    /// pages before it are changed already.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::NotMapped`] (also for a device's page), [`Error::OutOfTables`].
    pub fn protect(&mut self, range: Range<u64>, change: impl Fn(Protection) -> Protection) -> Result<(), Error> {
        check(&range)?;
        self.visit(self.root, 0, range.clone(), &mut |entry, _| match memory_type(entry) {
            MemoryType::Device => Err(Error::NotMapped),
            _ => Ok(()),
        })?;
        let result = self.protect_table(self.root, 0, range, &change);
        self.memory.synchronize();
        result
    }

    fn protect_table(
        &mut self,
        table: u64,
        level: u32,
        range: Range<u64>,
        change: &dyn Fn(Protection) -> Protection,
    ) -> Result<(), Error> {
        let size = level_size(level);
        let mut at = range.start;
        while at < range.end {
            let slot_end = (at / size).saturating_add(1).saturating_mul(size);
            let end = slot_end.min(range.end);
            let slot = index(at, level);
            let entry = self.memory.read(table, slot);
            if is_table(entry, level) {
                self.protect_table(entry & ADDRESS_MASK, level + 1, at..end, change)?;
            } else if is_mapped(entry) {
                let old = Protection::of(entry);
                let protection = change(old);
                if protection != old {
                    if end - at == size {
                        self.memory.write(table, slot, protection.apply(entry));
                    } else {
                        let next = self.split(table, slot, level, entry)?;
                        self.protect_table(next, level + 1, at..end, change)?;
                    }
                }
            } else {
                return Err(Error::NotMapped);
            }
            at = end;
        }
        Ok(())
    }

    /// Replaces a block by a table that maps the same.
    fn split(&mut self, table: u64, slot: usize, level: u32, block: u64) -> Result<u64, Error> {
        let next = self.memory.allocate().ok_or(Error::OutOfTables)?;
        let mut part = at_level(block, level + 1);
        for slot in 0..ENTRIES {
            self.memory.write(next, slot, part);
            // The bits of the address are the parts' sizes.
            part = part.wrapping_add(level_size(level + 1));
        }
        // The new table must be in memory before it can be walked, the old block out of the TLB before that.
        self.memory.write(table, slot, 0);
        self.memory.synchronize();
        self.memory.write(table, slot, next | VALID | TABLE_OR_PAGE);
        self.memory.synchronize();
        Ok(next)
    }
}
