//! Every test that boots the firmware in QEMU.

mod boot_options;
mod console;
mod damaged_disks;
mod devices;
mod disks;
mod edk2;
mod efi;
mod faults;
mod host;
mod kernels;
mod lifecycle;
mod memory;
mod network;
mod placement;
mod refusals;
mod shell;
mod watchdog;
