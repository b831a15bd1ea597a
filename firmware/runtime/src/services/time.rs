//! Time services (UEFI 2.10, section 8.3).
#![expect(unsafe_code, reason = "reads and writes what the caller points at")]

use r_efi::efi::{Boolean, Status, Time, TimeCapabilities};
use realmfw_runtime::time;

use crate::region::{self, with_state};
use crate::rtc::Clock;

/// The clock counts whole seconds.
const RESOLUTION_HZ: u32 = 1;
/// 50 parts per million, in units of 1e-6 ppm: what the crystal of a host is good for.
const ACCURACY: u32 = 50_000_000;

/// `GetTime()`.
pub unsafe extern "efiapi" fn get_time(time: *mut Time, capabilities: *mut TimeCapabilities) -> Status {
    if time.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let Some(clock) = clock() else {
        return Status::UNSUPPORTED;
    };
    // SAFETY: the caller's pointers are valid, as GetTime() demands, or null as checked.
    unsafe {
        time.write_unaligned(time::from_clock(clock.read(), region::zone()));
        if !capabilities.is_null() {
            capabilities.write_unaligned(TimeCapabilities {
                resolution: RESOLUTION_HZ,
                accuracy: ACCURACY,
                sets_to_zero: Boolean::FALSE,
            });
        }
    }
    Status::SUCCESS
}

/// `SetTime()`.
pub unsafe extern "efiapi" fn set_time(time: *mut Time) -> Status {
    if time.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointer is valid, as SetTime() demands.
    let time = unsafe { time.read_unaligned() };
    let Some((seconds, zone)) = time::to_clock(&time) else {
        return Status::INVALID_PARAMETER;
    };
    let Some(clock) = clock() else {
        return Status::UNSUPPORTED;
    };
    if !clock.write(seconds) {
        return Status::DEVICE_ERROR;
    }
    region::keep(Some(zone));
    Status::SUCCESS
}

fn clock() -> Option<Clock> {
    Clock::at(with_state(|state| state.rtc_base))
}

/// `GetWakeupTime()`: there is no wakeup timer.
pub unsafe extern "efiapi" fn get_wakeup_time(enabled: *mut Boolean, pending: *mut Boolean, time: *mut Time) -> Status {
    if enabled.is_null() || pending.is_null() || time.is_null() {
        return Status::INVALID_PARAMETER;
    }
    Status::UNSUPPORTED
}

/// `SetWakeupTime()`: there is no wakeup timer.
pub unsafe extern "efiapi" fn set_wakeup_time(enable: Boolean, time: *mut Time) -> Status {
    if enable == Boolean::TRUE {
        // SAFETY: the caller's pointer is valid, as SetWakeupTime() demands of it here, or null.
        let valid = !time.is_null() && time::is_valid(&unsafe { time.read_unaligned() });
        if !valid {
            return Status::INVALID_PARAMETER;
        }
    }
    Status::UNSUPPORTED
}
