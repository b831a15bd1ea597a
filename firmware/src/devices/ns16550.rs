//! The registers of a 16550.

use terminal::ns16550::Registers;

use crate::arch::mmio::Mmio;

impl Registers for Mmio {
    fn read(&self, offset: u64, width: u32) -> u8 {
        match width {
            4 => self.read32(offset).to_le_bytes()[0],
            2 => self.read16(offset).to_le_bytes()[0],
            _ => self.read8(offset),
        }
    }

    fn write(&self, offset: u64, width: u32, value: u8) {
        match width {
            4 => self.write32(offset, value.into()),
            2 => self.write16(offset, value.into()),
            _ => self.write8(offset, value),
        }
    }
}
