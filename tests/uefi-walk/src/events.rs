//! Events, timers and task priority levels.
#![expect(unsafe_code, reason = "creates events with functions, and raises the level")]

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use uefi::boot::{self, EventType, TimerTrigger, Tpl};
use uefi::{Event, Guid, Status, guid};

use crate::report::{check, refused, works};

const GROUP: Guid = guid!("9cb7ba1c-6b5c-4e0b-9a6d-2b4e2b77e1a0");

static CALLS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "efiapi" fn count(_event: Event, _context: Option<NonNull<c_void>>) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn calls() -> usize {
    CALLS.load(Ordering::Relaxed)
}

fn create(kind: EventType) -> uefi::Result<Event> {
    // SAFETY: the function lasts as long as the program, and is for any event and level.
    unsafe { boot::create_event(kind, Tpl::CALLBACK, Some(count), None) }
}

/// Whether an event can be created; it is closed again.
pub fn can_create() -> bool {
    create(EventType::TIMER).and_then(boot::close_event).is_ok()
}

/// The level that the program runs at.
pub fn current_tpl() -> Tpl {
    // SAFETY: no level is higher, and it goes down again at once.
    unsafe { boot::raise_tpl(Tpl::HIGH_LEVEL) }.old_tpl()
}

pub fn walk() {
    let Some(event) = works("create_event", create(EventType::NOTIFY_SIGNAL)) else { return };
    works("signal_event", boot::signal_event(&event));
    check("signal_event: notifies", calls() == 1);
    {
        // SAFETY: above the present level, and down again at the end of the block.
        let _guard = unsafe { boot::raise_tpl(Tpl::CALLBACK) };
        works("signal_event: raised", boot::signal_event(&event));
        check("signal_event: waits for its level", calls() == 1);
        check("raise_tpl", current_tpl() == Tpl::CALLBACK);
    }
    check("restore_tpl: notifies", calls() == 2);
    refused("check_event: of a notification", boot::check_event(&event), Status::INVALID_PARAMETER);
    works("close_event", boot::close_event(event));
    refused(
        "create_event: wait and signal",
        create(EventType::NOTIFY_WAIT | EventType::NOTIFY_SIGNAL),
        Status::INVALID_PARAMETER,
    );
    timers();
    group();
}

fn timers() {
    let Some(timer) = works("create_event: timer", create(EventType::TIMER)) else { return };
    works("set_timer", boot::set_timer(&timer, TimerTrigger::Relative(Duration::from_millis(5))));
    check("check_event: too early", boot::check_event(&timer).is_ok_and(|signalled| !signalled));
    // SAFETY: the handle of an event is a name; both are of the same one, which stays open.
    let events = [unsafe { timer.unsafe_clone() }];
    works("wait_for_event", boot::wait_for_event(&events));
    works("set_timer: periodic", boot::set_timer(&timer, TimerTrigger::Periodic(Duration::from_millis(2))));
    for _ in 0..3 {
        works("wait_for_event: periodic", boot::wait_for_event(&events));
    }
    works("set_timer: cancel", boot::set_timer(&timer, TimerTrigger::Cancel));
    {
        // SAFETY: above the present level, and down again at the end of the block.
        let _guard = unsafe { boot::raise_tpl(Tpl::NOTIFY) };
        refused("wait_for_event: raised", boot::wait_for_event(&events), Status::UNSUPPORTED);
    }
    works("close_event: timer", boot::close_event(timer));
    let kind = EventType::TIMER | EventType::NOTIFY_SIGNAL;
    let Some(timer) = works("create_event: timer with a notification", create(kind)) else { return };
    let before = calls();
    works("set_timer: notifies", boot::set_timer(&timer, TimerTrigger::Relative(Duration::from_millis(1))));
    boot::stall(Duration::from_millis(30));
    check("stall: timers go on", calls() == before + 1);
    works("close_event: timer with a notification", boot::close_event(timer));
}

fn group() {
    // SAFETY: as in `create`.
    let member =
        || unsafe { boot::create_event_ex(EventType::NOTIFY_SIGNAL, Tpl::NOTIFY, Some(count), None, Some(&GROUP)) };
    let (first, second) = (works("create_event_ex", member()), works("create_event_ex", member()));
    let before = calls();
    for event in first.iter().chain(&second).take(1) {
        works("signal_event: group", boot::signal_event(event));
    }
    check("signal_event: all of the group", calls() == before + 2);
    for event in [first, second].into_iter().flatten() {
        works("close_event: group", boot::close_event(event));
    }
}
