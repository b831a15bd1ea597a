//! A split virtqueue (section 2.7) with one chain at a time.
//!
//! The chain always begins at descriptor 0, so the id that the device returns has one right value, and the used index
//! one right step. Descriptors are written and never read.

use core::array;

use zerocopy::IntoBytes;

use crate::transport::QueueAddresses;
use crate::{Error, SharedMemory};

/// A part of a request, as the device finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// The device's address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
    /// Whether the device writes it.
    pub device_writes: bool,
}

/// Descriptors: no chain has more than four parts.
pub const MAX_CHAIN: u16 = 4;
const MAX_SIZE: u16 = 8;

// One page holds the queue and the fixed parts of a request. Alignments: section 2.7.
const DESCRIPTORS: usize = 0;
const AVAILABLE: usize = 0x100;
const USED: usize = 0x200;
/// The offset of the index in both rings, and that of the entries behind it.
const INDEX: usize = 2;
const RING: usize = 4;
const USED_ELEMENT_LEN: usize = 8;
/// Where requests have their headers and answers.
pub const REQUEST: usize = 0x400;

// The second half of a descriptor, of which the low 32 bits are the length: flags and the next one's number.
const NEXT: u64 = 1 << 32;
const WRITE: u64 = 2 << 32;
const NEXT_SHIFT: u32 = 48;
/// VIRTQ_AVAIL_F_NO_INTERRUPT.
const NO_INTERRUPT: u16 = 1;

/// The queue.
#[derive(Debug)]
pub struct Queue<M> {
    memory: M,
    size: u16,
    available: u16,
    used: u16,
    /// Bytes of the chain that is under way.
    chain: u64,
}

impl<M: SharedMemory> Queue<M> {
    /// A queue in `memory`, a page of zeros, for a device that takes `max_size` descriptors.
    pub fn new(mut memory: M, max_size: u16) -> Option<Self> {
        if max_size < MAX_CHAIN {
            return None;
        }
        // The size is a power of two.
        let size = if max_size < MAX_SIZE { MAX_CHAIN } else { MAX_SIZE };
        memory.store16(AVAILABLE, NO_INTERRUPT);
        Some(Self { memory, size, available: 0, used: 0, chain: 0 })
    }

    /// Its number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Where the device finds its parts.
    pub fn addresses(&self) -> QueueAddresses {
        let base = self.memory.device_address();
        QueueAddresses {
            descriptors: base + DESCRIPTORS as u64,
            driver: base + AVAILABLE as u64,
            device: base + USED as u64,
        }
    }

    /// The page that the queue is in, of which requests have what is from [`REQUEST`] on.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// As [`Self::memory`].
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Makes a chain available.
    ///
    /// # Errors
    /// [`Error::Range`] for a chain that is empty or too long.
    pub fn publish(&mut self, chain: &[Segment]) -> Result<(), Error> {
        if chain.is_empty() || chain.len() > MAX_CHAIN.into() {
            return Err(Error::Range);
        }
        self.chain = chain.iter().map(|segment| u64::from(segment.length)).sum();
        let descriptors: [[u64; 2]; MAX_CHAIN as usize] = array::from_fn(|number| {
            let Some(segment) = chain.get(number) else { return [0; 2] };
            let (next, writes) = (number as u64 + 1, if segment.device_writes { WRITE } else { 0 });
            let follow = if next < chain.len() as u64 { NEXT | next << NEXT_SHIFT } else { 0 };
            [segment.address.to_le(), (u64::from(segment.length) | writes | follow).to_le()]
        });
        self.memory.write(DESCRIPTORS, descriptors.as_bytes());
        // The head is descriptor 0.
        self.memory.store16(AVAILABLE + RING + usize::from(self.available % self.size) * 2, 0);
        self.available = self.available.wrapping_add(1);
        self.memory.store16(AVAILABLE + INDEX, self.available);
        Ok(())
    }

    /// Whether the device is done with the chain: the bytes that it says it wrote.
    ///
    /// The number is at most that of the whole chain, and not only of what the device may write: kvmtool's block device
    /// counts the bytes that it wrote to the disk. Nothing is done with it but to find reads that are too short.
    ///
    /// # Errors
    /// [`Error::Protocol`].
    pub fn take_used(&mut self) -> Result<Option<u32>, Error> {
        let index = self.memory.load16(USED + INDEX);
        if index == self.used {
            return Ok(None);
        }
        // There is one chain, so this is one more than it was.
        if index != self.available {
            return Err(Error::Protocol("used index"));
        }
        let mut element = [0; USED_ELEMENT_LEN];
        self.memory.read(USED + RING + usize::from(self.used % self.size) * USED_ELEMENT_LEN, &mut element);
        self.used = index;
        let [i0, i1, i2, i3, l0, l1, l2, l3] = element;
        if u32::from_le_bytes([i0, i1, i2, i3]) != 0 {
            return Err(Error::Protocol("used id"));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if u64::from(length) > self.chain {
            return Err(Error::Protocol("used length"));
        }
        Ok(Some(length))
    }
}
