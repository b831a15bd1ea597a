//! PCI host bridges: configuration space by ECAM, the functions behind them, and their BARs.

use alloc::vec::Vec;

use formats::machine::{PcieHost, WindowSpace};
use pci::{Address, ConfigSpace, Function, Window, command, read_command};

use crate::arch::mmio::Mmio;
use crate::memory;

/// Configuration space of a host bridge (PCI Express Base, section 7.2.2).
#[derive(Clone, Debug)]
pub struct Ecam {
    registers: Mmio,
    first_bus: u8,
}

impl Ecam {
    fn offset(&self, address: Address, offset: u16) -> u64 {
        // A bus below the first is outside: the offset is far beyond the registers.
        let bus = u64::from(address.bus).wrapping_sub(self.first_bus.into());
        bus << 20 & (u64::MAX >> 1)
            | u64::from(address.device) << 15
            | u64::from(address.function) << 12
            | u64::from(offset)
    }
}

impl ConfigSpace for Ecam {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.registers.read32(self.offset(address, offset))
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.registers.write32(self.offset(address, offset), value);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.registers.write16(self.offset(address, offset), value);
    }
}

/// A host bridge whose functions have been found and placed.
#[derive(Debug)]
pub struct Host {
    /// Its configuration space.
    pub config: Ecam,
    /// What is behind it.
    pub functions: Vec<Function>,
    windows: Vec<formats::machine::Window>,
}

impl Host {
    /// Finds what is behind a host bridge.
    ///
    /// # Errors
    /// When its configuration space cannot be mapped.
    pub fn new(machine: &PcieHost) -> Result<Self, memory::Error> {
        let registers = memory::map_device(machine.ecam.base(), machine.ecam.size())?;
        let config = Ecam { registers, first_bus: machine.first_bus };
        let mut functions = pci::scan(&config, machine.first_bus, machine.last_bus);
        let windows: Vec<_> =
            machine.windows.iter().filter(|window| window.space != WindowSpace::Io).copied().collect();
        let on_bus = windows.iter().filter_map(|window| {
            let end = window.pci_base.checked_add(window.cpu.size())?;
            Some(Window { range: window.pci_base..end, is_64: window.space == WindowSpace::Memory64 })
        });
        let on_bus: Vec<_> = on_bus.collect();
        pci::assign(&config, &mut functions, &on_bus);
        Ok(Self { config, functions, windows })
    }

    /// Maps `length` bytes at `offset` of a BAR; `None` when there is no such part of it.
    pub fn map(&self, function: &Function, bar: u8, offset: u64, length: u64) -> Option<Mmio> {
        let bar = function.bars.iter().find(|candidate| candidate.index == bar)?;
        if offset.checked_add(length)? > bar.size || length == 0 {
            return None;
        }
        let base = bar.base?;
        let window = self
            .windows
            .iter()
            .find(|window| base.checked_sub(window.pci_base).is_some_and(|at| at < window.cpu.size()))?;
        let address = window.cpu.base().checked_add(base - window.pci_base)?.checked_add(offset)?;
        memory::map_device(address, length).ok()
    }

    /// Lets a function decode memory and master the bus, or neither.
    pub fn enable(&self, address: Address, on: bool) {
        let bits = command::MEMORY | command::BUS_MASTER;
        let before = read_command(&self.config, address);
        let after = if on { before | bits } else { before & !command::BUS_MASTER };
        self.config.write16(address, pci::register::COMMAND, after);
    }
}
