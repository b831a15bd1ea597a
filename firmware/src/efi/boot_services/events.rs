//! Event, timer and task priority services (UEFI 2.10, section 7.1).
#![expect(unsafe_code, reason = "reads and writes through the pointers of EFI clients")]

use core::ffi::c_void;

use r_efi::efi::{self, Event, EventNotify, Guid, Status, TimerDelay, Tpl};

use super::status;
use crate::efi::services;
use crate::efi::services::events as rules;

/// `CreateEvent()`.
pub unsafe extern "efiapi" fn create_event(
    kind: u32,
    tpl: Tpl,
    notify: Option<EventNotify>,
    context: *mut c_void,
    event: *mut Event,
) -> Status {
    // SAFETY: the caller's arguments, passed on.
    unsafe { create(kind, tpl, notify, context, None, event) }
}

/// `CreateEventEx()`.
pub unsafe extern "efiapi" fn create_event_ex(
    kind: u32,
    tpl: Tpl,
    notify: Option<EventNotify>,
    context: *const c_void,
    group: *const Guid,
    event: *mut Event,
) -> Status {
    // SAFETY: the caller's arguments: the group is null or a GUID.
    unsafe { create(kind, tpl, notify, context.cast_mut(), group.as_ref(), event) }
}

/// # Safety
/// As `CreateEventEx()` demands.
unsafe fn create(
    kind: u32,
    tpl: Tpl,
    notify: Option<EventNotify>,
    context: *mut c_void,
    group: Option<&Guid>,
    event: *mut Event,
) -> Status {
    if event.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: who creates an event vouches for its function.
    match unsafe { services::create_event(kind, tpl, notify, context, group) } {
        Ok(created) => {
            // SAFETY: the caller's pointer, not null.
            unsafe { event.write_unaligned(created) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// `CloseEvent()`.
pub unsafe extern "efiapi" fn close_event(event: Event) -> Status {
    status(services::close_event(event))
}

/// `SignalEvent()`.
pub unsafe extern "efiapi" fn signal_event(event: Event) -> Status {
    status(services::signal_event(event))
}

/// `CheckEvent()`.
pub unsafe extern "efiapi" fn check_event(event: Event) -> Status {
    status(rules::check_event(event))
}

/// `SetTimer()`.
pub unsafe extern "efiapi" fn set_timer(event: Event, kind: TimerDelay, time: u64) -> Status {
    status(services::set_timer(event, kind, time))
}

/// `WaitForEvent()`.
pub unsafe extern "efiapi" fn wait_for_event(count: usize, events: *mut Event, index: *mut usize) -> Status {
    if count == 0 || events.is_null() {
        return Status::INVALID_PARAMETER;
    }
    if services::current_tpl() != efi::TPL_APPLICATION {
        return Status::UNSUPPORTED;
    }
    loop {
        for at in 0..count {
            // SAFETY: the caller gave `count` events.
            let event = unsafe { events.add(at).read_unaligned() };
            let result = rules::check_event(event);
            if result != Err(Status::NOT_READY) {
                if !index.is_null() {
                    // SAFETY: the caller's pointer, not null.
                    unsafe { index.write_unaligned(at) };
                }
                return status(result);
            }
        }
        core::hint::spin_loop();
    }
}

/// `RaiseTPL()`.
pub unsafe extern "efiapi" fn raise_tpl(tpl: Tpl) -> Tpl {
    services::raise_tpl(tpl)
}

/// `RestoreTPL()`.
pub unsafe extern "efiapi" fn restore_tpl(tpl: Tpl) {
    services::restore_tpl(tpl);
}
