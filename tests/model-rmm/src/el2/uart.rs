//! The UART of a kvmtool launch: a 16550 for the realm, QEMU's PL011 behind it.

use core::ops::Range;

use model_rmm::ns16550::{self, Line, Ns16550};

use super::mmio;

/// The emulated UART.
#[derive(Debug)]
pub struct Uart {
    registers: Range<u64>,
    chip: Ns16550,
    pl011: Pl011,
}

impl Uart {
    /// A 16550 at `base` whose bytes go through the PL011 at `pl011`.
    pub fn new(base: u64, pl011: u64) -> Self {
        const LCR_H: u64 = 0x2c;
        const LCR_H_8N1_FIFOS: u64 = 0b111 << 4;
        const CR: u64 = 0x30;
        const CR_ON: u64 = 0x301;
        mmio::store(pl011 + LCR_H, 4, LCR_H_8N1_FIFOS);
        mmio::store(pl011 + CR, 4, CR_ON);
        Self { registers: ns16550::registers(base), chip: Ns16550::default(), pl011: Pl011(pl011) }
    }

    fn offset(&self, address: u64) -> Option<u64> {
        self.registers.contains(&address).then(|| address - self.registers.start)
    }

    /// A realm's load; none from elsewhere. Whatever its size, it reads one register.
    pub fn load(&mut self, address: u64) -> Option<u64> {
        let offset = self.offset(address)?;
        Some(self.chip.read(offset, &mut self.pl011).into())
    }

    /// A realm's store; none elsewhere. Whatever its size, it writes one register.
    pub fn store(&mut self, address: u64, value: u64) -> Option<()> {
        let [byte, ..] = value.to_le_bytes();
        let offset = self.offset(address)?;
        self.chip.write(offset, byte, &mut self.pl011);
        Some(())
    }
}

/// Arm PL011 (DDI 0183).
#[derive(Debug)]
struct Pl011(u64);

const DR: u64 = 0;
const FR: u64 = 0x18;
const FR_RXFE: u64 = 1 << 4;
const FR_TXFF: u64 = 1 << 5;

impl Pl011 {
    fn flag(&self, flag: u64) -> bool {
        mmio::load(self.0 + FR, 4).is_some_and(|flags| flags & flag != 0)
    }
}

impl Line for Pl011 {
    fn has_room(&self) -> bool {
        !self.flag(FR_TXFF)
    }

    fn send(&mut self, byte: u8) {
        mmio::store(self.0 + DR, 4, byte.into());
    }

    fn has_byte(&self) -> bool {
        !self.flag(FR_RXFE)
    }

    fn receive(&mut self) -> u8 {
        let [byte, ..] = mmio::load(self.0 + DR, 4).unwrap_or(0).to_le_bytes();
        byte
    }
}
