//! A disk behind EFI_BLOCK_IO_PROTOCOL (UEFI 2.11, 13.9).
#![expect(unsafe_code, reason = "calls protocols of drivers with raw pointers")]

use core::{ptr, slice};

use r_efi::efi::{self, Status};
use r_efi::protocols::block_io;
use storage::{BlockDevice, DeviceError};

use super::super::super::services::{self, Placement};

/// The most that is copied at once when a buffer does not have the alignment that the device needs.
const BOUNCE: usize = 64 << 10;
const PAGE_SIZE: usize = 4096;

/// The medium that is in a device: another one is an error.
#[derive(Debug)]
pub struct EfiDisk {
    protocol: *mut block_io::Protocol,
    media_id: u32,
    block_size: usize,
    blocks: u64,
    alignment: usize,
}

impl EfiDisk {
    /// Takes the medium that is in now.
    ///
    /// # Errors
    /// `NO_MEDIA`, `UNSUPPORTED` when the description of the medium makes no sense.
    ///
    /// # Safety
    /// `protocol` is an interface of this protocol that stays installed as long as the value is used.
    pub unsafe fn new(protocol: *mut block_io::Protocol) -> Result<Self, Status> {
        if protocol.is_null() {
            return Err(Status::UNSUPPORTED);
        }
        // SAFETY: the caller's promise.
        let media = unsafe { (*protocol).media };
        if media.is_null() {
            return Err(Status::UNSUPPORTED);
        }
        // SAFETY: a driver keeps the description of its medium as long as its protocol; flags are read as the bytes
        // that they are.
        let (present, media_id, block_size, alignment, last) = unsafe {
            let present = (&raw const (*media).media_present).cast::<u8>().read() != 0;
            (present, (*media).media_id, (*media).block_size, (*media).io_align, (*media).last_block)
        };
        if !present {
            return Err(Status::NO_MEDIA);
        }
        let blocks = last.checked_add(1).ok_or(Status::UNSUPPORTED)?;
        let (block_size, alignment) = (block_size as usize, alignment as usize);
        if block_size == 0 || alignment > PAGE_SIZE || (alignment > 1 && !alignment.is_power_of_two()) {
            return Err(Status::UNSUPPORTED);
        }
        Ok(Self { protocol, media_id, block_size, blocks, alignment })
    }

    /// EFI_BLOCK_IO_MEDIA.MediaId of the medium.
    pub fn media_id(&self) -> u32 {
        self.media_id
    }

    /// Whether the medium cannot be written to.
    pub fn is_read_only(&self) -> bool {
        self.flag(|media| &raw const media.read_only)
    }

    /// Whether it is a partition of another disk.
    pub fn is_partition(&self) -> bool {
        self.flag(|media| &raw const media.logical_partition)
    }

    fn flag(&self, member: impl Fn(&block_io::Media) -> *const bool) -> bool {
        // SAFETY: as in `new`; the reference ends before anything is called.
        unsafe { member(&*(*self.protocol).media).cast::<u8>().read() != 0 }
    }

    fn is_aligned(&self, address: *const u8) -> bool {
        self.alignment < 2 || address.addr().is_multiple_of(self.alignment)
    }

    /// Transfers in pieces through a buffer that is aligned: `each` gets it with the block and the range in bytes.
    fn bounce(
        &self,
        block: u64,
        length: usize,
        mut each: impl FnMut(*mut u8, u64, core::ops::Range<usize>) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let size = self.block_size.max(BOUNCE);
        let pages = (size.div_ceil(PAGE_SIZE)) as u64;
        let start = services::allocate_pages(Placement::Any, efi::BOOT_SERVICES_DATA, pages, PAGE_SIZE as u64)
            .map_err(|_| DeviceError::OutOfMemory)?;
        let buffer = ptr::with_exposed_provenance_mut(start as usize);
        let mut at = 0;
        let mut result = Ok(());
        while at < length && result.is_ok() {
            let end = length.min(at + size / self.block_size * self.block_size);
            result = each(buffer, block + (at / self.block_size) as u64, at..end);
            at = end;
        }
        // It was allocated above.
        let _ = services::free_pages(start, pages);
        result
    }

    fn read_to(&self, block: u64, buffer: *mut u8, length: usize) -> Result<(), DeviceError> {
        let this = self.protocol;
        // SAFETY: `new` was promised an installed interface, and `buffer` has `length` bytes for the call.
        let status = unsafe { ((*this).read_blocks)(this, self.media_id, block, length, buffer.cast()) };
        from_status(status)
    }

    fn write_from(&self, block: u64, bytes: *const u8, length: usize) -> Result<(), DeviceError> {
        let this = self.protocol;
        // SAFETY: as in `read_to`; what writes to a device does not write to the buffer.
        let status = unsafe { ((*this).write_blocks)(this, self.media_id, block, length, bytes.cast_mut().cast()) };
        from_status(status)
    }
}

impl BlockDevice for EfiDisk {
    fn block_size(&self) -> usize {
        self.block_size
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, block: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let length = buffer.len();
        if self.is_aligned(buffer.as_ptr()) {
            return self.read_to(block, buffer.as_mut_ptr(), length);
        }
        self.bounce(block, length, |aligned, block, range| {
            self.read_to(block, aligned, range.len())?;
            // SAFETY: the bounce buffer has as many bytes as the range, and a driver has written them.
            let bytes = unsafe { slice::from_raw_parts(aligned, range.len()) };
            buffer.get_mut(range).unwrap_or_default().copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        if self.is_aligned(bytes.as_ptr()) {
            return self.write_from(block, bytes.as_ptr(), bytes.len());
        }
        self.bounce(block, bytes.len(), |aligned, block, range| {
            let piece = bytes.get(range).unwrap_or_default();
            // SAFETY: the bounce buffer has as many bytes as the range, and is nobody else's.
            unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), aligned, piece.len()) };
            self.write_from(block, aligned, piece.len())
        })
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        let this = self.protocol;
        // SAFETY: as in `read_to`.
        from_status(unsafe { ((*this).flush_blocks)(this) })
    }
}

fn from_status(status: Status) -> Result<(), DeviceError> {
    match status {
        status if !status.is_error() => Ok(()),
        Status::NO_MEDIA => Err(DeviceError::NoMedia),
        Status::MEDIA_CHANGED => Err(DeviceError::MediaChanged),
        Status::WRITE_PROTECTED => Err(DeviceError::WriteProtected),
        Status::OUT_OF_RESOURCES => Err(DeviceError::OutOfMemory),
        _ => Err(DeviceError::Failed),
    }
}

/// The status of a device's error.
pub fn to_status(error: DeviceError) -> Status {
    match error {
        DeviceError::Failed => Status::DEVICE_ERROR,
        DeviceError::NoMedia => Status::NO_MEDIA,
        DeviceError::MediaChanged => Status::MEDIA_CHANGED,
        DeviceError::WriteProtected => Status::WRITE_PROTECTED,
        DeviceError::OutOfRange => Status::INVALID_PARAMETER,
        DeviceError::BlockSize => Status::UNSUPPORTED,
        DeviceError::OutOfMemory => Status::OUT_OF_RESOURCES,
    }
}
