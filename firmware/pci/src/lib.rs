//! PCI as a firmware sees it: which functions there are, what they need of the host bridge's windows, and their
//! capabilities (PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, PCI Express Base).
//!
//! Configuration space is the host's word. Every walk is bounded, and a BAR lies within a window of the device tree or
//! is not used at all.
#![no_std]

extern crate alloc;

pub mod access;
mod capability;
mod resources;
mod scan;

pub use capability::{VENDOR_SPECIFIC, capabilities};
pub use resources::{Window, assign};
pub use scan::{Bar, Function, scan};

/// The place of a function.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// Bus.
    pub bus: u8,
    /// Device: 0 to 31.
    pub device: u8,
    /// Function: 0 to 7.
    pub function: u8,
}

/// Access to configuration space. Offsets are aligned; what is not there reads as all ones.
pub trait ConfigSpace {
    /// Reads four bytes.
    fn read32(&self, address: Address, offset: u16) -> u32;
    /// Writes four bytes.
    fn write32(&self, address: Address, offset: u16, value: u32);
    /// Writes two bytes.
    fn write16(&self, address: Address, offset: u16, value: u16);
}

/// Registers (PCI Local Bus 3.0, section 6.1).
pub mod register {
    /// Vendor and device.
    pub const ID: u16 = 0x00;
    /// Command, and status above it.
    pub const COMMAND: u16 = 0x04;
    /// Revision and class.
    pub const CLASS: u16 = 0x08;
    /// The header type is its third byte.
    pub const HEADER: u16 = 0x0c;
    /// The first BAR.
    pub const BAR: u16 = 0x10;
    /// The bus numbers of a bridge.
    pub const BUSES: u16 = 0x18;
    /// The memory window of a bridge.
    pub const BRIDGE_MEMORY: u16 = 0x20;
    /// The prefetchable window of a bridge.
    pub const BRIDGE_PREFETCHABLE: u16 = 0x24;
    /// The first capability.
    pub const CAPABILITIES: u16 = 0x34;
}

/// Bits of the command register.
pub mod command {
    /// Decodes I/O.
    pub const IO: u16 = 1;
    /// Decodes memory.
    pub const MEMORY: u16 = 2;
    /// Masters the bus.
    pub const BUS_MASTER: u16 = 4;
}

/// The command register.
pub fn read_command(config: &impl ConfigSpace, address: Address) -> u16 {
    // The lower half.
    config.read32(address, register::COMMAND) as u16
}
