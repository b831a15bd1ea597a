//! What becomes of RAM before UEFI starts.

use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::ranges::{contain, last_block, overlap, subtract};

/// Bytes of RAM set aside for page tables: one block of level 2, which is never split.
pub const TABLES_SIZE: u64 = 2 << 20;

/// RAM that cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// No block is left for the page tables, or for the pool of shared memory.
    #[error("no block of RAM is left for {0}")]
    NoRoom(&'static str),
    /// The image lies partly in RAM.
    #[error("the firmware image at {0:#x} crosses the end of RAM or a reserved region")]
    ImageAcrossRam(u64),
}

/// The division of RAM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RamLayout {
    /// RAM that may be touched: all of it but what is reserved with `no-map`.
    pub ram: Vec<Range<u64>>,
    /// What of all RAM must not be touched: sorted, disjoint.
    pub no_map: Vec<Range<u64>>,
    /// What of `ram` nobody may be given: sorted, disjoint.
    pub kept: Vec<Range<u64>>,
    /// What of the rest only the operating system may give away: sorted, disjoint.
    pub reserved: Vec<Range<u64>>,
    /// Whether the image lies in it. Where it does not (firmware in RAM of its own), no one else gets its memory.
    pub image_in_ram: bool,
    /// The block for page tables.
    pub tables: Range<u64>,
    /// The block that devices work in.
    pub shared: Range<u64>,
}

impl RamLayout {
    /// Divides `all` RAM, of which `no_map` must not be touched, `kept` belongs to nobody, and `reserved` to the
    /// operating system. `share` bytes (a power of two) are for devices to work in.
    ///
    /// # Errors
    /// [`Error::ImageAcrossRam`], [`Error::NoRoom`].
    pub fn new(
        all: &[Range<u64>],
        no_map: &[Range<u64>],
        kept: &[Range<u64>],
        reserved: &[Range<u64>],
        image: &Range<u64>,
        share: u64,
    ) -> Result<Self, Error> {
        let ram = subtract(all, no_map);
        let image_in_ram = match all.iter().any(|ram| overlap(ram, image)) {
            true if ram.iter().any(|ram| contain(ram, image)) => true,
            true => return Err(Error::ImageAcrossRam(image.start)),
            false => false,
        };
        let available = subtract(&ram, kept);
        let free = subtract(&subtract(&available, core::slice::from_ref(image)), reserved);
        let block = |free: &[Range<u64>], size, what| {
            free.iter().find_map(|ram| last_block(ram, size)).ok_or(Error::NoRoom(what))
        };
        let tables = block(&free, TABLES_SIZE, "the page tables")?;
        let free = subtract(&free, core::slice::from_ref(&tables));
        let shared = block(&free, share, "shared memory")?;
        // Reservations may overlap and lie outside of RAM; what they take away from it does neither.
        let no_map = subtract(all, &ram);
        let kept = subtract(&ram, &available);
        let reserved = subtract(&available, &subtract(&available, reserved));
        Ok(Self { ram, no_map, kept, reserved, image_in_ram, tables, shared })
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is what is meant")]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const SHARE: u64 = 2 << 20;

    #[test]
    fn tables_avoid_the_image_and_reservations() {
        let all = [GIB..GIB + (8 << 20)];
        let image = GIB + (6 << 20)..GIB + (8 << 20);
        let reserved = GIB + (5 << 20)..GIB + (5 << 20) + 4096;
        let layout = RamLayout::new(&all, &[], &[], core::slice::from_ref(&reserved), &image, SHARE).unwrap();
        assert_eq!(layout.tables, GIB + (2 << 20)..GIB + (4 << 20));
        assert!(layout.image_in_ram);
    }

    #[test]
    fn reservations_are_cut_to_ram_and_merged() {
        let reserved = [0..GIB + 4096, GIB + 2048 * 2..GIB + 8192, 3 * GIB..4 * GIB];
        let kept = [GIB + 4096..GIB + 8192];
        let layout =
            RamLayout::new(&[GIB..2 * GIB], &[2 * GIB - 4096..5 * GIB], &kept, &reserved, &(0..4096), SHARE).unwrap();
        assert_eq!(layout.kept, kept);
        assert_eq!(layout.reserved, [GIB..GIB + 4096]);
        assert_eq!(layout.no_map, [2 * GIB - 4096..2 * GIB]);
    }

    #[test]
    fn shared_memory_is_a_block_of_its_own() {
        let all = [GIB..GIB + (12 << 20)];
        let layout = RamLayout::new(&all, &[], &[], &[], &(0..4096), 4 << 20).unwrap();
        assert_eq!(layout.tables, GIB + (10 << 20)..GIB + (12 << 20));
        assert_eq!(layout.shared, GIB + (4 << 20)..GIB + (8 << 20));
    }

    #[test]
    fn an_image_outside_ram_is_none_of_it() {
        let layout = RamLayout::new(&[GIB..2 * GIB], &[GIB..GIB + 4096], &[], &[], &(0..2 << 20), SHARE).unwrap();
        assert!(!layout.image_in_ram);
        assert_eq!(layout.ram, [GIB + 4096..2 * GIB]);
    }

    #[test]
    fn an_image_across_an_edge_is_refused() {
        let image = 2 * GIB - 4096..2 * GIB + 4096;
        assert_eq!(
            RamLayout::new(&[GIB..2 * GIB], &[], &[], &[], &image, SHARE),
            Err(Error::ImageAcrossRam(image.start))
        );
        let inside = GIB..GIB + (2 << 20);
        let no_map = GIB + 4096..GIB + 8192;
        let refused = RamLayout::new(&[GIB..2 * GIB], &[no_map], &[], &[], &inside, SHARE);
        assert_eq!(refused, Err(Error::ImageAcrossRam(GIB)));
    }

    #[test]
    fn ram_without_a_block_is_refused() {
        assert_eq!(
            RamLayout::new(&[GIB..GIB + (1 << 20)], &[], &[], &[], &(0..4096), SHARE),
            Err(Error::NoRoom("the page tables"))
        );
    }
}
