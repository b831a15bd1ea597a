//! The realm's stage 2 tables: 4 KiB pages only, made as the realm touches its memory.

use rsi::GRANULE;

use super::phys;
use super::pool::Pool;
use super::regs;

const VALID_TABLE_OR_PAGE: u64 = 0b11;
const NORMAL_WRITE_BACK: u64 = 0b1111 << 2;
const READ_WRITE: u64 = 0b11 << 6;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESS_FLAG: u64 = 1 << 10;
const EXECUTE_NEVER: u64 = 0b10 << 53;
const ADDRESS: u64 = 0xffff_ffff_f000;

/// Bits of addresses that the tables reach.
pub const MAX_WIDTH: u32 = 48;

/// Where a page of memory appears to the realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Protected: private memory.
    Protected,
    /// Unprotected: shared memory, from which nothing executes (DEN0137 A5.2.6).
    Unprotected,
}

/// The tables.
#[derive(Debug)]
pub struct Stage2 {
    root: u64,
    start_level: u32,
    width: u32,
}

/// log2 of what one entry at `level` covers.
fn shift(level: u32) -> u32 {
    12 + 9 * (3 - level)
}

impl Stage2 {
    /// Empty tables for an IPA width of 32 to 48 bits. Beyond, where only LPA2 reaches, nothing can be mapped: an
    /// access is a fault, which is all that devices need.
    pub fn new(width: u32, pool: &mut Pool) -> Option<Self> {
        let width = width.min(MAX_WIDTH);
        // Level 1 covers 39 bits with one table and 43 with sixteen in a row.
        let start_level = if width <= 43 { 1 } else { 0 };
        let count = match start_level {
            1 => 1_u64 << width.saturating_sub(39),
            _ => 1,
        };
        let root = pool.take_aligned(count)?;
        for page in 0..count {
            phys::fill_page(root + page * GRANULE, 0);
        }
        Some(Self { root, start_level, width })
    }

    /// Points this CPU at the tables.
    pub fn activate(&self) {
        let t0sz = u64::from(64 - self.width);
        let sl0 = u64::from(2 - self.start_level) << 6;
        const WALKS_WRITE_BACK_INNER_SHAREABLE: u64 = 1 << 8 | 1 << 10 | 3 << 12;
        const PA_48: u64 = 0b101 << 16;
        const RES1: u64 = 1 << 31;
        regs::set_vtcr(t0sz | sl0 | WALKS_WRITE_BACK_INNER_SHAREABLE | PA_48 | RES1);
        const VMID: u64 = 1 << 48;
        regs::set_vttbr(self.root | VMID);
        regs::invalidate_translations();
    }

    /// Address of the entry of `ipa` at level 3, or the level at which a table is missing.
    fn entry(&self, ipa: u64) -> Result<u64, (u64, u32)> {
        let mut level = self.start_level;
        let mut at = self.root + (ipa >> shift(level)) * 8;
        while level < 3 {
            let entry = phys::read_word(at);
            if entry & 1 == 0 {
                return Err((at, level));
            }
            level += 1;
            at = (entry & ADDRESS) + (ipa >> shift(level) & 0x1ff) * 8;
        }
        Ok(at)
    }

    /// The page at `ipa`.
    pub fn lookup(&self, ipa: u64) -> Option<u64> {
        let entry = phys::read_word(self.entry(ipa).ok()?);
        (entry & 1 != 0).then_some(entry & ADDRESS)
    }

    /// Puts the page `pa` at `ipa`, where none is; none when there is no memory for tables.
    pub fn map(&mut self, ipa: u64, pa: u64, half: Half, pool: &mut Pool) -> Option<()> {
        let at = loop {
            match self.entry(ipa) {
                Ok(at) => break at,
                Err((at, _)) => {
                    let table = pool.take()?;
                    phys::fill_page(table, 0);
                    phys::write_word(at, table | VALID_TABLE_OR_PAGE);
                }
            }
        };
        let execute = match half {
            Half::Protected => 0,
            Half::Unprotected => EXECUTE_NEVER,
        };
        let attributes = NORMAL_WRITE_BACK | READ_WRITE | INNER_SHAREABLE | ACCESS_FLAG;
        phys::write_word(at, pa | attributes | execute | VALID_TABLE_OR_PAGE);
        Some(())
    }

    /// Takes all pages out of `[base, top)` and tells each to `gone` once no CPU reaches it.
    pub fn unmap(&mut self, base: u64, top: u64, mut gone: impl FnMut(u64, u64)) {
        let mut pages = alloc::vec::Vec::new();
        let mut ipa = base;
        while ipa < top {
            match self.entry(ipa) {
                Ok(at) => {
                    let entry = phys::read_word(at);
                    if entry & 1 != 0 {
                        phys::write_word(at, 0);
                        pages.push((ipa, entry & ADDRESS));
                    }
                    ipa += GRANULE;
                }
                Err((_, level)) => ipa = ((ipa >> shift(level)) + 1) << shift(level),
            }
        }
        if pages.is_empty() {
            return;
        }
        regs::invalidate_translations();
        for (ipa, pa) in pages {
            gone(ipa, pa);
        }
    }
}
