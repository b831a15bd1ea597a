//! Disks for tests and fuzzers: in memory, and built by code so that each byte has a reason.
// Each test crate uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod exercise;
pub mod image;

use storage::{BlockDevice, DeviceError};

/// A disk in memory that counts what it is asked, and stops writing when told to.
#[derive(Clone, Debug)]
pub struct RamDisk {
    pub bytes: Vec<u8>,
    pub block_size: usize,
    pub reads: usize,
    pub writes: usize,
    /// How many writes are done before the power goes.
    pub writes_left: Option<usize>,
}

impl RamDisk {
    pub fn new(bytes: Vec<u8>, block_size: usize) -> Self {
        Self { bytes, block_size, reads: 0, writes: 0, writes_left: None }
    }

    fn range(&self, block: u64, length: usize) -> Result<core::ops::Range<usize>, DeviceError> {
        assert!(length > 0 && length.is_multiple_of(self.block_size), "whole blocks only");
        let start = usize::try_from(block).ok().and_then(|block| block.checked_mul(self.block_size));
        let start = start.ok_or(DeviceError::OutOfRange)?;
        let end = start.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(DeviceError::OutOfRange)?;
        Ok(start..end)
    }
}

impl BlockDevice for RamDisk {
    fn block_size(&self) -> usize {
        self.block_size
    }

    fn blocks(&self) -> u64 {
        (self.bytes.len() / self.block_size) as u64
    }

    fn read(&mut self, block: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.reads += 1;
        let range = self.range(block, buffer.len())?;
        buffer.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let range = self.range(block, bytes.len())?;
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or(DeviceError::Failed)?;
        }
        self.writes += 1;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Marsaglia's xorshift64: the same numbers from the same seed on every machine.
pub struct Xorshift(u64);

impl Xorshift {
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0);
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

pub fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}
