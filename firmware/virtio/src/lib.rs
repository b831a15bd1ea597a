//! virtio 1.2 for drivers that have one request under way at a time in a queue, over PCI and MMIO.
//!
//! The device is the host's, and the host may be the attacker. What a driver works on together with the device is
//! written by the driver from values that it keeps for itself, and what the device says is read once, checked and then
//! used: the used index may move by one, the id must be that of the only chain there is, no length exceeds the chain.
//! A device that breaks the protocol, or does not answer within [`REQUEST_TIMEOUT`], is reset and never used again.
//!
//! A device without VIRTIO_F_VERSION_1 (legacy) is refused, and in a realm one without VIRTIO_F_ACCESS_PLATFORM.
//!
//! [`Platform`] is the machine, [`transport::Transport`] the way to the device's registers; data moves by addresses
//! that the caller has from its DMA layer, so that this crate copies no block.
#![no_std]

extern crate alloc;

pub mod block;
pub mod console;
mod device;
pub mod entropy;
pub mod mmio;
pub mod pci;
mod queue;
pub mod scsi;
pub mod transport;

pub use device::{Device, Setup};
pub use driver::{Data, Direction, Error, Medium, Platform, REQUEST_TIMEOUT, SharedMemory};
pub use queue::Segment;

use core::time::Duration;

/// Bytes of the sectors in which virtio counts.
pub(crate) const SECTOR: u32 = 512;

/// How long a device may take to finish a reset.
pub const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// Device types (section 5).
pub mod device_type {
    /// Block device.
    pub const BLOCK: u32 = 2;
    /// Console.
    pub const CONSOLE: u32 = 3;
    /// Entropy device.
    pub const ENTROPY: u32 = 4;
    /// SCSI host.
    pub const SCSI_HOST: u32 = 8;
}
