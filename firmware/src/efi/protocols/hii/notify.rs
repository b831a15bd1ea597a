//! Who is told when packages come and go (UEFI 2.10, 34.8.8).
#![expect(unsafe_code, reason = "calls functions of EFI images")]

use alloc::vec::Vec;
use core::ffi::c_void;
use core::{mem, ptr};

use hii::{Kind, List};
use r_efi::efi::{Guid, Handle, Status};
use r_efi::protocols::hii_database::{
    NOTIFY_ADD_PACK, NOTIFY_EXPORT_PACK, NOTIFY_NEW_PACK, NOTIFY_REMOVE_PACK, Notify, NotifyType, Protocol,
    ProtocolRegisterPackageNotify,
};
use spin::Mutex;

use super::{client_guid, database, status, to_raw};

const ALL_TYPES: NotifyType = NOTIFY_NEW_PACK | NOTIFY_REMOVE_PACK | NOTIFY_EXPORT_PACK | NOTIFY_ADD_PACK;

#[derive(Clone, Copy)]
struct Registration {
    id: usize,
    kind: Kind,
    function: Notify,
    types: NotifyType,
}

/// The registrations, and the number of the last one.
static REGISTRATIONS: Mutex<(Vec<Registration>, usize)> = Mutex::new((Vec::new(), 0));

/// Calls who is registered for packages of a list, from one place on, if they are of a kind that another list has. Each
/// gets a copy: the package may be gone before the function returns. One for which there is no memory is not told of.
pub fn all(notify_type: NotifyType, handle: hii::Handle, first: usize, of: Option<&List>) {
    let mut last = 0;
    // A function may register and unregister others and itself, and change the list.
    while let Some(id) = next(last, notify_type) {
        last = id;
        let mut place = first;
        while let Some(registration) = registered(id)
            && let Some((kind, package)) = copy(&registration.kind, handle, place, of)
        {
            place += 1;
            if package.is_empty() {
                continue;
            }
            let guid = if kind.has_guid() { (&raw const kind.guid).cast::<Guid>() } else { ptr::null() };
            let package = package.as_ptr().cast();
            // SAFETY: the registering image promised that the function can be called until it is unregistered; the
            // pointers are to locals. Its status means nothing.
            unsafe { (registration.function)(kind.package_type, guid, package, to_raw(handle), notify_type) };
        }
    }
}

/// The first registration behind another one that is for a type. They are in the order of their numbers.
fn next(last: usize, types: NotifyType) -> Option<usize> {
    let registrations = REGISTRATIONS.lock();
    registrations
        .0
        .iter()
        .find(|registration| registration.id > last && registration.types & types != 0)
        .map(|found| found.id)
}

/// A registration, while it is one.
fn registered(id: usize) -> Option<Registration> {
    REGISTRATIONS.lock().0.iter().find(|registration| registration.id == id).copied()
}

/// The package in one place with its kind, or no bytes where it is not wanted.
fn copy(wanted: &Kind, handle: hii::Handle, place: usize, of: Option<&List>) -> Option<(Kind, Vec<u8>)> {
    let database = database();
    let (kind, package) = database.package(handle, place)?;
    let mut copy = Vec::new();
    if wanted.covers(&kind) && of.is_none_or(|of| of.has(&kind)) && hii::append(&mut copy, package).is_err() {
        copy.clear();
    }
    Some((kind, copy))
}

/// The member as callers call it.
type Register =
    unsafe extern "efiapi" fn(*const Protocol, u8, *const Guid, Option<Notify>, NotifyType, *mut Handle) -> Status;

/// The member as it is declared.
// SAFETY: an optional function pointer is passed as a function pointer is, with null for none; the declared type has
// no null, but callers do.
pub const REGISTER: ProtocolRegisterPackageNotify =
    unsafe { mem::transmute::<Register, ProtocolRegisterPackageNotify>(register) };

unsafe extern "efiapi" fn register(
    _this: *const Protocol,
    package_type: u8,
    guid: *const Guid,
    function: Option<Notify>,
    types: NotifyType,
    place: *mut Handle,
) -> Status {
    let Some(function) = function else { return Status::INVALID_PARAMETER };
    if place.is_null() || types == 0 || types & !ALL_TYPES != 0 {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: null or a GUID, by the protocol's contract.
    let kind = match Kind::new(package_type, unsafe { client_guid(guid) }) {
        Ok(kind) => kind,
        Err(error) => return status(error),
    };
    let mut registrations = REGISTRATIONS.lock();
    let (list, last) = &mut *registrations;
    let Some(id) = last.checked_add(1) else { return Status::OUT_OF_RESOURCES };
    if list.try_reserve(1).is_err() {
        return Status::OUT_OF_RESOURCES;
    }
    *last = id;
    list.push(Registration { id, kind, function, types });
    // SAFETY: not null, so to be written by the protocol's contract.
    unsafe { place.write(ptr::without_provenance_mut::<c_void>(id)) };
    Status::SUCCESS
}

/// `UnregisterPackageNotify()`.
pub unsafe extern "efiapi" fn unregister(_this: *const Protocol, handle: Handle) -> Status {
    let list = &mut REGISTRATIONS.lock().0;
    let before = list.len();
    list.retain(|registration| registration.id != handle.addr());
    if list.len() == before { Status::NOT_FOUND } else { Status::SUCCESS }
}
