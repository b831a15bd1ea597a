//! A range of physical addresses.

use core::fmt;

/// The first address beyond what AArch64 can address without LPA2's 56-bit extension
/// (Arm ARM, ID_AA64MMFR0_EL1.PARange: 52 bits).
const ADDRESS_LIMIT: u64 = 1 << 52;

/// The size of a page, in bytes.
const PAGE_SIZE: u64 = 4096;

/// A non-empty range of physical addresses that ends at or below 2^52.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    base: u64,
    size: u64,
}

impl Region {
    /// The region of `size` bytes at `base`; `None` when it is empty, wraps or leaves 52 bits.
    pub const fn new(base: u64, size: u64) -> Option<Self> {
        match base.checked_add(size) {
            Some(end) if size != 0 && end <= ADDRESS_LIMIT => Some(Self { base, size }),
            _ => None,
        }
    }

    /// The first address.
    pub const fn base(self) -> u64 {
        self.base
    }

    /// The length in bytes, at least one.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The first address behind the region.
    pub const fn end(self) -> u64 {
        // Cannot wrap: `new` bounds the sum.
        self.base + self.size
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.base < other.end() && other.base < self.end()
    }

    /// Whether all of `other` lies inside.
    pub const fn contains(self, other: Self) -> bool {
        self.base <= other.base && other.end() <= self.end()
    }

    /// Whether base and size are multiples of 4 KiB.
    pub const fn is_page_aligned(self) -> bool {
        self.base.is_multiple_of(PAGE_SIZE) && self.size.is_multiple_of(PAGE_SIZE)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.base, self.end())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Region;

    #[test]
    fn bounds() {
        assert_eq!(Region::new(0x1000, 0), None);
        assert_eq!(Region::new(u64::MAX, 1), None);
        assert_eq!(Region::new((1 << 52) - 1, 2), None);
        assert_eq!(Region::new((1 << 52) - 1, 1).unwrap().end(), 1 << 52);
    }

    #[test]
    fn relations() {
        let region = |base, size| Region::new(base, size).unwrap();
        assert!(region(0, 2).overlaps(region(1, 2)));
        assert!(!region(0, 2).overlaps(region(2, 2)));
        assert!(!region(2, 2).overlaps(region(0, 2)));
        assert!(region(0, 9).contains(region(8, 1)));
        assert!(!region(0, 9).contains(region(8, 2)));
    }
}
