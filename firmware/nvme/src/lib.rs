//! NVMe (NVM Express Base Specification 2.0, NVM Command Set Specification 1.0) for a driver that has one command under
//! way at a time and looks for its completion: no interrupts.
//!
//! The controller is the host's, and the host may be the attacker. What the controller says is read once, checked and
//! then used: a completion is that of the only command there is, by its identifier and its queue. A controller that
//! breaks the protocol, sets CSTS.CFS or does not answer within [`REQUEST_TIMEOUT`] is disabled and never used again.
#![no_std]

mod queue;

use core::time::Duration;

use driver::{Data, Direction, Error, Medium, Platform, REQUEST_TIMEOUT, Registers, SharedMemory};

use queue::{Command, PAGE, Queue, SIZE};

/// The class code of a controller (NVM Express over PCIe Transport Specification, section 3.1.2): class, subclass and
/// interface.
pub const CLASS: u32 = 0x01_08_02;

/// The BAR with the registers.
pub const BAR: u8 = 0;

/// How many namespaces of a controller are used: those with the lowest identifiers.
pub const MAX_NAMESPACES: usize = 16;

/// Registers (section 3.1.3), and the first doorbell.
mod register {
    pub const CAP: u64 = 0x00;
    pub const INTMS: u64 = 0x0c;
    pub const CC: u64 = 0x14;
    pub const CSTS: u64 = 0x1c;
    pub const AQA: u64 = 0x24;
    pub const ASQ: u64 = 0x28;
    pub const ACQ: u64 = 0x30;
    pub const DOORBELLS: u64 = 0x1000;
}

/// CC.EN.
const ENABLE: u32 = 1;
/// With this the entries of I/O queues have the sizes that they have in the admin queues: CC.IOSQES and CC.IOCQES.
const ENTRY_SIZES: u32 = 6 << 16 | 4 << 20;
/// CSTS.RDY.
const READY: u32 = 1;
/// CSTS.CFS.
const FATAL: u32 = 2;

/// Commands to the controller (section 5).
mod admin {
    pub const CREATE_SUBMISSION_QUEUE: u8 = 1;
    pub const CREATE_COMPLETION_QUEUE: u8 = 5;
    pub const IDENTIFY: u8 = 6;
    pub const SET_FEATURES: u8 = 9;
    /// Feature: Number of Queues.
    pub const QUEUES: u32 = 7;
}

/// Commands for a namespace (NVM Command Set, section 3.2).
mod io {
    pub const FLUSH: u8 = 0;
    pub const WRITE: u8 = 1;
    pub const READ: u8 = 2;
}

/// What Identify gives (section 5.17): the value of CNS, and the places of what is used.
mod identify {
    pub const NAMESPACE: u32 = 0;
    pub const NSZE: usize = 0;
    pub const FLBAS: usize = 26;
    pub const NSATTR: usize = 99;
    pub const EUI64: usize = 120;
    pub const LBAF: usize = 128;

    pub const CONTROLLER: u32 = 1;
    pub const MDTS: usize = 77;
    pub const NN: usize = 516;
    pub const VWC: usize = 525;

    pub const ACTIVE_NAMESPACES: u32 = 2;
}

/// Status types and codes (section 3.3.3.2).
mod status {
    pub const SUCCESS: u32 = 0;
    pub const NAMESPACE_WRITE_PROTECTED: u32 = 0x020;
    pub const WRITE_TO_READ_ONLY_RANGE: u32 = 0x182;
}

/// Where in the memory is what Identify gives, and the list of a transfer's pages: behind two pairs of queues.
const BUFFER: usize = 4 * PAGE;
/// MDTS of the largest transfer whose pages fit one list.
const MAX_MDTS: u8 = 9;

/// A namespace that can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Namespace {
    /// Its identifier: NSID.
    pub id: u32,
    /// Its IEEE extended unique identifier, as Identify has it; zeros when it has none.
    pub eui64: [u8; 8],
    /// Its blocks.
    pub medium: Medium,
}

/// A controller. It is disabled when it is dropped, before the memory that it works on goes back.
#[derive(Debug)]
pub struct Controller<P: Platform, R: Registers> {
    platform: P,
    registers: R,
    /// Bytes between doorbells.
    stride: u64,
    memory: P::Memory,
    admin: Queue,
    io: Queue,
    max_transfer: u32,
    /// The largest identifier of a namespace.
    namespaces: u32,
    has_cache: bool,
    timeout: Duration,
    broken: bool,
}

impl<P: Platform, R: Registers> Controller<P, R> {
    /// Resets the controller and gives it its queues. It has `timeout` for its first answer, by which it is known that
    /// it finds them where it was told.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Reset`], [`Error::NoMemory`]; what gives the controller up: [`Error::Timeout`],
    /// [`Error::ControllerFatal`], [`Error::Protocol`].
    pub fn start(platform: P, registers: R, timeout: Duration) -> Result<Self, Error> {
        let (low, high) = (registers.read32(register::CAP), registers.read32(register::CAP + 4));
        // MQES counts from zero.
        if low & 0xffff < SIZE - 1 {
            return Err(Error::Config("CAP.MQES"));
        }
        if high & 1 << 5 == 0 {
            return Err(Error::Config("CAP.CSS: no NVM command set"));
        }
        if high >> 16 & 0xf != 0 {
            return Err(Error::Config("CAP.MPSMIN: no pages of 4096 bytes"));
        }
        set_enabled(&platform, &registers, false)?;
        let mut controller = Self {
            stride: 4 << (high & 0xf),
            memory: platform.allocate_pages(BUFFER / PAGE + 1).ok_or(Error::NoMemory)?,
            admin: Queue::new(0),
            io: Queue::new(1),
            max_transfer: 0,
            namespaces: 0,
            has_cache: false,
            timeout,
            broken: false,
            platform,
            registers,
        };
        controller.enable()?;
        controller.identify(0, identify::CONTROLLER)?;
        controller.timeout = REQUEST_TIMEOUT;
        let mdts = controller.field(identify::MDTS) as u8;
        // Zero is no limit.
        let exponent = if mdts == 0 { MAX_MDTS } else { mdts.min(MAX_MDTS) };
        controller.max_transfer = (PAGE as u32) << exponent;
        controller.namespaces = controller.field(identify::NN) as u32;
        controller.has_cache = controller.field(identify::VWC) & 1 != 0;
        controller.create_queues()?;
        Ok(controller)
    }

    fn enable(&mut self) -> Result<(), Error> {
        let registers = &self.registers;
        registers.write32(register::AQA, (SIZE - 1) << 16 | (SIZE - 1));
        for (register, address) in [register::ASQ, register::ACQ].into_iter().zip(self.addresses(&self.admin)) {
            // The halves are 32 bits each.
            registers.write32(register, address as u32);
            registers.write32(register + 4, (address >> 32) as u32);
        }
        registers.write32(register::CC, ENTRY_SIZES);
        set_enabled(&self.platform, registers, true)?;
        registers.write32(register::INTMS, u32::MAX);
        Ok(())
    }

    /// Where the controller finds submissions and completions.
    fn addresses(&self, queue: &Queue) -> [u64; 2] {
        let submissions = self.memory.device_address() + queue.submissions() as u64;
        [submissions, submissions + PAGE as u64]
    }

    /// Where it finds the buffer.
    fn buffer(&self) -> u64 {
        self.memory.device_address() + BUFFER as u64
    }

    fn create_queues(&mut self) -> Result<(), Error> {
        /// What is contiguous, as what is one page.
        const CONTIGUOUS: u32 = 1;
        let id = u32::from(self.io.id);
        let size = (SIZE - 1) << 16 | id;
        let [submission, completion] = self.addresses(&self.io);
        // One of each: the numbers count from zero.
        self.create(admin::SET_FEATURES, 0, [admin::QUEUES, 0, 0])?;
        self.create(admin::CREATE_COMPLETION_QUEUE, completion, [size, CONTIGUOUS, 0])?;
        self.create(admin::CREATE_SUBMISSION_QUEUE, submission, [size, id << 16 | CONTIGUOUS, 0])
    }

    fn create(&mut self, opcode: u8, address: u64, words: [u32; 3]) -> Result<(), Error> {
        self.request(true, &Command { opcode, namespace: 0, pages: [address, 0], words })
    }

    fn identify(&mut self, namespace: u32, structure: u32) -> Result<(), Error> {
        let pages = [self.buffer(), 0];
        self.request(true, &Command { opcode: admin::IDENTIFY, namespace, pages, words: [structure, 0, 0] })
    }

    /// A field of up to eight bytes of what Identify gave, and what is behind it.
    fn field(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read(BUFFER + offset, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Gives the namespaces that can be read to `found`.
    ///
    /// # Errors
    /// That of the last namespace that cannot be used; those behind one that gives the controller up are not found.
    pub fn scan(&mut self, mut found: impl FnMut(Namespace)) -> Result<(), Error> {
        let mut list = [0; 4 * MAX_NAMESPACES];
        let has_list = match self.identify(0, identify::ACTIVE_NAMESPACES) {
            Ok(()) => true,
            // Before NVMe 1.1 there is no list: all that there may be are asked for.
            Err(Error::Io) => false,
            Err(error) => return Err(error),
        };
        self.memory.read(BUFFER, &mut list);
        let mut result = Ok(());
        let mut last = 0;
        for (number, entry) in (1..).zip(list.as_chunks().0) {
            let id = if has_list { u32::from_le_bytes(*entry) } else { number };
            // They increase, and zero is the end.
            if id <= last || id > self.namespaces {
                break;
            }
            last = id;
            match self.namespace(id) {
                Ok(Some(namespace)) => found(namespace),
                Ok(None) => {}
                Err(error) if self.broken => return Err(error),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// The namespace, when it is active.
    fn namespace(&mut self, id: u32) -> Result<Option<Namespace>, Error> {
        self.identify(id, identify::NAMESPACE)?;
        let blocks = self.field(identify::NSZE);
        if blocks == 0 {
            return Ok(None);
        }
        let flbas = self.field(identify::FLBAS) as usize;
        // Four bytes each: those of metadata, and the size of a block as a power of two.
        let format = self.field(identify::LBAF + 4 * (flbas & 0xf | flbas >> 1 & 0x30)) as u32;
        if format & 0xffff != 0 {
            return Err(Error::Config("namespace with metadata"));
        }
        let block_size = 1u32.checked_shl(format >> 16 & 0xff).unwrap_or_default();
        let mut medium = Medium::new(block_size, blocks)?;
        medium.read_only = self.field(identify::NSATTR) & 1 != 0;
        Ok(Some(Namespace { id, eui64: self.field(identify::EUI64).to_le_bytes(), medium }))
    }

    /// The most bytes of one transfer, in whole blocks.
    pub fn max_transfer(&self) -> u32 {
        self.max_transfer
    }

    /// Reads or writes whole blocks from `block` on, at most [`Self::max_transfer`] bytes, at an address that is a
    /// multiple of four.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::WriteProtected`], [`Error::Io`]; what gives the controller up: [`Error::Timeout`],
    /// [`Error::ControllerFatal`], [`Error::Protocol`], and from then on [`Error::Broken`].
    pub fn transfer(
        &mut self,
        namespace: &Namespace,
        direction: Direction,
        block: u64,
        data: Data,
    ) -> Result<(), Error> {
        let count = namespace.medium.check(direction, block, data.length)?;
        if data.length > self.max_transfer || !data.address.is_multiple_of(4) {
            return Err(Error::Range);
        }
        let opcode = match direction {
            Direction::Read => io::READ,
            Direction::Write => io::WRITE,
        };
        let pages = self.pages(data);
        // The halves of the number, and at most 4096 blocks, counted from zero.
        let words = [block as u32, (block >> 32) as u32, count - 1];
        self.request(false, &Command { opcode, namespace: namespace.id, pages, words })
    }

    /// The entries for the pages of a transfer (section 4.1.1): the first, and the second or the list of all others.
    fn pages(&mut self, data: Data) -> [u64; 2] {
        const SIZE: u64 = PAGE as u64;
        let in_first = SIZE - data.address % SIZE;
        let second = data.address.wrapping_add(in_first);
        let count = u64::from(data.length).saturating_sub(in_first).div_ceil(SIZE);
        match count {
            0 => [data.address, 0],
            1 => [data.address, second],
            _ => {
                // At most as many as there are in a page.
                for number in 0..count {
                    let entry = second.wrapping_add(number * SIZE);
                    self.memory.write(BUFFER + number as usize * 8, &entry.to_le_bytes());
                }
                [data.address, self.buffer()]
            }
        }
    }

    /// Makes what was written permanent. A controller without a volatile write cache does that with each write.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub fn flush(&mut self, namespace: &Namespace) -> Result<(), Error> {
        if !self.has_cache {
            return if self.broken { Err(Error::Broken) } else { Ok(()) };
        }
        self.request(false, &Command { opcode: io::FLUSH, namespace: namespace.id, pages: [0; 2], words: [0; 3] })
    }

    /// Gives a command to the controller and waits until it is done.
    fn request(&mut self, is_admin: bool, command: &Command) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let Self { platform, registers, memory, admin, io, .. } = self;
        let queue = if is_admin { admin } else { io };
        let doorbell = register::DOORBELLS + 2 * self.stride * u64::from(queue.id);
        registers.write32(doorbell, queue.publish(memory, command));
        let answer = driver::wait(platform, self.timeout, &mut |looks| match queue.take(memory)? {
            None if looks && registers.read32(register::CSTS) & FATAL != 0 => Err(Error::ControllerFatal),
            status => Ok(status),
        });
        match answer {
            Ok(status) => {
                registers.write32(doorbell + self.stride, queue.next());
                match status {
                    status::SUCCESS => Ok(()),
                    status::NAMESPACE_WRITE_PROTECTED | status::WRITE_TO_READ_ONLY_RANGE => Err(Error::WriteProtected),
                    _ => Err(Error::Io),
                }
            }
            Err(error) => {
                self.quiesce();
                Err(error)
            }
        }
    }

    /// Disables the controller, for good: it touches no memory from then on.
    pub fn quiesce(&mut self) {
        if !self.broken {
            self.broken = true;
            // A controller that does not stop is as far away as a driver can bring it.
            let _ = set_enabled(&self.platform, &self.registers, false);
        }
    }
}

impl<P: Platform, R: Registers> Drop for Controller<P, R> {
    fn drop(&mut self) {
        self.quiesce();
    }
}

/// Sets CC.EN and waits until the controller says so.
///
/// # Errors
/// [`Error::Reset`]; of one that is to be enabled [`Error::Protocol`], [`Error::ControllerFatal`].
fn set_enabled<P: Platform>(platform: &P, registers: &impl Registers, on: bool) -> Result<(), Error> {
    // Nothing else of the register may change.
    let configuration = registers.read32(register::CC) & !ENABLE;
    registers.write32(register::CC, configuration | u32::from(on));
    let mut is_done = |_| {
        let status = registers.read32(register::CSTS);
        if on && status & FATAL != 0 {
            return Err(Error::ControllerFatal);
        }
        Ok((status & READY == u32::from(on)).then_some(status))
    };
    match driver::wait(platform, REQUEST_TIMEOUT, &mut is_done) {
        Err(Error::Timeout) => Err(if on { Error::Protocol("never ready") } else { Error::Reset }),
        result => result.map(drop),
    }
}
