//! The machine's devices: console, fw_cfg, and the device tree that names them.

pub mod console;
pub mod device_tree;
pub mod disks;
pub mod fw_cfg;
pub mod gic;
mod ns16550;
pub mod pci;
mod pl011;
mod virtio;
