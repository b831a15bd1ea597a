//! What a disk is divided into: GPT (UEFI 2.11, 5.3), MBR (5.2) or an El Torito boot catalogue (13.3.2).

mod el_torito;
mod gpt;
mod mbr;

use alloc::vec::Vec;

use thiserror::Error;

use crate::block::{BlockDevice, DeviceError};
use crate::disk::Disk;

pub use gpt::{Entry as GptEntry, Gpt};

/// The most partitions that one disk is divided into.
pub const MAX_PARTITIONS: usize = 256;

/// Why a disk's partitions are not known.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The device.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// A protective MBR, but neither of the GPT's two copies is valid, and there is no boot catalogue.
    #[error("GPT: neither the primary nor the backup header and entry array are valid")]
    Gpt,
    /// No memory for the list.
    #[error("out of memory")]
    OutOfMemory,
}

/// How a partition is described where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Record {
    /// An entry of a GPT.
    Gpt(GptEntry),
    /// An entry of an MBR or of the chain of an extended partition, and the disk's signature.
    Mbr {
        /// The 16 bytes of the entry.
        entry: [u8; 16],
        /// UniqueMBRSignature.
        signature: [u8; 4],
    },
    /// An El Torito boot entry: its number in the catalogue, its first block and its length, in units of 2048 bytes.
    ElTorito {
        /// Zero for the default entry.
        entry: u32,
        /// Load RBA.
        start: u64,
        /// How many units it has.
        length: u64,
    },
}

/// A part of a disk, in blocks of the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partition {
    /// Its number in a device path, from 1.
    pub number: u32,
    /// Its first block.
    pub start: u64,
    /// How many blocks it has: at least one.
    pub blocks: u64,
    /// How it is described.
    pub record: Record,
}

impl Partition {
    fn overlaps(&self, other: &Self) -> bool {
        // Both lie on the disk, so their ends are numbers.
        self.start < other.start + other.blocks && other.start < self.start + self.blocks
    }

    /// Whether it is an EFI System Partition.
    pub fn is_system(&self) -> bool {
        match &self.record {
            Record::Gpt(entry) => entry.type_guid() == gpt::SYSTEM_PARTITION,
            Record::Mbr { entry, .. } => mbr::os_type(entry) == mbr::SYSTEM_PARTITION,
            Record::ElTorito { .. } => false,
        }
    }
}

/// The partitions of a disk.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Each of them.
    pub list: Vec<Partition>,
    /// The GPT that they come from.
    pub gpt: Option<Gpt>,
}

/// Reads how a disk is divided: by its GPT when the MBR says that there is one, else by its boot catalogue, else by
/// its MBR. No partitions when it is not divided.
///
/// # Errors
/// [`Error`].
pub fn read<D: BlockDevice>(disk: &mut Disk<D>) -> Result<Partitions, Error> {
    let mut sector = [0; 512];
    disk.read_at(0, &mut sector)?;
    let mbr = mbr::Mbr::parse(&sector);
    let is_protective = mbr.as_ref().is_some_and(mbr::Mbr::is_protective);
    if is_protective && let Some(gpt) = Gpt::read(disk)? {
        return Ok(Partitions { list: gpt.partitions()?, gpt: Some(gpt) });
    }
    // The image of a CD may be one of a disk, too, whose GPT is in blocks of 512 bytes.
    let mut list = el_torito::read(disk)?;
    if list.is_empty()
        && let Some(mbr) = mbr
    {
        if is_protective {
            return Err(Error::Gpt);
        }
        list = mbr.partitions(disk)?;
    }
    Ok(Partitions { list, gpt: None })
}

/// Adds a partition to a list that has room for so many.
fn push(list: &mut Vec<Partition>, partition: Partition) -> Result<(), Error> {
    list.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    list.push(partition);
    Ok(())
}

/// Leaves out every partition that another one overlaps: which of them is the right one cannot be known.
fn disjoint(list: &[Partition]) -> Result<Vec<Partition>, Error> {
    let mut left = Vec::new();
    for (at, partition) in list.iter().enumerate() {
        let overlapped = list.iter().enumerate().any(|(other, it)| other != at && it.overlaps(partition));
        if !overlapped {
            push(&mut left, *partition)?;
        }
    }
    Ok(left)
}
