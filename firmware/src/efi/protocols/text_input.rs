//! EFI_SIMPLE_TEXT_INPUT_PROTOCOL and EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL over the serial console
//! (UEFI 2.10, 12.2 and 12.3). Both read the same queue of keys.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::{mem, ptr};

use r_efi::efi::{self, Boolean, Event, Status};
use r_efi::protocols::simple_text_input::{self, InputKey};
use r_efi::protocols::simple_text_input_ex::{self as ex, KeyData, KeyNotifyFunction, KeyState, KeyToggleState};
use spin::Mutex;
use terminal::{Key, KeyDecoder, Size};

use super::super::services;
use crate::arch;
use crate::devices::console;

/// Keys that wait to be read; those typed beyond that stay in the UART.
const QUEUE_LENGTH: usize = 32;

/// How long after its last byte a sequence is taken as finished, in milliseconds. A terminal
/// sends a sequence in one go; a person cannot type one that fast.
const SEQUENCE_TIME_OUT_MS: u64 = 50;

/// In microseconds.
const MILLISECOND: u64 = 1000;

/// How often registered keys are looked for, in units of 100 ns.
const NOTIFY_PERIOD: u64 = 200_000;

/// The bytes that are taken at a time at most: not all become keys.
const POLL_LIMIT: usize = 256;

/// The bytes that a reset throws away at most: a device that never runs dry must not hold it.
const DISCARD_LIMIT: usize = 4096;

/// Registrations of key notifications: more than any program has, less than the heap.
const REGISTRATION_LIMIT: usize = 256;

struct Input {
    decoder: KeyDecoder,
    keys: VecDeque<Key>,
    /// The counter when the last byte came.
    last_byte: u64,
    registrations: Vec<Registration>,
    next_registration: usize,
    /// Calls owed, by the numbers of their registrations.
    due: VecDeque<(usize, KeyData)>,
    /// Whether a timer looks for registered keys, as from the first registration on.
    has_timer: bool,
}

struct Registration {
    id: usize,
    key: KeyData,
    function: KeyNotifyFunction,
}

/// No call leaves this module while it is locked.
static INPUT: Mutex<Input> = Mutex::new(Input {
    decoder: KeyDecoder::new(),
    keys: VecDeque::new(),
    last_byte: 0,
    registrations: Vec::new(),
    next_registration: 1,
    due: VecDeque::new(),
    has_timer: false,
});

impl Input {
    /// Takes what the UART has and decodes it.
    fn poll(&mut self) {
        for _ in 0..POLL_LIMIT {
            let room = self.keys.len() < QUEUE_LENGTH;
            let Some(byte) = room.then(console::read_byte).flatten() else { break };
            self.last_byte = arch::counter();
            if let Some(key) = self.decoder.push(byte) {
                self.take(key);
            }
        }
        if self.decoder.is_pending() && self.keys.len() < QUEUE_LENGTH {
            let ticks = (arch::counter_frequency() / 1000).saturating_mul(SEQUENCE_TIME_OUT_MS);
            if arch::counter().wrapping_sub(self.last_byte) > ticks
                && let Some(key) = self.decoder.time_out()
            {
                self.take(key);
            }
        }
    }

    fn take(&mut self, key: Key) {
        let data = key_data(key);
        for registration in &self.registrations {
            if matches(&registration.key, &data) && self.due.len() < QUEUE_LENGTH {
                self.due.push_back((registration.id, data));
            }
        }
        self.keys.push_back(key);
    }

    /// The next call that is owed and whose registration still stands.
    fn next_due(&mut self) -> Option<(KeyNotifyFunction, KeyData)> {
        loop {
            let (id, data) = self.due.pop_front()?;
            if let Some(registration) = self.registrations.iter().find(|registration| registration.id == id) {
                return Some((registration.function, data));
            }
        }
    }
}

/// The member as callers call it.
type RegisterKeyNotify =
    unsafe extern "efiapi" fn(*mut ex::Protocol, *mut KeyData, Option<KeyNotifyFunction>, *mut *mut c_void) -> Status;

/// Both protocols of the console.
pub struct Protocols {
    /// EFI_SIMPLE_TEXT_INPUT_PROTOCOL
    pub simple: *mut simple_text_input::Protocol,
    /// EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL
    pub extended: *mut ex::Protocol,
}

/// Makes the protocol instances and their wait events.
///
/// # Errors
/// No room for the events.
pub fn create() -> Result<Protocols, Status> {
    {
        let mut input = INPUT.lock();
        input.keys.reserve(QUEUE_LENGTH);
        input.due.reserve(QUEUE_LENGTH);
    }
    let wait_for_key = wait_event()?;
    let wait_for_key_ex = wait_event()?;
    let simple = Box::leak(Box::new(simple_text_input::Protocol { reset, read_key_stroke, wait_for_key }));
    let extended = Box::leak(Box::new(ex::Protocol {
        reset: reset_ex,
        read_key_stroke_ex,
        wait_for_key_ex,
        set_state,
        // SAFETY: an optional function pointer is passed as a function pointer is, with null for none; the
        // declared type has no null, but callers do.
        register_key_notify: unsafe {
            mem::transmute::<RegisterKeyNotify, ex::ProtocolRegisterKeyNotify>(register_key_notify)
        },
        unregister_key_notify,
    }));
    Ok(Protocols { simple, extended })
}

fn wait_event() -> Result<Event, Status> {
    create_event(efi::EVT_NOTIFY_WAIT, efi::TPL_NOTIFY, key_wanted)
}

fn create_event(kind: u32, tpl: efi::Tpl, notify: efi::EventNotify) -> Result<Event, Status> {
    // SAFETY: `notify` is one of this module's, which are always there and ignore their context.
    unsafe { services::create_event(kind, tpl, Some(notify), ptr::null_mut(), None) }
}

/// Called while somebody waits for or checks the event: it is signalled when a key is there.
unsafe extern "efiapi" fn key_wanted(event: Event, _context: *mut c_void) {
    let ready = {
        let mut input = INPUT.lock();
        input.poll();
        !input.keys.is_empty()
    };
    if ready {
        // The event is the one being checked, so it exists.
        let _ = services::signal_event(event);
    }
}

/// The timer: looks for keys, then calls what is registered for them.
unsafe extern "efiapi" fn notify_due(_event: Event, _context: *mut c_void) {
    INPUT.lock().poll();
    loop {
        let Some((function, mut data)) = INPUT.lock().next_due() else { return };
        // SAFETY: the registering image promised that the function can be called until it is
        // unregistered, and `next_due` gives none that is; `data` is a local.
        let _ = unsafe { function(&raw mut data) };
    }
}

fn next_key() -> Option<Key> {
    // A program that waits for a key may ask again and again, and call nothing else in between.
    services::events::poll();
    let mut input = INPUT.lock();
    input.poll();
    input.keys.pop_front()
}

/// The position of the cursor that the terminal reports within so many milliseconds. Keys that come meanwhile are kept.
pub fn cursor_report(milliseconds: u64) -> Option<Size> {
    for waited in 0.. {
        {
            let mut input = INPUT.lock();
            input.poll();
            if let Some(position) = input.decoder.take_report() {
                return Some(position);
            }
        }
        if waited == milliseconds {
            break;
        }
        arch::pause(MILLISECOND);
    }
    None
}

fn discard() -> Status {
    let mut input = INPUT.lock();
    input.keys.clear();
    input.due.clear();
    input.decoder = KeyDecoder::new();
    for _ in 0..DISCARD_LIMIT {
        if console::read_byte().is_none() {
            break;
        }
    }
    Status::SUCCESS
}

fn input_key(key: Key) -> InputKey {
    InputKey { scan_code: key.scan, unicode_char: key.char }
}

fn key_data(key: Key) -> KeyData {
    let held = [
        (key.modifiers.shift, ex::LEFT_SHIFT_PRESSED),
        (key.modifiers.control, ex::LEFT_CONTROL_PRESSED),
        (key.modifiers.alt, ex::LEFT_ALT_PRESSED),
    ];
    let pressed = held.iter().filter(|(held, _)| *held).fold(0, |bits, (_, bit)| bits | bit);
    // A terminal that reports nothing has not said that nothing is held.
    let key_shift_state = if pressed == 0 { 0 } else { ex::SHIFT_STATE_VALID | pressed };
    KeyData { key: input_key(key), key_state: KeyState { key_shift_state, key_toggle_state: 0 } }
}

/// Whether a key is the registered one: a shift or toggle state of zero stands for any.
fn matches(wanted: &KeyData, key: &KeyData) -> bool {
    let (wanted_shift, wanted_toggle) = (wanted.key_state.key_shift_state, wanted.key_state.key_toggle_state);
    wanted.key.scan_code == key.key.scan_code
        && wanted.key.unicode_char == key.key.unicode_char
        && (wanted_shift == 0 || wanted_shift == key.key_state.key_shift_state)
        && (wanted_toggle == 0 || wanted_toggle == key.key_state.key_toggle_state)
}

unsafe extern "efiapi" fn reset(_this: *mut simple_text_input::Protocol, _extended: Boolean) -> Status {
    discard()
}

unsafe extern "efiapi" fn read_key_stroke(_this: *mut simple_text_input::Protocol, key: *mut InputKey) -> Status {
    if key.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let Some(next) = next_key() else { return Status::NOT_READY };
    // SAFETY: not null; the caller passes an EFI_INPUT_KEY to write.
    unsafe { key.write(input_key(next)) };
    Status::SUCCESS
}

unsafe extern "efiapi" fn reset_ex(_this: *mut ex::Protocol, _extended: Boolean) -> Status {
    discard()
}

unsafe extern "efiapi" fn read_key_stroke_ex(_this: *mut ex::Protocol, data: *mut KeyData) -> Status {
    if data.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let next = next_key();
    let status = if next.is_some() { Status::SUCCESS } else { Status::NOT_READY };
    let next = next.map_or_else(KeyData::default, key_data);
    // SAFETY: not null; the caller passes an EFI_KEY_DATA to write.
    unsafe { data.write(next) };
    status
}

unsafe extern "efiapi" fn set_state(_this: *mut ex::Protocol, state: *mut KeyToggleState) -> Status {
    if state.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes an EFI_KEY_TOGGLE_STATE to read.
    let state = unsafe { state.read() };
    // A terminal has no locks to set, and never sends part of a key.
    if state & !ex::KEY_STATE_EXPOSED == ex::TOGGLE_STATE_VALID { Status::SUCCESS } else { Status::UNSUPPORTED }
}

unsafe extern "efiapi" fn register_key_notify(
    _this: *mut ex::Protocol,
    data: *mut KeyData,
    function: Option<KeyNotifyFunction>,
    handle: *mut *mut c_void,
) -> Status {
    let Some(function) = function else { return Status::INVALID_PARAMETER };
    if data.is_null() || handle.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes an EFI_KEY_DATA to read.
    let key = unsafe { data.read() };
    if let Err(status) = start_timer() {
        return status;
    }
    let id = {
        let mut input = INPUT.lock();
        if input.registrations.len() >= REGISTRATION_LIMIT || input.registrations.try_reserve(1).is_err() {
            return Status::OUT_OF_RESOURCES;
        }
        let id = input.next_registration;
        input.next_registration = id.wrapping_add(1);
        input.registrations.push(Registration { id, key, function });
        id
    };
    // SAFETY: not null; the caller passes a pointer to write. The handle is a number that only
    // `unregister_key_notify` looks at.
    unsafe { handle.write(ptr::without_provenance_mut(id)) };
    Status::SUCCESS
}

/// Registered keys are looked for by a timer, which runs only once there are any.
fn start_timer() -> Result<(), Status> {
    if INPUT.lock().has_timer {
        return Ok(());
    }
    let kind = efi::EVT_TIMER | efi::EVT_NOTIFY_SIGNAL;
    let event = create_event(kind, efi::TPL_CALLBACK, notify_due)?;
    INPUT.lock().has_timer = true;
    services::set_timer(event, efi::TIMER_PERIODIC, NOTIFY_PERIOD)
}

unsafe extern "efiapi" fn unregister_key_notify(_this: *mut ex::Protocol, handle: *mut c_void) -> Status {
    let mut input = INPUT.lock();
    let Some(index) = input.registrations.iter().position(|r| r.id == handle.addr()) else {
        return Status::INVALID_PARAMETER;
    };
    input.registrations.remove(index);
    Status::SUCCESS
}
