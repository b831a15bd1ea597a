//! A device that says anything in its registers and in the memory that it shares: it is used or given up, in time.
#![no_main]

use std::cell::Cell;
use std::rc::Rc;

use virtio::block::Block;
use virtio::mmio::MmioTransport;
use virtio::scsi::Host;
use virtio::transport::Registers;
use virtio::{Data, Direction, Platform, Setup, SharedMemory, device_type, entropy};

/// What the device says next. At the input's end it says nothing any more.
#[derive(Clone, Debug)]
struct Device {
    data: Rc<[u8]>,
    at: Rc<Cell<usize>>,
    ticks: Rc<Cell<u64>>,
}

impl Device {
    fn next(&self) -> u8 {
        let at = self.at.get();
        self.at.set(at + 1);
        self.data.get(at).copied().unwrap_or_default()
    }

    /// Mostly what is right.
    fn or(&self, right: u32) -> u32 {
        match self.next() {
            0..0xf0 => right,
            wrong => u32::from_le_bytes([wrong, self.next(), self.next(), self.next()]),
        }
    }
}

impl Registers for Device {
    fn read8(&self, _: u64) -> u8 {
        self.next()
    }

    fn read16(&self, _: u64) -> u16 {
        u16::from_le_bytes([self.next(), self.next()])
    }

    fn read32(&self, offset: u64) -> u32 {
        match offset {
            0 => 0x7472_6976,
            4 => 2,
            8 => match self.next() % 4 {
                1 => self.or(device_type::SCSI_HOST),
                3 => self.or(device_type::ENTROPY),
                _ => self.or(device_type::BLOCK),
            },
            0x10 => self.or(!0),
            0x34 => self.or(8),
            // Status: a reset, or that the features are taken.
            0x70 => self.or(if self.at.get().is_multiple_of(2) { 0 } else { 11 }),
            0xfc => self.or(1),
            _ => self.or(512),
        }
    }

    fn write8(&self, _: u64, _: u8) {}
    fn write16(&self, _: u64, _: u16) {}
    fn write32(&self, _: u64, _: u32) {}
}

/// A page that the device writes to as it likes.
#[derive(Debug)]
struct Page(Device, u16);

impl SharedMemory for Page {
    fn device_address(&self) -> u64 {
        0x4000_0000
    }

    fn write(&mut self, _: usize, _: &[u8]) {}

    fn read(&self, _: usize, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.next());
    }

    fn store16(&mut self, _: usize, value: u16) {
        self.1 = value;
    }

    fn load16(&self, _: usize) -> u16 {
        // The driver's own index, mostly.
        self.0.or(self.1.into()) as u16
    }
}

impl Platform for Device {
    type Memory = Page;

    fn allocate_page(&self) -> Option<Page> {
        Some(Page(self.clone(), 0))
    }

    fn ticks(&self) -> u64 {
        self.ticks.set(self.ticks.get() + 1);
        self.ticks.get()
    }

    fn ticks_per_second(&self) -> u64 {
        2
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let device = Device { data: data.into(), at: Rc::default(), ticks: Rc::default() };
    let Ok(Some(transport)) = MmioTransport::new(device.clone()) else { return };
    let setup = Setup { needs_access_platform: data.len().is_multiple_of(2) };
    let place = Data { address: 0x4100_0000, length: 4096 };
    if transport.device_type() == device_type::ENTROPY {
        let _ = entropy::read(device, transport, setup, virtio::REQUEST_TIMEOUT);
        return;
    }
    if transport.device_type() == device_type::BLOCK {
        let Ok(mut block) = Block::start(device, transport, setup) else { return };
        assert!(block.max_transfer().is_multiple_of(block.medium().block_size));
        for number in 0..4 {
            let _ = block.transfer(Direction::Read, number, place);
            let _ = block.transfer(Direction::Write, number, place);
        }
        let _ = block.flush();
        return;
    }
    let Ok(mut host) = Host::start(device, transport, setup) else { return };
    let mut units = Vec::new();
    let _ = host.scan(|unit| units.push(unit));
    for unit in units.iter_mut().take(4) {
        let _ = unit.transfer(&mut host, Direction::Read, 0, place);
        let _ = unit.refresh(&mut host);
        let _ = unit.flush(&mut host);
    }
});
