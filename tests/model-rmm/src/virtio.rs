//! A virtio-mmio device of a host that lies (virtio 1.2, sections 2.7 and 4.2): it stands in front of QEMU's, and from
//! some request on does wrong in its place.

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Requests are never answered.
    Silent,
    /// The used element names a chain that there is not.
    UsedId,
    /// The used index goes further than there were requests.
    UsedIndex,
    /// More bytes were used than the request has.
    UsedLength,
    /// Requests are done without a word on what came of them.
    Status,
    /// In place of an answer the device says that it cannot go on without a reset.
    NeedsReset,
    /// The configuration changes whenever it is read, and there is no capacity in it.
    Config,
    /// A reset never ends.
    Reset,
}

/// The words for the faults.
pub const FAULTS: [(&str, Fault); 8] = [
    ("silent", Fault::Silent),
    ("used-id", Fault::UsedId),
    ("used-index", Fault::UsedIndex),
    ("used-length", Fault::UsedLength),
    ("status", Fault::Status),
    ("needs-reset", Fault::NeedsReset),
    ("config", Fault::Config),
    ("reset", Fault::Reset),
];

/// Which device does what, from which notification on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie {
    /// The number of the transport.
    pub slot: u8,
    /// What is wrong.
    pub fault: Fault,
    /// The first notification that goes wrong, from 1; with 1 the registers are wrong before it.
    pub from: u64,
    /// Whether only those of a block device's writes count.
    pub writes: bool,
}

/// QEMU's first transport, and the bytes of each.
const BASE: u64 = 0x0a00_0000;
const SIZE: u64 = 0x200;

mod register {
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_NUM: u64 = 0x038;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const STATUS: u64 = 0x070;
    pub const QUEUE_DESC_LOW: u64 = 0x080;
    pub const QUEUE_DESC_HIGH: u64 = 0x084;
    pub const QUEUE_DRIVER_LOW: u64 = 0x090;
    pub const QUEUE_DRIVER_HIGH: u64 = 0x094;
    pub const QUEUE_DEVICE_LOW: u64 = 0x0a0;
    pub const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
    pub const CONFIG_GENERATION: u64 = 0x0fc;
    /// Of a block device, in 64 bits.
    pub const CAPACITY_LOW: u64 = 0x100;
    pub const CAPACITY_HIGH: u64 = 0x104;
}

/// A bit of the status (section 2.1).
const DEVICE_NEEDS_RESET: u64 = 64;

/// What comes of a write to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// QEMU's device gets it.
    Pass,
    /// Nothing.
    Drop,
    /// An answer in the used ring that the device did not give.
    Forge(Forged),
}

/// VIRTIO_BLK_T_OUT (section 5.2.6).
const WRITE: u32 = 1;

/// Where the request lies that a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// The descriptor table, as the guest gave it to the device.
    pub descriptors: u64,
    /// The available ring.
    pub driver: u64,
    /// Its number of elements.
    pub size: u16,
}

/// A forged answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged {
    /// The used ring, as the guest gave it to the device.
    pub ring: u64,
    /// Its number of elements.
    pub size: u16,
    /// Where the chain began.
    pub id: u32,
    /// Bytes that were written.
    pub length: u32,
    /// By how much the index moves.
    pub step: u16,
}

/// Queues of a device that the guest may use.
const QUEUES: usize = 3;

/// What the guest told of a queue.
#[derive(Clone, Copy, Debug)]
struct Queue {
    descriptors: u64,
    driver: u64,
    /// The used ring.
    ring: u64,
    size: u16,
}

/// A device that lies.
#[derive(Clone, Debug)]
pub struct Device {
    lie: Lie,
    notifications: u64,
    queues: [Queue; QUEUES],
    /// The queue that registers are of.
    selected: u64,
    reads: u64,
    /// Whether DEVICE_NEEDS_RESET is set.
    needs_reset: bool,
}

impl Device {
    /// The device of a lie.
    pub fn new(lie: Lie) -> Self {
        Self {
            lie,
            notifications: 0,
            queues: [Queue { descriptors: 0, driver: 0, ring: 0, size: 1 }; QUEUES],
            selected: 0,
            reads: 0,
            needs_reset: false,
        }
    }

    /// What it does wrong.
    pub fn lie(&self) -> Lie {
        self.lie
    }

    /// The offset of an address in its registers.
    pub fn offset(&self, address: u64) -> Option<u64> {
        let start = BASE + u64::from(self.lie.slot) * SIZE;
        address.checked_sub(start).filter(|offset| *offset < SIZE)
    }

    /// Where the type of the request is to be found that this write notifies, when that makes a difference.
    pub fn asks(&self, offset: u64, value: u64) -> Option<Rings> {
        if !self.lie.writes || offset != register::QUEUE_NOTIFY {
            return None;
        }
        let Queue { descriptors, driver, size, .. } = *self.queues.get(usize::try_from(value).ok()?)?;
        Some(Rings { descriptors, driver, size })
    }

    /// The guest writes a register; `request` is the type of the request that [`Self::asks`] asks for.
    pub fn write(&mut self, offset: u64, value: u64, request: Option<u32>) -> Outcome {
        match offset {
            register::QUEUE_SEL => self.selected = value,
            register::QUEUE_NOTIFY => return self.notify(value, request),
            register::STATUS if value == 0 => self.needs_reset = false,
            _ => {
                if let Some(queue) = queue(&mut self.queues, self.selected) {
                    queue.write(offset, value);
                }
            }
        }
        Outcome::Pass
    }

    fn notify(&mut self, number: u64, request: Option<u32>) -> Outcome {
        // What comes behind the first that goes wrong goes wrong, whatever it is.
        if self.lie.writes && request != Some(WRITE) && self.notifications < self.lie.from {
            return Outcome::Pass;
        }
        self.notifications = self.notifications.saturating_add(1);
        if self.notifications < self.lie.from {
            return Outcome::Pass;
        }
        let Some(Queue { ring, size, .. }) = queue(&mut self.queues, number).copied() else { return Outcome::Pass };
        let honest = Forged { ring, size, id: 0, length: 1, step: 1 };
        match self.lie.fault {
            Fault::Silent => Outcome::Drop,
            Fault::NeedsReset => {
                self.needs_reset = true;
                Outcome::Drop
            }
            Fault::UsedId => Outcome::Forge(Forged { id: 7, ..honest }),
            Fault::UsedIndex => Outcome::Forge(Forged { step: 2, ..honest }),
            Fault::UsedLength => Outcome::Forge(Forged { length: u32::MAX, ..honest }),
            Fault::Status => Outcome::Forge(honest),
            Fault::Config | Fault::Reset => Outcome::Pass,
        }
    }

    /// The guest reads a register, in which QEMU's device has `value`.
    pub fn read(&mut self, offset: u64, value: u64) -> u64 {
        // What is read between the last good notification and the first bad one is bad.
        let soon = self.notifications.saturating_add(1) >= self.lie.from;
        match (self.lie.fault, offset) {
            (Fault::Config, register::CONFIG_GENERATION) if soon => {
                self.reads = self.reads.saturating_add(1);
                self.reads
            }
            (Fault::Config, register::CAPACITY_LOW | register::CAPACITY_HIGH) if soon => 0,
            (Fault::Reset, register::STATUS) if soon && value == 0 => 1,
            (Fault::NeedsReset, register::STATUS) if self.needs_reset => value | DEVICE_NEEDS_RESET,
            _ => value,
        }
    }
}

fn queue(queues: &mut [Queue; QUEUES], number: u64) -> Option<&mut Queue> {
    queues.get_mut(usize::try_from(number).ok()?)
}

impl Queue {
    fn write(&mut self, offset: u64, value: u64) {
        let low = |old: u64| old & !0xffff_ffff | value & 0xffff_ffff;
        let high = |old: u64| old & 0xffff_ffff | value << 32;
        match offset {
            register::QUEUE_NUM => self.size = u16::try_from(value).unwrap_or(u16::MAX).max(1),
            register::QUEUE_DESC_LOW => self.descriptors = low(self.descriptors),
            register::QUEUE_DESC_HIGH => self.descriptors = high(self.descriptors),
            register::QUEUE_DRIVER_LOW => self.driver = low(self.driver),
            register::QUEUE_DRIVER_HIGH => self.driver = high(self.driver),
            register::QUEUE_DEVICE_LOW => self.ring = low(self.ring),
            register::QUEUE_DEVICE_HIGH => self.ring = high(self.ring),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(fault: Fault, from: u64) -> Device {
        let mut device = Device::new(Lie { slot: 3, fault, from, writes: false });
        assert_eq!(device.write(register::QUEUE_NUM, 8, None), Outcome::Pass);
        assert_eq!(device.write(register::QUEUE_DEVICE_LOW, 0x4000_0200, None), Outcome::Pass);
        assert_eq!(device.write(register::QUEUE_DEVICE_HIGH, 1, None), Outcome::Pass);
        device
    }

    #[test]
    fn answers_are_forged_from_a_request_on() {
        for (fault, id, length, step) in [
            (Fault::UsedId, 7, 1, 1),
            (Fault::UsedIndex, 0, 1, 2),
            (Fault::UsedLength, 0, u32::MAX, 1),
            (Fault::Status, 0, 1, 1),
        ] {
            let mut device = device(fault, 2);
            assert_eq!(device.write(register::QUEUE_NOTIFY, 0, None), Outcome::Pass);
            let forged = Forged { ring: 0x1_4000_0200, size: 8, id, length, step };
            assert_eq!(device.write(register::QUEUE_NOTIFY, 0, None), Outcome::Forge(forged));
            assert_eq!(device.read(register::CONFIG_GENERATION, 5), 5);
        }
        let mut silent = device(Fault::Silent, 1);
        assert_eq!(silent.write(register::QUEUE_NOTIFY, 0, None), Outcome::Drop);
    }

    #[test]
    fn answers_are_forged_in_the_queue_that_is_notified() {
        let mut device = device(Fault::Status, 1);
        assert_eq!(device.write(register::QUEUE_SEL, 1, None), Outcome::Pass);
        assert_eq!(device.write(register::QUEUE_NUM, 4, None), Outcome::Pass);
        assert_eq!(device.write(register::QUEUE_DEVICE_LOW, 0x4000_1200, None), Outcome::Pass);
        assert_eq!(device.write(register::QUEUE_SEL, 9, None), Outcome::Pass);
        assert_eq!(device.write(register::QUEUE_DEVICE_LOW, 0x4000_2200, None), Outcome::Pass);
        let forged = |ring, size| Outcome::Forge(Forged { ring, size, id: 0, length: 1, step: 1 });
        assert_eq!(device.write(register::QUEUE_NOTIFY, 1, None), forged(0x4000_1200, 4));
        assert_eq!(device.write(register::QUEUE_NOTIFY, 0, None), forged(0x1_4000_0200, 8));
        assert_eq!(device.write(register::QUEUE_NOTIFY, 9, None), Outcome::Pass);
    }

    #[test]
    fn registers_lie() {
        let mut device = device(Fault::Config, 1);
        let first = device.read(register::CONFIG_GENERATION, 0);
        assert_ne!(device.read(register::CONFIG_GENERATION, 0), first);
        assert_eq!((device.read(register::CAPACITY_LOW, 8), device.read(register::CAPACITY_HIGH, 1)), (0, 0));
        let mut device = Device::new(Lie { slot: 3, fault: Fault::Reset, from: 1, writes: false });
        assert_eq!((device.read(register::STATUS, 0), device.read(register::STATUS, 15)), (1, 15));
        assert_eq!(device.write(register::QUEUE_NOTIFY, 0, None), Outcome::Pass);
    }

    #[test]
    fn registers_lie_from_a_request_on() {
        let mut device = device(Fault::Config, 2);
        assert_eq!((device.read(register::CONFIG_GENERATION, 0), device.read(register::CAPACITY_LOW, 8)), (0, 8));
        assert_eq!(device.write(register::QUEUE_NOTIFY, 0, None), Outcome::Pass);
        assert_eq!((device.read(register::CONFIG_GENERATION, 0), device.read(register::CAPACITY_LOW, 8)), (1, 0));
        let mut device = Device::new(Lie { slot: 3, fault: Fault::NeedsReset, from: 1, writes: false });
        assert_eq!(device.read(register::STATUS, 15), 15);
        assert_eq!(device.write(register::QUEUE_NOTIFY, 0, None), Outcome::Drop);
        // Until it is reset.
        assert_eq!(device.read(register::STATUS, 15), 79);
        assert_eq!(device.write(register::STATUS, 0, None), Outcome::Pass);
        assert_eq!(device.read(register::STATUS, 15), 15);
    }

    #[test]
    fn writes_are_counted_alone_until_one_goes_wrong() {
        let mut counts = Device::new(Lie { slot: 3, fault: Fault::Silent, from: 2, writes: true });
        for (offset, value) in [
            (register::QUEUE_NUM, 4),
            (register::QUEUE_DESC_LOW, 0x4000_0000),
            (register::QUEUE_DESC_HIGH, 1),
            (register::QUEUE_DRIVER_LOW, 0x4000_0100),
            (register::QUEUE_DRIVER_HIGH, 2),
        ] {
            assert_eq!(counts.write(offset, value, None), Outcome::Pass);
        }
        assert_eq!(counts.asks(register::STATUS, 0), None);
        let rings = Rings { descriptors: 0x1_4000_0000, driver: 0x2_4000_0100, size: 4 };
        assert_eq!(counts.asks(register::QUEUE_NOTIFY, 0), Some(rings));
        for (request, outcome) in [
            (Some(0), Outcome::Pass),
            (Some(WRITE), Outcome::Pass),
            (Some(0), Outcome::Pass),
            (None, Outcome::Pass),
            (Some(WRITE), Outcome::Drop),
            (Some(0), Outcome::Drop),
        ] {
            assert_eq!(counts.write(register::QUEUE_NOTIFY, 0, request), outcome, "{request:?}");
        }
        assert_eq!(device(Fault::Silent, 1).asks(register::QUEUE_NOTIFY, 0), None);
    }

    #[test]
    fn registers_are_the_transport_s_own() {
        let device = device(Fault::Silent, 1);
        assert_eq!(device.offset(0x0a00_0600), Some(0));
        assert_eq!(device.offset(0x0a00_07ff), Some(0x1ff));
        assert_eq!((device.offset(0x0a00_05ff), device.offset(0x0a00_0800)), (None, None));
    }
}
