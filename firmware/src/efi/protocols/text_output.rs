//! EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL over the serial console (UEFI 2.10, 12.4).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use r_efi::efi::{Boolean, Char16, Status};
use r_efi::protocols::simple_text_output::{Mode, Protocol};
use spin::Mutex;
use terminal::{Screen, ScreenError};

use super::abi::Char16String;
use super::text_input;
use crate::devices::console;

/// How long a terminal has to tell its size, in milliseconds, once. One that is farther away is heard when it answers,
/// but what a program has begun to draw stays as large as it was.
const ANSWER_TIME_MS: u64 = 100;

/// Whether the terminal has been asked for its size. It is asked when a program first does more than write: most write a
/// line or two, and need not wait.
static ASKED: AtomicBool = AtomicBool::new(false);

/// What the terminal shows. No call leaves this module while it is locked.
static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);

/// The mode structure that images read. It lives in writable memory of its own: a copy of the
/// screen's state, never read back.
static MODE: AtomicPtr<Mode> = AtomicPtr::new(ptr::null_mut());

/// Makes the protocol instance. The screen keeps what is on it.
pub fn create() -> *mut Protocol {
    let mode = Box::leak(Box::new(Mode {
        max_mode: 0,
        mode: 0,
        attribute: 0,
        cursor_column: 0,
        cursor_row: 0,
        cursor_visible: Boolean::TRUE,
    }));
    MODE.store(mode, Ordering::Relaxed);
    let screen = Screen::default();
    publish(&screen);
    *SCREEN.lock() = Some(screen);
    Box::leak(Box::new(Protocol {
        reset,
        output_string,
        test_string,
        query_mode,
        set_mode,
        set_attribute,
        clear_screen,
        set_cursor_position,
        enable_cursor,
        mode,
    }))
}

/// Writes the state of the screen where images read it.
fn publish(screen: &Screen) {
    let (column, row) = screen.cursor();
    let mode = MODE.load(Ordering::Relaxed);
    if mode.is_null() {
        return;
    }
    // SAFETY: `mode` is the allocation that `create` leaked: valid for writes for ever, and no
    // Rust reference to it exists.
    unsafe {
        mode.write(Mode {
            max_mode: small(screen.mode_count()),
            mode: small(screen.mode()),
            attribute: i32::from(screen.attribute()),
            cursor_column: i32::from(column),
            cursor_row: i32::from(row),
            cursor_visible: Boolean::from(screen.cursor_visible()),
        });
    }
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Runs one operation on the screen and publishes the state that it leaves.
fn on_screen<E: IntoStatus>(operation: impl FnOnce(&mut Screen) -> E) -> Status {
    let mut guard = SCREEN.lock();
    let Some(screen) = guard.as_mut() else { return Status::DEVICE_ERROR };
    let result = operation(screen);
    console::flush();
    publish(screen);
    result.into_status()
}

/// Runs an operation that depends on the size of the screen; `changes` says whether its caller can expect that another
/// mode is the current one afterwards.
fn on_sized_screen<E: IntoStatus>(changes: bool, operation: impl FnOnce(&mut Screen) -> E) -> Status {
    on_screen(|screen| {
        learn_size(screen, changes);
        operation(screen)
    })
}

fn learn_size(screen: &mut Screen, changes: bool) {
    let first = !ASKED.swap(true, Ordering::Relaxed);
    if first {
        // What was told unasked is no answer.
        let _ = text_input::cursor_report(0);
        Screen::ask_size(&mut sink);
        console::flush();
    }
    if let Some(size) = text_input::cursor_report(if first { ANSWER_TIME_MS } else { 0 }) {
        screen.add_terminal(size, first && changes);
    }
}

trait IntoStatus {
    fn into_status(self) -> Status;
}

impl IntoStatus for () {
    fn into_status(self) -> Status {
        Status::SUCCESS
    }
}

impl IntoStatus for Result<(), ScreenError> {
    fn into_status(self) -> Status {
        self.map_or(Status::UNSUPPORTED, |()| Status::SUCCESS)
    }
}

fn sink(byte: u8) {
    console::write_byte(byte);
}

unsafe extern "efiapi" fn reset(_this: *mut Protocol, _extended: Boolean) -> Status {
    on_sized_screen(true, |screen| screen.reset(&mut sink))
}

unsafe extern "efiapi" fn output_string(_this: *mut Protocol, text: *mut Char16) -> Status {
    // SAFETY: the caller passes a NUL-terminated string, or null, by the protocol's contract.
    let Some(text) = (unsafe { Char16String::new(text) }) else {
        return Status::INVALID_PARAMETER;
    };
    let mut shown = true;
    match on_screen(|screen| shown = screen.write(text.units(), &mut sink)) {
        Status::SUCCESS if !shown => Status::WARN_UNKNOWN_GLYPH,
        status => status,
    }
}

unsafe extern "efiapi" fn test_string(_this: *mut Protocol, text: *mut Char16) -> Status {
    // SAFETY: the caller passes a NUL-terminated string, or null, by the protocol's contract.
    let Some(text) = (unsafe { Char16String::new(text) }) else {
        return Status::INVALID_PARAMETER;
    };
    if terminal::has_glyph(text.units()) { Status::SUCCESS } else { Status::UNSUPPORTED }
}

unsafe extern "efiapi" fn query_mode(
    _this: *mut Protocol,
    mode: usize,
    columns: *mut usize,
    rows: *mut usize,
) -> Status {
    let mut size = None;
    let status = on_sized_screen(false, |screen| screen.mode_size(mode).map(|found| size = Some(found)));
    let Some(size) = size else { return status };
    if columns.is_null() || rows.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: both are not null; the caller passes pointers to writable UINTNs.
    unsafe {
        columns.write(usize::from(size.columns));
        rows.write(usize::from(size.rows));
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn set_mode(_this: *mut Protocol, mode: usize) -> Status {
    on_sized_screen(true, |screen| screen.set_mode(mode, &mut sink))
}

unsafe extern "efiapi" fn set_attribute(_this: *mut Protocol, attribute: usize) -> Status {
    on_screen(|screen| screen.set_attribute(attribute, &mut sink))
}

unsafe extern "efiapi" fn clear_screen(_this: *mut Protocol) -> Status {
    on_sized_screen(true, |screen| screen.clear(&mut sink))
}

unsafe extern "efiapi" fn set_cursor_position(_this: *mut Protocol, column: usize, row: usize) -> Status {
    on_sized_screen(false, |screen| screen.set_cursor(column, row, &mut sink))
}

unsafe extern "efiapi" fn enable_cursor(_this: *mut Protocol, visible: Boolean) -> Status {
    on_sized_screen(true, |screen| screen.show_cursor(visible.into(), &mut sink))
}
