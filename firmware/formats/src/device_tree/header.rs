//! The header of a flattened device tree (Devicetree Specification 0.4, section 5.2).

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Block, Error};

const MAGIC: u32 = 0xd00d_feed;
/// The version of the format read here; the first with `size_dt_struct`, and the last there is.
const VERSION: u32 = 17;
/// The largest tree the arm64 boot protocol lets a boot loader pass to Linux.
const MAX_TOTAL_SIZE: u32 = 2 << 20;
/// The terminator of the memory reservation block: one entry of two 64-bit zeros.
const MIN_RESERVATION_BLOCK: u32 = 16;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    totalsize: U32,
    off_dt_struct: U32,
    off_dt_strings: U32,
    off_mem_rsvmap: U32,
    version: U32,
    last_comp_version: U32,
    boot_cpuid_phys: U32,
    size_dt_strings: U32,
    size_dt_struct: U32,
}

/// A checked header: every block is aligned and lies inside `totalsize`, in the order memory
/// reservations, structure, strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    total_size: u32,
    used_len: u32,
    boot_cpu: u32,
    pub(super) reservations: (u32, u32),
    pub(super) structure: (u32, u32),
    pub(super) strings: (u32, u32),
}

impl Header {
    /// How many bytes from the start of a tree [`parse`](Self::parse) looks at.
    pub const LEN: usize = size_of::<RawHeader>();

    /// Checks the header in the first [`LEN`](Self::LEN) bytes; anything behind them is not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (raw, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| Error::Truncated)?;
        if raw.magic.get() != MAGIC {
            return Err(Error::BadMagic(raw.magic.get()));
        }
        if raw.version.get() < VERSION || raw.last_comp_version.get() > VERSION {
            return Err(Error::UnsupportedVersion(raw.version.get()));
        }
        let total_size = raw.totalsize.get();
        if total_size > MAX_TOTAL_SIZE {
            return Err(Error::TooLarge(total_size));
        }

        let structure = block(Block::Structure, raw.off_dt_struct.get(), raw.size_dt_struct.get(), total_size)?;
        let strings = block(Block::Strings, raw.off_dt_strings.get(), raw.size_dt_strings.get(), total_size)?;
        if !structure.0.is_multiple_of(4) || !raw.size_dt_struct.get().is_multiple_of(4) {
            return Err(Error::Misaligned(Block::Structure));
        }

        // This block has no size of its own: it may reach as far as the next one.
        let reservations = (raw.off_mem_rsvmap.get(), structure.0);
        if !reservations.0.is_multiple_of(8) {
            return Err(Error::Misaligned(Block::Reservations));
        }
        if (reservations.0 as usize) < Self::LEN {
            return Err(Error::OutOfBounds(Block::Reservations));
        }
        let room = structure.0.checked_sub(reservations.0);
        if room.is_none_or(|room| room < MIN_RESERVATION_BLOCK) {
            return Err(Error::OutOfBounds(Block::Reservations));
        }
        if strings.0 < structure.1 {
            return Err(Error::OutOfBounds(Block::Strings));
        }

        Ok(Self {
            total_size,
            used_len: strings.1,
            boot_cpu: raw.boot_cpuid_phys.get(),
            reservations,
            structure,
            strings,
        })
    }

    /// The `totalsize` field: the bytes the tree and its padding take, at most 2 MiB.
    pub fn total_size(&self) -> usize {
        self.total_size as usize
    }

    /// How many bytes from the start hold content. A VMM may pad its tree (QEMU: to 1 MiB); what
    /// lies behind need not be copied.
    pub fn used_len(&self) -> usize {
        self.used_len as usize
    }

    /// The `boot_cpuid_phys` field: the `reg` of the boot CPU's node.
    pub fn boot_cpu(&self) -> u32 {
        self.boot_cpu
    }
}

/// The offsets of a block's first byte and of the byte behind it.
fn block(block: Block, offset: u32, size: u32, total_size: u32) -> Result<(u32, u32), Error> {
    match offset.checked_add(size) {
        Some(end) if end <= total_size => Ok((offset, end)),
        _ => Err(Error::OutOfBounds(block)),
    }
}

/// Makes a copy of the first [`Header::used_len`] bytes of a tree (or more) a tree of its own:
/// `totalsize` becomes the length of the copy.
///
/// Fails when the header in the copy is not valid for that length. The header is checked again
/// here because the host may have changed it between the first look and the copy.
pub fn adopt_copy(copy: &mut [u8]) -> Result<Header, Error> {
    let len = u32::try_from(copy.len()).map_err(|_| Error::TooLarge(u32::MAX))?;
    let (raw, _) = RawHeader::mut_from_prefix(copy).map_err(|_| Error::Truncated)?;
    raw.totalsize.set(len);
    Header::parse(copy)
}

/// Writes the three fields that change when a tree is rebuilt with larger blocks.
pub(super) fn set_block_sizes(
    blob: &mut [u8],
    structure_len: u32,
    strings_offset: u32,
    strings_len: u32,
) -> Result<(), Error> {
    let (raw, _) = RawHeader::mut_from_prefix(blob).map_err(|_| Error::Truncated)?;
    raw.size_dt_struct.set(structure_len);
    raw.off_dt_strings.set(strings_offset);
    raw.size_dt_strings.set(strings_len);
    Ok(())
}
