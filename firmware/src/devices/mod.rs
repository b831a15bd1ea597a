//! The machine's devices: console, fw_cfg, and the device tree that names them.

pub mod console;
pub mod device_tree;
pub mod fw_cfg;
mod ns16550;
mod pl011;
