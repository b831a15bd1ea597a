//! Page tables of this program for the time after boot services: the firmware's own, with all of
//! its memory a second time at the top of the address space, and pages taken out.

use core::arch::asm;
use core::cell::UnsafeCell;

const ENTRIES: usize = 512;
const POOL: usize = 64;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

#[repr(C, align(4096))]
struct Tables(UnsafeCell<[[u64; ENTRIES]; POOL]>);

// SAFETY: there is one thread.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables(UnsafeCell::new([[0; ENTRIES]; POOL]));

/// The map that the program switches to.
pub struct Map {
    used: usize,
    el2: bool,
    /// What is added to an address to get where it is the second time.
    pub offset: u64,
}

fn table(index: usize) -> &'static mut [u64; ENTRIES] {
    unsafe { &mut (*TABLES.0.get())[index] }
}

fn address_of(index: usize) -> u64 {
    table(index).as_ptr().addr() as u64
}

fn at_el2() -> bool {
    let level: u64;
    unsafe { asm!("mrs {}, CurrentEL", out(reg) level, options(nomem, nostack)) };
    level >> 2 == 2
}

impl Map {
    /// A copy of the firmware's top table with its first entry at its end as well. `None` where
    /// the address space has no room for that.
    pub fn new() -> Option<Self> {
        let el2 = at_el2();
        let (root, control): (u64, u64);
        unsafe {
            if el2 {
                asm!("mrs {}, ttbr0_el2", "mrs {}, tcr_el2", out(reg) root, out(reg) control, options(nostack));
            } else {
                asm!("mrs {}, ttbr0_el1", "mrs {}, tcr_el1", out(reg) root, out(reg) control, options(nostack));
            }
        }
        let bits = 64 - (control & 0x3f);
        if !(41..=48).contains(&bits) {
            return None;
        }
        let last = (1usize << (bits - 39)) - 1;
        let old = (root & ADDRESS) as *const u64;
        let new = table(0);
        for (index, entry) in new.iter_mut().enumerate().take(last + 1) {
            *entry = unsafe { old.wrapping_add(index).read_volatile() };
        }
        if new[last] & 1 != 0 {
            return None;
        }
        new[last] = new[0];
        Some(Self { used: 1, el2, offset: (last as u64) << 39 })
    }

    /// Takes a page out of where it first was. Where it is the second time it stays.
    pub fn remove(&mut self, address: u64) {
        let mut current = 0;
        for level in 0..=3u32 {
            let shift = 39 - 9 * level;
            let index = (address >> shift) as usize & (ENTRIES - 1);
            let entry = table(current)[index];
            if level == 3 || entry & 1 == 0 {
                table(current)[index] = 0;
                return;
            }
            current = self.own(current, index, entry, level);
        }
    }

    /// Makes the table below an entry one of this program's, and returns its number.
    fn own(&mut self, parent: usize, index: usize, entry: u64, level: u32) -> usize {
        let below = entry & ADDRESS;
        let is_table = entry & 2 != 0;
        if is_table && let Some(known) = (0..self.used).find(|&known| address_of(known) == below) {
            return known;
        }
        let new = self.used;
        assert!(new < POOL, "out of page tables");
        self.used += 1;
        let size = 1u64 << (39 - 9 * (level + 1));
        for (number, slot) in table(new).iter_mut().enumerate() {
            *slot = if is_table {
                unsafe { (below as *const u64).wrapping_add(number).read_volatile() }
            } else {
                // The attributes of a block, and the bit that makes a page of the last level.
                (entry + size * number as u64) | if level == 2 { 2 } else { 0 }
            };
        }
        table(parent)[index] = address_of(new) | 3;
        new
    }

    /// Translates by this map from now on.
    pub fn switch(&self) {
        let root = address_of(0);
        unsafe {
            if self.el2 {
                asm!(
                    "dsb ish", "msr ttbr0_el2, {}", "isb", "tlbi alle2", "dsb ish", "isb",
                    in(reg) root, options(nostack),
                );
            } else {
                asm!(
                    "dsb ish", "msr ttbr0_el1, {}", "isb", "tlbi vmalle1", "dsb ish", "isb",
                    in(reg) root, options(nostack),
                );
            }
        }
    }
}
