//! The level at which a translation of the realm's own tables meets an address (DDI0487 D8.2):
//! stage 2 aborts do not tell it, and what is injected in their place has to.

/// The EL1&0 translation regime of a REC.
#[derive(Clone, Copy, Debug)]
pub struct Regime {
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1.
    pub ttbr0: u64,
    /// TTBR1_EL1.
    pub ttbr1: u64,
}

/// What a translation does with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reads the descriptor of this level there.
    Lookup(i8),
    /// Ends there, with a page or block of this level.
    Leaf(i8),
}

/// What the regime says of one half of the address space.
struct Half {
    base: u64,
    /// log2 of the page size.
    page: u32,
    /// Bits of a virtual address that are translated.
    bits: u32,
    /// Descriptors hold 52-bit addresses as FEAT_LPA2 has them.
    lpa2: bool,
}

impl Regime {
    fn half(&self, va: u64) -> Option<Half> {
        let upper = va >> 55 & 1 != 0;
        let (base, size, granule) = match upper {
            true => (self.ttbr1, self.tcr >> 16 & 0x3f, self.tcr >> 30 & 3),
            false => (self.ttbr0, self.tcr & 0x3f, self.tcr >> 14 & 3),
        };
        // TG0 and TG1 count in different ways.
        let page = match (upper, granule) {
            (false, 0) | (true, 2) => 12,
            (false, 2) | (true, 1) => 14,
            (false, 1) | (true, 3) => 16,
            _ => return None,
        };
        let bits = 64 - size as u32;
        (bits > page).then_some(Half { base, page, bits, lpa2: self.tcr >> 59 & 1 != 0 && page != 16 })
    }

    /// Walks the tables for `va` until `uses` says that a use of an address is the one looked
    /// for; none when the walk ends before. `read` reads a descriptor.
    pub fn find(&self, va: u64, uses: impl Fn(Use, u64) -> bool, read: impl Fn(u64) -> Option<u64>) -> Option<Use> {
        let half = self.half(va)?;
        let stride = half.page - 3;
        let levels = (half.bits - half.page).div_ceil(stride);
        let va = va & (1_u64.checked_shl(half.bits)?).wrapping_sub(1);
        let mut level = 4 - levels as i8;
        let mut table = half.table_base();
        loop {
            let shift = half.page + stride * (3 - level) as u32;
            // The first table is as long as the address space needs.
            let index = va >> shift & if level == 4 - levels as i8 { u64::MAX } else { (1 << stride) - 1 };
            let at = table.checked_add(index * 8)?;
            if uses(Use::Lookup(level), at) {
                return Some(Use::Lookup(level));
            }
            let descriptor = read(at)?;
            let next = half.address(descriptor);
            match (descriptor & 3, level) {
                (3, ..3) => (table, level) = (next, level + 1),
                (3, 3) | (1, ..3) => {
                    let leaf = next & !((1 << shift) - 1) | va & ((1 << shift) - 1);
                    return uses(Use::Leaf(level), leaf).then_some(Use::Leaf(level));
                }
                _ => return None,
            }
        }
    }
}

impl Half {
    fn table_base(&self) -> u64 {
        const LOW: u64 = 0xffff_ffff_ffc0;
        match self.lpa2 {
            true => self.base & LOW | (self.base >> 2 & 0xf) << 48,
            false => self.base & (LOW | 0x3e),
        }
    }

    /// The address in a descriptor.
    fn address(&self, descriptor: u64) -> u64 {
        let below = !((1_u64 << self.page) - 1);
        match self.lpa2 {
            true => descriptor & 0x3_ffff_ffff_ffff & below | (descriptor >> 8 & 3) << 50,
            false => descriptor & 0xffff_ffff_ffff & below,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// Walks for `va`; the tables are at 0x1000, 0x2000 and so on by level.
    fn walk(regime: &Regime, descriptors: &[(u64, u64)], va: u64, wanted: u64) -> Option<Use> {
        let memory: BTreeMap<u64, u64> = descriptors.iter().copied().collect();
        regime.find(va, |_, at| at >> 12 == wanted >> 12, |at| memory.get(&at).copied())
    }

    #[test]
    fn three_levels_of_4_kib() {
        // 39 bits from TTBR0, 1 GiB + 2 MiB + 0x3000.
        let regime = Regime { tcr: 25, ttbr0: 0x1000, ttbr1: 0 };
        let tables = [(0x1008, 0x2003), (0x2008, 0x3003), (0x3018, 0x9_0000_0703), (0x2010, 0xa_0000_0701)];
        let va = 0x4020_3000;
        assert_eq!(walk(&regime, &tables, va, 0x1000), Some(Use::Lookup(1)));
        assert_eq!(walk(&regime, &tables, va, 0x2000), Some(Use::Lookup(2)));
        assert_eq!(walk(&regime, &tables, va, 0x3000), Some(Use::Lookup(3)));
        assert_eq!(walk(&regime, &tables, va, 0x9_0000_0000), Some(Use::Leaf(3)));
        assert_eq!(walk(&regime, &tables, 0x4043_2000, 0xa_0003_2000), Some(Use::Leaf(2)));
        assert_eq!(walk(&regime, &tables, va, 0x5000), None);
        assert_eq!(walk(&regime, &tables, 0x8000_0000, 0x9_0000_0000), None);
        // A tag in the top byte does not count.
        assert_eq!(walk(&regime, &tables, va | 0x12 << 56, 0x9_0000_0000), Some(Use::Leaf(3)));
    }

    #[test]
    fn the_upper_half_has_its_own_size_and_granule() {
        // 48 bits of 4 KiB pages: level 0; 42 bits of 64 KiB pages: level 2.
        let regime = Regime { tcr: 2 << 30 | 16 << 16 | 1 << 14 | 22, ttbr0: 0x1_0000, ttbr1: 0x1000 };
        let tables = [(0x1ff8, 0x2003), (0x1_0000, 0x2_0003), (0x2_0008, 0x7_0000_0003)];
        assert_eq!(walk(&regime, &tables, u64::MAX, 0x1000), Some(Use::Lookup(0)));
        assert_eq!(walk(&regime, &tables, u64::MAX, 0x2000), Some(Use::Lookup(1)));
        assert_eq!(walk(&regime, &tables, 0x1_1000, 0x2_0000), Some(Use::Lookup(3)));
        assert_eq!(walk(&regime, &tables, 0x1_1000, 0x7_0000_1000), Some(Use::Leaf(3)));
    }

    #[test]
    fn five_levels_with_lpa2() {
        let regime = Regime { tcr: 1 << 59 | 12, ttbr0: 0x1000, ttbr1: 0 };
        let tables = [(0x1008, 0x2003), (0x2000, 0x3003), (0x3000, 0xc_0000_0000_0000 >> 42 | 0x701)];
        let va = 1 << 48;
        assert_eq!(walk(&regime, &tables, va, 0x1000), Some(Use::Lookup(-1)));
        assert_eq!(walk(&regime, &tables, va, 0x2000), Some(Use::Lookup(0)));
        assert_eq!(walk(&regime, &tables, va, 0xc_0000_0000_0000), Some(Use::Leaf(1)));
    }
}
