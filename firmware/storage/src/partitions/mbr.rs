//! The master boot record (UEFI 2.11, 5.2) and the chain of extended partitions.

use alloc::vec::Vec;

use super::{Error, Partition, Record, disjoint, push};
use crate::block::BlockDevice;
use crate::disk::Disk;
use crate::fat;

/// OSType of an EFI System Partition.
pub const SYSTEM_PARTITION: u8 = 0xef;
/// OSType of the entry of a protective MBR.
const PROTECTIVE: u8 = 0xee;
/// OSTypes of extended partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// How many logical partitions are followed.
const MAX_LOGICAL: u32 = 64;
/// The number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;

const SIGNATURE: usize = 440;
const TABLE: usize = 446;
const ENTRY_SIZE: usize = 16;

/// OSType of an entry.
pub fn os_type(entry: &[u8; ENTRY_SIZE]) -> u8 {
    let [_, _, _, _, os_type, ..] = *entry;
    os_type
}

/// StartingLBA and SizeInLBA of an entry.
fn extent(entry: &[u8; ENTRY_SIZE]) -> (u64, u64) {
    let [_, _, _, _, _, _, _, _, s0, s1, s2, s3, n0, n1, n2, n3] = *entry;
    (u32::from_le_bytes([s0, s1, s2, s3]).into(), u32::from_le_bytes([n0, n1, n2, n3]).into())
}

/// A record that may be one: it has the signature, no file system begins in its sector, and its boot indicators are
/// such. With a protective entry neither counts: its boot indicator is to be ignored (UEFI 2.11, table 5.4), and what
/// tools leave in front of the table may be of a file system that was on the disk before.
pub struct Mbr {
    signature: [u8; 4],
    entries: [[u8; ENTRY_SIZE]; 4],
}

impl Mbr {
    /// Takes the first sector of a disk.
    pub fn parse(sector: &[u8; 512]) -> Option<Self> {
        let entries = entries(sector)?;
        let indicators = entries.iter().all(|entry| matches!(entry, [0 | 0x80, ..]));
        let record = Self { signature: *sector.get(SIGNATURE..)?.first_chunk()?, entries };
        (record.is_protective() || indicators && !fat::begins_in(sector)).then_some(record)
    }

    /// Whether there is a GPT; hybrid records have partitions of their own beside.
    pub fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| os_type(entry) == PROTECTIVE)
    }

    /// The partitions that lie on the disk, each apart from the others.
    pub fn partitions<D: BlockDevice>(&self, disk: &mut Disk<D>) -> Result<Vec<Partition>, Error> {
        let blocks = disk.device().blocks();
        let mut list = Vec::new();
        let mut extended = None;
        for (number, entry) in (1..).zip(&self.entries) {
            if EXTENDED.contains(&os_type(entry)) {
                extended = extended.or(Some(extent(entry)));
            } else if let Some(partition) = self.partition(number, 0, entry, blocks) {
                push(&mut list, partition)?;
            }
        }
        if let Some((start, length)) = extended
            && start != 0
        {
            self.logical(disk, start, start + length, &mut list)?;
        }
        disjoint(&list)
    }

    fn partition(&self, number: u32, base: u64, entry: &[u8; ENTRY_SIZE], blocks: u64) -> Option<Partition> {
        let (start, length) = extent(entry);
        let start = base.checked_add(start)?;
        // Block 0 is the record itself.
        if os_type(entry) == 0 || length == 0 || start == 0 || start.checked_add(length)? > blocks {
            return None;
        }
        let record = Record::Mbr { entry: *entry, signature: self.signature };
        Some(Partition { number, start, blocks: length, record })
    }

    /// Follows the chain of records in an extended partition: each has one partition, relative to itself, and the next
    /// record, relative to the extended partition and behind this one.
    fn logical<D: BlockDevice>(
        &self,
        disk: &mut Disk<D>,
        start: u64,
        end: u64,
        list: &mut Vec<Partition>,
    ) -> Result<(), Error> {
        let (blocks, block_size) = (disk.device().blocks(), disk.device().block_size() as u64);
        let end = end.min(blocks);
        let mut at = start;
        for number in FIRST_LOGICAL..FIRST_LOGICAL + MAX_LOGICAL {
            let mut sector = [0; 512];
            if at >= end {
                return Ok(());
            }
            disk.read_at(at.saturating_mul(block_size), &mut sector)?;
            let Some([partition, link, ..]) = entries(&sector) else { return Ok(()) };
            if let Some(partition) = self.partition(number, at, &partition, end)
                && partition.start > at
            {
                push(list, partition)?;
            }
            let next = start + extent(&link).0;
            if !EXTENDED.contains(&os_type(&link)) || next <= at {
                return Ok(());
            }
            at = next;
        }
        Ok(())
    }
}

/// The four entries of a sector with the signature of a boot record.
fn entries(sector: &[u8; 512]) -> Option<[[u8; ENTRY_SIZE]; 4]> {
    let (table, signature) = sector.get(TABLE..)?.split_first_chunk::<64>()?;
    let (entries, _) = table.as_chunks::<ENTRY_SIZE>();
    (signature == [0x55, 0xaa]).then_some(*entries.first_chunk()?)
}
