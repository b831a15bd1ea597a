//! A piece of a volume that is kept in memory.

use alloc::vec::Vec;

use super::Error;
use crate::block::BlockDevice;
use crate::disk::Disk;

/// One piece at a time, read when another one is wanted.
#[derive(Debug, Default)]
pub struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes from `start` on, as many as `length`.
    pub fn load<D: BlockDevice>(&mut self, disk: &mut Disk<D>, start: u64, length: usize) -> Result<&mut [u8], Error> {
        if self.start != start || self.bytes.len() != length {
            // Nothing is loaded until it is read.
            let mut bytes = core::mem::take(&mut self.bytes);
            if bytes.len() != length {
                bytes.clear();
                bytes.try_reserve_exact(length).map_err(|_| Error::OutOfMemory)?;
                bytes.resize(length, 0);
            }
            disk.read_at(start, &mut bytes)?;
            (self.start, self.bytes) = (start, bytes);
        }
        Ok(&mut self.bytes)
    }

    /// Forgets what was read.
    pub fn forget(&mut self) {
        self.bytes.clear();
    }

    /// Where the piece begins, and what it holds: nothing when none is loaded.
    pub fn loaded(&self) -> (u64, &[u8]) {
        (self.start, &self.bytes)
    }
}
