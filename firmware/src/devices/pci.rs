//! PCI host bridges: configuration space by ECAM, the functions behind them, and their BARs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use formats::Region;
use formats::machine::{Machine, PcieHost, WindowSpace};
use pci::access::CONFIG_LENGTH;
use pci::{Address, ConfigSpace, Function, Window, command, read_command};
use spin::Mutex;

use crate::arch::mmio::Mmio;
use crate::{log, memory};

/// Configuration space of a host bridge (PCI Express Base, section 7.2.2).
#[derive(Debug)]
pub struct Ecam {
    registers: Mmio,
    region: Region,
    first_bus: u8,
    last_bus: u8,
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

    /// The first bus, and how many there are.
    pub fn buses(&self) -> (u64, u64) {
        (self.first_bus.into(), u64::from(self.last_bus - self.first_bus) + 1)
    }

    /// Where the CPU has `length` bytes of a function's registers; `None` when there is no such part of them.
    pub fn cpu_address(&self, address: Address, register: u64, length: u64) -> Option<u64> {
        let there = (self.first_bus..=self.last_bus).contains(&address.bus) && address.device < 32;
        if !there || address.function > 7 || register.checked_add(length)? > CONFIG_LENGTH {
            return None;
        }
        // There is configuration space for all buses from the first to the last (`PcieHost`).
        self.region.base().checked_add(self.offset(address, 0) + register)
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
    /// Its number among the host bridges.
    pub number: u32,
    /// Its configuration space.
    pub config: Ecam,
    /// What is behind it.
    pub functions: Vec<Function>,
    /// Its windows.
    pub windows: Vec<formats::machine::Window>,
}

/// The host bridges, once they have been looked for.
static HOSTS: Mutex<&[Host]> = Mutex::new(&[]);

/// Finds what is behind the machine's host bridges. One that cannot be used is named and left out.
pub fn find(machine: &Machine) -> &'static [Host] {
    let mut hosts = Vec::new();
    // There are at most sixteen.
    for (number, bridge) in (0..).zip(&machine.pcie) {
        match Host::new(bridge, number) {
            Ok(host) => hosts.push(host),
            Err(error) => log::warn!("pci: {error}"),
        }
    }
    let hosts = Box::leak(hosts.into_boxed_slice());
    *HOSTS.lock() = hosts;
    hosts
}

/// Takes the bus away from every function that is no bridge.
pub fn stop_masters() {
    for host in HOSTS.lock().iter() {
        for function in host.functions.iter().filter(|function| function.secondary.is_none()) {
            host.enable(function.address, false);
        }
    }
}

impl Host {
    fn new(machine: &PcieHost, number: u32) -> Result<Self, memory::Error> {
        let (region, first_bus, last_bus) = (machine.ecam, machine.first_bus, machine.last_bus);
        let registers = memory::map_device(region.base(), region.size())?;
        let config = Ecam { registers, region, first_bus, last_bus };
        let mut functions = pci::scan(&config, first_bus, last_bus);
        let on_bus = machine.windows.iter().filter(|window| window.space != WindowSpace::Io).filter_map(|window| {
            let end = window.pci_base.checked_add(window.cpu.size())?;
            Some(Window { range: window.pci_base..end, is_64: window.space == WindowSpace::Memory64 })
        });
        let on_bus: Vec<_> = on_bus.collect();
        pci::assign(&config, &mut functions, &on_bus);
        let host = Self { number, config, functions, windows: machine.windows.clone() };
        host.map_bars();
        Ok(host)
    }

    /// Maps all that BARs have in memory, because drivers in images reach it by pointers, too, and not only through
    /// EFI_PCI_IO_PROTOCOL.
    fn map_bars(&self) {
        for function in &self.functions {
            for bar in &function.bars {
                let _ = self.map(function, bar.index, 0, bar.size);
            }
        }
    }

    /// Where the CPU has `length` bytes at `address` of the bus, in I/O space or in that of memory; `None` when they are
    /// not within one window.
    pub fn cpu_address(&self, is_io: bool, address: u64, length: u64) -> Option<u64> {
        let mut windows = self.windows.iter().filter(|window| (window.space == WindowSpace::Io) == is_io);
        windows.find_map(|window| {
            let at = address.checked_sub(window.pci_base)?;
            let inside = at.checked_add(length)? <= window.cpu.size();
            window.cpu.base().checked_add(at).filter(|_| inside)
        })
    }

    /// Maps `length` bytes at `offset` of a BAR; `None` when there is no such part of it.
    pub fn map(&self, function: &Function, bar: u8, offset: u64, length: u64) -> Option<Mmio> {
        let address = bar_address(function, bar, offset, length).filter(|_| length != 0)?;
        memory::map_device(self.cpu_address(false, address, length)?, length).ok()
    }

    /// Lets a function decode memory and master the bus, or neither.
    pub fn enable(&self, address: Address, on: bool) {
        let bits = command::MEMORY | command::BUS_MASTER;
        let before = read_command(&self.config, address);
        let after = if on { before | bits } else { before & !command::BUS_MASTER };
        self.config.write16(address, pci::register::COMMAND, after);
    }

    /// The way to a function: device and function of each bridge, then its own.
    pub fn steps(&self, function: &Function) -> Vec<(u8, u8)> {
        let mut steps = Vec::new();
        let mut next = Some(function);
        while let Some(at) = next {
            steps.insert(0, (at.address.device, at.address.function));
            next = at.parent.and_then(|parent| self.functions.get(parent));
        }
        steps
    }
}

/// Where on the bus `length` bytes at `offset` of a BAR are; `None` when there is no such part of it.
pub fn bar_address(function: &Function, bar: u8, offset: u64, length: u64) -> Option<u64> {
    let bar = function.bars.iter().find(|candidate| candidate.index == bar)?;
    if offset.checked_add(length)? > bar.size {
        return None;
    }
    bar.base?.checked_add(offset)
}
