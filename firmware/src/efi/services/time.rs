//! The counter, the watchdog and the monotonic count (UEFI 2.10, section 7.5).

use core::ops::RangeInclusive;

use r_efi::efi::Status;

use super::events;
use super::state::with_core;
use crate::arch;

/// The codes that the firmware keeps for itself (section 7.5.1). Clients do use zero, so zero is let through.
const FIRMWARE_CODES: RangeInclusive<u64> = 1..=0xFFFF;

/// Arms the watchdog for `seconds`, or disarms it with zero. It is looked at whenever boot services notice time.
///
/// # Errors
/// `INVALID_PARAMETER` when `code` is one of the firmware's (UEFI 2.10, section 7.5.1).
pub fn set_watchdog(seconds: u64, code: u64) -> Result<(), Status> {
    if seconds != 0 && FIRMWARE_CODES.contains(&code) {
        return Err(Status::INVALID_PARAMETER);
    }
    let now = arch::counter();
    with_core(|core| match seconds {
        0 => core.watchdog.disarm(),
        _ => core.watchdog.arm(now.saturating_add(core.clock.ticks_from_seconds(seconds)), code),
    });
    Ok(())
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
