//! Events, timers and the task priority level (UEFI 2.10, section 7.1).
#![expect(unsafe_code, reason = "calls notification functions")]

use core::ffi::c_void;

use r_efi::efi::{self, EventNotify, Guid, Status, Tpl};
use runtime_abi::ADDRESS_CHANGE_CAPACITY;
use uefi_core::events::{Check, EventSpec, TimerSetting};

use super::configuration;
use super::state::{Notify, event_from, event_to_raw, with_core, with_core_if_any};
use super::status::ToStatus;
use crate::arch::{self, psci};

/// The period of a timer that asks to fire on every timer tick, in units of 100 ns: 10 ms. The firmware has no tick,
/// and a shorter one would be noticed no sooner, because timers are polled.
const TICK: u64 = 100_000;

/// `EFI_EVENT_GROUP_AFTER_READY_TO_BOOT` (section 7.1.2).
const AFTER_READY_TO_BOOT: Guid =
    Guid::from_fields(0x3a2a_00ad, 0x98b9, 0x4cdf, 0xa4, 0x78, &[0x70, 0x27, 0x77, 0xf1, 0xc1, 0x0b]);

/// Creates an event. `notify` is called at `tpl` with `context`.
///
/// # Errors
/// As `CreateEventEx()` (UEFI 2.10, section 7.1.2).
///
/// # Safety
/// Until the event is closed or boot services end, `notify` may be called with `context` at any time that a boot
/// service is called below `tpl`.
pub unsafe fn create_event(
    kind: u32,
    tpl: Tpl,
    notify: Option<EventNotify>,
    context: *mut c_void,
    group: Option<&Guid>,
) -> Result<efi::Event, Status> {
    let notify = notify.map(|function| Notify { function, context });
    with_core(|core| {
        // The runtime services image has room for so many notifications of this group, and no memory to grow.
        let for_address_change =
            kind == efi::EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE || group == Some(&efi::EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE);
        let members = core.events.members(&efi::EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE).count();
        if for_address_change && members >= ADDRESS_CHANGE_CAPACITY {
            return Err(Status::OUT_OF_RESOURCES);
        }
        let event =
            core.events.create(EventSpec { kind, tpl, notify, group: group.copied() }).map_err(ToStatus::status)?;
        Ok(event_to_raw(event))
    })
}

/// Closes an event, and with it the registrations for protocols that signal it.
///
/// # Errors
/// `INVALID_PARAMETER` when `event` is none.
pub fn close_event(event: efi::Event) -> Result<(), Status> {
    let event = event_from(event);
    with_core(|core| {
        core.events.close(event).map_err(ToStatus::status)?;
        core.handles.unregister(event);
        Ok(())
    })
}

/// Signals an event, and with it its group.
///
/// # Errors
/// `INVALID_PARAMETER` when `event` is none.
pub fn signal_event(event: efi::Event) -> Result<(), Status> {
    with_core(|core| core.events.signal(event_from(event))).map_err(ToStatus::status)?;
    poll();
    Ok(())
}

/// Tells that a boot option is about to be started (UEFI 2.10, section 7.1.2).
pub fn signal_ready_to_boot() {
    signal_group(&efi::EVENT_GROUP_READY_TO_BOOT);
    signal_group(&AFTER_READY_TO_BOOT);
}

/// Signals every event of a group.
pub fn signal_group(group: &Guid) {
    with_core(|core| core.events.signal_group(group));
    dispatch();
}

/// Sets the timer of an event. `time` counts units of 100 ns; zero stands for the next or every timer tick.
///
/// # Errors
/// As `SetTimer()` (UEFI 2.10, section 7.1.7).
pub fn set_timer(event: efi::Event, kind: efi::TimerDelay, time: u64) -> Result<(), Status> {
    let now = arch::counter();
    with_core(|core| {
        let setting = match kind {
            efi::TIMER_CANCEL => TimerSetting::Cancel,
            efi::TIMER_PERIODIC => TimerSetting::Periodic(core.clock.ticks_from_100ns(time.max(TICK))),
            efi::TIMER_RELATIVE => TimerSetting::Relative(core.clock.ticks_from_100ns(time)),
            _ => return Err(Status::INVALID_PARAMETER),
        };
        core.events.set_timer(event_from(event), setting, now).map_err(ToStatus::status)
    })
}

/// Looks whether an event is signalled, and clears it when it is.
///
/// # Errors
/// `NOT_READY` when it is not; `INVALID_PARAMETER` when there is none or it is of type `NOTIFY_SIGNAL`.
pub fn check_event(event: efi::Event) -> Result<(), Status> {
    poll();
    let event = event_from(event);
    let signalled = match with_core(|core| core.events.check(event)).map_err(ToStatus::status)? {
        Check::Signalled => true,
        Check::NotReady => false,
        Check::NotifyQueued => {
            dispatch();
            with_core(|core| core.events.take_signal(event))
        }
    };
    if signalled { Ok(()) } else { Err(Status::NOT_READY) }
}

/// The task priority level the firmware runs at.
pub fn current_tpl() -> Tpl {
    with_core(|core| core.events.tpl())
}

/// Raises the task priority level and returns the former one. A level below the current one, which the specification
/// leaves undefined, changes nothing.
pub fn raise_tpl(tpl: Tpl) -> Tpl {
    with_core(|core| {
        let former = core.events.tpl();
        core.events.set_tpl(tpl.clamp(former, efi::TPL_HIGH_LEVEL.max(former)));
        former
    })
}

/// Lowers the task priority level and runs the notifications that waited for it. A level above the current one, which
/// the specification leaves undefined, changes nothing.
pub fn restore_tpl(tpl: Tpl) {
    with_core(|core| {
        let former = core.events.tpl();
        core.events.set_tpl(tpl.clamp(efi::TPL_APPLICATION.min(former), former));
    });
    poll();
}

/// Notices the time that has passed: expires timers and the watchdog and runs the notifications that are due. A loop
/// that waits inside the firmware calls it on every turn, and so do the services that programs call in loops of their
/// own.
pub fn poll() {
    let now = arch::counter();
    let expired = with_core_if_any(|core| {
        if core.exited {
            return None;
        }
        arch::tick::passed(now);
        core.events.expire(now);
        // What is told of the reset may take its time.
        core.watchdog.expired(now).inspect(|_| core.watchdog.disarm())
    });
    match expired {
        Some(Some(code)) => {
            crate::log::error!("the watchdog expired (code {code:#x}): resetting");
            configuration::notify_reset(efi::RESET_COLD, Status::TIMEOUT);
            psci::system_reset()
        }
        Some(None) => dispatch(),
        None => {}
    }
}

/// Runs the queued notifications above the current level.
pub fn dispatch() {
    while let Some(next) = with_core(|core| core.events.begin_next()) {
        let Notify { function, context } = next.notify;
        // SAFETY: who created the event vouched for the function until the event is closed (`create_event`), and the
        // event was open a moment ago. Nothing of the core is borrowed.
        unsafe { function(event_to_raw(next.event), context) };
        with_core(|core| core.events.set_tpl(next.previous_tpl));
    }
}
