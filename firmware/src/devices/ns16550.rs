//! 16550-compatible UARTs (PC16550D), as kvmtool and crosvm have them.

use crate::arch::mmio::Mmio;

/// Receiver and transmitter.
const DATA: u64 = 0;
const FCR: u64 = 2;
const FCR_ENABLE: u8 = 1;
const LCR: u64 = 3;
/// Eight bits, divisor latch off.
const LCR_8N1: u8 = 0b11;
const LSR: u64 = 5;
const LSR_DATA_READY: u8 = 1;
const LSR_THR_EMPTY: u8 = 1 << 5;

/// A 16550 whose registers stand `1 << shift` bytes apart and are accessed `width` bytes at a time.
#[derive(Clone, Copy, Debug)]
pub struct Ns16550 {
    pub registers: Mmio,
    pub shift: u32,
    pub width: u32,
}

impl Ns16550 {
    fn get(&self, register: u64) -> u8 {
        let offset = register << self.shift;
        match self.width {
            4 => self.registers.read32(offset).to_le_bytes()[0],
            2 => self.registers.read16(offset).to_le_bytes()[0],
            _ => self.registers.read8(offset),
        }
    }

    fn set(&self, register: u64, value: u8) {
        let offset = register << self.shift;
        match self.width {
            4 => self.registers.write32(offset, value.into()),
            2 => self.registers.write16(offset, value.into()),
            _ => self.registers.write8(offset, value),
        }
    }

    /// Sets the line up; its rate stays what the VMM set.
    pub fn start(&self) {
        self.set(LCR, LCR_8N1);
        self.set(FCR, FCR_ENABLE);
    }

    /// Sends a byte if there is room for it.
    pub fn try_write(&self, byte: u8) -> bool {
        let room = self.get(LSR) & LSR_THR_EMPTY != 0;
        if room {
            self.set(DATA, byte);
        }
        room
    }

    /// A byte that has come in.
    pub fn read(&self) -> Option<u8> {
        (self.get(LSR) & LSR_DATA_READY != 0).then(|| self.get(DATA))
    }
}
