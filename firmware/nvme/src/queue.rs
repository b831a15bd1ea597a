//! A submission queue and the completion queue that belongs to it, with one command at a time (sections 3.3.1 and 4).
//!
//! Commands are counted, and the number of a command gives its entry, its identifier and the phase of its completion: all
//! of these have one right value. Submissions are written and never read.

use driver::{Error, SharedMemory};

/// Entries of a queue, of which one stays free.
pub const SIZE: u32 = 2;

/// Bytes of a page of memory: CC.MPS is 0.
pub const PAGE: usize = 4096;

const SUBMISSION_LEN: usize = 64;
const COMPLETION_LEN: usize = 16;
/// Where a completion has the queue and the command, and the phase and status behind them.
const QUEUE: usize = 10;
const STATUS: usize = 14;

/// What is different from command to command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Opcode.
    pub opcode: u8,
    /// NSID.
    pub namespace: u32,
    /// PRP1 and PRP2.
    pub pages: [u64; 2],
    /// CDW10 to CDW12.
    pub words: [u32; 3],
}

/// The queues, which have a page each in the memory of the controller.
#[derive(Debug)]
pub struct Queue {
    /// Their identifier.
    pub id: u16,
    /// Commands that are done.
    count: u16,
}

impl Queue {
    /// The queues with this identifier: 0 or 1.
    pub const fn new(id: u16) -> Self {
        Self { id, count: 0 }
    }

    /// Where submissions are in the memory; completions are in the page behind them.
    pub fn submissions(&self) -> usize {
        usize::from(self.id) * 2 * PAGE
    }

    /// The entry of the next command, with the number for the doorbell: [`SIZE`] is 2.
    pub fn next(&self) -> u32 {
        u32::from(self.count & 1)
    }

    /// Writes a command and returns the tail behind it.
    pub fn publish(&self, memory: &mut impl SharedMemory, command: &Command) -> u32 {
        let [word10, word11, word12] = command.words;
        let [first, second] = command.pages;
        let words = [
            u32::from(self.count) << 16 | u32::from(command.opcode),
            command.namespace,
            0,
            0,
            0,
            0,
            // The halves are 32 bits each.
            first as u32,
            (first >> 32) as u32,
            second as u32,
            (second >> 32) as u32,
            word10,
            word11,
            word12,
        ];
        let at = self.next();
        let entry = self.submissions() + at as usize * SUBMISSION_LEN;
        for (offset, word) in (entry..).step_by(4).zip(words) {
            memory.write(offset, &word.to_le_bytes());
        }
        at ^ 1
    }

    /// The status type and code of the command, when it is done.
    ///
    /// # Errors
    /// [`Error::Protocol`].
    pub fn take(&mut self, memory: &impl SharedMemory) -> Result<Option<u32>, Error> {
        let at = self.submissions() + PAGE + self.next() as usize * COMPLETION_LEN;
        let status = memory.load16(at + STATUS);
        // The phase is 1 on the first way through the queue, then 0, and so on.
        if status & 1 == self.count >> 1 & 1 {
            return Ok(None);
        }
        let mut identifiers = [0; 4];
        memory.read(at + QUEUE, &mut identifiers);
        let [q0, q1, c0, c1] = identifiers;
        if u16::from_le_bytes([q0, q1]) != self.id {
            return Err(Error::Protocol("completion: queue"));
        }
        if u16::from_le_bytes([c0, c1]) != self.count {
            return Err(Error::Protocol("completion: command"));
        }
        // FFFFh is no command's identifier (NVMe Base 2.0, 3.3.3.1).
        self.count = self.count.wrapping_add(1) & 0x7fff;
        // Above these there is how to repeat the command.
        Ok(Some(u32::from(status >> 1 & 0x7ff)))
    }
}
