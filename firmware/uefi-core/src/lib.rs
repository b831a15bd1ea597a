//! The data structures behind UEFI boot services: pure, no hardware, no unsafe.
//!
//! Nothing here dereferences a pointer, reads a clock or calls out. Whatever must happen outside
//! (a notification to run, a driver to disconnect) is handed back as a value, so that the caller
//! can do it while no part of this state is borrowed.
//!
//! Section numbers are those of the UEFI specification 2.10.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod collation;
pub mod crc32;
pub mod device_path;
pub mod events;
pub mod handles;
pub mod iommu;
pub mod memory_attributes;
pub mod memory_map;
pub mod pool;
mod slots;
pub mod time;
