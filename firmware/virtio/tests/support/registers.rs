//! A device's registers over MMIO and PCI, as the device has them.

use std::cell::Cell;
use std::rc::Rc;

use virtio::transport::Registers;

use super::device::Shared;

/// Which structure these registers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Mmio,
    PciCommon,
    PciNotify,
    PciDevice,
}

#[derive(Clone)]
pub struct Fake {
    pub device: Shared,
    pub kind: Kind,
    pub select: Rc<Cell<(u32, u32, u16)>>,
    pub version: u32,
    pub magic: u32,
}

/// Bytes between the notification registers of two queues.
pub const MULTIPLIER: u32 = 4;

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl Fake {
    pub fn new(device: &Shared, kind: Kind) -> Self {
        Self { device: device.clone(), kind, select: Rc::default(), version: 2, magic: 0x7472_6976 }
    }

    fn features(&self, high: u32) -> u32 {
        let features = self.device.borrow().features;
        if high == 1 { (features >> 32) as u32 } else { features as u32 }
    }

    fn set_features(&self, high: u32, value: u32) {
        let mut device = self.device.borrow_mut();
        let old = device.driver_features;
        device.driver_features =
            if high == 1 { old & 0xffff_ffff | u64::from(value) << 32 } else { old & !0xffff_ffff | u64::from(value) };
    }

    fn set_half(address: &mut u64, high: bool, value: u32) {
        *address = if high {
            *address & 0xffff_ffff | u64::from(value) << 32
        } else {
            *address & !0xffff_ffff | u64::from(value)
        };
    }

    fn read(&self, offset: u64, length: usize) -> u64 {
        let (device_sel, _, queue) = self.select.get();
        match (self.kind, offset) {
            (Kind::Mmio, 0) => self.magic.into(),
            (Kind::Mmio, 4) => self.version.into(),
            (Kind::Mmio, 8) => self.device.borrow().kind.into(),
            (Kind::Mmio, 0x10) | (Kind::PciCommon, 4) => self.features(device_sel).into(),
            (Kind::Mmio, 0x34) | (Kind::PciCommon, 0x18) => {
                let device = self.device.borrow();
                if usize::from(queue) < device.queues.len() { device.max_queue.into() } else { 0 }
            }
            (Kind::Mmio, 0x70) | (Kind::PciCommon, 0x14) => self.device.borrow_mut().read_status().into(),
            (Kind::Mmio, 0xfc) | (Kind::PciCommon, 0x15) => self.device.borrow().generation.into(),
            (Kind::PciCommon, 0x12) => self.device.borrow().queues.len() as u64,
            (Kind::PciCommon, 0x1e) => queue.into(),
            (Kind::Mmio, 0x100..) => self.device.borrow_mut().read_config(offset as usize - 0x100, length),
            (Kind::PciDevice, _) => self.device.borrow_mut().read_config(offset as usize, length),
            _ => panic!("{self:?}: read of {offset:#x}"),
        }
    }

    fn write(&self, offset: u64, value: u32, length: usize) {
        let (device_sel, driver_sel, queue) = self.select.get();
        let with_queue = |change: &dyn Fn(&mut super::device::QueueState)| {
            change(&mut self.device.borrow_mut().queues[usize::from(queue)]);
        };
        match (self.kind, offset) {
            (Kind::Mmio, 0x14) | (Kind::PciCommon, 0) => self.select.set((value, driver_sel, queue)),
            (Kind::Mmio, 0x24) | (Kind::PciCommon, 8) => self.select.set((device_sel, value, queue)),
            (Kind::Mmio, 0x30) | (Kind::PciCommon, 0x16) => self.select.set((device_sel, driver_sel, value as u16)),
            (Kind::Mmio, 0x20) | (Kind::PciCommon, 0xc) => self.set_features(driver_sel, value),
            (Kind::Mmio, 0x70) | (Kind::PciCommon, 0x14) => self.device.borrow_mut().set_status(value as u8),
            (Kind::Mmio, 0x38) | (Kind::PciCommon, 0x18) => with_queue(&|queue| queue.size = value as u16),
            (Kind::Mmio, 0x44) | (Kind::PciCommon, 0x1c) => with_queue(&|queue| {
                assert_eq!(value, 1);
                assert!(queue.size.is_power_of_two());
                assert!(queue.descriptors.is_multiple_of(16) && queue.driver.is_multiple_of(2));
                assert!(queue.device.is_multiple_of(4));
                queue.enabled = true;
            }),
            (Kind::Mmio, 0x80 | 0x84) | (Kind::PciCommon, 0x20 | 0x24) => {
                with_queue(&|queue| Self::set_half(&mut queue.descriptors, offset & 4 != 0, value));
            }
            (Kind::Mmio, 0x90 | 0x94) | (Kind::PciCommon, 0x28 | 0x2c) => {
                with_queue(&|queue| Self::set_half(&mut queue.driver, offset & 4 != 0, value));
            }
            (Kind::Mmio, 0xa0 | 0xa4) | (Kind::PciCommon, 0x30 | 0x34) => {
                with_queue(&|queue| Self::set_half(&mut queue.device, offset & 4 != 0, value));
            }
            (Kind::Mmio, 0x50) => self.device.borrow_mut().notified(value as u16),
            (Kind::PciNotify, _) => {
                assert_eq!(length, 2, "the index has 16 bits");
                assert_eq!(offset, u64::from(value) * u64::from(MULTIPLIER), "each queue has its place");
                self.device.borrow_mut().notified(value as u16);
            }
            _ => panic!("{self:?}: write of {offset:#x}"),
        }
    }
}

impl Registers for Fake {
    fn read8(&self, offset: u64) -> u8 {
        self.read(offset, 1) as u8
    }

    fn read16(&self, offset: u64) -> u16 {
        self.read(offset, 2) as u16
    }

    fn read32(&self, offset: u64) -> u32 {
        self.read(offset, 4) as u32
    }

    fn write8(&self, offset: u64, value: u8) {
        self.write(offset, value.into(), 1);
    }

    fn write16(&self, offset: u64, value: u16) {
        self.write(offset, value.into(), 2);
    }

    fn write32(&self, offset: u64, value: u32) {
        self.write(offset, value, 4);
    }
}
