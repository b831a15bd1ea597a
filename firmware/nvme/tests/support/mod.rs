//! A controller as the specification has it, which can be told to break every rule.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "../../../driver/tests/support/machine.rs"]
mod machine;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use driver::Registers;

pub use machine::Machine;

/// What the controller does wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// What the identifier of the command in a completion is off by.
    pub command: u16,
    /// Likewise that of the queue.
    pub queue: u16,
    /// It takes commands and never answers.
    pub silent: bool,
    /// It sets CSTS.CFS in place of answering.
    pub fatal: bool,
    /// It answers with the phase that is there already.
    pub stale: bool,
    /// The status that it answers with, and the opcode of what it does then; admin commands are from 0x100 on.
    pub status: Option<(u16, u16)>,
    /// CSTS.RDY does not change.
    pub never_ready: bool,
    /// It sets CSTS.CFS in place of it.
    pub never_starts: bool,
    pub never_stops: bool,
    /// Ticks that it takes for each answer.
    pub slow: u64,
}

/// A namespace: what Identify says of it, and what was written to it, by block.
#[derive(Clone, Debug)]
pub struct Disk {
    pub blocks: u64,
    pub exponent: u8,
    pub metadata: u16,
    pub flbas: u8,
    pub attributes: u8,
    pub eui64: [u8; 8],
    pub written: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    pub fn new(blocks: u64, exponent: u8) -> Self {
        let (eui64, written) = ([0; 8], BTreeMap::new());
        Self { blocks, exponent, metadata: 0, flbas: 0, attributes: 0, eui64, written }
    }

    /// What a block has from the start: its number.
    pub fn block(&self, number: u64) -> Vec<u8> {
        let fresh = || number.to_le_bytes().repeat(1 << self.exponent >> 3);
        self.written.get(&number).cloned().unwrap_or_else(fresh)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    address: u64,
    size: u16,
    at: u16,
    /// Of completions: the phase on this way through the queue is 0.
    second_way: bool,
    /// Of completions: what the driver has taken.
    taken: u16,
    exists: bool,
}

#[derive(Debug)]
pub struct Device {
    pub machine: Machine,
    pub cap: u64,
    pub disks: BTreeMap<u32, Disk>,
    /// NN.
    pub namespaces: u32,
    pub mdts: u8,
    pub vwc: u8,
    /// Whether there is the list of active namespaces, and what it has in place of what is right.
    pub has_list: bool,
    pub list: Option<Vec<u32>>,
    pub faults: Faults,
    pub ready: bool,
    pub fatal: bool,
    pub interrupt_mask: u32,
    pub cc: u32,
    aqa: u32,
    asq: u64,
    acq: u64,
    submissions: [Queue; 2],
    completions: [Queue; 2],
    /// Opcodes; those of admin commands are from 0x100 on.
    pub commands: Vec<u16>,
    pub resets: usize,
    pub status_reads: usize,
}

/// The registers of a controller.
#[derive(Clone, Debug)]
pub struct Fake(pub Rc<RefCell<Device>>);

/// CAP: 256 entries, contiguous, 10 s, the NVM command set, pages of 4096 bytes, doorbells 16 bytes apart.
pub const CAP: u64 = 255 | 1 << 16 | 20 << 24 | 2 << 32 | 1 << 37;
const STRIDE: u64 = 16;

impl Fake {
    pub fn new(machine: &Machine, disks: impl IntoIterator<Item = (u32, Disk)>) -> Self {
        Self(Rc::new(RefCell::new(Device {
            machine: machine.clone(),
            cap: CAP,
            disks: disks.into_iter().collect(),
            namespaces: 300,
            mdts: 0,
            vwc: 1,
            has_list: true,
            list: None,
            faults: Faults::default(),
            ready: false,
            fatal: false,
            interrupt_mask: 0,
            cc: 0,
            aqa: 0,
            asq: 0,
            acq: 0,
            submissions: [Queue::default(); 2],
            completions: [Queue::default(); 2],
            commands: Vec::new(),
            resets: 0,
            status_reads: 0,
        })))
    }
}

impl Device {
    fn configure(&mut self, value: u32) {
        let (was, is) = (self.cc & 1 != 0, value & 1 != 0);
        assert!(!was || is || self.cc & !1 == value, "nothing else changes when the controller is disabled");
        self.cc = value;
        self.fatal |= is && self.faults.never_starts;
        if is && !was && !self.fatal && !self.faults.never_ready {
            assert!(!self.ready, "the controller has stopped before");
            assert_eq!(value >> 4 & 0xfff, 0, "command set, page size, arbitration: {value:#x}");
            assert_eq!((value >> 16 & 0xf, value >> 20 & 0xf), (6, 4), "sizes of entries");
            assert!(self.asq.is_multiple_of(4096) && self.acq.is_multiple_of(4096));
            let queue = |address, size: u32| {
                let size = (size & 0xfff) as u16 + 1;
                assert!(size >= 2);
                Queue { address, size, exists: true, ..Queue::default() }
            };
            self.submissions = [queue(self.asq, self.aqa), Queue::default()];
            self.completions = [queue(self.acq, self.aqa >> 16), Queue::default()];
            self.ready = true;
        }
        if !is {
            self.resets += usize::from(was);
            if !self.faults.never_stops {
                self.ready = false;
                self.fatal = false;
                self.interrupt_mask = 0;
            }
        }
    }

    fn doorbell(&mut self, number: u64, value: u16) {
        let queue = (number / 2) as usize;
        if number % 2 == 1 {
            assert!(value < self.completions[queue].size);
            self.completions[queue].taken = value;
            return;
        }
        assert!(self.ready && self.submissions[queue].exists && value < self.submissions[queue].size);
        while self.submissions[queue].at != value {
            let Queue { address, size, at, .. } = self.submissions[queue];
            let entry = self.machine.0.borrow_mut().load(address + u64::from(at) * 64, 64);
            self.submissions[queue].at = (at + 1) % size;
            self.command(queue, &entry);
        }
    }

    fn command(&mut self, queue: usize, entry: &[u8]) {
        let word = |number: usize| u32::from_le_bytes(entry[number * 4..][..4].try_into().unwrap());
        let opcode = u16::from(entry[0]) | if queue == 0 { 0x100 } else { 0 };
        assert_eq!(entry[1], 0, "PRPs, not fused");
        self.commands.push(opcode);
        if self.faults.silent {
            return;
        }
        if self.faults.fatal {
            self.fatal = true;
            return;
        }
        let status = match self.faults.status {
            Some((status, of)) if of == opcode => status,
            _ => self.execute(opcode, entry, &word),
        };
        self.machine.0.borrow_mut().pass(self.faults.slow);
        let command = (word(0) >> 16) as u16;
        assert_ne!(command, 0xffff, "no command's identifier");
        let Queue { address, size, at, second_way, taken, .. } = self.completions[queue];
        assert_ne!((at + 1) % size, taken, "room for the completion");
        let phase = u16::from(!second_way ^ self.faults.stale);
        let mut completion = [0; 8].to_vec();
        for field in [
            self.submissions[queue].at,
            queue as u16 + self.faults.queue,
            command.wrapping_add(self.faults.command),
            status << 1 | phase,
        ] {
            completion.extend(field.to_le_bytes());
        }
        self.machine.0.borrow_mut().store(address + u64::from(at) * 16, &completion);
        let end = at + 1 == size;
        self.completions[queue].at = if end { 0 } else { at + 1 };
        self.completions[queue].second_way = second_way ^ end;
    }

    fn execute(&mut self, opcode: u16, entry: &[u8], word: &dyn Fn(usize) -> u32) -> u16 {
        let prp = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap());
        let (first, second) = (prp(24), prp(32));
        match opcode {
            0x106 => {
                let Some(data) = self.identify(word(10), word(1)) else { return 0x4002 };
                assert!(first.is_multiple_of(4096));
                self.machine.0.borrow_mut().store(first, &data);
            }
            0x109 => assert_eq!((word(10), word(11)), (7, 0), "one queue of each kind"),
            0x105 | 0x101 => {
                let (id, size) = (word(10) as u16, (word(10) >> 16) as u16 + 1);
                assert!(id == 1 && size >= 2 && u64::from(size) <= (self.cap & 0xffff) + 1);
                assert!(first.is_multiple_of(4096) && word(11) & 1 == 1, "contiguous");
                let queue = Queue { address: first, size, exists: true, ..Queue::default() };
                if opcode == 0x105 {
                    assert_eq!(word(11), 1, "no interrupts");
                    self.completions[1] = queue;
                } else {
                    assert!(word(11) >> 16 == 1 && self.completions[1].exists, "its completion queue");
                    self.submissions[1] = queue;
                }
            }
            0..=2 => return self.transfer(opcode, word, (first, second)),
            _ => panic!("command {opcode:#x}"),
        }
        0
    }

    fn transfer(&mut self, opcode: u16, word: &dyn Fn(usize) -> u32, (first, second): (u64, u64)) -> u16 {
        let Some(disk) = self.disks.get_mut(&word(1)) else { return 0x400b };
        if opcode == 0 {
            return 0;
        }
        let (start, count) = (u64::from(word(10)) | u64::from(word(11)) << 32, u64::from(word(12) & 0xffff) + 1);
        if start + count > disk.blocks {
            return 0x4080;
        }
        let size = 1usize << disk.exponent;
        let length = count as usize * size;
        assert!(self.mdts == 0 || length <= 4096 << self.mdts);
        // The memory, page by page.
        let mut memory = self.machine.0.borrow_mut();
        assert!(first.is_multiple_of(4));
        let in_first = (4096 - first % 4096) as usize;
        let mut parts = vec![(first, length.min(in_first))];
        let rest = length.saturating_sub(in_first);
        if rest > 4096 {
            let count = rest.div_ceil(4096);
            assert!(second.is_multiple_of(8) && second % 4096 + count as u64 * 8 <= 4096, "no list goes on elsewhere");
            for number in 0..count {
                let entry = memory.load(second + number as u64 * 8, 8);
                let page = u64::from_le_bytes(entry.try_into().unwrap());
                assert!(page.is_multiple_of(4096));
                parts.push((page, (rest - number * 4096).min(4096)));
            }
        } else if rest > 0 {
            assert!(second.is_multiple_of(4096));
            parts.push((second, rest));
        } else {
            assert_eq!(second, 0, "reserved");
        }
        if opcode == 1 {
            let bytes =
                parts.iter().map(|(address, length)| memory.load(*address, *length)).collect::<Vec<_>>().concat();
            let blocks = (start..).zip(bytes.chunks(size).map(<[u8]>::to_vec));
            disk.written.extend(blocks);
        } else {
            let bytes = (start..start + count).map(|number| disk.block(number)).collect::<Vec<_>>().concat();
            let mut bytes = &bytes[..];
            for (address, length) in parts {
                memory.store(address, &bytes[..length]);
                bytes = &bytes[length..];
            }
        }
        0
    }

    fn identify(&self, structure: u32, namespace: u32) -> Option<Vec<u8>> {
        let mut data = vec![0; 4096];
        match structure {
            0 => {
                let Some(disk) = self.disks.get(&namespace) else { return Some(data) };
                let place =
                    |data: &mut [u8], at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
                place(&mut data, 0, &disk.blocks.to_le_bytes());
                // Formats that are not those of the namespace, and the one that is.
                data[128..384].fill(0xff);
                let format = usize::from(disk.flbas & 0xf | disk.flbas >> 1 & 0x30);
                let [m0, m1] = disk.metadata.to_le_bytes();
                place(&mut data, 128 + 4 * format, &[m0, m1, disk.exponent, 0]);
                data[26] = disk.flbas;
                data[99] = disk.attributes;
                place(&mut data, 120, &disk.eui64);
            }
            1 => {
                data[77] = self.mdts;
                data[516..520].copy_from_slice(&self.namespaces.to_le_bytes());
                data[525] = self.vwc;
            }
            2 if self.has_list => {
                let right = || self.disks.keys().copied().collect();
                let list = self.list.clone().unwrap_or_else(right);
                let bytes: Vec<_> = list.into_iter().flat_map(u32::to_le_bytes).collect();
                data[..bytes.len()].copy_from_slice(&bytes);
            }
            _ => return None,
        }
        Some(data)
    }
}

impl Registers for Fake {
    fn read8(&self, offset: u64) -> u8 {
        panic!("a byte at {offset:#x}")
    }

    fn read16(&self, offset: u64) -> u16 {
        panic!("two bytes at {offset:#x}")
    }

    fn read32(&self, offset: u64) -> u32 {
        let mut device = self.0.borrow_mut();
        match offset {
            0 => device.cap as u32,
            4 => (device.cap >> 32) as u32,
            0x14 => device.cc,
            0x1c => {
                device.status_reads += 1;
                u32::from(device.ready) | u32::from(device.fatal) << 1
            }
            _ => panic!("read of {offset:#x}"),
        }
    }

    fn write8(&self, offset: u64, _: u8) {
        panic!("a byte to {offset:#x}")
    }

    fn write16(&self, offset: u64, _: u16) {
        panic!("two bytes to {offset:#x}")
    }

    fn write32(&self, offset: u64, value: u32) {
        let mut device = self.0.borrow_mut();
        let half = |whole: u64| {
            let shift = (offset & 4) * 8;
            whole & !(0xffff_ffff << shift) | u64::from(value) << shift
        };
        match offset {
            0x0c => device.interrupt_mask = value,
            0x14 => device.configure(value),
            0x24 => device.aqa = value,
            0x28 | 0x2c => device.asq = half(device.asq),
            0x30 | 0x34 => device.acq = half(device.acq),
            0x1000.. if (offset - 0x1000).is_multiple_of(STRIDE) => {
                device.doorbell((offset - 0x1000) / STRIDE, value.try_into().unwrap());
            }
            _ => panic!("write of {offset:#x}"),
        }
    }
}
