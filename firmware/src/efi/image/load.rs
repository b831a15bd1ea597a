//! A PE file in memory, ready to run: its pages, relocated, each section with its permissions.
#![expect(unsafe_code, reason = "makes slices of allocated pages")]

use core::ptr;
use core::slice;

use formats::pe::{self, Permission, Subsystem};
use r_efi::efi::{self, MemoryType, Status};
use thiserror::Error;

use super::super::services::{self, Placement};
use super::fixups::Fixups;
use crate::arch::cache;
use crate::measurement;
use crate::memory::{self, Access, MapError};

const PAGE_SIZE: u64 = 4096;

/// What a kernel wants to be aligned to so that it need not move itself (Linux,
/// Documentation/arch/arm64/booting.rst).
const KERNEL_ALIGNMENT: u64 = 2 << 20;

/// Why an image cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The file is malformed, or for another machine.
    #[error("{0}")]
    File(#[from] pe::Error),
    /// Nothing in it could be started.
    #[error("the PE image has no entry point")]
    NoEntryPoint,
    /// The file does not lie as it would run.
    #[error("the PE file is not laid out as it is loaded")]
    NotFlat,
    /// A section cannot be given its permissions.
    #[error("the permissions of the image cannot be set: {0}")]
    Permissions(#[from] MapError),
    /// It could not be measured.
    #[error("{0}")]
    Measurement(#[from] measurement::Error),
    /// A boot service that the loader needs failed: memory, handles, the file itself.
    #[error("{0}")]
    Service(Status),
}

impl From<Status> for LoadError {
    fn from(status: Status) -> Self {
        Self::Service(status)
    }
}

impl LoadError {
    /// What `LoadImage()` returns for it (UEFI 2.10, 7.4.1).
    pub fn status(self) -> Status {
        match self {
            Self::File(pe::Error::OutOfMemory) => Status::OUT_OF_RESOURCES,
            // Not an image of a type that is supported, rather than one that is corrupt.
            Self::File(
                pe::Error::Machine(_)
                | pe::Error::OptionalHeaderMagic(_)
                | pe::Error::Subsystem(_)
                | pe::Error::NoDosSignature
                | pe::Error::NoPeSignature,
            ) => Status::UNSUPPORTED,
            Self::File(_) | Self::NoEntryPoint | Self::NotFlat => Status::LOAD_ERROR,
            Self::Permissions(MapError::OutOfTables) => Status::OUT_OF_RESOURCES,
            Self::Permissions(_) | Self::Measurement(_) => Status::DEVICE_ERROR,
            Self::Service(status) => status,
        }
    }
}

/// What kind of image it is, which decides its memory types and its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unloaded when it returns.
    Application,
    /// Stays when it returns with success.
    Driver,
    /// Stays when it returns with success, and with the operating system.
    RuntimeDriver,
}

impl Kind {
    fn of(image: &pe::Image) -> Self {
        match image.subsystem() {
            Subsystem::Application => Self::Application,
            Subsystem::BootServiceDriver => Self::Driver,
            Subsystem::RuntimeDriver => Self::RuntimeDriver,
        }
    }

    /// The memory types of its code and of its data.
    pub fn memory_types(self) -> (MemoryType, MemoryType) {
        match self {
            Self::Application => (efi::LOADER_CODE, efi::LOADER_DATA),
            Self::Driver => (efi::BOOT_SERVICES_CODE, efi::BOOT_SERVICES_DATA),
            Self::RuntimeDriver => (efi::RUNTIME_SERVICES_CODE, efi::RUNTIME_SERVICES_DATA),
        }
    }
}

/// Pages of the memory map, writable until an image in them is protected, and freed with the
/// value.
#[derive(Debug)]
pub struct Buffer {
    start: u64,
    pages: u64,
    length: usize,
}

impl Buffer {
    /// Allocates `length` bytes as `memory_type`, aligned to `alignment` bytes, a power of two.
    /// What they hold is undefined but initialised.
    ///
    /// # Errors
    /// `OUT_OF_RESOURCES`.
    pub fn allocate(memory_type: MemoryType, length: u64, alignment: u64) -> Result<Self, Status> {
        Self::place(Placement::Any, memory_type, length, alignment)
    }

    /// Allocates `length` bytes of loader data at `address`, the start of a page.
    ///
    /// # Errors
    /// `NOT_FOUND` when they are not free.
    pub fn at(address: u64, length: u64) -> Result<Self, Status> {
        Self::place(Placement::At(address), efi::LOADER_DATA, length, PAGE_SIZE)
    }

    /// Allocates `length` bytes of loader data that end at `end` or below.
    ///
    /// # Errors
    /// `OUT_OF_RESOURCES`.
    pub fn below(end: u64, length: u64) -> Result<Self, Status> {
        Self::place(Placement::Below(end.saturating_sub(1)), efi::LOADER_DATA, length, PAGE_SIZE)
    }

    fn place(placement: Placement, memory_type: MemoryType, length: u64, alignment: u64) -> Result<Self, Status> {
        let pages = length.div_ceil(PAGE_SIZE);
        let length = isize::try_from(length).map_err(|_| Status::OUT_OF_RESOURCES)?;
        let alignment = alignment.max(PAGE_SIZE);
        let start = services::allocate_pages(placement, memory_type, pages, alignment)?;
        let buffer = Self { start, pages, length: length.unsigned_abs() };
        memory::set_attributes(buffer.range(), Access::ReadWrite).map_err(|_| Status::OUT_OF_RESOURCES)?;
        Ok(buffer)
    }

    /// Where an image of this kind of file goes: what [`load_in_place`](super::load_in_place)
    /// takes.
    ///
    /// # Errors
    /// `OUT_OF_RESOURCES`.
    pub fn for_kernel(length: u64) -> Result<Self, Status> {
        Self::allocate(efi::LOADER_CODE, length, KERNEL_ALIGNMENT)
    }

    /// Leaves the pages allocated for good, and returns the address of the first byte.
    pub fn into_pages(self) -> u64 {
        let start = self.start;
        core::mem::forget(self);
        start
    }

    /// The address of the first byte.
    pub fn address(&self) -> u64 {
        self.start
    }

    /// The pages.
    pub fn range(&self) -> core::ops::Range<u64> {
        // The map has handed the pages out, so their end is an address.
        self.start..self.start.saturating_add(self.pages.saturating_mul(PAGE_SIZE))
    }

    fn as_ptr(&self) -> *mut u8 {
        // Addresses of this machine: both are 64 bits.
        ptr::with_exposed_provenance_mut(self.start as usize)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are RAM, mapped readable and owned by this value; their content, if
        // never written, is whatever the RAM holds, from outside of what the language knows.
        unsafe { slice::from_raw_parts(self.as_ptr(), self.length) }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; mapped writable by `allocate`, and borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.as_ptr(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Freeing makes them writable again. A client that has freed them already has freed them.
        let _ = services::free_pages(self.start, self.pages);
    }
}

/// A loaded image.
pub struct Mapped {
    /// The pages it is in.
    pub memory: Buffer,
    /// Address of the entry point.
    pub entry: u64,
    /// SizeOfImage.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// The addresses in a runtime driver.
    pub fixups: Option<Fixups>,
    /// Address of the package list that is a resource of it.
    pub package_list: Option<usize>,
}

impl Mapped {
    /// The address of the image.
    pub fn base(&self) -> usize {
        // Addresses of this machine: both are 64 bits.
        self.memory.address() as usize
    }

    /// Loads a copy of the image in `file`.
    pub fn copy(file: &[u8]) -> Result<Self, LoadError> {
        let image = pe::Image::parse(file)?;
        let (code, _) = Kind::of(&image).memory_types();
        let mut memory = Buffer::allocate(code, u64::from(image.size_of_image()), alignment(&image, file))?;
        image.load_into(file, memory.bytes_mut())?;
        Self::finish(&image, memory)
    }

    /// Loads the image whose file is the first `length` bytes of `memory` where it stands.
    pub fn in_place(mut memory: Buffer, length: usize) -> Result<Self, LoadError> {
        let file = memory.bytes().get(..length).ok_or(LoadError::NotFlat)?;
        let image = pe::Image::parse(file)?;
        let file_part = image.flat_len().ok_or(LoadError::NotFlat)? as usize;
        let aligned = memory.start.is_multiple_of(u64::from(image.section_alignment()));
        let whole = memory.bytes_mut().get_mut(..image.size_of_image() as usize);
        let (Some(whole), true) = (whole, aligned) else { return Err(LoadError::NotFlat) };
        whole.get_mut(file_part..).unwrap_or_default().fill(0);
        Self::finish(&image, memory)
    }

    fn finish(image: &pe::Image, mut memory: Buffer) -> Result<Self, LoadError> {
        let kind = Kind::of(image);
        let base = memory.start;
        let entry = image.entry_point().ok_or(LoadError::NoEntryPoint)?;
        let size = image.size_of_image();
        let bytes = memory.bytes_mut().get_mut(..size as usize).ok_or(LoadError::NotFlat)?;
        image.clear_unmeasured(bytes);
        let fixups = if kind == Kind::RuntimeDriver {
            Some(Fixups::relocate(image, bytes, base)?)
        } else {
            image.relocate(bytes, base)?;
            None
        };
        let package_list = image.hii_package_list(bytes).map(|list| (base as usize).saturating_add(list.start));
        protect(image, &memory)?;
        Ok(Self {
            entry: base.saturating_add(u64::from(entry)),
            size: u64::from(size),
            memory,
            kind,
            fixups,
            package_list,
        })
    }
}

/// What the image is aligned to: as its header says, and more for an arm64 kernel.
fn alignment(image: &pe::Image, file: &[u8]) -> u64 {
    let least = u64::from(image.section_alignment());
    if formats::arm64_image::Header::parse(file).is_ok() { least.max(KERNEL_ALIGNMENT) } else { least }
}

/// Gives each section its permissions, and makes its code fit to be fetched.
fn protect(image: &pe::Image, memory: &Buffer) -> Result<(), LoadError> {
    let at = |offset: u64| memory.start.saturating_add(offset).min(memory.range().end);
    let Some(permissions) = image.permissions() else {
        cache::sync_instructions(memory.range());
        memory::set_attributes(memory.range(), Access::ReadWriteExecute)?;
        return Ok(());
    };
    for (range, permission) in permissions {
        let range = at(range.start)..at(range.end);
        let access = match permission {
            Permission::ReadOnly => Access::ReadOnly,
            Permission::ReadExecute => Access::ReadExecute,
            Permission::ReadWrite => Access::ReadWrite,
            Permission::ReadWriteExecute => Access::ReadWriteExecute,
        };
        if matches!(access, Access::ReadExecute | Access::ReadWriteExecute) {
            cache::sync_instructions(range.clone());
        }
        memory::set_attributes(range, access)?;
    }
    Ok(())
}
