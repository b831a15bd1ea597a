//! The GUID Partition Table (UEFI 2.11, 5.3).

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use uefi_core::crc32::{Crc32, crc32};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Error, MAX_PARTITIONS, Partition, Record, disjoint, push};
use crate::block::{BlockDevice, DeviceError};
use crate::disk::Disk;

/// The partition type of the EFI System Partition.
pub const SYSTEM_PARTITION: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

/// Bytes of an entry, of which larger ones are made by powers of two.
const ENTRY_SIZE: usize = 128;

/// The largest entry array that is read: four times what disks have.
const MAX_ARRAY: usize = 64 << 10;

/// `EFI_PARTITION_TABLE_HEADER`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 8],
    revision: U32,
    header_size: U32,
    header_crc: U32,
    reserved: U32,
    my_lba: U64,
    alternate_lba: U64,
    first_usable: U64,
    last_usable: U64,
    disk_guid: [u8; 16],
    entry_lba: U64,
    entries: U32,
    entry_size: U32,
    array_crc: U32,
}

/// Bytes of the header that have a meaning.
pub const HEADER_SIZE: usize = size_of::<Header>();

/// `EFI_PARTITION_ENTRY`.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Unaligned)]
#[repr(C)]
pub struct Entry {
    type_guid: [u8; 16],
    unique_guid: [u8; 16],
    start: U64,
    end: U64,
    attributes: U64,
    name: [u8; 72],
}

impl Entry {
    /// PartitionTypeGUID.
    pub fn type_guid(&self) -> [u8; 16] {
        self.type_guid
    }

    /// UniquePartitionGUID.
    pub fn unique_guid(&self) -> [u8; 16] {
        self.unique_guid
    }

    /// The 128 bytes.
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A table that was read once and found valid.
#[derive(Debug)]
pub struct Gpt {
    header: Header,
    array: Vec<u8>,
    backup: bool,
}

impl Gpt {
    /// Reads the table: the primary one, or the backup in the last block when the primary is not valid. `None` when
    /// neither is.
    ///
    /// # Errors
    /// [`Error::Device`] when the backup cannot be read either, [`Error::OutOfMemory`].
    pub fn read<D: BlockDevice>(disk: &mut Disk<D>) -> Result<Option<Self>, Error> {
        let primary = Self::at(disk, 1, false);
        if let Ok(Some(gpt)) = primary {
            return Ok(Some(gpt));
        }
        let last = disk.device().blocks().checked_sub(1).ok_or(DeviceError::OutOfRange)?;
        match Self::at(disk, last, true)? {
            Some(gpt) => Ok(Some(gpt)),
            None => primary,
        }
    }

    fn at<D: BlockDevice>(disk: &mut Disk<D>, block: u64, backup: bool) -> Result<Option<Self>, Error> {
        let block_size = disk.device().block_size();
        let mut bytes = buffer(block_size)?;
        let size = block_size as u64;
        disk.read_at(block.saturating_mul(size), &mut bytes)?;
        let Some((header, array_size)) = check(&bytes, block, disk.device().blocks(), size) else {
            return Ok(None);
        };
        let mut array = buffer(array_size)?;
        disk.read_at(header.entry_lba.get().saturating_mul(size), &mut array)?;
        let valid = crc32(&array) == header.array_crc.get();
        Ok(valid.then_some(Self { header, array, backup }))
    }

    /// Whether it is the backup, because the primary table is not valid.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// The header's bytes, those that have a meaning.
    pub fn header(&self) -> &[u8] {
        self.header.as_bytes()
    }

    /// The bytes of each entry that is in use, in the order of the array.
    pub fn used_entries(&self) -> impl Iterator<Item = &[u8]> + Clone {
        // A valid header has a size that is not zero.
        let entries = self.array.chunks_exact((self.header.entry_size.get() as usize).max(ENTRY_SIZE));
        entries.filter(|entry| entry.iter().take(16).any(|byte| *byte != 0))
    }

    fn usable(&self) -> RangeInclusive<u64> {
        self.header.first_usable.get()..=self.header.last_usable.get()
    }

    /// The partitions that lie where partitions may be, each apart from the others.
    pub(super) fn partitions(&self) -> Result<Vec<Partition>, Error> {
        let usable = self.usable();
        let mut list = Vec::new();
        let entries = self.array.chunks_exact((self.header.entry_size.get() as usize).max(ENTRY_SIZE));
        for (number, entry) in (1u32..).zip(entries) {
            let Ok((entry, _)) = Entry::read_from_prefix(entry) else { break };
            let (start, end) = (entry.start.get(), entry.end.get());
            if entry.type_guid == [0; 16] || end < start || !usable.contains(&start) || !usable.contains(&end) {
                continue;
            }
            if list.len() == MAX_PARTITIONS {
                break;
            }
            // The range is not empty, and within the disk.
            let blocks = end - start + 1;
            push(&mut list, Partition { number, start, blocks, record: Record::Gpt(entry) })?;
        }
        disjoint(&list)
    }
}

/// The header in a block, and the size of its array, when it is valid in itself and for a disk of so many blocks.
fn check(bytes: &[u8], block: u64, blocks: u64, block_size: u64) -> Option<(Header, usize)> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    let size = header.header_size.get() as usize;
    let whole = bytes.get(..size)?;
    if header.signature != *b"EFI PART" || header.revision.get() != 0x1_0000 || size < HEADER_SIZE {
        return None;
    }
    // The sum is over the header with nothing in the sum's place.
    let mut summed = header;
    summed.header_crc = U32::ZERO;
    let sum = Crc32::default().update(summed.as_bytes()).update(whole.get(HEADER_SIZE..)?);
    if sum.value() != header.header_crc.get() || header.my_lba.get() != block {
        return None;
    }
    let (first, last) = (header.first_usable.get(), header.last_usable.get());
    let entry_size = header.entry_size.get() as usize;
    if first > last || last >= blocks || !entry_size.is_power_of_two() || entry_size < ENTRY_SIZE {
        return None;
    }
    let array_size = entry_size.checked_mul(header.entries.get() as usize)?;
    let array_start = header.entry_lba.get();
    let array_end = array_start.checked_add((array_size as u64).div_ceil(block_size))?;
    // Neither on the MBR and the header nor where partitions are.
    let apart = array_start > last || array_end <= first;
    let free = array_start >= 1 && !(array_start..array_end).contains(&block);
    let fits = array_size != 0 && array_size <= MAX_ARRAY && array_end <= blocks;
    (apart && free && fits && !(first..=last).contains(&block)).then_some((header, array_size))
}

fn buffer(size: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size).map_err(|_| Error::OutOfMemory)?;
    buffer.resize(size, 0);
    Ok(buffer)
}
