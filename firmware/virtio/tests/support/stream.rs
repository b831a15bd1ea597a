//! A device all of whose answers are the bytes of a stream: whatever a fuzzer makes up, or what a device says that does
//! as it should.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use virtio::block::Block;
use virtio::console::Console;
use virtio::mmio::MmioTransport;
use virtio::scsi::Host;
use virtio::transport::Registers;
use virtio::{Data, Direction, Platform, Setup, SharedMemory, device_type, entropy};

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    data: Rc<RefCell<Vec<u8>>>,
    at: Rc<Cell<usize>>,
    ticks: Rc<Cell<u64>>,
    /// The byte that names the type, of a device that does as it should: what it says becomes the stream.
    honest: Option<u8>,
}

/// The bytes that name a type; any other is a block device.
pub const SCSI_HOST: u8 = 1;
pub const BLOCK: u8 = 2;
pub const ENTROPY: u8 = 3;
pub const CONSOLE: u8 = 4;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Done {
    pub reads: usize,
    pub writes: usize,
    pub flushes: usize,
    pub units: usize,
    pub random: usize,
}

impl Device {
    /// One that says these bytes, and at their end zeros.
    pub fn new(data: &[u8]) -> Self {
        Self { data: Rc::new(RefCell::new(data.to_vec())), at: Rc::default(), ticks: Rc::default(), honest: None }
    }

    /// What a device of this type says that does as it should.
    pub fn honest(kind: u8) -> Vec<u8> {
        let device = Self { honest: Some(kind), ..Self::new(&[]) };
        device.clone().exercise(true);
        device.data.take()
    }

    /// The next byte; `honest` when the device does as it should.
    fn next(&self, honest: u8) -> u8 {
        let at = self.at.get();
        self.at.set(at + 1);
        if self.honest.is_some() {
            self.data.borrow_mut().push(honest);
        }
        self.data.borrow().get(at).copied().unwrap_or_default()
    }

    /// Mostly what is right.
    fn or(&self, right: u32) -> u32 {
        match self.next(0) {
            0..0xf0 => right,
            wrong => u32::from_le_bytes([wrong, self.next(0), self.next(0), self.next(0)]),
        }
    }

    /// Uses the device as a machine does that needs VIRTIO_F_ACCESS_PLATFORM, or does not.
    pub fn exercise(self, needs_access_platform: bool) -> Done {
        let mut done = Done::default();
        let Ok(Some(transport)) = MmioTransport::new(self.clone()) else { return done };
        let setup = Setup { needs_access_platform };
        let place = Data { address: 0x4100_0000, length: 4096 };
        if transport.device_type() == device_type::ENTROPY {
            done.random += usize::from(entropy::read(self, transport, setup, virtio::REQUEST_TIMEOUT).is_ok());
            return done;
        }
        if transport.device_type() == device_type::CONSOLE {
            let console = Console::start(self, transport, setup, virtio::REQUEST_TIMEOUT);
            let Ok(mut console) = console else { return done };
            for _ in 0..100 {
                done.writes += usize::from(console.write(&[0; 1500]).is_ok());
                done.reads += usize::from(console.read().is_ok_and(|byte| byte.is_some()));
            }
            return done;
        }
        if transport.device_type() == device_type::BLOCK {
            let Ok(mut block) = Block::start(self, transport, setup) else { return done };
            assert!(block.max_transfer().is_multiple_of(block.medium().block_size));
            for number in 0..4 {
                done.reads += usize::from(block.transfer(Direction::Read, number, place).is_ok());
                done.writes += usize::from(block.transfer(Direction::Write, number, place).is_ok());
            }
            done.flushes += usize::from(block.flush().is_ok());
            return done;
        }
        let Ok(mut host) = Host::start(self, transport, setup) else { return done };
        let mut units = Vec::new();
        let _ = host.scan(|unit| units.push(unit));
        done.units = units.len();
        for unit in units.iter_mut().take(4) {
            done.reads += usize::from(unit.transfer(&mut host, Direction::Read, 0, place).is_ok());
            done.writes += usize::from(unit.transfer(&mut host, Direction::Write, 0, place).is_ok());
            let _ = unit.refresh(&mut host);
            done.flushes += usize::from(unit.flush(&mut host).is_ok());
        }
        done
    }
}

/// VIRTIO_BLK_F_RO.
const READ_ONLY: u32 = 1 << 5;

impl Registers for Device {
    fn read8(&self, _: u64) -> u8 {
        self.next(0)
    }

    fn read16(&self, _: u64) -> u16 {
        u16::from_le_bytes([self.next(0), self.next(0)])
    }

    fn read32(&self, offset: u64) -> u32 {
        match offset {
            0 => 0x7472_6976,
            4 => 2,
            8 => match self.next(self.honest.unwrap_or_default()) % 5 {
                SCSI_HOST => self.or(device_type::SCSI_HOST),
                ENTROPY => self.or(device_type::ENTROPY),
                CONSOLE => self.or(device_type::CONSOLE),
                _ => self.or(device_type::BLOCK),
            },
            0x10 => self.or(!READ_ONLY),
            0x34 => self.or(8),
            // Status: a reset, or that the features are taken.
            0x70 => self.or(if self.at.get().is_multiple_of(2) { 0 } else { 11 }),
            0xfc => self.or(1),
            // The largest transfer of a block device.
            0x108 => self.or(0x1_0000),
            _ => self.or(512),
        }
    }

    fn write8(&self, _: u64, _: u8) {}
    fn write16(&self, _: u64, _: u16) {}
    fn write32(&self, _: u64, _: u32) {}
}

/// A page that the device writes to as it likes.
#[derive(Debug)]
pub struct Page {
    device: Device,
    index: u16,
    /// What the driver wrote, for a device that does as it should.
    driver: Vec<u8>,
}

/// Where the driver has the used ring, the request, and what a SCSI unit says of itself.
const USED: usize = 0x200;
const REQUEST: usize = 0x400;
const SCSI_DATA: usize = 0x600;

impl Page {
    /// What a device that does as it should has written here.
    fn honest(&self, offset: usize, length: usize) -> Vec<u8> {
        let mut bytes = match (offset, self.driver[REQUEST + 19]) {
            (USED..REQUEST, _) => [[0; 4], self.writable().to_le_bytes()].concat(),
            // REPORT LUNS: unit 0.
            (SCSI_DATA, 0xa0) => vec![0, 0, 0, 8],
            // READ CAPACITY: 1024 blocks of 512 bytes.
            (SCSI_DATA, 0x25) => vec![0, 0, 3, 0xff, 0, 0, 2, 0],
            _ => Vec::new(),
        };
        bytes.resize(length, 0);
        bytes
    }

    /// The bytes of the request that the device may write.
    fn writable(&self) -> u32 {
        let mut sum = 0;
        for descriptor in self.driver.chunks_exact(16) {
            let length = u32::from_le_bytes(descriptor[8..12].try_into().unwrap());
            sum += if descriptor[12] & 2 != 0 { length } else { 0 };
            if descriptor[12] & 1 == 0 {
                break;
            }
        }
        sum
    }
}

impl SharedMemory for Page {
    fn device_address(&self) -> u64 {
        0x4000_0000
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.driver[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        let honest = self.honest(offset, bytes.len());
        for (byte, honest) in bytes.iter_mut().zip(honest) {
            *byte = self.device.next(honest);
        }
    }

    fn store16(&mut self, _: usize, value: u16) {
        self.index = value;
    }

    fn load16(&self, _: usize) -> u16 {
        // The driver's own index, mostly.
        self.device.or(self.index.into()) as u16
    }
}

impl Platform for Device {
    type Memory = Page;

    fn allocate_pages(&self, _: usize) -> Option<Page> {
        Some(Page { device: self.clone(), index: 0, driver: vec![0; 4096] })
    }

    fn ticks(&self) -> u64 {
        self.ticks.set(self.ticks.get() + 1);
        self.ticks.get()
    }

    fn ticks_per_second(&self) -> u64 {
        2
    }
}
