//! The model RMM: an EL2 program that plays Realm Management Monitor and host for one realm at
//! EL1 under stock QEMU.
//!
//! This library is what of it knows no hardware: the option string, the realm's initial
//! measurement, the attestation token, the device tree the host hands over, a UART, the placement of
//! memory, ID registers, stage 1 walks, syndromes, PSCI. The RSI state machine is in the `rsi` crate. The binary beside it
//! (`main.rs`) is the EL2 program.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cbor;
pub mod dtb;
pub mod features;
pub mod fw_cfg;
pub mod fw_cfg_setup;
pub mod launch;
pub mod layout;
pub mod ns16550;
pub mod options;
pub mod pci;
pub mod psci;
pub mod rim;
pub mod stage1;
pub mod syndrome;
pub mod token;
pub mod verify;
pub mod virtio;
