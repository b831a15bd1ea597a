//! Bytes at any offset of a device of blocks.

use alloc::vec::Vec;

use crate::block::{BlockDevice, DeviceError};

/// The smallest block.
const MIN_BLOCK: usize = 512;
/// The largest block.
const MAX_BLOCK: usize = 64 << 10;

/// A block device that is read and written by the byte. Whole blocks go straight between the device and the caller's
/// memory, all that follow one another in one request; only the ends of a transfer are copied once more.
#[derive(Debug)]
pub struct Disk<D> {
    device: D,
    /// The block of which a part is wanted.
    block: Vec<u8>,
    /// Whether anything was written since the last flush.
    written: bool,
}

impl<D: BlockDevice> Disk<D> {
    /// Takes a device.
    ///
    /// # Errors
    /// [`DeviceError::BlockSize`], [`DeviceError::OutOfMemory`].
    pub fn new(device: D) -> Result<Self, DeviceError> {
        let size = device.block_size();
        if !size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&size) {
            return Err(DeviceError::BlockSize);
        }
        let mut block = Vec::new();
        block.try_reserve_exact(size).map_err(|_| DeviceError::OutOfMemory)?;
        block.resize(size, 0);
        Ok(Self { device, block, written: false })
    }

    /// Bytes of the device.
    pub fn size(&self) -> u64 {
        self.device.blocks().saturating_mul(self.block.len() as u64)
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, to be used directly.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), DeviceError> {
        let end = offset.checked_add(length as u64).ok_or(DeviceError::OutOfRange)?;
        if end <= self.size() { Ok(()) } else { Err(DeviceError::OutOfRange) }
    }

    /// The block that `offset` is in, and how far into it.
    fn place(&self, offset: u64) -> (u64, usize) {
        let size = self.block.len() as u64;
        // The remainder is below the length of a buffer.
        (offset / size, (offset % size) as usize)
    }

    /// How much of `length` bytes is whole blocks, when they begin `skip` bytes into one.
    fn whole(&self, skip: usize, length: usize) -> usize {
        if skip == 0 { length - length % self.block.len() } else { 0 }
    }

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn read_at(&mut self, mut offset: u64, mut buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.check(offset, buffer.len())?;
        while !buffer.is_empty() {
            let (block, skip) = self.place(offset);
            let mut count = self.whole(skip, buffer.len());
            if count == 0 {
                self.device.read(block, &mut self.block)?;
                let part = self.block.get(skip..).unwrap_or_default();
                count = part.len().min(buffer.len());
                buffer.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            } else {
                self.device.read(block, buffer.get_mut(..count).unwrap_or_default())?;
            }
            offset += count as u64;
            buffer = buffer.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes the bytes at `offset`. A block that is written in part is read before.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn write_at(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<(), DeviceError> {
        self.check(offset, bytes.len())?;
        self.written = true;
        while !bytes.is_empty() {
            let (block, skip) = self.place(offset);
            let mut count = self.whole(skip, bytes.len());
            if count == 0 {
                self.device.read(block, &mut self.block)?;
                let part = self.block.get_mut(skip..).unwrap_or_default();
                count = part.len().min(bytes.len());
                part.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                self.device.write(block, &self.block)?;
            } else {
                self.device.write(block, bytes.get(..count).unwrap_or_default())?;
            }
            offset += count as u64;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Returns once everything written outlasts a loss of power.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn flush(&mut self) -> Result<(), DeviceError> {
        self.device.flush()?;
        self.written = false;
        Ok(())
    }

    /// Whether anything was written that may not outlast a loss of power.
    pub fn is_written(&self) -> bool {
        self.written
    }
}
