//! EFI_SERIAL_IO_PROTOCOL of the console's UART (UEFI 2.11, 12.8). What is read by it is no key any more, and the other
//! way round.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ffi::c_void;

use r_efi::efi::{Guid, Status};
use spin::Mutex;
use terminal::serial::{self, Attributes, Control, Mode};

use super::super::services;
use super::CONSOLE_RATE;
use crate::arch;
use crate::devices::console;

/// EFI_SERIAL_IO_PROTOCOL_GUID
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0xbb25_cf6f, 0xf1d4, 0x11d2, 0x9a, 0x0c, &[0x00, 0x90, 0x27, 0x3f, 0xc1, 0xfd]);

/// EFI_SERIAL_TERMINAL_DEVICE_TYPE_GUID
static TERMINAL: Guid =
    Guid::from_fields(0x6ad9_a60f, 0x5815, 0x4c7c, 0x8a, 0x10, &[0x50, 0x53, 0xd2, 0xbf, 0x7a, 0x1b]);

/// EFI_SERIAL_IO_PROTOCOL_REVISION1p1
const REVISION: u32 = 0x0001_0001;

/// EFI_SERIAL_IO_PROTOCOL.
#[repr(C)]
pub struct Protocol {
    revision: u32,
    reset: unsafe extern "efiapi" fn(*mut Protocol) -> Status,
    set_attributes: unsafe extern "efiapi" fn(*mut Protocol, u64, u32, u32, u32, u8, u32) -> Status,
    set_control: unsafe extern "efiapi" fn(*mut Protocol, u32) -> Status,
    get_control: unsafe extern "efiapi" fn(*mut Protocol, *mut u32) -> Status,
    write: unsafe extern "efiapi" fn(*mut Protocol, *mut usize, *const c_void) -> Status,
    read: unsafe extern "efiapi" fn(*mut Protocol, *mut usize, *mut c_void) -> Status,
    mode: *mut Mode,
    device_type: *const Guid,
}

static CONTROL: Mutex<Control> = Mutex::new(Control::new());

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    let mode = Box::into_raw(Box::new(Mode::new(CONSOLE_RATE)));
    Box::leak(Box::new(Protocol {
        revision: REVISION,
        reset,
        set_attributes,
        set_control,
        get_control,
        write,
        read,
        mode,
        device_type: &raw const TERMINAL,
    }))
}

unsafe extern "efiapi" fn reset(this: *mut Protocol) -> Status {
    *CONTROL.lock() = Control::new();
    // SAFETY: all zero stands for the defaults; the caller passes the instance that it took the member from.
    unsafe { set_attributes(this, 0, 0, 0, 0, 0, 0) }
}

unsafe extern "efiapi" fn set_attributes(
    this: *mut Protocol,
    baud_rate: u64,
    receive_fifo_depth: u32,
    timeout: u32,
    parity: u32,
    data_bits: u8,
    stop_bits: u32,
) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let wanted = Attributes { baud_rate, receive_fifo_depth, timeout, parity, data_bits, stop_bits };
    // SAFETY: the instance is that of `create`, and no reference to its mode is kept.
    let mode = unsafe { &mut *(*this).mode };
    mode.set(wanted).map_or(Status::INVALID_PARAMETER, |()| Status::SUCCESS)
}

unsafe extern "efiapi" fn set_control(_this: *mut Protocol, control: u32) -> Status {
    CONTROL.lock().set(control).map_or(Status::UNSUPPORTED, |()| Status::SUCCESS)
}

unsafe extern "efiapi" fn get_control(_this: *mut Protocol, control: *mut u32) -> Status {
    if control.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let bits = CONTROL.lock().get(console::has_input());
    // SAFETY: not null; the caller passes a UINT32 to write.
    unsafe { control.write(bits) };
    Status::SUCCESS
}

/// Moves `size` bytes, each by `each` with its place, which says whether it could; what was moved is in `size` then.
/// Timers fire while one cannot be moved.
///
/// # Safety
/// `this` is null or an instance of `create`, `size` is null or can be read and written.
unsafe fn transfer(
    this: *mut Protocol,
    size: *mut usize,
    buffer: *const c_void,
    mut each: impl FnMut(usize) -> bool,
) -> Status {
    if this.is_null() || size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: neither is null, and the caller's promise.
    let (wanted, timeout) = unsafe { (size.read(), (*(*this).mode).timeout) };
    if wanted != 0 && buffer.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let ticks = u64::from(timeout).saturating_mul(arch::counter_frequency()) / 1_000_000;
    let done = serial::transfer(wanted, ticks, arch::counter, |at| {
        let moved = each(at);
        if !moved {
            services::poll();
        }
        moved
    });
    // SAFETY: as above.
    unsafe { size.write(done) };
    if done == wanted { Status::SUCCESS } else { Status::TIMEOUT }
}

unsafe extern "efiapi" fn write(this: *mut Protocol, size: *mut usize, buffer: *const c_void) -> Status {
    // SAFETY: the caller's buffer has `size` bytes, and `transfer` asks for no others.
    unsafe { transfer(this, size, buffer, |at| console::try_send(buffer.cast::<u8>().wrapping_add(at).read())) }
}

unsafe extern "efiapi" fn read(this: *mut Protocol, size: *mut usize, buffer: *mut c_void) -> Status {
    // SAFETY: as in `write`.
    unsafe {
        transfer(this, size, buffer, |at| {
            let Some(byte) = console::read_uart() else { return false };
            buffer.cast::<u8>().wrapping_add(at).write(byte);
            true
        })
    }
}
