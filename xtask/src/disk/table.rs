//! The partition table.

use std::collections::BTreeMap;
use std::fs::File;

use anyhow::{Context, Result, bail};
use gpt::disk::LogicalBlockSize;
use gpt::partition_types::{EFI, LINUX_FS};
use gpt::{GptConfig, mbr::ProtectiveMBR};

const SECTOR: u64 = 512;
/// Partitions begin and end at whole mebibytes, as installers make them.
const ALIGNMENT: u64 = 1 << 20;

/// GUIDs that name the disk and its partitions. Always the same ones: a random GUID would be a random measurement.
const DISK: &str = "5f2d3b1e-6c1a-4f0e-9b58-1f4c7a2e0d00";
const PARTITIONS: [&str; 2] = ["5f2d3b1e-6c1a-4f0e-9b58-1f4c7a2e0d01", "5f2d3b1e-6c1a-4f0e-9b58-1f4c7a2e0d02"];

/// Sets the size of the image for an EFI system partition and a root file system of these sizes in bytes, and writes
/// its tables. Returns where the two start.
pub fn write(file: &mut File, sizes: [u64; 2]) -> Result<[u64; 2]> {
    let sizes = sizes.map(|size| size.next_multiple_of(ALIGNMENT));
    let length = 2 * ALIGNMENT + sizes.iter().sum::<u64>();
    file.set_len(length)?;
    let last_sector = u32::try_from(length / SECTOR - 1).context("the disk is too large")?;
    ProtectiveMBR::with_lb_size(last_sector).overwrite_lba0(file)?;
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut disk = config.create_from_device(file, Some(DISK.parse()?))?;
    let kinds = [("EFI system", EFI), ("root", LINUX_FS)];
    let mut starts = Vec::new();
    let mut next = ALIGNMENT;
    for (number, ((name, kind), size)) in (1..).zip(kinds.into_iter().zip(sizes)) {
        disk.add_partition_at(name, number, next / SECTOR, size / SECTOR, kind, 0)?;
        starts.push(next);
        next += size;
    }
    let mut partitions: BTreeMap<_, _> = disk.take_partitions();
    for (partition, guid) in partitions.values_mut().zip(PARTITIONS) {
        partition.part_guid = guid.parse()?;
    }
    disk.update_partitions(partitions)?;
    disk.write()?;
    let [esp, root] = starts.as_slice() else { bail!("two partitions make two starts") };
    Ok([*esp, *root])
}
