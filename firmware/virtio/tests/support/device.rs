//! The device's side of status, features and queue.

use std::cell::RefCell;
use std::rc::Rc;

use super::Machine;

/// What the device does wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The id in the used element.
    pub used_id: Option<u32>,
    /// The length in the used element.
    pub used_length: Option<u32>,
    /// By how much the used index moves, where it should be 1.
    pub used_step: Option<u16>,
    /// The device takes requests and never answers.
    pub silent: bool,
    /// It sets DEVICE_NEEDS_RESET in place of answering.
    pub needs_reset: bool,
    /// It answers, and writes nothing but the used ring.
    pub unwritten: bool,
    /// Of what it is to write, it writes the first part only.
    pub first_part_only: bool,
    /// The requests that go well before all of this.
    pub after: usize,
    /// Ticks that it takes for each answer.
    pub slow: u64,
    /// It never finishes a reset.
    pub never_resets: bool,
    /// It clears FEATURES_OK.
    pub refuses_features: bool,
    /// Its configuration changes whenever it is looked at.
    pub restless: bool,
    /// What it answers in place of the answer: the last bytes of the answer segment.
    pub answer: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct QueueState {
    pub size: u16,
    pub enabled: bool,
    pub descriptors: u64,
    pub driver: u64,
    pub device: u64,
    pub taken: u16,
    pub used: u16,
}

/// A segment of a request.
#[derive(Clone, Debug)]
pub struct Part {
    pub address: u64,
    pub length: u32,
    pub writes: bool,
}

/// What a device does with a request: from what it reads and the lengths of what it may write, to what it writes, part
/// by part, and the length that it reports.
pub trait Function {
    fn answer(&mut self, read: &[Vec<u8>], write: &[usize]) -> Vec<Vec<u8>>;
    /// Whether a request that may write so much is answered at once; it waits otherwise.
    fn has_answer(&self, _write: &[usize]) -> bool {
        true
    }
}

pub struct Device {
    pub machine: Machine,
    pub kind: u32,
    pub features: u64,
    pub driver_features: u64,
    pub status: u8,
    pub max_queue: u16,
    pub queues: Vec<QueueState>,
    pub config: Vec<u8>,
    pub generation: u8,
    pub faults: Faults,
    pub function: Box<dyn Function>,
    pub requests: usize,
    pub resets: usize,
    pub status_reads: usize,
}

pub type Shared = Rc<RefCell<Device>>;

pub const VERSION_1: u64 = 1 << 32;
pub const ACCESS_PLATFORM: u64 = 1 << 33;

impl Device {
    pub fn new(machine: &Machine, kind: u32, features: u64, config: Vec<u8>, function: Box<dyn Function>) -> Self {
        Self {
            machine: machine.clone(),
            kind,
            features: features | VERSION_1 | ACCESS_PLATFORM,
            driver_features: 0,
            status: 0,
            max_queue: 256,
            queues: vec![QueueState::default(); 3],
            config,
            generation: 0,
            faults: Faults::default(),
            function,
            requests: 0,
            resets: 0,
            status_reads: 0,
        }
    }

    pub fn shared(self) -> Shared {
        Rc::new(RefCell::new(self))
    }

    pub fn set_status(&mut self, status: u8) {
        if status == 0 {
            self.resets += 1;
            if self.faults.never_resets {
                return;
            }
            self.queues = vec![QueueState::default(); self.queues.len()];
            self.driver_features = 0;
        }
        self.status = status;
        if self.faults.refuses_features || self.driver_features & !self.features != 0 {
            self.status &= !8;
        }
    }

    pub fn read_status(&mut self) -> u8 {
        self.status_reads += 1;
        self.status
    }

    pub fn read_config(&mut self, offset: usize, length: usize) -> u64 {
        if self.faults.restless {
            self.generation = self.generation.wrapping_add(1);
        }
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(self.config.iter().skip(offset).take(length)) {
            *to = *from;
        }
        u64::from_le_bytes(bytes)
    }

    fn u16_at(&self, address: u64) -> u16 {
        let bytes = self.machine.0.borrow_mut().load(address, 2);
        u16::from_le_bytes(bytes.try_into().unwrap())
    }

    fn chain(&self, queue: &QueueState, head: u16) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut next = Some(head);
        while let Some(index) = next {
            assert!(index < queue.size && parts.len() < usize::from(queue.size), "a chain within the table");
            let bytes = self.machine.0.borrow_mut().load(queue.descriptors + u64::from(index) * 16, 16);
            let flags = u16::from_le_bytes([bytes[12], bytes[13]]);
            parts.push(Part {
                address: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
                length: u32::from_le_bytes(bytes[8..12].try_into().unwrap()),
                writes: flags & 2 != 0,
            });
            next = (flags & 1 != 0).then(|| u16::from_le_bytes([bytes[14], bytes[15]]));
        }
        let first_written = parts.iter().position(|part| part.writes).unwrap_or(parts.len());
        assert!(parts[first_written..].iter().all(|part| part.writes), "what is written comes last (2.7.4.2)");
        parts
    }

    pub fn notified(&mut self, number: u16) {
        assert!(self.status & 4 != 0, "notified before DRIVER_OK");
        let queue = self.queues[usize::from(number)];
        assert!(queue.enabled);
        assert_eq!(self.u16_at(queue.driver), 1, "who looks itself wants no interrupts");
        self.serve_what_waits(number);
    }

    /// Answers the requests of a queue that can be answered now.
    pub fn serve_what_waits(&mut self, number: u16) {
        let mut queue = self.queues[usize::from(number)];
        while queue.taken != self.u16_at(queue.driver + 2) {
            let head = self.u16_at(queue.driver + 4 + u64::from(queue.taken % queue.size) * 2);
            let parts = self.chain(&queue, head);
            let room: Vec<_> = parts.iter().filter(|part| part.writes).map(|part| part.length as usize).collect();
            if !self.function.has_answer(&room) {
                break;
            }
            self.requests += 1;
            queue.taken = queue.taken.wrapping_add(1);
            let faults = if self.requests > self.faults.after { self.faults.clone() } else { Faults::default() };
            if faults.needs_reset {
                self.status |= 64;
            }
            if faults.silent || faults.needs_reset {
                continue;
            }
            self.serve(&mut queue, head, &faults);
        }
        self.queues[usize::from(number)] = queue;
    }

    fn serve(&mut self, queue: &mut QueueState, head: u16, faults: &Faults) {
        let parts = self.chain(queue, head);
        let load = |part: &Part| self.machine.0.borrow_mut().load(part.address, part.length as usize);
        let read: Vec<_> = parts.iter().filter(|part| !part.writes).map(load).collect();
        let room: Vec<_> = parts.iter().filter(|part| part.writes).map(|part| part.length as usize).collect();
        let mut written = self.function.answer(&read, &room);
        if let Some(answer) = &faults.answer {
            let place = written.iter_mut().find(|part| part.len() == answer.len());
            place.unwrap().clone_from(answer);
        }
        let mut memory = self.machine.0.borrow_mut();
        memory.pass(faults.slow);
        let count = match faults {
            Faults { unwritten: true, .. } => 0,
            Faults { first_part_only: true, .. } => 1,
            _ => parts.len(),
        };
        for (part, bytes) in parts.iter().filter(|part| part.writes).zip(&written).take(count) {
            memory.store(part.address, bytes);
        }
        let length = written.iter().map(Vec::len).sum::<usize>() as u32;
        let id = faults.used_id.unwrap_or(head.into());
        let length = faults.used_length.unwrap_or(length);
        let element = [id.to_le_bytes(), length.to_le_bytes()].concat();
        memory.store(queue.device + 4 + u64::from(queue.used % queue.size) * 8, &element);
        queue.used = queue.used.wrapping_add(faults.used_step.unwrap_or(1));
        memory.store(queue.device + 2, &queue.used.to_le_bytes());
    }
}
