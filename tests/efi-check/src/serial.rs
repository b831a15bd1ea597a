//! EFI_SERIAL_IO_PROTOCOL (UEFI 2.11, section 12.8) of the console's line.

use core::ffi::c_void;

use r_efi::efi::{self, Guid, Status};
use r_efi::protocols::device_path;

use crate::env::{self, bs};
use crate::report::{check, equal, failed, say, status};

const PROTOCOL: Guid =
    Guid::from_fields(0xbb25_cf6f, 0xf1d4, 0x11d2, 0x9a, 0x0c, &[0x00, 0x90, 0x27, 0x3f, 0xc1, 0xfd]);

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mode {
    control_mask: u32,
    timeout: u32,
    baud_rate: u64,
    receive_fifo_depth: u32,
    data_bits: u32,
    parity: u32,
    stop_bits: u32,
}

#[repr(C)]
struct Protocol {
    revision: u32,
    reset: unsafe extern "efiapi" fn(*mut Protocol) -> Status,
    set_attributes: unsafe extern "efiapi" fn(*mut Protocol, u64, u32, u32, u32, u8, u32) -> Status,
    set_control: unsafe extern "efiapi" fn(*mut Protocol, u32) -> Status,
    get_control: unsafe extern "efiapi" fn(*mut Protocol, *mut u32) -> Status,
    write: unsafe extern "efiapi" fn(*mut Protocol, *mut usize, *mut c_void) -> Status,
    read: unsafe extern "efiapi" fn(*mut Protocol, *mut usize, *mut c_void) -> Status,
    mode: *mut Mode,
    device_type: *const Guid,
}

/// Microseconds.
const SHORT: u32 = 1000;

pub fn run() {
    let io: *mut Protocol = env::locate(&PROTOCOL);
    if io.is_null() {
        return failed("SerialIo", format_args!("not there"));
    }
    let s = unsafe { &*io };
    let mode = || unsafe { s.mode.read_volatile() };
    let set = |baud, fifo, timeout, parity, bits, stop| unsafe {
        (s.set_attributes)(io, baud, fifo, timeout, parity, bits, stop)
    };
    status("SerialIo: Reset", unsafe { (s.reset)(io) }, Status::SUCCESS);
    equal("SerialIo: revision", s.revision, 0x1_0001);
    check("SerialIo: a terminal", unsafe { (*s.device_type).as_bytes()[0] } == 0x0f);
    let first = mode();
    let line = (first.baud_rate, first.data_bits, first.parity, first.stop_bits, first.timeout);
    equal("SerialIo: mode", line, (115_200, 8, 1, 1, 1_000_000));
    status("SetAttributes: what there is", set(230_400, 17, SHORT, 1, 8, 1), Status::SUCCESS);
    equal("SetAttributes: timeout", mode(), Mode { timeout: SHORT, ..first });
    status("SetAttributes: no parity there is", set(0, 0, 7, 6, 0, 0), Status::INVALID_PARAMETER);
    status("SetAttributes: no stop bits there are", set(0, 0, 7, 0, 0, 4), Status::INVALID_PARAMETER);
    status("SetAttributes: no data bits there are", set(0, 0, 7, 0, 9, 0), Status::INVALID_PARAMETER);
    equal("SetAttributes: nothing half", mode().timeout, SHORT);
    for parity in 1..=5 {
        status("SetAttributes: parity", set(0, 0, 0, parity, 7, 3), Status::SUCCESS);
        let form = mode();
        equal("SetAttributes: form", (form.parity, form.data_bits, form.stop_bits), (parity, 7, 3));
    }
    status("SetAttributes: the defaults", set(115_200, 1, SHORT, 1, 8, 1), Status::SUCCESS);
    equal("SetAttributes: depth of the FIFO", mode(), Mode { timeout: SHORT, receive_fifo_depth: 1, ..first });
    let control = || {
        let mut bits = 0;
        let is = unsafe { (s.get_control)(io, &mut bits) };
        (is, bits)
    };
    status("SetControl", unsafe { (s.set_control)(io, 0x4003) }, Status::SUCCESS);
    equal("GetControl: with nothing typed", (control().0, control().1 & 0x7103), (Status::SUCCESS, 0x4103));
    check("GetControl: what the mode says", control().1 & !mode().control_mask == 0);
    status("SetControl: loopback", unsafe { (s.set_control)(io, 0x1000) }, Status::UNSUPPORTED);
    status("SetControl: of the other side", unsafe { (s.set_control)(io, 0x10) }, Status::UNSUPPORTED);
    equal("SetControl: nothing half", control().1 & 0x4003, 0x4003);
    let mut text = *b"# serial line: written\r\n";
    let mut size = text.len();
    let is = unsafe { (s.write)(io, &mut size, text.as_mut_ptr().cast()) };
    equal("SerialIo: Write", (is, size), (Status::SUCCESS, text.len()));
    let mut none = 0;
    status("SerialIo: Write nothing", unsafe { (s.write)(io, &mut none, text.as_mut_ptr().cast()) }, Status::SUCCESS);
    let is = unsafe { (s.read)(io, &mut size, text.as_mut_ptr().cast()) };
    equal("SerialIo: Read in vain", (is, size), (Status::TIMEOUT, 0));
    status("SerialIo: Read nothing", unsafe { (s.read)(io, &mut none, text.as_mut_ptr().cast()) }, Status::SUCCESS);
    status("SerialIo: Reset again", unsafe { (s.reset)(io) }, Status::SUCCESS);
    equal("SerialIo: Reset, to the defaults", (mode(), control().1 & 0x4003), (first, 0));
    on_the_line();
}

/// The handle's path is the part of the console's that is before the terminal.
fn on_the_line() {
    let path: *mut device_path::Protocol =
        env::interface(unsafe { (*env::table()).console_in_handle }, &device_path::PROTOCOL_GUID);
    let (mut guid, mut rest, mut handle) = (PROTOCOL, path, core::ptr::null_mut());
    let is = unsafe { (bs().locate_device_path)(&mut guid, &mut rest, &mut handle) };
    let left = unsafe { (rest.cast::<u8>().read(), rest.cast::<u8>().add(1).read()) };
    equal("SerialIo: on the console's line", (is, left), (Status::SUCCESS, (3, 10)));
}

/// Prints as many bytes as come in.
pub fn print(count: usize) {
    let io: *mut Protocol = env::locate(&PROTOCOL);
    if io.is_null() {
        return failed("SerialIo", format_args!("not there"));
    }
    let mut bytes = [0u8; 16];
    let mut size = count.min(bytes.len());
    let is = unsafe {
        ((*io).set_attributes)(io, 0, 0, 20_000_000, 0, 0, 0);
        say!("serial line: reads {count}");
        ((*io).read)(io, &mut size, bytes.as_mut_ptr().cast())
    };
    say!("serial line: {:?} {:x?}", is == efi::Status::SUCCESS, &bytes[..size]);
}
