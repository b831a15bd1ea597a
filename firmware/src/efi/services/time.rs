//! The counter, the watchdog and the monotonic count (UEFI 2.10, section 7.5).

use r_efi::efi::Status;

use super::events;
use super::state::with_core;
use crate::arch;

/// The watchdog code of the firmware itself; codes up to 0xFFFF are reserved for it (section 7.5.1).
const FIRMWARE_CODE: u64 = 0;

/// The first code that a client may use.
const FIRST_CLIENT_CODE: u64 = 0x1_0000;

/// Arms the watchdog for `seconds`, or disarms it with zero. It is looked at whenever boot services notice time.
pub fn set_watchdog(seconds: u64) {
    set(seconds, FIRMWARE_CODE);
}

/// `SetWatchdogTimer()` for a client.
///
/// # Errors
/// `INVALID_PARAMETER` when the code is one of the firmware's.
pub fn set_client_watchdog(seconds: u64, code: u64) -> Result<(), Status> {
    // A timeout of zero only disarms, so its code does not matter; EDK2's own callers pass zero.
    if seconds != 0 && code < FIRST_CLIENT_CODE && code != FIRMWARE_CODE {
        return Err(Status::INVALID_PARAMETER);
    }
    set(seconds, code);
    Ok(())
}

fn set(seconds: u64, code: u64) {
    let now = arch::counter();
    with_core(|core| match seconds {
        0 => core.watchdog.disarm(),
        _ => core.watchdog.arm(now.saturating_add(core.clock.ticks_from_seconds(seconds)), code),
    });
}

/// Waits for `microseconds`, noticing timers meanwhile.
pub fn stall(microseconds: u64) {
    let start = arch::counter();
    let ticks = with_core(|core| core.clock.ticks_from_us(microseconds));
    while arch::counter().wrapping_sub(start) < ticks {
        events::poll();
        core::hint::spin_loop();
    }
}
