//! Prints the modes of the screen, for a test that is its terminal.

use r_efi::efi::Status;
use r_efi::protocols::simple_text_input::InputKey;
use r_efi::protocols::simple_text_output::{Mode, Protocol};

use crate::env::{self, bs};
use crate::report::{equal, say, status};

/// Prints the modes at each key, up to an `x`. A `q` has QueryMode() asked first of all, every other key EnableCursor().
pub fn run() {
    let out: *mut Protocol = unsafe { (*env::table()).con_out };
    let o = unsafe { &*out };
    let mode = || unsafe { core::ptr::read_volatile::<Mode>(o.mode) };
    say!("screen: {} modes", mode().max_mode);
    loop {
        match key() {
            0x78 => return,
            0x71 => {}
            _ => status("EnableCursor", unsafe { (o.enable_cursor)(out, true.into()) }, Status::SUCCESS),
        }
        let before = mode().mode as usize;
        let mut size = (0, 0);
        let is = unsafe { (o.query_mode)(out, before, &mut size.0, &mut size.1) };
        status("QueryMode: of the current mode", is, Status::SUCCESS);
        equal("QueryMode: it stays", mode().mode as usize, before);
        let (now, last) = (mode().mode as usize, mode().max_mode as usize - 1);
        let [current, highest] = [now, last].map(|number| {
            let (mut columns, mut rows) = (0, 0);
            status("QueryMode", unsafe { (o.query_mode)(out, number, &mut columns, &mut rows) }, Status::SUCCESS);
            (columns, rows)
        });
        equal("QueryMode: the same again", current, size);
        let beyond = unsafe { (o.query_mode)(out, last + 1, &mut 0, &mut 0) };
        status("QueryMode: beyond", beyond, Status::UNSUPPORTED);
        let (columns, rows) = current;
        let place = |column, row| unsafe { (o.set_cursor_position)(out, column, row) };
        let [inside, right, below, _] = [place(columns - 1, rows - 1), place(columns, 0), place(0, rows), place(0, 0)];
        status("SetCursorPosition: last cell", inside, Status::SUCCESS);
        status("SetCursorPosition: right of it", right, Status::UNSUPPORTED);
        status("SetCursorPosition: below it", below, Status::UNSUPPORTED);
        say!("screen: mode {now} is {current:?}, mode {last} is {highest:?}");
    }
}

fn key() -> u16 {
    let input = unsafe { (*env::table()).con_in };
    let mut key = InputKey::default();
    unsafe {
        while ((*input).read_key_stroke)(input, &mut key) != Status::SUCCESS {
            (bs().stall)(1000);
        }
    }
    key.unicode_char
}
