//! QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg.rst): keys, structures, and the
//! file directory.

use alloc::vec::Vec;

use zerocopy::big_endian;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What reading [`key::SIGNATURE`] gives.
pub const SIGNATURE: [u8; 4] = *b"QEMU";
/// What the DMA address register reads as, big-endian, when DMA is offered.
pub const DMA_SIGNATURE: u64 = 0x5145_4d55_2043_4647;

/// Offsets of the registers in the MMIO region.
pub mod register {
    /// Data: reads are of 1 to 8 bytes and give the item's next bytes.
    pub const DATA: u64 = 0;
    /// Selector: 16 bits, big-endian, written.
    pub const SELECTOR: u64 = 8;
    /// DMA address: 64 bits, big-endian; writing the lower half starts the transfer.
    pub const DMA: u64 = 16;
}

/// Selector keys.
pub mod key {
    /// The signature.
    pub const SIGNATURE: u16 = 0x00;
    /// The feature bits: 32 bits, little-endian.
    pub const ID: u16 = 0x01;
    /// Length of the kernel: 32 bits, little-endian, as all legacy sizes are.
    pub const KERNEL_SIZE: u16 = 0x08;
    /// Length of the initrd.
    pub const INITRD_SIZE: u16 = 0x0b;
    /// The kernel without its setup part.
    pub const KERNEL_DATA: u16 = 0x11;
    /// The initrd.
    pub const INITRD_DATA: u16 = 0x12;
    /// Length of the command line with its NUL.
    pub const CMDLINE_SIZE: u16 = 0x14;
    /// The command line.
    pub const CMDLINE_DATA: u16 = 0x15;
    /// Length of the kernel's setup part, which precedes the rest of it.
    pub const SETUP_SIZE: u16 = 0x17;
    /// The kernel's setup part.
    pub const SETUP_DATA: u16 = 0x18;
    /// The file directory.
    pub const FILE_DIR: u16 = 0x19;
    /// The first key of a file.
    pub const FILE_FIRST: u16 = 0x20;
}

/// Bits of [`key::ID`].
pub mod feature {
    /// The DMA register.
    pub const DMA: u32 = 1 << 1;
}

/// Bits of [`DmaAccess::control`].
pub mod dma_control {
    /// Set by the device: the transfer failed.
    pub const ERROR: u32 = 1 << 0;
    /// Read from the item into memory.
    pub const READ: u32 = 1 << 1;
    /// Select the item whose key is in the upper 16 bits first.
    pub const SELECT: u32 = 1 << 3;
}

/// The structure the DMA address register is given the address of (FWCfgDmaAccess).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaAccess {
    /// What to do; all bits but [`dma_control::ERROR`] read zero when it has been done.
    pub control: big_endian::U32,
    /// How many bytes.
    pub length: big_endian::U32,
    /// The address of the memory, as the device sees it.
    pub address: big_endian::U64,
}

impl DmaAccess {
    /// A read of `length` bytes to `address`, of the item `select` or from where the last
    /// transfer ended.
    pub fn read(select: Option<u16>, length: u32, address: u64) -> Self {
        let select = select.map_or(0, |key| u32::from(key) << 16 | dma_control::SELECT);
        Self { control: (dma_control::READ | select).into(), length: length.into(), address: address.into() }
    }
}

/// More files than QEMU has key numbers for are refused: keys are 14 bits.
const MAX_FILES: u32 = 0x4000 - key::FILE_FIRST as u32;
const NAME_LEN: usize = 56;

/// Why the file directory is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than the number of files says.
    #[error("fw_cfg file directory is truncated")]
    Truncated,
    /// More files than there are keys.
    #[error("fw_cfg file directory has {0} files")]
    TooManyFiles(u32),
    /// A key below 0x20 or above 0x3fff.
    #[error("fw_cfg file {0} has no valid key")]
    BadKey(usize),
    /// Two files of one name.
    #[error("fw_cfg file directory has two files of the same name")]
    DuplicateName,
    /// The heap is exhausted.
    #[error("out of memory for the fw_cfg file directory")]
    OutOfMemory,
}

impl From<alloc::collections::TryReserveError> for Error {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFile {
    size: big_endian::U32,
    select: big_endian::U16,
    reserved: big_endian::U16,
    name: [u8; NAME_LEN],
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    name: [u8; NAME_LEN],
    /// Its length in bytes.
    pub size: u32,
    /// The key that selects it.
    pub key: u16,
}

impl File {
    /// Its name, such as "etc/acpi/tables": printable ASCII with spaces, at most 55 characters.
    pub fn name(&self) -> &str {
        printable_name(&self.name).unwrap_or_default()
    }
}

/// The file directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    files: Vec<File>,
}

impl Directory {
    /// The length of the number of files in front of the directory, in bytes.
    pub const COUNT_LEN: usize = 4;

    /// The length of a whole directory in bytes, from its first [`COUNT_LEN`](Self::COUNT_LEN)
    /// bytes.
    pub fn len_from_count(count: [u8; Self::COUNT_LEN]) -> Result<usize, Error> {
        let count = u32::from_be_bytes(count);
        if count > MAX_FILES {
            return Err(Error::TooManyFiles(count));
        }
        Ok(Self::COUNT_LEN + count as usize * size_of::<RawFile>())
    }

    /// Checks a directory; bytes behind it are ignored, and so are files whose name is empty, not
    /// terminated or not printable ASCII: none that the firmware asks for is called so.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (count, entries) = bytes.split_first_chunk().ok_or(Error::Truncated)?;
        let len = Self::len_from_count(*count)? - Self::COUNT_LEN;
        let entries = entries.get(..len).ok_or(Error::Truncated)?;
        let raw_files = <[RawFile]>::ref_from_bytes(entries).map_err(|_| Error::Truncated)?;

        let mut files: Vec<File> = Vec::new();
        files.try_reserve_exact(raw_files.len())?;
        for (index, raw) in raw_files.iter().enumerate() {
            if printable_name(&raw.name).is_none() {
                continue;
            }
            let key = raw.select.get();
            if !(key::FILE_FIRST..0x4000).contains(&key) {
                return Err(Error::BadKey(index));
            }
            files.push(File { name: raw.name, size: raw.size.get(), key });
        }
        heap_sort::sort_by(&mut files, |first, second| first.name() < second.name());
        let mut neighbours = files.iter().zip(files.iter().skip(1));
        if neighbours.any(|(first, second)| first.name() == second.name()) {
            return Err(Error::DuplicateName);
        }
        Ok(Self { files })
    }

    /// The files by name.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The file of this name.
    pub fn find(&self, name: &str) -> Option<&File> {
        let index = self.files.binary_search_by(|file| file.name().cmp(name)).ok()?;
        self.files.get(index)
    }
}

fn printable_name(name: &[u8; NAME_LEN]) -> Option<&str> {
    let len = name.iter().position(|byte| *byte == 0)?;
    let name = name.get(..len).filter(|name| !name.is_empty())?;
    // QEMU takes spaces in the names of its -fw_cfg option.
    if !name.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return None;
    }
    core::str::from_utf8(name).ok()
}
