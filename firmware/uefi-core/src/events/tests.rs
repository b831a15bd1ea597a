use super::*;

use r_efi::efi::{TPL_CALLBACK, TPL_NOTIFY};

type Table = EventTable<char>;

const GROUP: Guid = Guid::from_fields(1, 2, 3, 4, 5, &[6; 6]);

fn spec(kind: u32, tpl: Tpl, notify: char) -> EventSpec<char> {
    EventSpec { kind, tpl, notify: Some(notify), group: None }
}

fn signal_event(table: &mut Table, tpl: Tpl, name: char) -> Event {
    table.create(spec(EVT_NOTIFY_SIGNAL, tpl, name)).unwrap()
}

/// Runs what may run, as the edge does, and tells in which order.
fn dispatch(table: &mut Table) -> String {
    let mut order = String::new();
    while let Some(next) = table.begin_next() {
        order.push(next.notify);
        table.set_tpl(next.previous_tpl);
    }
    order
}

#[test]
fn types_and_levels_are_checked() {
    let mut table = Table::new();
    for kind in [0, EVT_TIMER, EVT_NOTIFY_WAIT, EVT_NOTIFY_SIGNAL, EVT_TIMER | EVT_NOTIFY_SIGNAL] {
        assert!(table.create(spec(kind, TPL_CALLBACK, 'a')).is_ok(), "{kind:#x}");
    }
    for kind in [0x300, 1, 0x202, 0x1000_0000, EVT_TIMER | 0x300, EVT_SIGNAL_EXIT_BOOT_SERVICES | EVT_TIMER] {
        assert_eq!(table.create(spec(kind, TPL_CALLBACK, 'a')), Err(EventError::Invalid), "{kind:#x}");
    }
    for tpl in [0, TPL_APPLICATION, TPL_HIGH_LEVEL, 32, usize::MAX] {
        let created = table.create(spec(EVT_NOTIFY_SIGNAL, tpl, 'a'));
        assert_eq!(created, Err(EventError::Invalid), "{tpl}");
        assert!(table.create(spec(EVT_TIMER, tpl, 'a')).is_ok(), "ignored without a notification");
    }
    let silent = EventSpec { kind: EVT_NOTIFY_WAIT, tpl: TPL_CALLBACK, notify: None, group: None };
    assert_eq!(table.create(silent), Err(EventError::Invalid));
}

#[test]
fn the_types_of_a_moment_are_groups() {
    let mut table = Table::new();
    table.create(spec(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_CALLBACK, 'e')).unwrap();
    table.create(spec(EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE, TPL_NOTIFY, 'v')).unwrap();
    table.signal_group(&EVENT_GROUP_EXIT_BOOT_SERVICES);
    assert_eq!(dispatch(&mut table), "e");
    let waiting =
        EventSpec { group: Some(EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE), ..spec(EVT_NOTIFY_WAIT, TPL_NOTIFY, 'w') };
    table.create(waiting).unwrap();
    let members: Vec<_> = table.members(&EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE).map(|(_, n)| n).collect();
    assert_eq!(members, ['v']);
    let other = EventSpec { group: Some(GROUP), ..spec(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_CALLBACK, 'x') };
    assert_eq!(table.create(other), Err(EventError::Invalid));
}

#[test]
fn notifications_run_by_level_and_then_in_order() {
    let mut table = Table::new();
    let events = [(TPL_CALLBACK, 'a'), (TPL_NOTIFY, 'b'), (TPL_CALLBACK, 'c'), (TPL_NOTIFY, 'd'), (20, 'e')]
        .map(|(tpl, name)| signal_event(&mut table, tpl, name));
    for event in events {
        table.signal(event).unwrap();
    }
    assert_eq!(dispatch(&mut table), "ebdac");
    assert_eq!(dispatch(&mut table), "");
}

#[test]
fn notifications_wait_for_the_level() {
    let mut table = Table::new();
    let low = signal_event(&mut table, TPL_CALLBACK, 'l');
    let high = signal_event(&mut table, TPL_NOTIFY, 'h');
    table.set_tpl(TPL_NOTIFY);
    table.signal(low).unwrap();
    table.signal(high).unwrap();
    assert_eq!(dispatch(&mut table), "", "equal is not above");
    table.set_tpl(TPL_CALLBACK);
    assert_eq!(dispatch(&mut table), "h");
    table.set_tpl(TPL_APPLICATION);
    assert_eq!(dispatch(&mut table), "l");
}

#[test]
fn a_notification_runs_at_its_level() {
    let mut table = Table::new();
    let first = signal_event(&mut table, TPL_CALLBACK, '1');
    let same = signal_event(&mut table, TPL_CALLBACK, '2');
    let above = signal_event(&mut table, TPL_NOTIFY, '3');
    table.signal(first).unwrap();
    let running = table.begin_next().unwrap();
    assert_eq!((running.event, table.tpl(), running.previous_tpl), (first, TPL_CALLBACK, TPL_APPLICATION));
    table.signal(same).unwrap();
    table.signal(above).unwrap();
    table.signal(first).unwrap();
    assert_eq!(dispatch(&mut table), "3", "only what is above interrupts it");
    table.set_tpl(running.previous_tpl);
    assert_eq!(dispatch(&mut table), "21", "it was signalled anew while it ran");
}

#[test]
fn a_signal_counts_once_until_it_is_delivered() {
    let mut table = Table::new();
    let event = signal_event(&mut table, TPL_CALLBACK, 'a');
    table.signal(event).unwrap();
    table.signal(event).unwrap();
    assert_eq!(dispatch(&mut table), "a");
    table.signal(event).unwrap();
    assert_eq!(dispatch(&mut table), "a");
    let other = signal_event(&mut table, TPL_CALLBACK, 'b');
    table.signal(event).unwrap();
    table.signal(other).unwrap();
    table.signal(event).unwrap();
    assert_eq!(dispatch(&mut table), "ab", "it keeps its place");
}

#[test]
fn a_group_is_signalled_together() {
    let mut table = Table::new();
    let member = |table: &mut Table, kind, name| {
        table.create(EventSpec { group: Some(GROUP), ..spec(kind, TPL_CALLBACK, name) }).unwrap()
    };
    let first = member(&mut table, EVT_NOTIFY_SIGNAL, 'a');
    member(&mut table, EVT_NOTIFY_SIGNAL, 'b');
    let silent = member(&mut table, 0, 'c');
    let other = signal_event(&mut table, TPL_CALLBACK, 'd');
    table.signal(first).unwrap();
    assert_eq!(dispatch(&mut table), "ab");
    assert_eq!(table.check(silent), Ok(Check::Signalled));
    table.signal(other).unwrap();
    assert_eq!(dispatch(&mut table), "d");
}

#[test]
fn a_closed_event_is_gone_with_its_notification() {
    let mut table = Table::new();
    let event = signal_event(&mut table, TPL_CALLBACK, 'a');
    table.signal(event).unwrap();
    table.close(event).unwrap();
    let lower = signal_event(&mut table, TPL_CALLBACK - 1, 'l');
    table.signal(lower).unwrap();
    assert_eq!(dispatch(&mut table), "l", "and does not hold up what is below");
    assert_eq!(table.close(event), Err(EventError::Invalid));
    assert_eq!(table.signal(event), Err(EventError::Invalid));
    assert_eq!(table.check(event), Err(EventError::Invalid));
    assert_eq!(table.set_timer(event, TimerSetting::Cancel, 0), Err(EventError::Invalid));
    let next = signal_event(&mut table, TPL_CALLBACK, 'b');
    assert_ne!(next, event);
    assert!(!table.contains(event) && table.contains(next));
    assert!(!table.contains(Event::from_raw(0)));
}

#[test]
fn checking_clears_the_signal() {
    let mut table = Table::new();
    let event = table.create(spec(0, 0, 'a')).unwrap();
    assert_eq!(table.check(event), Ok(Check::NotReady));
    table.signal(event).unwrap();
    assert_eq!(table.check(event), Ok(Check::Signalled));
    assert_eq!(table.check(event), Ok(Check::NotReady));
    let notified = signal_event(&mut table, TPL_CALLBACK, 'b');
    assert_eq!(table.check(notified), Err(EventError::Invalid));
}

#[test]
fn checking_asks_the_notification_of_a_waiting_event() {
    let mut table = Table::new();
    let event = table.create(spec(EVT_NOTIFY_WAIT, TPL_NOTIFY, 'w')).unwrap();
    assert_eq!(table.check(event), Ok(Check::NotifyQueued));
    assert_eq!(dispatch(&mut table), "w");
    assert!(!table.take_signal(event));
    assert_eq!(table.check(event), Ok(Check::NotifyQueued));
    let running = table.begin_next().unwrap();
    table.signal(running.event).unwrap();
    table.set_tpl(running.previous_tpl);
    assert_eq!(dispatch(&mut table), "", "a signal does not call it");
    assert!(table.take_signal(event));
    assert!(!table.take_signal(event));
}

#[test]
fn timers_fire_when_due() {
    let mut table = Table::new();
    let event = table.create(spec(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK, 't')).unwrap();
    let plain = table.create(spec(0, 0, 'p')).unwrap();
    assert_eq!(table.set_timer(plain, TimerSetting::Relative(1), 0), Err(EventError::Invalid));
    table.set_timer(event, TimerSetting::Relative(10), 100).unwrap();
    table.expire(109);
    assert_eq!(dispatch(&mut table), "");
    table.expire(110);
    assert_eq!(dispatch(&mut table), "t");
    table.expire(1000);
    assert_eq!(dispatch(&mut table), "", "once");
}

#[test]
fn periodic_timers_keep_their_beat_and_skip_what_they_missed() {
    let mut table = Table::new();
    let event = table.create(spec(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK, 't')).unwrap();
    table.set_timer(event, TimerSetting::Periodic(10), 0).unwrap();
    let mut fired = Vec::new();
    for now in [9, 12, 19, 20, 75, 76, 85] {
        table.expire(now);
        if dispatch(&mut table) == "t" {
            fired.push(now);
        }
    }
    assert_eq!(fired, [12, 20, 75, 85]);
    table.set_timer(event, TimerSetting::Cancel, 90).unwrap();
    table.expire(1000);
    assert_eq!(dispatch(&mut table), "");
}

#[test]
fn several_timers_fire_in_the_order_they_are_due() {
    let mut table = Table::new();
    for (delay, name) in [(30, 'c'), (10, 'a'), (20, 'b'), (40, 'd')] {
        let event = table.create(spec(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK, name)).unwrap();
        table.set_timer(event, TimerSetting::Relative(delay), 0).unwrap();
    }
    table.expire(35);
    assert_eq!(dispatch(&mut table), "abc");
    table.expire(40);
    assert_eq!(dispatch(&mut table), "d");
}

#[test]
fn timers_end_at_the_edges_of_the_counter() {
    let mut table = Table::new();
    let event = table.create(spec(EVT_TIMER, 0, 't')).unwrap();
    table.set_timer(event, TimerSetting::Periodic(0), 5).unwrap();
    for now in [5, 6, 9] {
        table.expire(now);
        assert_eq!(table.check(event), Ok(Check::Signalled), "{now}");
    }
    table.set_timer(event, TimerSetting::Periodic(u64::MAX), 7).unwrap();
    table.expire(u64::MAX);
    assert_eq!(table.check(event), Ok(Check::Signalled));
    table.expire(u64::MAX);
    assert_eq!(table.check(event), Ok(Check::NotReady));
}

#[test]
fn cancelled_timers_stay_silent() {
    let mut table = Table::new();
    let event = table.create(spec(EVT_TIMER, 0, 't')).unwrap();
    table.set_timer(event, TimerSetting::Periodic(10), 0).unwrap();
    table.cancel_timers();
    let other = table.create(spec(EVT_TIMER, 0, 'o')).unwrap();
    table.set_timer(other, TimerSetting::Relative(20), 0).unwrap();
    table.expire(100);
    assert_eq!(table.check(other), Ok(Check::Signalled));
    assert_eq!(table.check(event), Ok(Check::NotReady));
    table.set_timer(event, TimerSetting::Relative(10), 100).unwrap();
    table.expire(110);
    assert_eq!(table.check(event), Ok(Check::Signalled));
}
