//! Small disks with one file system, for a test to damage.

#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    dead_code,
    reason = "builders of a test, of which some are used"
)]
#[path = "../../../firmware/storage/tests/support/image.rs"]
mod image;

use std::io::{Cursor, Read, Write};

use anyhow::{Context, Result};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};

pub use image::{GPT_ENTRIES, mbr_entry};

use self::image::{GptDisk, iso};

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Bytes of the larger blocks that disks have.
pub const LARGE_BLOCK: u16 = 4096;
/// The first block of the partition.
pub const START: usize = 64;
/// Bytes of the file system: enough for FAT16.
const VOLUME: usize = 4 << 20;
/// Bytes of a block of ISO 9660, and the one that the last entry of its boot catalogue names.
const CD_BLOCK: usize = 2048;
const CD_START: usize = 32;

/// The loader of a removable medium.
pub const LOADER: &str = "EFI/BOOT/BOOTAA64.EFI";

/// A file system.
#[derive(Clone)]
pub struct Volume(Vec<u8>);

impl Volume {
    /// One with this loader for removable media.
    pub fn new(loader: &[u8]) -> Result<Self> {
        Self::with_files(&[(LOADER, loader)])
    }

    /// One with these files, each by its path.
    pub fn with_files(files: &[(&str, &[u8])]) -> Result<Self> {
        Self::formatted(files, FormatVolumeOptions::new().fat_type(FatType::Fat16).bytes_per_cluster(512))
    }

    /// The files in a folder of the file system that a disk with a GPT has, with what is in them.
    pub fn read_folder(disk: &[u8], folder: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let volume = disk.get(START * BLOCK..START * BLOCK + VOLUME).context("too small")?;
        let files = FileSystem::new(Cursor::new(volume.to_vec()), FsOptions::new())?;
        let root = files.root_dir();
        let folder = if folder.is_empty() { root } else { root.open_dir(folder)? };
        let entries = folder.iter().collect::<Result<Vec<_>, _>>()?;
        let files = entries.iter().filter(|entry| entry.is_file());
        files
            .map(|entry| {
                let mut content = Vec::new();
                entry.to_file().read_to_end(&mut content)?;
                Ok((entry.file_name(), content))
            })
            .collect()
    }

    /// The disk of larger blocks with a GPT that has one with sectors of their size.
    pub fn in_large_blocks(loader: &[u8]) -> Result<Vec<u8>> {
        let volume = Self::formatted(&[(LOADER, loader)], FormatVolumeOptions::new().bytes_per_sector(LARGE_BLOCK))?;
        let block = usize::from(LARGE_BLOCK);
        let length = volume.0.len() / block;
        let partitions = vec![(START as u64, (START + length - 1) as u64)];
        Ok(volume.at(START * block, GptDisk { block, blocks: START + length + 64, partitions }.build()))
    }

    fn formatted(contents: &[(&str, &[u8])], options: FormatVolumeOptions) -> Result<Self> {
        let mut volume = Cursor::new(vec![0; VOLUME]);
        format_volume(&mut volume, options)?;
        volume.set_position(0);
        let files = FileSystem::new(&mut volume, FsOptions::new())?;
        for (path, content) in contents {
            let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut folder = files.root_dir();
            for part in folders.split('/').filter(|part| !part.is_empty()) {
                folder = folder.create_dir(part)?;
            }
            folder.create_file(name)?.write_all(content)?;
        }
        files.unmount()?;
        Ok(Self(volume.into_inner()))
    }

    /// Makes the first cluster of what has this short name (11 characters) its own successor.
    pub fn loops(mut self, name: &[u8; 11]) -> Result<Self> {
        let entry = self.0.windows(11).position(|window| window == name).context("no such name")?;
        let cluster = self.number(entry + 26)?;
        let (reserved, copies, length) = (self.number(14)?, self.number(16)? & 0xff, self.number(22)?);
        for copy in 0..copies {
            let at = (reserved + copy * length) * BLOCK + cluster * 2;
            let bytes = u16::try_from(cluster)?.to_le_bytes();
            self.0.get_mut(at..at + 2).context("no such cluster")?.copy_from_slice(&bytes);
        }
        Ok(self)
    }

    /// Writes over the directory entry of this short name, or the one that lies so many entries behind it.
    pub fn entry(mut self, name: &[u8; 11], behind: usize, offset: usize, bytes: &[u8]) -> Result<Self> {
        let entry = self.0.windows(11).position(|window| window == name).context("no such name")?;
        let at = entry + behind * 32 + offset;
        self.0.get_mut(at..at + bytes.len()).context("out of the volume")?.copy_from_slice(bytes);
        Ok(self)
    }

    fn number(&self, at: usize) -> Result<usize> {
        let bytes = self.0.get(at..at + 2).and_then(|bytes| bytes.first_chunk()).context("out of the volume")?;
        Ok(u16::from_le_bytes(*bytes).into())
    }

    /// The disk with a GPT that has it.
    pub fn on_gpt(&self) -> Vec<u8> {
        let length = self.0.len() / BLOCK;
        let partitions = vec![(START as u64, (START + length - 1) as u64)];
        self.at(START * BLOCK, GptDisk { block: BLOCK, blocks: START + length + 64, partitions }.build())
    }

    /// The disk with an MBR whose first partition it is.
    pub fn on_mbr(&self) -> Result<Vec<u8>> {
        let length = self.0.len() / BLOCK;
        let mut disk = vec![0; (START + length + 64) * BLOCK];
        mbr_entry(&mut disk, 0, 0, 0x0e, u32::try_from(START)?, u32::try_from(length)?);
        Ok(self.at(START * BLOCK, disk))
    }

    /// The CD that boots from it.
    pub fn on_cd(&self) -> Vec<u8> {
        let mut disk = iso();
        disk.resize(CD_START * CD_BLOCK + self.0.len(), 0);
        self.at(CD_START * CD_BLOCK, disk)
    }

    /// The image that is a CD which boots from it and a disk with a GPT that has it.
    pub fn on_hybrid(&self) -> Vec<u8> {
        let (start, length) = (CD_START * CD_BLOCK / BLOCK, self.0.len() / BLOCK);
        let partitions = vec![(start as u64, (start + length - 1) as u64)];
        let mut disk = GptDisk { block: BLOCK, blocks: start + length + 64, partitions }.build();
        // What ISO 9660 has begins behind 16 blocks.
        let descriptors = 16 * CD_BLOCK..CD_START * CD_BLOCK;
        disk.splice(descriptors.clone(), iso().drain(descriptors));
        self.at(start * BLOCK, disk)
    }

    fn at(&self, offset: usize, mut disk: Vec<u8>) -> Vec<u8> {
        disk.splice(offset..offset + self.0.len(), self.0.iter().copied());
        disk
    }
}
