//! PCIe host bridges with ECAM (Linux binding pci/host-generic-pci; PCI Bus Binding to
//! IEEE 1275, section 2.2.1.1 for the address cells).

use alloc::vec::Vec;

use super::bus::{self, Cells, cell, take};
use super::{MachineError, bad};
use crate::Region;
use crate::device_tree::Node;

const NODE: &str = "pci-host-ecam-generic";
const MAX_HOSTS: usize = 16;
const MAX_WINDOWS: usize = 16;
/// The configuration space of one bus: 256 functions of 4 KiB.
const ECAM_BYTES_PER_BUS: u64 = 1 << 20;
const PREFETCHABLE: u64 = 1 << 30;

/// What a window carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSpace {
    /// I/O space.
    Io,
    /// Memory below 4 GiB of the bus.
    Memory32,
    /// Memory with 64-bit addresses.
    Memory64,
}

/// A window of the host bridge: an access of the CPU to `cpu` becomes one on the bus at `pci_base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// What it carries.
    pub space: WindowSpace,
    /// Whether prefetchable BARs may be placed there.
    pub prefetchable: bool,
    /// The CPU's addresses.
    pub cpu: Region,
    /// The address on the bus of the first byte.
    pub pci_base: u64,
}

/// A host bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcieHost {
    /// Its configuration space; the first byte is that of `first_bus`.
    pub ecam: Region,
    /// The number of the root bus.
    pub first_bus: u8,
    /// The last bus number there is configuration space for.
    pub last_bus: u8,
    /// Its windows, in the tree's order.
    pub windows: Vec<Window>,
}

/// Adds the host bridge to the list, when it is addressable.
pub fn add_host(hosts: &mut Vec<PcieHost>, node: Node<'_, '_>) -> Result<(), MachineError> {
    let Some(ecam) = bus::first_reg(NODE, node, ECAM_BYTES_PER_BUS)? else {
        return Ok(());
    };
    if hosts.len() == MAX_HOSTS {
        return Err(MachineError::TooMany(NODE));
    }
    let (first_bus, last_bus) = buses(node, ecam)?;
    hosts.try_reserve(1)?;
    hosts.push(PcieHost { ecam, first_bus, last_bus, windows: windows(node)? });
    Ok(())
}

/// `bus-range`, or as many buses from 0 on as ECAM has room for.
fn buses(node: Node<'_, '_>, ecam: Region) -> Result<(u8, u8), MachineError> {
    let room = ecam.size() / ECAM_BYTES_PER_BUS;
    let Some(value) = node.property("bus-range") else {
        // There is room for one: `add_host` asked for it.
        let last = (room - 1).min(u64::from(u8::MAX));
        return Ok((0, u8::try_from(last).unwrap_or(u8::MAX)));
    };
    let error = bad(NODE, "bus-range");
    let (first, last) = value.split_at_checked(4).ok_or(error)?;
    let number = |value| cell(value).and_then(|bus| u8::try_from(bus).ok());
    let (first, last) = number(first).zip(number(last)).ok_or(error)?;
    match last.checked_sub(first) {
        Some(beyond_first) if u64::from(beyond_first) < room => Ok((first, last)),
        _ => Err(error),
    }
}

fn windows(node: Node<'_, '_>) -> Result<Vec<Window>, MachineError> {
    let error = bad(NODE, "ranges");
    let bus = node.parent().ok_or(error)?;
    let child = Cells::of(NODE, node)?;
    let parent = Cells::of(NODE, bus)?;
    if child.address != 3 || child.size != 2 {
        return Err(bad(NODE, "#address-cells"));
    }
    let mut windows = Vec::new();
    let mut rest = node.property("ranges").ok_or(error)?;
    while !rest.is_empty() {
        let attributes = take(&mut rest, 1).ok_or(error)?;
        let pci_base = take(&mut rest, 2).ok_or(error)?;
        let cpu_base = take(&mut rest, parent.address).ok_or(error)?;
        let size = take(&mut rest, child.size).ok_or(error)?;
        if size == 0 {
            continue;
        }
        let (space, limit) = match attributes >> 24 & 3 {
            1 => (WindowSpace::Io, 1 << 32),
            2 => (WindowSpace::Memory32, 1 << 32),
            3 => (WindowSpace::Memory64, u64::MAX),
            _ => return Err(error),
        };
        if pci_base.checked_add(size).is_none_or(|end| end > limit) {
            return Err(error);
        }
        let Some(cpu) = bus::translate(NODE, bus, cpu_base, size)? else {
            continue;
        };
        if windows.len() == MAX_WINDOWS {
            return Err(MachineError::TooMany("pci-host-ecam-generic ranges"));
        }
        windows.try_reserve(1)?;
        windows.push(Window { space, prefetchable: attributes & PREFETCHABLE != 0, cpu, pci_base });
    }
    Ok(windows)
}
