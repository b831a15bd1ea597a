//! Prints the keys that are typed, for a test that types them.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use r_efi::efi::{self, Status};
use r_efi::protocols::simple_text_input_ex::{self as input_ex, KeyData};

use crate::env::{self, bs};
use crate::report::{check, say};

static NOTIFIED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "efiapi" fn notified(_key: *mut KeyData) -> Status {
    NOTIFIED.fetch_add(1, Ordering::Relaxed);
    Status::SUCCESS
}

pub fn print(count: u64) {
    let handle = unsafe { (*env::table()).console_in_handle };
    let input: *mut input_ex::Protocol = env::interface(handle, &input_ex::PROTOCOL_GUID);
    assert!(!input.is_null(), "no SimpleTextInputEx");
    let i = unsafe { &*input };
    let mut wanted = KeyData::default();
    wanted.key.unicode_char = 0x78;
    let mut registration: *mut c_void = ptr::null_mut();
    unsafe { (i.register_key_notify)(input, &mut wanted, notified, &mut registration) };
    // For another key, which nobody types.
    wanted.key.unicode_char = 0x60;
    let mut other: *mut c_void = ptr::null_mut();
    unsafe { (i.register_key_notify)(input, &mut wanted, notified, &mut other) };
    // Keeps the notifications back, so that they are owed when the other registration goes.
    let level = unsafe { (bs().raise_tpl)(efi::TPL_CALLBACK) };
    say!("# type {count} keys");
    let mut typed = 0;
    for _ in 0..count {
        let mut key = KeyData::default();
        unsafe {
            while (bs().check_event)(i.wait_for_key_ex) == Status::NOT_READY {}
            if (i.read_key_stroke_ex)(input, &mut key) != Status::SUCCESS {
                say!("key none");
                continue;
            }
        }
        let (scan, char, shift) = (key.key.scan_code, key.key.unicode_char, key.key_state.key_shift_state);
        typed += usize::from(char == 0x78);
        say!("key scan={scan:#x} char={char:#x} shift={shift:#x}");
    }
    unsafe { (i.unregister_key_notify)(input, other) };
    unsafe { (bs().restore_tpl)(level) };
    // The notification comes with the next tick of its timer.
    unsafe { (bs().stall)(100_000) };
    check("RegisterKeyNotify: told of each x", NOTIFIED.load(Ordering::Relaxed) == typed);
    unsafe { (i.unregister_key_notify)(input, registration) };
}
