//! The members of `EFI_RUNTIME_SERVICES` (UEFI 2.10, chapter 8): pointers in, status codes out.
//!
//! The specification makes the caller answer for the pointers; what it asks the firmware to check is
//! checked here.

pub mod address;
pub mod capsule;
pub mod monotonic;
pub mod reset;
pub mod time;
pub mod variable;

use r_efi::efi::Status;

/// The status that `result` stands for.
fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::SUCCESS)
}
