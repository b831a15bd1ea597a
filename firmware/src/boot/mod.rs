//! Booting: what is started, and what is said when nothing can be.

mod arm64;
mod direct_kernel;
mod error;

pub use direct_kernel::direct_kernel;
pub use error::{Error, Item};

use r_efi::efi::{Handle, Status};

use crate::efi::image::{self, Outcome};
use crate::efi::services::time;

/// How long what is booted may take before it ends boot services or says that it takes longer.
const WATCHDOG_SECONDS: u64 = 5 * 60;

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
