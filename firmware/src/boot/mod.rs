//! Booting: what is started, and what is said when nothing can be.

mod arm64;
mod direct_kernel;
mod error;
mod hand_over;
mod manager;
mod menu;
mod options;

use core::convert::Infallible;

use formats::machine::Machine;
use r_efi::efi::{Handle, Status};

pub use error::{Error, Item};

use crate::devices::fw_cfg::FwCfg;
use crate::efi::image::{self, Outcome};
use crate::efi::services::time;
use crate::realm::World;

/// How long what is booted may take before it ends boot services or says that it takes longer.
const WATCHDOG_SECONDS: u64 = 5 * 60;

/// What a boot needs to know.
pub struct Platform<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// What it is in.
    pub world: &'a World,
    /// The device tree as the VMM wrote it.
    pub tree: &'a [u8],
}

/// Boots the VMM's kernel, or else what the boot options and the disks have. Returns only when nothing is left.
///
/// # Errors
/// Why.
pub fn boot(platform: &Platform<'_>, fw_cfg: Option<FwCfg>) -> Result<Infallible, Error> {
    let fw_cfg = match fw_cfg {
        Some(fw_cfg) => Some(direct_kernel::direct_kernel(fw_cfg, platform)?),
        None => None,
    };
    manager::boot(platform, fw_cfg)
}

/// Starts an image that has been loaded, as the boot manager starts a load option: watched for five minutes, unless it
/// sets the watchdog itself (UEFI 2.10, section 3.1.2).
///
/// # Errors
/// As `StartImage()`.
fn start(image: Handle) -> Result<Outcome, Status> {
    time::set_watchdog(WATCHDOG_SECONDS, 0)?;
    let outcome = image::start(image);
    time::set_watchdog(0, 0)?;
    outcome
}
