//! Arm PL011 (DDI 0183).

use crate::arch::mmio::Mmio;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCR_H: u64 = 0x2c;
/// FIFOs on, eight bits.
const LCR_H_8N1: u32 = (0b11 << 5) | (1 << 4);
const CR: u64 = 0x30;
/// UART, transmitter and receiver on.
const CR_ON: u32 = (1 << 9) | (1 << 8) | 1;

/// Turns the UART on; its rate stays what the VMM set.
pub fn start(registers: Mmio) {
    registers.write32(LCR_H, LCR_H_8N1);
    registers.write32(CR, CR_ON);
}

/// Sends a byte if there is room for it.
pub fn try_write(registers: Mmio, byte: u8) -> bool {
    let room = registers.read32(FR) & FR_TXFF == 0;
    if room {
        registers.write32(DR, u32::from(byte));
    }
    room
}

/// Whether a byte has come in.
pub fn has_input(registers: Mmio) -> bool {
    registers.read32(FR) & FR_RXFE == 0
}

/// A byte that has come in.
pub fn read(registers: Mmio) -> Option<u8> {
    if !has_input(registers) {
        return None;
    }
    let [byte, ..] = registers.read32(DR).to_le_bytes();
    Some(byte)
}
