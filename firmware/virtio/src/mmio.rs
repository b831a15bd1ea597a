//! virtio over MMIO, version 2 (section 4.2).

use crate::Error;
use crate::transport::{QueueAddresses, Registers, Transport};

/// "virt", little endian.
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;

/// Register offsets (section 4.2.2).
mod register {
    pub const MAGIC_VALUE: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub const DRIVER_FEATURES: u64 = 0x020;
    pub const DRIVER_FEATURES_SEL: u64 = 0x024;
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_NUM_MAX: u64 = 0x034;
    pub const QUEUE_NUM: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const STATUS: u64 = 0x070;
    pub const QUEUE_DESC: u64 = 0x080;
    pub const QUEUE_DRIVER: u64 = 0x090;
    pub const QUEUE_DEVICE: u64 = 0x0a0;
    pub const CONFIG_GENERATION: u64 = 0x0fc;
    pub const CONFIG: u64 = 0x100;
}

/// A device.
#[derive(Clone, Debug)]
pub struct MmioTransport<R> {
    registers: R,
    device_type: u32,
}

impl<R: Registers> MmioTransport<R> {
    /// Looks what is behind the registers; `None` when they are of a place without a device.
    ///
    /// # Errors
    /// [`Error::Registers`] when they are not virtio's, [`Error::Legacy`] when they are of version 1.
    pub fn new(registers: R) -> Result<Option<Self>, Error> {
        if registers.read32(register::MAGIC_VALUE) != MAGIC {
            return Err(Error::Registers("magic value"));
        }
        let version = registers.read32(register::VERSION);
        let device_type = registers.read32(register::DEVICE_ID);
        match (device_type, version) {
            (0, _) => Ok(None),
            (_, VERSION) => Ok(Some(Self { registers, device_type })),
            (_, 1) => Err(Error::Legacy),
            _ => Err(Error::Registers("version")),
        }
    }

    /// The device type.
    pub fn device_type(&self) -> u32 {
        self.device_type
    }

    fn write64(&self, offset: u64, value: u64) {
        // The halves are 32 bits each.
        self.registers.write32(offset, value as u32);
        self.registers.write32(offset + 4, (value >> 32) as u32);
    }
}

impl<R: Registers> Transport for MmioTransport<R> {
    fn device_features(&self, high: bool) -> u32 {
        self.registers.write32(register::DEVICE_FEATURES_SEL, high.into());
        self.registers.read32(register::DEVICE_FEATURES)
    }

    fn set_driver_features(&self, high: bool, features: u32) {
        self.registers.write32(register::DRIVER_FEATURES_SEL, high.into());
        self.registers.write32(register::DRIVER_FEATURES, features);
    }

    fn status(&self) -> u8 {
        // A bit beyond the byte is none of the specification's, and never what a driver waits for.
        u8::try_from(self.registers.read32(register::STATUS)).unwrap_or(u8::MAX)
    }

    fn set_status(&self, status: u8) {
        self.registers.write32(register::STATUS, status.into());
    }

    fn max_queue_size(&self, queue: u16) -> u16 {
        self.registers.write32(register::QUEUE_SEL, queue.into());
        u16::try_from(self.registers.read32(register::QUEUE_NUM_MAX)).unwrap_or(u16::MAX)
    }

    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Error> {
        self.registers.write32(register::QUEUE_SEL, queue.into());
        self.registers.write32(register::QUEUE_NUM, size.into());
        self.write64(register::QUEUE_DESC, addresses.descriptors);
        self.write64(register::QUEUE_DRIVER, addresses.driver);
        self.write64(register::QUEUE_DEVICE, addresses.device);
        self.registers.write32(register::QUEUE_READY, 1);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        self.registers.write32(register::QUEUE_NOTIFY, queue.into());
    }

    fn config_generation(&self) -> u32 {
        self.registers.read32(register::CONFIG_GENERATION)
    }

    fn config8(&self, offset: u64) -> u8 {
        self.registers.read8(register::CONFIG + offset)
    }

    fn config16(&self, offset: u64) -> u16 {
        self.registers.read16(register::CONFIG + offset)
    }

    fn config32(&self, offset: u64) -> u32 {
        self.registers.read32(register::CONFIG + offset)
    }
}
