//! What a disk is to this crate.

use thiserror::Error;

/// Why a device did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DeviceError {
    /// The device reports an error, or none that is known.
    #[error("the device failed")]
    Failed,
    /// There is no medium in it.
    #[error("no medium")]
    NoMedia,
    /// The medium is another one than when the device was opened.
    #[error("the medium was changed")]
    MediaChanged,
    /// The medium cannot be written to.
    #[error("the medium is write-protected")]
    WriteProtected,
    /// Beyond the end of the device.
    #[error("beyond the end of the device")]
    OutOfRange,
    /// Blocks that are no power of two from 512 bytes to 64 KiB.
    #[error("the block size is not supported")]
    BlockSize,
    /// No memory for a block.
    #[error("out of memory")]
    OutOfMemory,
}

/// A device that reads and writes whole blocks.
pub trait BlockDevice {
    /// Bytes of a block.
    fn block_size(&self) -> usize;

    /// How many blocks there are.
    fn blocks(&self) -> u64;

    /// Reads as many blocks as fill the buffer, whose length is a multiple of the block size.
    ///
    /// # Errors
    /// [`DeviceError`]. The contents of the buffer are undefined then.
    fn read(&mut self, block: u64, buffer: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes whole blocks.
    ///
    /// # Errors
    /// [`DeviceError`]. Any of the blocks may be written then.
    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Returns once everything written is where it outlasts a loss of power.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn flush(&mut self) -> Result<(), DeviceError>;
}

impl<D: BlockDevice + ?Sized> BlockDevice for &mut D {
    fn block_size(&self) -> usize {
        (**self).block_size()
    }

    fn blocks(&self) -> u64 {
        (**self).blocks()
    }

    fn read(&mut self, block: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        (**self).read(block, buffer)
    }

    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        (**self).write(block, bytes)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        (**self).flush()
    }
}
