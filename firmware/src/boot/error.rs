//! Why a boot ends. Each is one line for whoever started the machine.

use core::fmt;

use formats::arm64_image;
use formats::machine::MachineError;
use r_efi::efi::Status;
use thiserror::Error;

use crate::devices::{device_tree, fw_cfg};
use crate::efi::image::LoadError;
use crate::memory;

/// What the VMM gives for a direct boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The kernel (QEMU's `-kernel`).
    Kernel,
    /// The initial ram disk (`-initrd`).
    Initrd,
    /// The command line (`-append`).
    CommandLine,
    /// The device tree, as it is handed on.
    DeviceTree,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::CommandLine => "command line",
            Self::DeviceTree => "device tree",
        })
    }
}

/// Why the boot ends.
#[derive(Debug, Error)]
pub enum Error {
    /// The realm cannot be used.
    #[error("realm: {0}")]
    Realm(#[from] crate::realm::Error),
    /// Something cannot be measured.
    #[error("{0}")]
    Measurement(#[from] crate::measurement::Error),
    /// The device tree cannot be read.
    #[error("{0}")]
    DeviceTree(#[from] device_tree::Error),
    /// The device tree describes no machine to run on.
    #[error("{0}")]
    Machine(#[from] MachineError),
    /// Memory cannot be set up.
    #[error("memory: {0}")]
    Memory(#[from] memory::Error),
    /// A mapping was refused.
    #[error("memory: {0}")]
    Map(#[from] memory::MapError),
    /// fw_cfg is there but cannot be used.
    #[error("fw_cfg: {0}")]
    FwCfg(#[from] fw_cfg::Error),
    /// UEFI could not be started.
    #[error("UEFI services: {0}")]
    Efi(#[from] crate::efi::Error),
    /// Nothing is left to try.
    #[error("nothing to boot: no kernel (-kernel), no boot option, no disk with \\EFI\\BOOT\\BOOTAA64.EFI")]
    NothingToBoot,
    /// Everything was tried.
    #[error("nothing to boot: none of {0} boot options could be started, or each came back")]
    AllFailed(usize),
    /// The boot manager itself failed.
    #[error("boot manager: {0}")]
    Manager(Status),
    /// An item cannot be fetched.
    #[error("{0}: fw_cfg: {1}")]
    Fetch(Item, fw_cfg::Error),
    /// An item is larger than any memory left for it.
    #[error("{0}: {1} bytes do not fit into memory")]
    TooLarge(Item, u64),
    /// The command line is longer than is taken.
    #[error("command line: {0} bytes are more than the {1} that are accepted")]
    CommandLineTooLong(u64, usize),
    /// The command line is no text.
    #[error("command line: not UTF-8 at byte {0}")]
    CommandLineEncoding(usize),
    /// The command line ends before the length that goes with it.
    #[error("command line: NUL at byte {0} of {1}")]
    CommandLineNul(usize, usize),
    /// The kernel is an EFI image that cannot be loaded.
    #[error("kernel: {0}")]
    Load(LoadError),
    /// The kernel is no EFI image, and no arm64 Image either.
    #[error("kernel: {0}")]
    Image(#[from] arm64_image::Error),
    /// An arm64 Image for the start of RAM, where there is no room.
    #[error("kernel: arm64 Image wants the start of RAM, where {0} bytes are not free")]
    NoRoomAtStart(u64),
    /// The device tree that goes to the kernel cannot be made.
    #[error("device tree: {0}")]
    Edit(#[from] formats::device_tree::Error),
    /// A boot service failed for an item.
    #[error("{0}: {1}")]
    Service(Item, Status),
    /// The kernel ended by itself.
    #[error("kernel: returned to the firmware: {0}")]
    Returned(Status),
}
