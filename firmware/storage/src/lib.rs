//! Partition tables and the FAT file system over any block device: pure, no hardware, no unsafe.
//!
//! Whoever supplies the device is hostile. It may answer each read of a block differently, so nothing here holds two
//! reads to agree: every number is checked where it is used, every walk is bounded by the size of the volume, and what
//! does not fit is an error.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod block;
mod disk;
pub mod fat;
pub mod partitions;

pub use block::{BlockDevice, DeviceError};
pub use disk::Disk;
