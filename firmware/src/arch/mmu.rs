//! Page tables as the hardware sees them, and registers that need an instruction of their own.
#![expect(unsafe_code, reason = "page tables, TLB maintenance and system registers")]

use core::arch::asm;
use core::ops::Range;
use core::ptr;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{HCR_EL2, Readable};
use address_space::page_table::{ENTRIES, PAGE_SIZE, PageTable, Regime, TableMemory};

/// The pages that tables are made of.
///
/// The first come from the image; more are given by [`TablePages::extend`] once RAM is known. None of them lies in
/// a block that is ever split, so that every table stays reachable while a block is out of the map.
#[derive(Debug)]
pub struct TablePages {
    free: Range<u64>,
    spare: Range<u64>,
}

impl TablePages {
    /// Gives `range` (page aligned, mapped, private and otherwise unused) to be made into tables.
    ///
    /// # Safety
    /// Nothing else may use the memory of `range` from now on.
    pub unsafe fn extend(&mut self, range: Range<u64>) {
        self.spare = range;
    }

    fn entry(table: u64, index: usize) -> *mut u64 {
        let offset = (index % ENTRIES) as u64 * 8;
        ptr::with_exposed_provenance_mut((table + offset) as usize)
    }
}

impl TableMemory for TablePages {
    fn read(&self, table: u64, index: usize) -> u64 {
        // SAFETY: `table` is the root or an address that `allocate` returned: a mapped page that only this type
        // writes; the index is kept inside it.
        unsafe { Self::entry(table, index).read_volatile() }
    }

    fn write(&mut self, table: u64, index: usize, value: u64) {
        // SAFETY: as for `read`; a volatile aligned store of eight bytes is one store.
        unsafe { Self::entry(table, index).write_volatile(value) };
    }

    fn allocate(&mut self) -> Option<u64> {
        if self.free.is_empty() {
            core::mem::swap(&mut self.free, &mut self.spare);
        }
        if self.free.is_empty() {
            return None;
        }
        let page = self.free.start;
        self.free.start += PAGE_SIZE;
        for index in 0..ENTRIES {
            self.write(page, index, 0);
        }
        Some(page)
    }

    fn publish(&mut self) {
        barrier::dsb(barrier::ISHST);
    }

    fn synchronize(&mut self) {
        barrier::dsb(barrier::ISHST);
        // SAFETY: dropping TLB entries makes the walker read the tables again, nothing else.
        unsafe {
            if super::exception_level() == 2 {
                asm!("tlbi alle2", options(nostack, preserves_flags));
            } else {
                asm!("tlbi vmalle1", options(nostack, preserves_flags));
            }
        }
        barrier::dsb(barrier::ISH);
        barrier::isb(barrier::SY);
    }
}

/// The tables that the entry code has switched on.
///
/// # Safety
/// Called once: there is one owner of the page tables.
pub unsafe fn adopt() -> PageTable<TablePages> {
    let root = boot_asm::layout::early_tables();
    let used = boot_asm::ENTRY_TABLES as u64 * PAGE_SIZE;
    let free = root + used..boot_asm::layout::early_tables_end();
    // A CPU that has only VHE's layout translates for EL2 and EL0 at once, as EL1 does.
    let el2_alone = super::exception_level() == 2 && !HCR_EL2.is_set(HCR_EL2::E2H);
    let regime = if el2_alone { Regime::El2 } else { Regime::El1 };
    PageTable::adopt(root, regime, TablePages { free, spare: 0..0 })
}

/// Reads RNDR (FEAT_RNG); `None` when it has no number right now.
pub fn read_rndr() -> Option<u64> {
    let value: u64;
    let failed: u64;
    // SAFETY: the caller has seen FEAT_RNG in ID_AA64ISAR0_EL1; reading has no effect but on the flags.
    unsafe {
        asm!(
            "mrs {value}, s3_3_c2_c4_0",
            "cset {failed}, eq",
            value = out(reg) value,
            failed = out(reg) failed,
            options(nostack),
        );
    }
    (failed == 0).then_some(value)
}
