//! The boot catalogue of an ISO 9660 image ("El Torito" Bootable CD-ROM Format Specification 1.0; UEFI 2.11, 13.3.2).

use alloc::vec::Vec;

use super::{Error, MAX_PARTITIONS, Partition, Record, push};
use crate::block::{BlockDevice, DeviceError};
use crate::disk::Disk;

/// Bytes of a block of ISO 9660, whatever the device's are.
const UNIT: u64 = 2048;
/// The unit of the boot record volume descriptor.
const BOOT_RECORD: u64 = 17;
/// Bytes of an entry of the catalogue.
const ENTRY_SIZE: usize = 32;
/// Platform ID of EFI.
const EFI: u8 = 0xef;
/// Boot indicator: bootable.
const BOOTABLE: u8 = 0x88;
/// Headers of a section: more follow, or this is the last.
const MORE_SECTIONS: u8 = 0x90;
const LAST_SECTION: u8 = 0x91;

/// The EFI images that a boot catalogue names; none when there is no catalogue.
pub fn read<D: BlockDevice>(disk: &mut Disk<D>) -> Result<Vec<Partition>, Error> {
    let mut list = Vec::new();
    let mut unit = [0; UNIT as usize];
    if !read_unit(disk, BOOT_RECORD, &mut unit)? {
        return Ok(list);
    }
    // Boot record (0), "CD001", version 1, then the name of the boot system.
    let Some(name) = unit.strip_prefix(b"\0CD001\x01EL TORITO SPECIFICATION") else { return Ok(list) };
    let Some(catalogue) = name.get(0x47 - 30..).and_then(|rest| rest.first_chunk()) else { return Ok(list) };
    let catalogue = u32::from_le_bytes(*catalogue);
    if !read_unit(disk, catalogue.into(), &mut unit)? {
        return Ok(list);
    }
    let (entries, _) = unit.as_chunks::<ENTRY_SIZE>();
    let Some((validation, entries)) = entries.split_first() else { return Ok(list) };
    if !is_valid(validation) {
        return Ok(list);
    }
    // The default entry is of the platform that the validation entry names; the others are of their section's.
    let mut platform = validation[1];
    let mut left = 1u16;
    let mut last = false;
    let mut number = 0;
    for entry in entries {
        match *entry {
            [indicator, media, ..] if left > 0 => {
                left -= 1;
                if indicator == BOOTABLE
                    && media & 0xf == 0
                    && platform == EFI
                    && list.len() < MAX_PARTITIONS
                    && let Some(partition) = partition(disk, number, entry)
                {
                    push(&mut list, partition)?;
                }
                number += 1;
            }
            [header @ (MORE_SECTIONS | LAST_SECTION), id, low, high, ..] if !last => {
                platform = id;
                left = u16::from_le_bytes([low, high]);
                last = header == LAST_SECTION;
            }
            _ => break,
        }
    }
    Ok(list)
}

/// Whether there is such a unit on the disk.
fn read_unit<D: BlockDevice>(disk: &mut Disk<D>, unit: u64, buffer: &mut [u8]) -> Result<bool, Error> {
    match disk.read_at(unit.saturating_mul(UNIT), buffer) {
        Ok(()) => Ok(true),
        Err(DeviceError::OutOfRange) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A header ID of 1, the key bytes, and 16-bit words whose sum is zero.
fn is_valid(entry: &[u8; ENTRY_SIZE]) -> bool {
    let (words, _) = entry.as_chunks();
    let sum = words.iter().fold(0u16, |sum, word| sum.wrapping_add(u16::from_le_bytes(*word)));
    sum == 0 && entry.starts_with(&[1]) && entry.ends_with(&[0x55, 0xaa])
}

fn partition<D: BlockDevice>(disk: &Disk<D>, number: u32, entry: &[u8; ENTRY_SIZE]) -> Option<Partition> {
    let [_, _, _, _, _, _, n0, n1, s0, s1, s2, s3, ..] = *entry;
    let start = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
    // Counted in virtual sectors of 512 bytes. Images of 32 MiB and more do not fit the field and say 0 or 1.
    let sectors = u64::from(u16::from_le_bytes([n0, n1]));
    let (size, block_size) = (disk.size(), disk.device().block_size() as u64);
    let offset = start * UNIT;
    let room = size.checked_sub(offset).filter(|room| *room >= UNIT)?;
    let bytes = if sectors < 2 { room } else { sectors * 512 };
    if start == 0 || bytes > room || !offset.is_multiple_of(block_size) {
        return None;
    }
    let blocks = bytes.div_ceil(block_size).min(room / block_size);
    let record = Record::ElTorito { entry: number, start, length: bytes.div_ceil(UNIT) };
    Some(Partition { number: number + 1, start: offset / block_size, blocks, record })
}
