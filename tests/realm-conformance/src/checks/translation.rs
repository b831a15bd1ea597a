//! What accesses do when the address comes out of the realm's own translation: the levels of faults.

use rsi::Ripas;

use super::{Checks, changing_page, page};
use crate::start::{self, Probe};
use crate::{console, cpu};

const DATA_ABORT: u64 = 0x25;
const TABLE_OR_PAGE: u64 = 3;
const BLOCK: u64 = 1;
/// Attributes 0 of MAIR_EL1, accessed, nothing denied to EL1.
const MEMORY: u64 = 1 << 10;
/// Normal memory, not cacheable.
const MAIR: u64 = 0x44;
/// Where the addresses begin that are tried: entry 256 of the table of level 1.
const TRIED: u64 = 256 << 30;

/// Address of the entry `index` of the table at `table`.
fn put(table: u64, index: u64, descriptor: u64) {
    start::write(table + index * 8, &descriptor.to_le_bytes());
}

impl Checks {
    pub(super) fn translated(&mut self) {
        let gib = page() >> 30;
        let (one, two, three) = (start::tables(), start::tables() + 0x1000, start::tables() + 0x2000);
        if gib >= 256 {
            console::line(format_args!("INFO the image is beyond 256 GiB: no stage 1"));
            return;
        }
        for at in (one..one + 0x3000).step_by(8) {
            start::write(at, &[0; 8]);
        }
        let empty = changing_page();
        start::write(empty, b"here");
        let outside = self.shared_bit() << 1;
        // The image itself, where it is.
        put(one, gib, gib << 30 | MEMORY | BLOCK);
        put(one, 256, outside | MEMORY | BLOCK);
        put(one, 257, two | TABLE_OR_PAGE);
        put(one, 258, empty | TABLE_OR_PAGE);
        put(one, 259, outside | TABLE_OR_PAGE);
        put(two, 0, outside | MEMORY | BLOCK);
        put(two, 1, three | TABLE_OR_PAGE);
        put(two, 2, empty | TABLE_OR_PAGE);
        put(two, 3, outside | TABLE_OR_PAGE);
        put(three, 0, outside | MEMORY | TABLE_OR_PAGE);
        put(three, 1, empty | MEMORY | TABLE_OR_PAGE);
        let at = |one: u64, two: u64, three: u64| TRIED + (one << 30) + (two << 21) + (three << 12) + 0x34;
        let upper = !0 << 39 | 0x34;

        self.stage1(empty);
        let here = start::probe(Probe::Translated, at(1, 1, 1) & !0xff);
        let expected = Ok(u64::from(u32::from_le_bytes(*b"here")));
        self.check("a load through stage 1 reads its page", here == expected, format_args!("{here:x?}"));
        self.set(empty, empty + self.unit, Ripas::Empty);
        self.external(false, "a page", at(1, 1, 1));
        self.external(true, "a table of level 1", upper);
        self.external(true, "a table of level 2", at(2, 0, 0));
        self.external(true, "a table of level 3", at(1, 2, 0));
        self.set(empty, empty + self.unit, Ripas::Ram);
        if self.config.ipa_width < 48 {
            self.address_size("a block of level 1", at(0, 0, 0), 1);
            self.address_size("a table of level 2", at(3, 0, 0), 1);
            self.address_size("a block of level 2", at(1, 0, 0), 2);
            self.address_size("a table of level 3", at(1, 3, 0), 2);
            self.address_size("a page", at(1, 1, 0), 3);
            self.stage1(outside);
            self.address_size("the first table", upper, 0);
        } else {
            console::line(format_args!("INFO descriptors reach no further than the IPA space"));
        }
    }

    /// Sets stage 1 up: 39 bits of 4 KiB pages in both halves, the upper one with the table of
    /// level 1 at `upper`.
    fn stage1(&self, upper: u64) {
        const WIDEST: u64 = 5;
        let widest = (cpu::memory_features() & 0xf).min(WIDEST);
        const SIZES: u64 = 25 << 16 | 25;
        const UPPER_4K: u64 = 2 << 30;
        cpu::translate(MAIR, widest << 32 | UPPER_4K | SIZES, start::tables(), upper);
    }

    /// `what` is EMPTY: an external abort, of a walk if it is a table.
    fn external(&mut self, walk: bool, what: &str, address: u64) {
        let outcome = start::probe(Probe::Translated, address);
        let far = cpu::fault_address();
        let status = outcome.err().map_or(0, |esr| esr & 0x3f);
        let kind = if walk { 0x10..0x18 } else { 0x10..0x11 };
        let external = outcome.is_err_and(|esr| esr >> 26 == DATA_ABORT && esr >> 9 & 1 == 1) && kind.contains(&status);
        let rule = "an EMPTY page behind stage 1 is an external abort at its virtual address (RJVQQR)";
        self.check(rule, external && far == address, format_args!("{what} at {address:#x}: {outcome:x?} far {far:#x}"));
        console::line(format_args!("INFO {what} that is EMPTY: status {status:#x}"));
    }

    /// The address of `what` is beyond the IPA space: an address size fault at this level.
    fn address_size(&mut self, what: &str, address: u64, level: u64) {
        let outcome = start::probe(Probe::Translated, address);
        let far = cpu::fault_address();
        let size = outcome.is_err_and(|esr| esr >> 26 == DATA_ABORT && esr & 0x3f == level && esr >> 9 & 1 == 0);
        let rule = "beyond the IPA space is an address size fault at its level (RGYVZQ)";
        self.check(rule, size && far == address, format_args!("{what} at {address:#x}: {outcome:x?} far {far:#x}"));
    }
}
