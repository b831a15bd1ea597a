//! virtio over PCI, modern interface only (section 4.1): where the capabilities say that the registers are, and the
//! registers themselves.

use crate::transport::{QueueAddresses, Registers, Transport};
use crate::{Error, device_type};

/// The vendor of virtio devices.
pub const VENDOR: u16 = 0x1af4;
/// The device numbers of modern devices: this and the device type.
const MODERN_DEVICE: u16 = 0x1040;
/// The numbers of transitional devices, whose modern interface is as good as any, and their types (section 4.1.2.1).
const TRANSITIONAL: [(u16, u32); 4] = [
    (0x1001, device_type::BLOCK),
    (0x1003, device_type::CONSOLE),
    (0x1004, device_type::SCSI_HOST),
    (0x1005, device_type::ENTROPY),
];

/// The device type by vendor and device number; `None` for what is no virtio device.
pub fn device_type(vendor: u16, device: u16) -> Option<u32> {
    if vendor != VENDOR {
        return None;
    }
    match device.checked_sub(MODERN_DEVICE) {
        Some(kind) => (kind < 0x40).then_some(kind.into()),
        None => TRANSITIONAL.iter().find(|(number, _)| *number == device).map(|(_, kind)| *kind),
    }
}

/// The structures of a device (section 4.1.4).
mod structure {
    pub const COMMON: u8 = 1;
    pub const NOTIFY: u8 = 2;
    pub const DEVICE: u8 = 4;
}

/// Bytes of the common configuration structure, up to what version 1.0 has.
const COMMON_LEN: u32 = 0x38;

/// A part of a BAR.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The number of the BAR.
    pub bar: u8,
    /// Where in it.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// Where the structures of a device are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    /// Common configuration.
    pub common: Place,
    /// Notification.
    pub notify: Place,
    /// What a queue's offset is multiplied with.
    pub notify_multiplier: u32,
    /// The device's configuration.
    pub device: Option<Place>,
}

impl Layout {
    /// Collects the structures from the vendor-specific capabilities, each given by the bytes it has (at most 20
    /// count): of several of one kind the first that can be used (section 4.1.4.1).
    ///
    /// # Errors
    /// [`Error::Legacy`] when the common configuration or the notification is missing.
    pub fn from_capabilities<'a>(capabilities: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let mut common = None;
        let mut notify = None;
        let mut device = None;
        for bytes in capabilities {
            let Some((kind, place)) = place(bytes) else { continue };
            match kind {
                structure::COMMON if place.length >= COMMON_LEN => common = common.or(Some(place)),
                structure::NOTIFY if place.length >= 2 => {
                    let Some(multiplier) = u32_at(bytes, 16) else { continue };
                    notify = notify.or(Some((place, multiplier)));
                }
                structure::DEVICE => device = device.or(Some(place)),
                _ => {}
            }
        }
        match (common, notify) {
            (Some(common), Some((notify, notify_multiplier))) => Ok(Self { common, notify, notify_multiplier, device }),
            _ => Err(Error::Legacy),
        }
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// The kind of a structure and its place, when it is one that ends within 32 bits.
fn place(bytes: &[u8]) -> Option<(u8, Place)> {
    let kind = *bytes.get(3)?;
    let bar = *bytes.get(4)?;
    let (offset, length) = (u32_at(bytes, 8)?, u32_at(bytes, 12)?);
    let usable = bar <= 5 && offset.is_multiple_of(4) && offset.checked_add(length).is_some();
    usable.then_some((kind, Place { bar, offset, length }))
}

/// Offsets in the common configuration (section 4.1.4.3).
mod register {
    pub const DEVICE_FEATURE_SELECT: u64 = 0x00;
    pub const DEVICE_FEATURE: u64 = 0x04;
    pub const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub const DRIVER_FEATURE: u64 = 0x0c;
    pub const NUM_QUEUES: u64 = 0x12;
    pub const DEVICE_STATUS: u64 = 0x14;
    pub const CONFIG_GENERATION: u64 = 0x15;
    pub const QUEUE_SELECT: u64 = 0x16;
    pub const QUEUE_SIZE: u64 = 0x18;
    pub const QUEUE_ENABLE: u64 = 0x1c;
    pub const QUEUE_NOTIFY_OFF: u64 = 0x1e;
    pub const QUEUE_DESC: u64 = 0x20;
    pub const QUEUE_DRIVER: u64 = 0x28;
    pub const QUEUE_DEVICE: u64 = 0x30;
}

/// Queues of a device that a driver here enables: the last of them is the first request queue of a SCSI host.
const QUEUES: usize = 3;

/// A device.
#[derive(Clone, Debug)]
pub struct PciTransport<R> {
    common: R,
    notify: R,
    notify_length: u32,
    notify_multiplier: u32,
    /// Where in `notify` each queue is notified.
    notify_offsets: [u64; QUEUES],
    device: Option<R>,
}

impl<R: Registers> PciTransport<R> {
    /// A device whose structures `map` makes accessible.
    ///
    /// # Errors
    /// What `map` returns.
    pub fn new<E>(layout: &Layout, mut map: impl FnMut(Place) -> Result<R, E>) -> Result<Self, E> {
        Ok(Self {
            common: map(layout.common)?,
            notify: map(layout.notify)?,
            notify_length: layout.notify.length,
            notify_multiplier: layout.notify_multiplier,
            notify_offsets: [0; QUEUES],
            device: layout.device.map(map).transpose()?,
        })
    }

    fn write64(&self, offset: u64, value: u64) {
        // The halves are 32 bits each.
        self.common.write32(offset, value as u32);
        self.common.write32(offset + 4, (value >> 32) as u32);
    }
}

impl<R: Registers> Transport for PciTransport<R> {
    fn device_features(&self, high: bool) -> u32 {
        self.common.write32(register::DEVICE_FEATURE_SELECT, high.into());
        self.common.read32(register::DEVICE_FEATURE)
    }

    fn set_driver_features(&self, high: bool, features: u32) {
        self.common.write32(register::DRIVER_FEATURE_SELECT, high.into());
        self.common.write32(register::DRIVER_FEATURE, features);
    }

    fn status(&self) -> u8 {
        self.common.read8(register::DEVICE_STATUS)
    }

    fn set_status(&self, status: u8) {
        self.common.write8(register::DEVICE_STATUS, status);
    }

    fn max_queue_size(&self, queue: u16) -> u16 {
        if queue >= self.common.read16(register::NUM_QUEUES) {
            return 0;
        }
        self.common.write16(register::QUEUE_SELECT, queue);
        self.common.read16(register::QUEUE_SIZE)
    }

    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Error> {
        self.common.write16(register::QUEUE_SELECT, queue);
        let notify_off = self.common.read16(register::QUEUE_NOTIFY_OFF);
        // At most 16 and 32 bits.
        let offset = u64::from(notify_off) * u64::from(self.notify_multiplier);
        if offset + 2 > self.notify_length.into() || !offset.is_multiple_of(2) {
            return Err(Error::Registers("queue_notify_off"));
        }
        *self.notify_offsets.get_mut(usize::from(queue)).ok_or(Error::Queue(queue))? = offset;
        self.common.write16(register::QUEUE_SIZE, size);
        self.write64(register::QUEUE_DESC, addresses.descriptors);
        self.write64(register::QUEUE_DRIVER, addresses.driver);
        self.write64(register::QUEUE_DEVICE, addresses.device);
        self.common.write16(register::QUEUE_ENABLE, 1);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        if let Some(offset) = self.notify_offsets.get(usize::from(queue)) {
            self.notify.write16(*offset, queue);
        }
    }

    fn config_generation(&self) -> u32 {
        self.common.read8(register::CONFIG_GENERATION).into()
    }

    fn config8(&self, offset: u64) -> u8 {
        self.device.as_ref().map_or(0, |device| device.read8(offset))
    }

    fn config16(&self, offset: u64) -> u16 {
        self.device.as_ref().map_or(0, |device| device.read16(offset))
    }

    fn config32(&self, offset: u64) -> u32 {
        self.device.as_ref().map_or(0, |device| device.read32(offset))
    }
}
