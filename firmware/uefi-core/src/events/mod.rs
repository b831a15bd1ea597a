//! Events, timers and task priority levels (UEFI 2.10, section 7.1).
//!
//! The table never calls a notification function. It queues notifications, and
//! [`EventTable::begin_next`] hands out the next one that may run, so that the caller calls it
//! while nothing here is borrowed.

use r_efi::efi::{
    EVENT_GROUP_EXIT_BOOT_SERVICES, EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE, EVT_NOTIFY_SIGNAL, EVT_NOTIFY_WAIT,
    EVT_RUNTIME, EVT_SIGNAL_EXIT_BOOT_SERVICES, EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE, EVT_TIMER, Guid, TPL_APPLICATION,
    TPL_HIGH_LEVEL, Tpl,
};

use crate::slots::SlotTable;

/// The tag of the names, readable in a dump: "EU".
const EVENT_TAG: u16 = 0x4555;

/// A name for an event. It may come from a client: nothing but a lookup is ever done with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event(u64);

impl Event {
    /// Takes a value that a client passed.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The value for a client. Never zero for an event of the table.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventError {
    /// There is no such event, or it is of a type that the request does not fit.
    #[error("invalid event")]
    Invalid,
    /// No memory for another event.
    #[error("out of memory")]
    OutOfResources,
}

/// What an event is to be.
#[derive(Clone, Copy, Debug)]
pub struct EventSpec<N> {
    /// `EVT_*`.
    pub kind: u32,
    /// The level of the notification.
    pub tpl: Tpl,
    /// The notification, needed by the types that have one and ignored for others.
    pub notify: Option<N>,
    /// The group, for `CreateEventEx()`.
    pub group: Option<Guid>,
}

/// When a timer fires, in ticks of the counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimerSetting {
    /// Not at all.
    Cancel,
    /// Every so many ticks.
    Periodic(u64),
    /// Once, after so many ticks.
    Relative(u64),
}

/// The answer of [`EventTable::check`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Check {
    /// It was signalled; now it is not.
    Signalled,
    /// It is not signalled.
    NotReady,
    /// It is not signalled, but its notification, which is queued now, may signal it: dispatch,
    /// then ask [`EventTable::take_signal`].
    NotifyQueued,
}

/// A notification to run.
#[derive(Clone, Copy, Debug)]
pub struct Notification<N> {
    /// The event.
    pub event: Event,
    /// What to call.
    pub notify: N,
    /// The level to return to with [`EventTable::set_tpl`] afterwards.
    pub previous_tpl: Tpl,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    due: u64,
    period: Option<u64>,
}

#[derive(Debug)]
struct Entry<N> {
    kind: u32,
    tpl: Tpl,
    notify: Option<N>,
    group: Option<Guid>,
    signalled: bool,
    /// The place in the order of its level.
    queued: Option<u64>,
    timer: Option<Timer>,
}

impl<N> Entry<N> {
    fn has(&self, kind: u32) -> bool {
        self.kind & kind != 0
    }
}

/// All events and the current task priority level. `N` says what a notification calls.
#[derive(Debug)]
pub struct EventTable<N> {
    entries: SlotTable<Entry<N>, EVENT_TAG>,
    tpl: Tpl,
    /// Bit n is set when a notification of level n is queued.
    pending: u32,
    /// The earliest time that a timer is due, or earlier.
    next_due: u64,
    /// Counts what was ever queued.
    order: u64,
}

impl<N: Copy> Default for EventTable<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Copy> EventTable<N> {
    /// No events, at `TPL_APPLICATION`.
    pub const fn new() -> Self {
        Self { entries: SlotTable::new(), tpl: TPL_APPLICATION, pending: 0, next_due: u64::MAX, order: 0 }
    }

    /// Creates an event. The two types that name a moment become `EVT_NOTIFY_SIGNAL` events of
    /// the group of that moment.
    ///
    /// # Errors
    /// [`EventError::Invalid`] for a type that does not exist, a notification that is missing or
    /// has a level that is not between `TPL_APPLICATION` and `TPL_HIGH_LEVEL`, or a type that
    /// implies another group; [`EventError::OutOfResources`].
    pub fn create(&mut self, spec: EventSpec<N>) -> Result<Event, EventError> {
        let (kind, group) = match (spec.kind, spec.group) {
            (EVT_SIGNAL_EXIT_BOOT_SERVICES, None) => (EVT_NOTIFY_SIGNAL, Some(EVENT_GROUP_EXIT_BOOT_SERVICES)),
            (EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE, None) => {
                (EVT_NOTIFY_SIGNAL | EVT_RUNTIME, Some(EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE))
            }
            (kind, group) => (kind, group),
        };
        const WAIT_AND_SIGNAL: u32 = EVT_NOTIFY_WAIT | EVT_NOTIFY_SIGNAL;
        let known = EVT_TIMER | EVT_RUNTIME | WAIT_AND_SIGNAL;
        if kind & !known != 0 || kind & WAIT_AND_SIGNAL == WAIT_AND_SIGNAL {
            return Err(EventError::Invalid);
        }
        let notifies = kind & WAIT_AND_SIGNAL != 0;
        let level_is_fit = spec.tpl > TPL_APPLICATION && spec.tpl < TPL_HIGH_LEVEL;
        if notifies && (spec.notify.is_none() || !level_is_fit) {
            return Err(EventError::Invalid);
        }
        self.entries
            .insert(Entry {
                kind,
                tpl: spec.tpl,
                notify: spec.notify.filter(|_| notifies),
                group,
                signalled: false,
                queued: None,
                timer: None,
            })
            .map(Event)
            .map_err(|_| EventError::OutOfResources)
    }

    /// Closes an event. Its queued notification will not run.
    ///
    /// # Errors
    /// [`EventError::Invalid`].
    pub fn close(&mut self, event: Event) -> Result<(), EventError> {
        let entry = self.entries.remove(event.0).ok_or(EventError::Invalid)?;
        if entry.queued.is_some() {
            self.recount_pending();
        }
        Ok(())
    }

    /// Whether the event exists.
    pub fn contains(&self, event: Event) -> bool {
        self.entries.get(event.0).is_some()
    }

    /// Signals an event and its group. What is signalled already stays so.
    ///
    /// # Errors
    /// [`EventError::Invalid`].
    pub fn signal(&mut self, event: Event) -> Result<(), EventError> {
        let entry = self.entries.get_mut(event.0).ok_or(EventError::Invalid)?;
        match entry.group {
            Some(group) => self.signal_group(&group),
            None => mark(entry, &mut self.order, &mut self.pending),
        }
        Ok(())
    }

    /// Signals every event of a group.
    pub fn signal_group(&mut self, group: &Guid) {
        for entry in self.entries.values_mut() {
            if entry.group.as_ref() == Some(group) {
                mark(entry, &mut self.order, &mut self.pending);
            }
        }
    }

    /// Looks whether an event is signalled, and clears it when it is.
    ///
    /// # Errors
    /// [`EventError::Invalid`] also when the event is of type `EVT_NOTIFY_SIGNAL`.
    pub fn check(&mut self, event: Event) -> Result<Check, EventError> {
        let entry =
            self.entries.get_mut(event.0).filter(|entry| !entry.has(EVT_NOTIFY_SIGNAL)).ok_or(EventError::Invalid)?;
        if core::mem::take(&mut entry.signalled) {
            return Ok(Check::Signalled);
        }
        if entry.has(EVT_NOTIFY_WAIT) {
            queue(entry, &mut self.order, &mut self.pending);
            return Ok(Check::NotifyQueued);
        }
        Ok(Check::NotReady)
    }

    /// Clears the signal of an event and tells whether there was one. False for an event that its
    /// own notification closed.
    pub fn take_signal(&mut self, event: Event) -> bool {
        self.entries.get_mut(event.0).is_some_and(|entry| core::mem::take(&mut entry.signalled))
    }

    /// Sets the timer of an event; `now` is the counter. Delays that end behind the counter's
    /// range never end.
    ///
    /// # Errors
    /// [`EventError::Invalid`] also when the event is no timer.
    pub fn set_timer(&mut self, event: Event, setting: TimerSetting, now: u64) -> Result<(), EventError> {
        let entry = self.entries.get_mut(event.0).filter(|entry| entry.has(EVT_TIMER)).ok_or(EventError::Invalid)?;
        entry.timer = match setting {
            TimerSetting::Cancel => None,
            TimerSetting::Periodic(period) => Some(Timer { due: now.saturating_add(period), period: Some(period) }),
            TimerSetting::Relative(delay) => Some(Timer { due: now.saturating_add(delay), period: None }),
        };
        if let Some(timer) = entry.timer {
            self.next_due = self.next_due.min(timer.due);
        }
        Ok(())
    }

    /// Signals the events whose timers are due at `now`. A periodic timer that was due several
    /// times fires once.
    pub fn expire(&mut self, now: u64) {
        if now < self.next_due {
            return;
        }
        while let Some((name, timer)) = self.due(now) {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.timer = timer.period.map(|period| {
                    // A period of zero still has to leave `now`, or the loop would not end.
                    let next = timer.due.saturating_add(period);
                    let due = if next > now { next } else { now.saturating_add(period.max(1)) };
                    Timer { due, ..timer }
                });
                // At the end of the counter's range there is no later time.
                if entry.timer.is_some_and(|timer| timer.due <= now) {
                    entry.timer = None;
                }
            }
            // The event exists: its timer was found a moment ago.
            let _ = self.signal(Event(name));
        }
        self.next_due =
            self.entries.iter().filter_map(|(_, entry)| entry.timer.map(|timer| timer.due)).min().unwrap_or(u64::MAX);
    }

    /// Stops all timers.
    pub fn cancel_timers(&mut self) {
        for entry in self.entries.values_mut() {
            entry.timer = None;
        }
        self.next_due = u64::MAX;
    }

    /// The notifications that signalling a group makes, in no order that means anything.
    pub fn members(&self, group: &Guid) -> impl Iterator<Item = (Event, N)> {
        self.entries
            .iter()
            .filter(move |(_, entry)| entry.group.as_ref() == Some(group) && entry.has(EVT_NOTIFY_SIGNAL))
            .filter_map(|(name, entry)| Some((Event(name), entry.notify?)))
    }

    /// The current level.
    pub fn tpl(&self) -> Tpl {
        self.tpl
    }

    /// Sets the level. After lowering it, [`Self::begin_next`] may have something to run.
    pub fn set_tpl(&mut self, tpl: Tpl) {
        self.tpl = tpl;
    }

    /// Takes the next notification above the current level from the queue: of the highest level,
    /// and within it the one that was queued first. The level becomes that of the notification.
    pub fn begin_next(&mut self) -> Option<Notification<N>> {
        let level = Tpl::try_from(self.pending.checked_ilog2()?).ok()?;
        if level <= self.tpl {
            return None;
        }
        let (name, _) = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.tpl == level)
            .filter_map(|(name, entry)| Some((name, entry.queued?)))
            .min_by_key(|(_, order)| *order)?;
        let entry = self.entries.get_mut(name)?;
        entry.queued = None;
        if entry.has(EVT_NOTIFY_SIGNAL) {
            entry.signalled = false;
        }
        let notify = entry.notify?;
        self.recount_pending();
        let previous_tpl = core::mem::replace(&mut self.tpl, level);
        Some(Notification { event: Event(name), notify, previous_tpl })
    }

    fn due(&self, now: u64) -> Option<(u64, Timer)> {
        self.entries
            .iter()
            .filter_map(|(name, entry)| Some((name, entry.timer?)))
            .filter(|(_, timer)| timer.due <= now)
            .min_by_key(|(_, timer)| timer.due)
    }

    fn recount_pending(&mut self) {
        self.pending = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.queued.is_some())
            .fold(0, |pending, (_, entry)| pending | level_bit(entry.tpl));
    }
}

/// Makes an event signalled, and queues its notification when it is one for signals.
fn mark<N>(entry: &mut Entry<N>, order: &mut u64, pending: &mut u32) {
    entry.signalled = true;
    if entry.has(EVT_NOTIFY_SIGNAL) {
        queue(entry, order, pending);
    }
}

fn queue<N>(entry: &mut Entry<N>, order: &mut u64, pending: &mut u32) {
    if entry.queued.is_none() {
        *order += 1;
        entry.queued = Some(*order);
        *pending |= level_bit(entry.tpl);
    }
}

fn level_bit(tpl: Tpl) -> u32 {
    u32::try_from(tpl).ok().and_then(|tpl| 1u32.checked_shl(tpl)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
