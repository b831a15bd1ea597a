//! `EFI_BOOT_SERVICES`, the C interface to [`super::services`] (UEFI 2.10, section 7).
//!
//! These functions check what the caller passed and carry pointers across; the rules are elsewhere. What they all rely
//! on of the caller is the contract of the specification: a pointer that is not null and not documented as free is
//! valid for what the function does with it.

mod driver_model;
mod events;
mod locate;
mod memory;
mod misc;
mod multiple;
mod protocols;
mod table;

pub use table::{EfiParameters, init, retire};

use r_efi::efi::Status;

/// The status to return for a result.
fn status(result: Result<(), Status>) -> Status {
    match result {
        Ok(()) => Status::SUCCESS,
        Err(status) => status,
    }
}
