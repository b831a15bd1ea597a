//! Where a realm's memory is, in its own address space and in QEMU's.
//!
//! Private memory, its shared alias and the address a device would hit with the private address
//! are three different places:
//!
//! - `decoy`: QEMU RAM at the realm's own RAM addresses. Nobody uses it; a device given a
//!   private address finds nothing there.
//! - `shared`: the backing of the shared alias, at the address devices use for it.
//! - the pool: all other RAM, from which private pages and tables come.

use alloc::vec::Vec;
use core::ops::Range;

use crate::options::{Dma, Launch};

/// Where the model itself is linked and loaded (`linker/model-rmm.ld`).
pub const MODEL: Range<u64> = 0x2_3000_0000..0x2_4000_0000;

/// Where the shared alias of flash is backed when devices use canonical addresses, at which QEMU
/// has no RAM but its own flash. Only fw_cfg, whose descriptors are translated, reaches it.
const FLASH_WINDOW: Range<u64> = MODEL.start - FLASH..MODEL.start;

/// Start of the RAM of QEMU's `virt` machine.
pub const QEMU_RAM: u64 = 0x4000_0000;

/// Start of the RAM of a kvmtool machine.
pub const KVMTOOL_RAM: u64 = 0x8000_0000;

/// Bytes at IPA 0 that stand for QEMU's flash.
pub const FLASH: u64 = 64 << 20;

/// Why memory cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The realm's RAM does not fit the protected half.
    #[error("realm RAM ends at {0:#x}, beyond the protected half of the IPA space")]
    Protected(u64),
    /// The realm's RAM reaches the model itself.
    #[error("realm RAM may end at {limit:#x}, not at {0:#x}", limit = FLASH_WINDOW.start)]
    Model(u64),
    /// QEMU has too little RAM.
    #[error("QEMU needs RAM up to {needed:#x} (-m), it has RAM up to {has:#x}")]
    QemuRam {
        /// End of the RAM needed.
        needed: u64,
        /// End of the RAM there is.
        has: u64,
    },
}

/// The placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// IPA width.
    pub width: u32,
    /// The realm's RAM: canonical IPA.
    pub ram: Range<u64>,
    /// Memory that stands for flash: canonical IPA.
    pub flash: Range<u64>,
    /// What to add to a canonical IPA of RAM to get where its shared alias is backed.
    pub shared_offset: u64,
    /// The same for memory that stands for flash.
    pub flash_offset: u64,
    /// Whether devices reach shared memory by the shared-bit address.
    pub dma: Dma,
    /// RAM from which private pages come.
    pub pool: Vec<Range<u64>>,
}

impl Layout {
    /// Places a realm in QEMU RAM that ends at `ram_end`.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(launch: Launch, ram: u64, width: u32, dma: Dma, ram_end: u64) -> Result<Self, LayoutError> {
        let start = match launch {
            Launch::Kvmtool => KVMTOOL_RAM,
            Launch::Bios | Launch::Kernel => QEMU_RAM,
        };
        let end = start.saturating_add(ram);
        let half = 1_u64 << (width - 1);
        if end > half {
            return Err(LayoutError::Protected(end));
        }
        if end > FLASH_WINDOW.start {
            return Err(LayoutError::Model(end));
        }
        // The shared alias of wide address spaces lies beyond any RAM QEMU can have; devices
        // then reach shared memory by its canonical address.
        let dma = match dma {
            Dma::SharedBit if half.saturating_add(end) <= ram_end => Dma::SharedBit,
            _ => Dma::Canonical,
        };
        let (shared_offset, flash_offset) = match dma {
            Dma::SharedBit => (half, half),
            Dma::Canonical => (0, FLASH_WINDOW.start),
        };
        let taken = [
            start..end,
            start.saturating_add(shared_offset)..end.saturating_add(shared_offset),
            flash_offset..flash_offset.saturating_add(FLASH),
            MODEL,
        ];
        if ram_end < MODEL.end {
            return Err(LayoutError::QemuRam { needed: MODEL.end, has: ram_end });
        }
        let mut pool: Vec<_> = core::iter::once(QEMU_RAM..ram_end).collect();
        for hole in taken {
            pool = pool.into_iter().flat_map(|range| without(range, &hole)).collect();
        }
        // What is below the realm's RAM holds QEMU's own device tree when RAM starts higher.
        let flash = match launch {
            Launch::Bios => 0..FLASH,
            Launch::Kvmtool | Launch::Kernel => 0..0,
        };
        Ok(Self { width, ram: start..end, flash, shared_offset, flash_offset, dma, pool })
    }

    /// The bit that tells the shared alias.
    pub fn shared_bit(&self) -> u64 {
        1 << (self.width - 1)
    }

    /// Whether a canonical IPA is memory rather than a device.
    pub fn is_memory(&self, canonical: u64) -> bool {
        self.ram.contains(&canonical) || self.flash.contains(&canonical)
    }

    /// Where the shared alias of a canonical IPA is backed; none where there is no memory.
    pub fn shared_pa(&self, canonical: u64) -> Option<u64> {
        if self.ram.contains(&canonical) {
            Some(canonical.saturating_add(self.shared_offset))
        } else if self.flash.contains(&canonical) {
            Some(canonical.saturating_add(self.flash_offset))
        } else {
            None
        }
    }
}

fn without(range: Range<u64>, hole: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let before = range.start..range.end.min(hole.start);
    let after = range.start.max(hole.end)..range.end;
    [before, after].into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn width_33_shares_by_the_shared_bit() {
        let layout = Layout::new(Launch::Bios, GIB, 33, Dma::SharedBit, 9 * GIB).unwrap();
        assert_eq!(layout.shared_pa(0x4000_0000), Some(0x1_4000_0000));
        assert_eq!(layout.shared_pa(0x8000_0000), None);
        assert_eq!(layout.shared_pa(0x1000), Some(0x1_0000_1000));
        assert_eq!(
            layout.pool,
            [0x8000_0000..0x1_0000_0000, 0x1_0400_0000..0x1_4000_0000, 0x1_8000_0000..0x2_3000_0000]
        );
        assert!(layout.is_memory(0) && !layout.is_memory(0x900_0000));
    }

    #[test]
    fn wide_spaces_share_by_the_canonical_address() {
        for width in [36, 40, 41, 44, 48] {
            let layout = Layout::new(Launch::Kernel, GIB, width, Dma::SharedBit, 9 * GIB).unwrap();
            assert_eq!(layout.dma, Dma::Canonical);
            assert_eq!(layout.shared_pa(0x4000_0000), Some(0x4000_0000));
        }
        let narrow = Layout::new(Launch::Kernel, GIB, 32, Dma::SharedBit, 9 * GIB).unwrap();
        assert_eq!(narrow.shared_pa(0x4000_0000), Some(0xC000_0000));
    }

    #[test]
    fn nothing_private_is_where_a_device_could_reach_it() {
        for (launch, width) in [(Launch::Bios, 32), (Launch::Kvmtool, 33), (Launch::Kernel, 34)] {
            let layout = Layout::new(launch, GIB / 2, width, Dma::SharedBit, 20 * GIB);
            let Ok(layout) = layout else { continue };
            for range in &layout.pool {
                for taken in [
                    layout.ram.clone(),
                    layout.ram.start + layout.shared_offset..layout.ram.end + layout.shared_offset,
                    layout.flash_offset..layout.flash_offset + FLASH,
                    MODEL,
                ] {
                    assert!(range.end <= taken.start || taken.end <= range.start);
                }
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let new = |launch, ram, width, end| Layout::new(launch, ram, width, Dma::SharedBit, end);
        assert!(new(Launch::Bios, 2 * GIB, 32, 9 * GIB).is_err());
        assert!(new(Launch::Kvmtool, 2 << 20, 32, 9 * GIB).is_err());
        assert!(new(Launch::Bios, 8 * GIB, 40, 20 * GIB).is_err());
        assert!(new(Launch::Bios, GIB, 33, 2 * GIB).is_err());
    }
}
