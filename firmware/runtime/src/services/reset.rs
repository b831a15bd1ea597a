//! `ResetSystem()` (UEFI 2.10, section 8.5.1).
#![expect(unsafe_code, reason = "the type of the service is an unsafe function")]

use core::ffi::c_void;

use r_efi::efi::{self, ResetType, Status};

use crate::psci::{self, End};
use crate::region::{self, with_state};

/// `ResetSystem()`. The status and the data are for logs that do not exist here. A reset that the
/// data would name is not known to this platform, which makes it a cold one.
pub unsafe extern "efiapi" fn reset_system(kind: ResetType, status: Status, data_size: usize, data: *mut c_void) {
    // SAFETY: the tables have been made, and nothing writes to them during the call.
    if let Some(notify) = unsafe { (*region::tables()).reset_notification } {
        // SAFETY: the firmware, which put it there, is there as long as boot services are; the arguments are the
        // caller's.
        unsafe { notify(kind, status, data_size, data) };
    }
    let end = match kind {
        efi::RESET_SHUTDOWN => End::Off,
        efi::RESET_WARM => End::Warm,
        _ => End::Cold,
    };
    psci::end_system(with_state(|state| state.conduit), end)
}
