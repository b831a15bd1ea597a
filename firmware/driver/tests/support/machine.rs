//! A machine with memory that driver and devices share, and a clock.
#![allow(dead_code, missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use driver::{Platform, SharedMemory};

/// What driver and devices share, and nothing else.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: BTreeMap<u64, Vec<u8>>,
    ticks: u64,
    pub stopped: bool,
    pub allocations_left: Option<usize>,
}

impl Memory {
    fn block(&mut self, address: u64, length: usize) -> Option<&mut [u8]> {
        let (base, bytes) = self.blocks.range_mut(..=address).next_back()?;
        let offset = usize::try_from(address - base).ok()?;
        bytes.get_mut(offset..offset.checked_add(length)?)
    }

    pub fn ticks_so_far(&self) -> u64 {
        self.ticks
    }

    pub fn pass(&mut self, ticks: u64) {
        self.ticks += ticks;
    }

    /// What a device reads; zeros where there is nothing.
    pub fn load(&mut self, address: u64, length: usize) -> Vec<u8> {
        self.block(address, length).map_or_else(|| vec![0; length], |bytes| bytes.to_vec())
    }

    /// What a device writes; nothing where there is nothing.
    pub fn store(&mut self, address: u64, data: &[u8]) {
        if let Some(bytes) = self.block(address, data.len()) {
            bytes.copy_from_slice(data);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Machine(pub Rc<RefCell<Memory>>);

/// A whole second in few steps, so that time-outs cost little.
pub const TICKS_PER_SECOND: u64 = 20;

impl Machine {
    /// Memory for the data of a transfer.
    pub fn buffer(&self, length: usize) -> Page {
        let mut memory = self.0.borrow_mut();
        let address =
            memory.blocks.last_key_value().map_or(0x1_0000, |(base, bytes)| base + bytes.len() as u64 + 0x1000);
        let address = address.next_multiple_of(0x1000);
        memory.blocks.insert(address, vec![0; length]);
        Page { machine: self.clone(), address, length }
    }

    pub fn shared_blocks(&self) -> usize {
        self.0.borrow().blocks.len()
    }

    pub fn seconds(&self) -> u64 {
        self.0.borrow().ticks / TICKS_PER_SECOND
    }
}

impl Platform for Machine {
    type Memory = Page;

    fn allocate_pages(&self, count: usize) -> Option<Page> {
        if let Some(left) = &mut self.0.borrow_mut().allocations_left {
            *left = left.checked_sub(1)?;
        }
        Some(self.buffer(0x1000 * count))
    }

    fn ticks(&self) -> u64 {
        let mut memory = self.0.borrow_mut();
        memory.ticks += u64::from(!memory.stopped);
        memory.ticks
    }

    fn ticks_per_second(&self) -> u64 {
        TICKS_PER_SECOND
    }
}

#[derive(Debug)]
pub struct Page {
    machine: Machine,
    pub address: u64,
    length: usize,
}

impl Page {
    pub fn bytes(&self) -> Vec<u8> {
        self.machine.0.borrow_mut().load(self.address, self.length)
    }

    pub fn fill(&self, bytes: &[u8]) {
        self.machine.0.borrow_mut().store(self.address, bytes);
    }
}

impl SharedMemory for Page {
    fn device_address(&self) -> u64 {
        self.address
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.length);
        self.machine.0.borrow_mut().store(self.address + offset as u64, bytes);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.length);
        bytes.copy_from_slice(&self.machine.0.borrow_mut().load(self.address + offset as u64, bytes.len()));
    }

    fn store16(&mut self, offset: usize, value: u16) {
        assert!(offset.is_multiple_of(2));
        self.write(offset, &value.to_le_bytes());
    }

    fn load16(&self, offset: usize) -> u16 {
        assert!(offset.is_multiple_of(2));
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.machine.0.borrow_mut().blocks.remove(&self.address);
    }
}
