//! EFI_RESET_NOTIFICATION_PROTOCOL (UEFI 2.11, 8.5.2): who is told of ResetSystem() as long as there are boot services.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;

use r_efi::efi::{Guid, ResetType, Status};
use spin::Mutex;

use super::super::services;

/// EFI_RESET_NOTIFICATION_PROTOCOL_GUID
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0x9da3_4ae0, 0xeaf9, 0x4bbf, 0x8e, 0xc3, &[0xfd, 0x60, 0x22, 0x6c, 0x44, 0xbe]);

type Notify = unsafe extern "efiapi" fn(ResetType, Status, usize, *mut c_void);
type Register = unsafe extern "efiapi" fn(*mut Protocol, Option<Notify>) -> Status;

/// EFI_RESET_NOTIFICATION_PROTOCOL.
#[repr(C)]
pub struct Protocol {
    register_reset_notify: Register,
    unregister_reset_notify: Register,
}

/// In the order of registration. Not locked while one is called.
static REGISTERED: Mutex<Vec<Notify>> = Mutex::new(Vec::new());

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    services::set_reset_notification(notify);
    Box::leak(Box::new(Protocol { register_reset_notify, unregister_reset_notify }))
}

fn place(list: &[Notify], function: Notify) -> Option<usize> {
    list.iter().position(|registered| *registered as usize == function as usize)
}

unsafe extern "efiapi" fn register_reset_notify(_this: *mut Protocol, function: Option<Notify>) -> Status {
    let Some(function) = function else { return Status::INVALID_PARAMETER };
    let mut list = REGISTERED.lock();
    if place(&list, function).is_some() {
        return Status::ALREADY_STARTED;
    }
    if list.try_reserve(1).is_err() {
        return Status::OUT_OF_RESOURCES;
    }
    list.push(function);
    Status::SUCCESS
}

unsafe extern "efiapi" fn unregister_reset_notify(_this: *mut Protocol, function: Option<Notify>) -> Status {
    let Some(function) = function else { return Status::INVALID_PARAMETER };
    let mut list = REGISTERED.lock();
    let Some(at) = place(&list, function) else { return Status::INVALID_PARAMETER };
    list.remove(at);
    Status::SUCCESS
}

/// Calls who is registered, each once: one that resets the system itself has the others called, and not itself again.
unsafe extern "efiapi" fn notify(kind: ResetType, status: Status, size: usize, data: *mut c_void) {
    loop {
        let next = {
            let mut list = REGISTERED.lock();
            if list.is_empty() {
                return;
            }
            list.remove(0)
        };
        // SAFETY: who registered the function promised that it can be called until it is unregistered; the other
        // arguments are those of the caller of ResetSystem().
        unsafe { next(kind, status, size, data) };
    }
}
