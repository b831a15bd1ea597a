//! The members that work on whole package lists (UEFI 2.10, 34.8).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;

use hii::{Error, Kind, LIST_HEADER_LEN, List};
use r_efi::efi::{Guid, Handle, Status};
use r_efi::hii::{Handle as HiiHandle, PackageListHeader};
use r_efi::protocols::device_path;
use r_efi::protocols::hii_database::{
    NOTIFY_ADD_PACK, NOTIFY_EXPORT_PACK, NOTIFY_NEW_PACK, NOTIFY_REMOVE_PACK, Protocol,
};

use super::super::super::image::path_bytes;
use super::super::super::services;
use super::{client_guid, database, hand_out, keyboard, notify, result, status, to_raw};

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    Box::leak(Box::new(Protocol {
        new_package_list,
        remove_package_list,
        update_package_list,
        list_package_lists,
        export_package_lists,
        register_package_notify: notify::REGISTER,
        unregister_package_notify: notify::unregister,
        find_keyboard_layouts: keyboard::find,
        get_keyboard_layout: keyboard::get,
        set_keyboard_layout: keyboard::set,
        get_package_list_handle,
    }))
}

/// Takes a client's package list apart.
///
/// # Safety
/// `list` is null or points to a package list.
unsafe fn parse(list: *const PackageListHeader) -> Result<List, Error> {
    if list.is_null() {
        return Err(Error::Malformed);
    }
    let start = list.cast::<u8>();
    // SAFETY: not null, so a package list, of which at least the header can be read.
    let length = hii::list_length(unsafe { &*start.cast::<[u8; LIST_HEADER_LEN]>() });
    // SAFETY: the list has the length that its header says, and nothing changes it before this returns.
    List::parse(unsafe { core::slice::from_raw_parts(start, length.max(LIST_HEADER_LEN)) })
}

unsafe extern "efiapi" fn new_package_list(
    _this: *const Protocol,
    list: *const PackageListHeader,
    driver: Handle,
    place: *mut HiiHandle,
) -> Status {
    if place.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let path = services::interface(driver, &device_path::PROTOCOL_GUID).ok();
    // SAFETY: what is installed as a device path is one.
    let path = path.and_then(|path| unsafe { path_bytes(path.cast()) });
    // SAFETY: null or a package list, by the protocol's contract.
    let list = unsafe { parse(list) };
    let added = list.and_then(|list| database().add(list, driver.addr(), path));
    match added {
        Ok(handle) => {
            // SAFETY: not null, so to be written by the protocol's contract.
            unsafe { place.write(to_raw(handle)) };
            notify::all(NOTIFY_NEW_PACK, handle, 0, None);
            Status::SUCCESS
        }
        Err(error) => status(error),
    }
}

unsafe extern "efiapi" fn remove_package_list(_this: *const Protocol, handle: HiiHandle) -> Status {
    let handle = handle.addr();
    notify::all(NOTIFY_REMOVE_PACK, handle, 0, None);
    result(database().remove(handle))
}

unsafe extern "efiapi" fn update_package_list(
    _this: *const Protocol,
    handle: HiiHandle,
    list: *const PackageListHeader,
) -> Status {
    let handle = handle.addr();
    // SAFETY: null or a package list, by the protocol's contract.
    let list = match unsafe { parse(list) } {
        Ok(list) => list,
        Err(error) => return status(error),
    };
    // Nobody is told of what then does not happen.
    if let Err(error) = database().reserve(handle, &list) {
        return status(error);
    }
    notify::all(NOTIFY_REMOVE_PACK, handle, 0, Some(&list));
    let updated = database().update(handle, list);
    result(updated.map(|first| notify::all(NOTIFY_ADD_PACK, handle, first, None)))
}

/// The handles of the lists that have a package of a kind.
fn handles(kind: &Kind) -> Result<Vec<u8>, Error> {
    let database = database();
    let mut found = Vec::new();
    let mut last = 0;
    while let Some(handle) = database.next(last, kind) {
        hii::append(&mut found, &handle.to_ne_bytes())?;
        last = handle;
    }
    if found.is_empty() { Err(Error::NotFound) } else { Ok(found) }
}

unsafe extern "efiapi" fn list_package_lists(
    _this: *const Protocol,
    package_type: u8,
    guid: *const Guid,
    size: *mut usize,
    buffer: *mut HiiHandle,
) -> Status {
    // SAFETY: null or a GUID, by the protocol's contract.
    let found = Kind::new(package_type, unsafe { client_guid(guid) }).and_then(|kind| handles(&kind));
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    unsafe { hand_out(found.as_deref().map_err(|error| *error), size, buffer.cast()) }
}

unsafe extern "efiapi" fn export_package_lists(
    _this: *const Protocol,
    handle: HiiHandle,
    size: *mut usize,
    buffer: *mut PackageListHeader,
) -> Status {
    let one = (!handle.is_null()).then_some(handle.addr());
    let exported = database().export(one);
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    let status = unsafe { hand_out(exported.as_deref().map_err(|error| *error), size, buffer.cast()) };
    if status == Status::SUCCESS {
        let mut last = 0;
        loop {
            let next = database().next(last, &Kind::ALL);
            let Some(list) = next else { break };
            if one.is_none_or(|one| one == list) {
                notify::all(NOTIFY_EXPORT_PACK, list, 0, None);
            }
            last = list;
        }
    }
    status
}

unsafe extern "efiapi" fn get_package_list_handle(
    _this: *const Protocol,
    handle: HiiHandle,
    driver: *mut Handle,
) -> Status {
    if driver.is_null() {
        return Status::INVALID_PARAMETER;
    }
    match database().driver(handle.addr()) {
        Ok(found) => {
            // SAFETY: not null, so to be written by the protocol's contract.
            unsafe { driver.write(core::ptr::without_provenance_mut(found)) };
            Status::SUCCESS
        }
        // The protocol knows no other error.
        Err(_) => Status::INVALID_PARAMETER,
    }
}
