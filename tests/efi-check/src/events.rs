//! Events, timers and task priority levels (UEFI 2.10, 7.1).

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use r_efi::efi::{self, Event, Guid, Status, Tpl};
use r_efi::protocols::simple_text_input::InputKey;

use crate::env::{self, bs};
use crate::report::{check, equal, one_of, status};

const GROUP: Guid = Guid::from_fields(0x7be8_8d24, 0x36a1, 0x45fb, 0xb0, 0x3a, &[0x7a, 0x61, 0x05, 0x95, 0x50, 0xc6]);

const AFTER_READY_TO_BOOT: Guid =
    Guid::from_fields(0x3a2a_00ad, 0x98b9, 0x4cdf, 0xa4, 0x78, &[0x70, 0x27, 0x77, 0xf1, 0xc1, 0x0b]);

/// The order in which notifications ran: one hexadecimal digit each.
static ORDER: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static SEEN_TPL: AtomicUsize = AtomicUsize::new(0);

extern "efiapi" fn record(_event: Event, context: *mut c_void) {
    let order = ORDER.load(Ordering::Relaxed);
    ORDER.store(order << 4 | context.addr() as u32, Ordering::Relaxed);
}

extern "efiapi" fn count(_event: Event, _context: *mut c_void) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let tpl = raise(efi::TPL_HIGH_LEVEL);
    restore(tpl);
    SEEN_TPL.store(tpl, Ordering::Relaxed);
}

extern "efiapi" fn signal_itself(event: Event, _context: *mut c_void) {
    if COUNT.fetch_add(1, Ordering::Relaxed) < 3 {
        signal(event);
    }
}

fn raise(tpl: Tpl) -> Tpl {
    unsafe { (bs().raise_tpl)(tpl) }
}

fn restore(tpl: Tpl) {
    unsafe { (bs().restore_tpl)(tpl) }
}

fn signal(event: Event) -> Status {
    unsafe { (bs().signal_event)(event) }
}

fn check_event(event: Event) -> Status {
    unsafe { (bs().check_event)(event) }
}

fn close(event: Event) -> Status {
    unsafe { (bs().close_event)(event) }
}

fn set_timer(event: Event, kind: u32, time: u64) -> Status {
    unsafe { (bs().set_timer)(event, kind, time) }
}

fn create(kind: u32, tpl: Tpl, notify: Option<efi::EventNotify>, context: usize) -> Result<Event, Status> {
    let mut event = ptr::null_mut();
    let context = ptr::without_provenance_mut(context);
    let status = unsafe { (bs().create_event)(kind, tpl, notify, context, &mut event) };
    if status == Status::SUCCESS { Ok(event) } else { Err(status) }
}

fn made(kind: u32, tpl: Tpl, notify: Option<efi::EventNotify>, context: usize) -> Event {
    create(kind, tpl, notify, context).unwrap_or_else(|status| panic!("CreateEvent: {status:?}"))
}

pub fn run() {
    creation();
    waiting();
    order();
    groups();
    known_groups();
    timers();
    time();
    many();
}

/// More events at a time than any fixed part of an image has room for.
fn many() {
    const COUNT: usize = 20_000;
    let events: *mut Event = env::pool(COUNT * size_of::<Event>()).cast();
    let mut made = 0;
    while made < COUNT {
        let Ok(event) = create(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(record), 1) else { break };
        unsafe { events.add(made).write(event) };
        made += 1;
    }
    equal("CreateEvent: 20000 at a time", made, COUNT);
    ORDER.store(0, Ordering::Relaxed);
    signal(unsafe { events.add(made - 1).read() });
    equal("SignalEvent: the last of 20000", ORDER.load(Ordering::Relaxed), 1);
    let closed = (0..made).filter(|at| close(unsafe { events.add(*at).read() }) == Status::SUCCESS).count();
    equal("CloseEvent: 20000", closed, made);
    env::free(events.cast());
}

fn creation() {
    let refused = |name: &str, kind, tpl, notify| {
        let is = create(kind, tpl, notify, 0).err().unwrap_or(Status::SUCCESS);
        status(name, is, Status::INVALID_PARAMETER);
    };
    refused(
        "CreateEvent: wait and signal",
        efi::EVT_NOTIFY_WAIT | efi::EVT_NOTIFY_SIGNAL,
        efi::TPL_CALLBACK,
        Some(record),
    );
    refused("CreateEvent: unknown type", 0x4000, efi::TPL_CALLBACK, Some(record));
    refused("CreateEvent: no function", efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, None);
    refused("CreateEvent: TPL of applications", efi::EVT_NOTIFY_SIGNAL, efi::TPL_APPLICATION, Some(record));
    refused("CreateEvent: TPL too high", efi::EVT_NOTIFY_SIGNAL, efi::TPL_HIGH_LEVEL + 1, Some(record));
    let is = unsafe { (bs().create_event)(0, 0, None, ptr::null_mut(), ptr::null_mut()) };
    status("CreateEvent: no event", is, Status::INVALID_PARAMETER);
    let event = made(0, 0, None, 0);
    status("CloseEvent", close(event), Status::SUCCESS);
}

fn waiting() {
    let event = made(0, 0, None, 0);
    status("CheckEvent: not signalled", check_event(event), Status::NOT_READY);
    status("SignalEvent", signal(event), Status::SUCCESS);
    status("SignalEvent: again", signal(event), Status::SUCCESS);
    status("CheckEvent: signalled", check_event(event), Status::SUCCESS);
    status("CheckEvent: clears", check_event(event), Status::NOT_READY);
    let other = made(0, 0, None, 0);
    signal(other);
    let mut events = [event, other];
    let mut index = usize::MAX;
    let is = unsafe { (bs().wait_for_event)(2, events.as_mut_ptr(), &mut index) };
    status("WaitForEvent", is, Status::SUCCESS);
    equal("WaitForEvent: which", index, 1);
    let is = unsafe { (bs().wait_for_event)(0, events.as_mut_ptr(), &mut index) };
    status("WaitForEvent: none", is, Status::INVALID_PARAMETER);
    let tpl = raise(efi::TPL_CALLBACK);
    let is = unsafe { (bs().wait_for_event)(2, events.as_mut_ptr(), &mut index) };
    restore(tpl);
    status("WaitForEvent: raised TPL", is, Status::UNSUPPORTED);
    let mut notified = made(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(record), 1);
    let is = unsafe { (bs().wait_for_event)(1, &mut notified, &mut index) };
    status("WaitForEvent: notify event", is, Status::INVALID_PARAMETER);
    status("CheckEvent: notify event", check_event(notified), Status::INVALID_PARAMETER);
    let wait = made(efi::EVT_NOTIFY_WAIT, efi::TPL_CALLBACK, Some(count), 0);
    COUNT.store(0, Ordering::Relaxed);
    status("CheckEvent: wait event", check_event(wait), Status::NOT_READY);
    equal("CheckEvent: notifies", COUNT.load(Ordering::Relaxed), 1);
    let armed = made(efi::EVT_TIMER | efi::EVT_NOTIFY_WAIT, efi::TPL_CALLBACK, Some(count), 0);
    set_timer(armed, efi::TIMER_RELATIVE, 10_000);
    let mut events = [armed];
    let is = unsafe { (bs().wait_for_event)(1, events.as_mut_ptr(), &mut index) };
    status("WaitForEvent: a timer", is, Status::SUCCESS);
    for event in [event, other, notified, wait, armed] {
        close(event);
    }
}

fn order() {
    let callback = made(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(record), 1);
    let second = made(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(record), 2);
    let notify = made(efi::EVT_NOTIFY_SIGNAL, efi::TPL_NOTIFY, Some(record), 3);
    ORDER.store(0, Ordering::Relaxed);
    equal("RaiseTPL: from applications", raise(efi::TPL_HIGH_LEVEL), efi::TPL_APPLICATION);
    equal("RaiseTPL: again", raise(efi::TPL_HIGH_LEVEL), efi::TPL_HIGH_LEVEL);
    for event in [callback, second, notify] {
        signal(event);
        signal(event);
    }
    equal("TPL: nothing runs while it is raised", ORDER.load(Ordering::Relaxed), 0);
    restore(efi::TPL_CALLBACK);
    equal("TPL: above callback", ORDER.load(Ordering::Relaxed), 3);
    restore(efi::TPL_APPLICATION);
    equal("TPL: in order, once each", ORDER.load(Ordering::Relaxed), 0x312);
    ORDER.store(0, Ordering::Relaxed);
    signal(second);
    equal("SignalEvent: runs at once", ORDER.load(Ordering::Relaxed), 2);
    let tpl = raise(efi::TPL_CALLBACK);
    signal(callback);
    status("CloseEvent: pending", close(callback), Status::SUCCESS);
    restore(tpl);
    equal("CloseEvent: does not run any more", ORDER.load(Ordering::Relaxed), 2);
    let counting = made(efi::EVT_NOTIFY_SIGNAL, efi::TPL_NOTIFY, Some(count), 0);
    signal(counting);
    equal("TPL: of the event while it runs", SEEN_TPL.load(Ordering::Relaxed), efi::TPL_NOTIFY);
    COUNT.store(0, Ordering::Relaxed);
    let again = made(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(signal_itself), 0);
    signal(again);
    equal("SignalEvent: from its own function", COUNT.load(Ordering::Relaxed), 4);
    for event in [second, notify, counting, again] {
        close(event);
    }
}

fn groups() {
    let mut events = [ptr::null_mut(); 3];
    for (index, event) in events.iter_mut().enumerate() {
        let context = ptr::without_provenance_mut(index + 1);
        let is = unsafe {
            (bs().create_event_ex)(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(record), context, &GROUP, event)
        };
        status("CreateEventEx: group", is, Status::SUCCESS);
    }
    ORDER.store(0, Ordering::Relaxed);
    signal(events[1]);
    let order = ORDER.load(Ordering::Relaxed);
    let mut digits = [order & 15, order >> 4 & 15, order >> 8];
    digits.sort_unstable();
    equal("SignalEvent: a group", digits, [1, 2, 3]);
    for event in events {
        close(event);
    }
    let mut event = ptr::null_mut();
    let is = unsafe {
        let group = efi::EVENT_GROUP_EXIT_BOOT_SERVICES;
        let kind = efi::EVT_SIGNAL_EXIT_BOOT_SERVICES;
        (bs().create_event_ex)(kind, efi::TPL_CALLBACK, Some(record), ptr::null_mut(), &group, &mut event)
    };
    status("CreateEventEx: old type in a group", is, Status::INVALID_PARAMETER);
}

/// Creates an event of a group that counts.
fn in_group(group: &Guid) -> Event {
    let mut event = ptr::null_mut();
    let is = unsafe {
        let kind = efi::EVT_NOTIFY_SIGNAL;
        (bs().create_event_ex)(kind, efi::TPL_CALLBACK, Some(count), ptr::null_mut(), group, &mut event)
    };
    assert!(is == Status::SUCCESS, "CreateEventEx: {is:?}");
    event
}

/// The groups that the firmware signals, but for those of the end of boot services (`exit`).
fn known_groups() {
    let counted = |group: &Guid, work: &dyn Fn(Event)| {
        let event = in_group(group);
        COUNT.store(0, Ordering::Relaxed);
        work(event);
        let counted = COUNT.load(Ordering::Relaxed);
        close(event);
        counted
    };
    let changes = counted(&efi::EVENT_GROUP_MEMORY_MAP_CHANGE, &|_| {
        let mut page = 0;
        unsafe {
            let _ = (bs().allocate_pages)(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 1, &mut page);
            let _ = (bs().free_pages)(page, 1);
        }
    });
    equal("group: MEMORY_MAP_CHANGE", changes, 2);
    let mut table = GROUP;
    let installed = counted(&GROUP, &|event| unsafe {
        let mut table = table;
        let _ = (bs().install_configuration_table)(&mut table, event);
    });
    equal("group: of a configuration table", installed, 1);
    let removed = counted(&GROUP, &|_| unsafe {
        let mut table = table;
        let _ = (bs().install_configuration_table)(&mut table, ptr::null_mut());
    });
    equal("group: of a configuration table that is removed", removed, 1);
    unsafe {
        let is = (bs().install_configuration_table)(&mut table, ptr::null_mut());
        status("group: the configuration table is gone", is, Status::NOT_FOUND);
    }
    for group in [efi::EVENT_GROUP_READY_TO_BOOT, AFTER_READY_TO_BOOT] {
        let other = in_group(&group);
        let signalled = counted(&group, &|event| status("SignalEvent: a known group", signal(event), Status::SUCCESS));
        equal("group: any may be signalled", signalled, 2);
        close(other);
    }
}

fn timers() {
    let timer = made(efi::EVT_TIMER, 0, None, 0);
    let plain = made(0, 0, None, 0);
    status("SetTimer: no timer", set_timer(plain, efi::TIMER_RELATIVE, 1), Status::INVALID_PARAMETER);
    status("SetTimer: unknown kind", set_timer(timer, 3, 1), Status::INVALID_PARAMETER);
    status("SetTimer: relative", set_timer(timer, efi::TIMER_RELATIVE, 200_000), Status::SUCCESS);
    status("CheckEvent: too early", check_event(timer), Status::NOT_READY);
    let mut events = [timer];
    let mut index = 9;
    let is = unsafe { (bs().wait_for_event)(1, events.as_mut_ptr(), &mut index) };
    check("WaitForEvent: relative timer", is == Status::SUCCESS && index == 0);
    stall(50_000);
    status("SetTimer: relative fires once", check_event(timer), Status::NOT_READY);
    set_timer(timer, efi::TIMER_PERIODIC, 100_000);
    for name in ["WaitForEvent: period 1", "WaitForEvent: period 2", "WaitForEvent: period 3"] {
        status(name, unsafe { (bs().wait_for_event)(1, events.as_mut_ptr(), &mut index) }, Status::SUCCESS);
    }
    status("SetTimer: cancel", set_timer(timer, efi::TIMER_CANCEL, 0), Status::SUCCESS);
    check_event(timer);
    stall(50_000);
    status("SetTimer: cancelled", check_event(timer), Status::NOT_READY);
    COUNT.store(0, Ordering::Relaxed);
    let notified = made(efi::EVT_TIMER | efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(count), 0);
    set_timer(notified, efi::TIMER_PERIODIC, 100_000);
    for _ in 0..20 {
        stall(10_000);
    }
    let count = COUNT.load(Ordering::Relaxed);
    check("SetTimer: periodic notification", (2..=40).contains(&count));
    COUNT.store(0, Ordering::Relaxed);
    let input = unsafe { (*env::table()).con_in };
    let start = counter();
    while COUNT.load(Ordering::Relaxed) == 0 && counter() - start < frequency() {
        let mut key = InputKey::default();
        unsafe { ((*input).read_key_stroke)(input, &mut key) };
    }
    check("ReadKeyStroke: timers go on", COUNT.load(Ordering::Relaxed) > 0);
    for (name, call) in LOOPED {
        COUNT.store(0, Ordering::Relaxed);
        let start = counter();
        while COUNT.load(Ordering::Relaxed) == 0 && counter() - start < frequency() {
            call();
        }
        check(name, COUNT.load(Ordering::Relaxed) > 0);
    }
    close(notified);
    let count = COUNT.load(Ordering::Relaxed);
    stall(50_000);
    equal("CloseEvent: stops the timer", COUNT.load(Ordering::Relaxed), count);
    let now = made(efi::EVT_TIMER, 0, None, 0);
    set_timer(now, efi::TIMER_RELATIVE, 0);
    stall(30_000);
    one_of("SetTimer: at once", check_event(now), &[Status::SUCCESS]);
    for event in [timer, plain, now] {
        close(event);
    }
}

/// Services that a program calls in a loop while it waits for a timer's notification.
const LOOPED: [(&str, fn()); 6] = [
    ("AllocatePool: timers go on", || env::free(env::pool(16))),
    ("AllocatePages: timers go on", || unsafe {
        let mut page = 0;
        let _ = (bs().allocate_pages)(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 1, &mut page);
        let _ = (bs().free_pages)(page, 1);
    }),
    ("HandleProtocol: timers go on", || {
        env::loaded_image();
    }),
    ("LocateProtocol: timers go on", || {
        env::locate::<c_void>(&GROUP);
    }),
    ("GetMemoryMap: timers go on", || unsafe {
        let mut size = 0;
        let null = ptr::null_mut();
        let _ = (bs().get_memory_map)(&mut size, null, null.cast(), null.cast(), null.cast());
    }),
    ("RestoreTPL: timers go on", || restore(raise(efi::TPL_NOTIFY))),
];

fn stall(microseconds: usize) {
    unsafe { (bs().stall)(microseconds) };
}

fn counter() -> u64 {
    let value: u64;
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nomem, nostack)) };
    value
}

fn frequency() -> u64 {
    let value: u64;
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack)) };
    value
}

fn time() {
    let frequency = frequency();
    let start = counter();
    let is = unsafe { (bs().stall)(20_000) };
    let ticks = counter() - start;
    status("Stall", is, Status::SUCCESS);
    check("Stall: not shorter", ticks >= frequency / 50);
    check("Stall: not much longer", ticks < frequency);
}
