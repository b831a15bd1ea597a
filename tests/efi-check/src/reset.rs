//! EFI_RESET_NOTIFICATION_PROTOCOL (UEFI 2.11, section 8.5.2): the program ends by the reset that it is told of.

use core::ffi::c_void;

use r_efi::efi::{self, Guid, ResetType, Status};

use crate::env::{self, bs, rt};
use crate::report::{equal, failed, passed, say, status, summary};

const PROTOCOL: Guid =
    Guid::from_fields(0x9da3_4ae0, 0xeaf9, 0x4bbf, 0x8e, 0xc3, &[0xfd, 0x60, 0x22, 0x6c, 0x44, 0xbe]);

type Notify = unsafe extern "efiapi" fn(ResetType, Status, usize, *mut c_void);

#[repr(C)]
struct Protocol {
    register: unsafe extern "efiapi" fn(*mut Protocol, Option<Notify>) -> Status,
    unregister: unsafe extern "efiapi" fn(*mut Protocol, Option<Notify>) -> Status,
}

static mut DATA: [u16; 2] = [0x78, 0];

/// Resets the system itself.
unsafe extern "efiapi" fn first(kind: ResetType, is: Status, size: usize, data: *mut c_void) {
    passed("ResetSystem: tells the first");
    unsafe { (rt().reset_system)(kind, is, size, data) };
    failed("ResetSystem: from a notification", format_args!("comes back"));
}

unsafe extern "efiapi" fn second(kind: ResetType, is: Status, size: usize, data: *mut c_void) {
    let wanted = (efi::RESET_SHUTDOWN, Status::ABORTED, 4, (&raw mut DATA).cast::<c_void>());
    equal("ResetSystem: tells its arguments", (kind, is, size, data), wanted);
    // What is not told of the reset prints none.
    summary();
}

unsafe extern "efiapi" fn gone(_kind: ResetType, _status: Status, _size: usize, _data: *mut c_void) {
    failed("UnregisterResetNotify", format_args!("told of the reset"));
}

unsafe extern "efiapi" fn late(_kind: ResetType, _status: Status, _size: usize, _data: *mut c_void) {
    failed("ResetSystem: after boot services", format_args!("tells of it"));
}

pub fn run() -> ! {
    let protocol: *mut Protocol = env::locate(&PROTOCOL);
    if !protocol.is_null() {
        let (register, unregister) = unsafe { ((*protocol).register, (*protocol).unregister) };
        let (register, unregister) =
            (|notify| unsafe { register(protocol, notify) }, |notify| unsafe { unregister(protocol, notify) });
        status("RegisterResetNotify: null", register(None), Status::INVALID_PARAMETER);
        status("UnregisterResetNotify: null", unregister(None), Status::INVALID_PARAMETER);
        status("UnregisterResetNotify: unknown", unregister(Some(gone)), Status::INVALID_PARAMETER);
        for notify in [gone as Notify, first, second] {
            status("RegisterResetNotify", register(Some(notify)), Status::SUCCESS);
        }
        status("RegisterResetNotify: again", register(Some(first)), Status::ALREADY_STARTED);
        status("UnregisterResetNotify", unregister(Some(gone)), Status::SUCCESS);
        status("UnregisterResetNotify: again", unregister(Some(gone)), Status::INVALID_PARAMETER);
    }
    unsafe { (rt().reset_system)(efi::RESET_SHUTDOWN, Status::ABORTED, 4, (&raw mut DATA).cast()) };
    env::shut_down()
}

/// What is registered now must not be told of a reset behind the end of boot services.
pub fn register_late() {
    let protocol: *mut Protocol = env::locate(&PROTOCOL);
    if protocol.is_null() {
        return failed("ResetNotification", format_args!("not there"));
    }
    let is = unsafe { ((*protocol).register)(protocol, Some(late)) };
    status("RegisterResetNotify: for later", is, Status::SUCCESS);
}

/// Says what reset it is told of, and takes more time than the watchdog gives.
unsafe extern "efiapi" fn says(kind: ResetType, is: Status, size: usize, data: *mut c_void) {
    say!("told of reset {kind}: timeout {}, {size} bytes at {data:?}", is == Status::TIMEOUT);
    unsafe { (bs().stall)(3_000_000) };
    say!("told of all");
}

/// Prints a line for the next reset.
pub fn tell() {
    let protocol: *mut Protocol = env::locate(&PROTOCOL);
    if protocol.is_null() {
        return failed("ResetNotification", format_args!("not there"));
    }
    status("RegisterResetNotify", unsafe { ((*protocol).register)(protocol, Some(says)) }, Status::SUCCESS);
}
