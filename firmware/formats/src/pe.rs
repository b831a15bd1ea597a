//! PE32+ images for AArch64 (Microsoft PE Format; UEFI Specification 2.11, section 2.1.1).
//!
//! [`Image::parse`] checks every field that loading depends on and keeps what it needs, so that
//! the file is looked at again only to copy bytes out of it.

mod authenticode;
mod headers;
mod load;
mod resources;

use alloc::vec::Vec;
use core::ops::Range;

pub use load::{Permission, Permissions};

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file ends before something its headers promise.
    #[error("PE image is truncated: {0}")]
    Truncated(&'static str),
    /// No "MZ" at the start.
    #[error("no PE image: MZ signature missing")]
    NoDosSignature,
    /// No "PE\0\0" where e_lfanew points.
    #[error("no PE image: PE signature missing")]
    NoPeSignature,
    /// Code for another machine.
    #[error("PE image is for machine {0:#06x}, not AArch64")]
    Machine(u16),
    /// Not PE32+.
    #[error("PE optional header magic {0:#06x} is not PE32+")]
    OptionalHeaderMagic(u16),
    /// Not an EFI application, boot service driver or runtime driver.
    #[error("PE subsystem {0} is none of EFI's")]
    Subsystem(u16),
    /// A header field with a value that makes no sense.
    #[error("PE image: {0} is not valid")]
    Field(&'static str),
    /// A section (counted from 0) whose field makes no sense.
    #[error("PE section {index}: {field} is not valid")]
    Section {
        /// Which section.
        index: usize,
        /// Which field.
        field: &'static str,
    },
    /// The memory to load into is not SizeOfImage bytes long.
    #[error("PE image does not fit the memory given for it")]
    WrongMemorySize,
    /// Relocations were stripped and the image is not at its ImageBase.
    #[error("PE image cannot be relocated")]
    RelocationsStripped,
    /// The base relocation table is malformed.
    #[error("PE base relocation block at {0:#x} is not valid")]
    RelocationBlock(u32),
    /// A base relocation type other than ABSOLUTE and DIR64.
    #[error("PE base relocation type {0} is not supported")]
    RelocationType(u16),
    /// The certificate table does not lie at the end of the file.
    #[error("PE certificate table is not valid")]
    CertificateTable,
    /// The heap is exhausted.
    #[error("out of memory for the PE image")]
    OutOfMemory,
}

impl From<alloc::collections::TryReserveError> for Error {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

/// Machine types of the COFF header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// IMAGE_FILE_MACHINE_ARM64.
    Arm64,
}

impl Machine {
    /// The value in the COFF header.
    pub const fn value(self) -> u16 {
        match self {
            Self::Arm64 => 0xaa64,
        }
    }
}

/// What kind of EFI image it is; decides the memory types it is loaded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsystem {
    /// IMAGE_SUBSYSTEM_EFI_APPLICATION.
    Application,
    /// IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER.
    BootServiceDriver,
    /// IMAGE_SUBSYSTEM_EFI_RUNTIME_DRIVER.
    RuntimeDriver,
}

/// A section that takes memory or file space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name, padded with zeros.
    pub name: [u8; 8],
    /// Offsets from the start of the loaded image.
    pub virtual_range: Range<u32>,
    /// Offsets from the start of the file; empty for uninitialised data.
    pub raw_range: Range<u32>,
    /// IMAGE_SCN_MEM_READ.
    pub readable: bool,
    /// IMAGE_SCN_MEM_WRITE.
    pub writable: bool,
    /// IMAGE_SCN_MEM_EXECUTE.
    pub executable: bool,
}

impl Section {
    /// The part of the file that is loaded: SizeOfRawData rounds up to the file alignment, and
    /// what is beyond the section's size in memory is padding.
    fn loaded_raw_range(&self) -> Range<u32> {
        let len = self.raw_range.len().min(self.virtual_range.len()) as u32;
        self.raw_range.start..self.raw_range.start + len
    }
}

/// A checked image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    subsystem: Subsystem,
    characteristics: u16,
    dll_characteristics: u16,
    entry_point: Option<u32>,
    image_base: u64,
    size_of_image: u32,
    size_of_headers: u32,
    section_alignment: u32,
    relocation_directory: Option<Range<u32>>,
    /// Not checked to lie inside the image.
    resource_directory: Option<Range<u32>>,
    sections: Vec<Section>,
    file_len: usize,
    /// File offset of the CheckSum field.
    checksum_offset: usize,
    /// File offset of the certificate table's directory entry, when there is one.
    certificate_entry_offset: Option<usize>,
    certificate_table: Option<Range<u64>>,
}

/// IMAGE_FILE_RELOCS_STRIPPED.
const RELOCS_STRIPPED: u16 = 0x0001;
/// IMAGE_DLLCHARACTERISTICS_NX_COMPAT.
const NX_COMPAT: u16 = 0x0100;

impl Image {
    /// The machine the code is for.
    pub fn machine(&self) -> Machine {
        Machine::Arm64
    }

    /// The kind of EFI image.
    pub fn subsystem(&self) -> Subsystem {
        self.subsystem
    }

    /// The entry point's offset from the start of the loaded image; inside an executable section.
    pub fn entry_point(&self) -> Option<u32> {
        self.entry_point
    }

    /// The address the image was linked for.
    pub fn image_base(&self) -> u64 {
        self.image_base
    }

    /// How much memory the loaded image takes, in bytes, at least one.
    pub fn size_of_image(&self) -> u32 {
        self.size_of_image
    }

    /// The alignment of sections in memory in bytes, a power of two. The image must be loaded at
    /// a multiple of it.
    pub fn section_alignment(&self) -> u32 {
        self.section_alignment
    }

    /// How many bytes from the start of the file are headers.
    pub fn size_of_headers(&self) -> u32 {
        self.size_of_headers
    }

    /// The DllCharacteristics field.
    pub fn dll_characteristics(&self) -> u16 {
        self.dll_characteristics
    }

    /// Whether the image says it runs with W^X page permissions (NX_COMPAT).
    pub fn is_nx_compatible(&self) -> bool {
        self.dll_characteristics & NX_COMPAT != 0
    }

    /// Whether the image can only run at its image base.
    pub fn is_relocs_stripped(&self) -> bool {
        self.characteristics & RELOCS_STRIPPED != 0
    }

    /// The sections by ascending address, disjoint in memory and inside image and file. Those that
    /// take neither memory nor file space are left out.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }
}
