//! The machine's devices: console, fw_cfg, PCI, virtio, NVMe, and the device tree that names them.

pub mod console;
pub mod device_tree;
pub mod disks;
pub mod entropy;
pub mod fw_cfg;
pub mod gic;
mod ns16550;
mod nvme;
pub mod pci;
mod pl011;
pub mod platform;
pub mod virtio;
pub mod virtio_console;

use alloc::vec::Vec;

use ::virtio::device_type;
use formats::machine::Machine;

use crate::arch;

/// Finds the devices that the firmware drives, behind `hosts` and elsewhere, and returns the disks among them.
pub fn find(machine: &Machine, hosts: &[pci::Host]) -> Vec<disks::Disk> {
    let mut found = Vec::new();
    disks::start();
    let is_wanted = |kind| match kind {
        device_type::BLOCK | device_type::SCSI_HOST | device_type::CONSOLE => true,
        // It is of no use alone.
        device_type::ENTROPY => arch::has_random(),
        _ => false,
    };
    virtio::find(machine, hosts, is_wanted, &mut |device| match device.kind {
        device_type::ENTROPY => entropy::mix(device),
        device_type::CONSOLE => virtio_console::add(device),
        _ => disks::add(&mut found, device),
    });
    nvme::find(hosts, &mut |place, machine, registers, timeout| {
        disks::add_controller(&mut found, place, machine, registers, timeout)
    });
    found
}
