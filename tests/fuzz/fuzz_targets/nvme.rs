//! A controller that says anything in its registers and in the memory that it shares: it is used or given up, in time.
#![no_main]

use std::cell::Cell;
use std::rc::Rc;

use driver::{Data, Direction, MAX_BLOCK_SIZE, Platform, Registers, SharedMemory};
use nvme::{Controller, MAX_NAMESPACES};

/// What the device says next. At the input's end it says nothing any more.
#[derive(Clone, Debug)]
struct Device {
    data: Rc<[u8]>,
    at: Rc<Cell<usize>>,
    ticks: Rc<Cell<u64>>,
}

impl Device {
    fn new(data: &[u8]) -> Self {
        Self { data: data.into(), at: Rc::default(), ticks: Rc::default() }
    }

    /// Whether it has said an even number of bytes.
    fn is_even(&self) -> bool {
        self.at.get().is_multiple_of(2)
    }

    /// The time, which goes on with each look.
    fn tick(&self) -> u64 {
        self.ticks.set(self.ticks.get() + 1);
        self.ticks.get()
    }

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
        unreachable!("registers have 32 bits")
    }

    fn read16(&self, _: u64) -> u16 {
        unreachable!("registers have 32 bits")
    }

    fn read32(&self, offset: u64) -> u32 {
        match offset {
            0 => self.or(0x1_00ff),
            4 => self.or(1 << 5),
            // Status: stopped or ready, at times.
            0x1c => self.or(u32::from(self.is_even())),
            _ => self.or(0x46_0000),
        }
    }

    fn write8(&self, _: u64, _: u8) {}
    fn write16(&self, _: u64, _: u16) {}
    fn write32(&self, _: u64, _: u32) {}
}

/// Pages that the controller writes to as it likes, and what it knows of the command.
#[derive(Debug)]
struct Pages {
    device: Device,
    command: [u8; 4],
    queue: u8,
    done: [u16; 2],
}

impl SharedMemory for Pages {
    fn device_address(&self) -> u64 {
        0x4000_0000
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        // The start of one of two entries, of either queue.
        if let (0 | 0x2000, [_, _, low, high]) = (offset & !0x40, bytes) {
            self.queue = (offset >> 13) as u8;
            self.command = [self.queue, 0, *low, *high];
            self.done[usize::from(self.queue)] = u16::from_le_bytes([*low, *high]);
        }
    }

    fn read(&self, _: usize, bytes: &mut [u8]) {
        // Queue and command, mostly; or what Identify has.
        match <&mut [u8; 4]>::try_from(&mut *bytes) {
            Ok(bytes) => *bytes = self.device.or(u32::from_le_bytes(self.command)).to_le_bytes(),
            Err(_) => bytes.fill_with(|| self.device.next()),
        }
    }

    fn store16(&mut self, _: usize, _: u16) {}

    fn load16(&self, _: usize) -> u16 {
        let phase = !self.done[usize::from(self.queue)] >> 1 & 1;
        self.device.or(phase.into()) as u16
    }
}

impl Platform for Device {
    type Memory = Pages;

    fn allocate_pages(&self, _: usize) -> Option<Pages> {
        Some(Pages { device: self.clone(), command: [0; 4], queue: 0, done: [0; 2] })
    }

    fn ticks(&self) -> u64 {
        self.tick()
    }

    fn ticks_per_second(&self) -> u64 {
        2
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let device = Device::new(data);
    let Ok(mut controller) = Controller::start(device.clone(), device, driver::REQUEST_TIMEOUT) else { return };
    assert!(controller.max_transfer() != 0 && controller.max_transfer().is_multiple_of(MAX_BLOCK_SIZE));
    let mut namespaces = Vec::new();
    let _ = controller.scan(|namespace| namespaces.push(namespace));
    assert!(namespaces.len() <= MAX_NAMESPACES && namespaces.is_sorted_by(|one, other| one.id < other.id));
    for namespace in namespaces.iter().take(4) {
        for (number, address) in [(0, 0x4100_0000), (1, 0x4100_0ffc), (u64::MAX, 0x4100_0000)] {
            let data = Data { address, length: 0x4000 };
            let _ = controller.transfer(namespace, Direction::Read, number, data);
            let _ = controller.transfer(namespace, Direction::Write, number, data);
        }
        let _ = controller.flush(namespace);
    }
});
