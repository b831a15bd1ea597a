//! Protocol handler services (UEFI 2.10, section 7.3).
#![expect(unsafe_code, reason = "reads and writes through the pointers of EFI clients")]

use core::ffi::c_void;
use core::ptr;

use alloc::vec::Vec;
use r_efi::efi::{self, Event, Guid, Handle, InterfaceType, OpenProtocolInformationEntry, Status};
use uefi_core::handles::OpenRequest;

use super::status;
use crate::efi::image;
use crate::efi::services::events;
use crate::efi::services::memory::{allocate_pool, pool_array};
use crate::efi::services::protocols as rules;
use crate::efi::services::state::{from_u64, handle_to_raw, optional_handle_from};

/// `InstallProtocolInterface()`.
pub unsafe extern "efiapi" fn install_protocol_interface(
    handle: *mut Handle,
    protocol: *mut Guid,
    interface_type: InterfaceType,
    interface: *mut c_void,
) -> Status {
    if handle.is_null() || protocol.is_null() || interface_type != efi::NATIVE_INTERFACE {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers, not null.
    let (present, protocol) = unsafe { (handle.read_unaligned(), protocol.read_unaligned()) };
    match rules::install_protocol((!present.is_null()).then_some(present), &protocol, interface) {
        Ok(installed) => {
            // SAFETY: as above.
            unsafe { handle.write_unaligned(installed) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// `ReinstallProtocolInterface()`.
pub unsafe extern "efiapi" fn reinstall_protocol_interface(
    handle: Handle,
    protocol: *mut Guid,
    old: *mut c_void,
    new: *mut c_void,
) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    match unsafe { guid(protocol) } {
        Some(protocol) => status(rules::reinstall_protocol(handle, &protocol, old, new)),
        None => Status::INVALID_PARAMETER,
    }
}

/// `UninstallProtocolInterface()`.
pub unsafe extern "efiapi" fn uninstall_protocol_interface(
    handle: Handle,
    protocol: *mut Guid,
    interface: *mut c_void,
) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    match unsafe { guid(protocol) } {
        Some(protocol) => status(rules::uninstall_protocol(handle, &protocol, interface)),
        None => Status::INVALID_PARAMETER,
    }
}

/// `HandleProtocol()`.
pub unsafe extern "efiapi" fn handle_protocol(
    handle: Handle,
    protocol: *mut Guid,
    interface: *mut *mut c_void,
) -> Status {
    let attributes = efi::OPEN_PROTOCOL_BY_HANDLE_PROTOCOL;
    // SAFETY: passed on. The agent is the firmware itself (section 7.3.7).
    unsafe { open_protocol(handle, protocol, interface, image::firmware(), ptr::null_mut(), attributes) }
}

/// `OpenProtocol()`.
pub unsafe extern "efiapi" fn open_protocol(
    handle: Handle,
    protocol: *mut Guid,
    interface: *mut *mut c_void,
    agent: Handle,
    controller: Handle,
    attributes: u32,
) -> Status {
    events::poll();
    let is_test = attributes == efi::OPEN_PROTOCOL_TEST_PROTOCOL;
    // SAFETY: the caller's pointer, null or a GUID.
    let Some(protocol) = (unsafe { guid(protocol) }) else {
        return Status::INVALID_PARAMETER;
    };
    if interface.is_null() && !is_test {
        return Status::INVALID_PARAMETER;
    }
    let request =
        OpenRequest { agent: optional_handle_from(agent), controller: optional_handle_from(controller), attributes };
    let (status, found) = match rules::open_protocol(handle, &protocol, request) {
        Ok(found) => (Status::SUCCESS, Some(found)),
        // A driver that has the protocol already gets the interface; one that is missing reads as null.
        Err(Status::ALREADY_STARTED) => (Status::ALREADY_STARTED, rules::interface(handle, &protocol).ok()),
        Err(Status::UNSUPPORTED) => (Status::UNSUPPORTED, Some(ptr::null_mut())),
        Err(status) => (status, None),
    };
    if let Some(found) = found
        && !is_test
    {
        // SAFETY: the caller's pointer, not null.
        unsafe { interface.write_unaligned(found) };
    }
    status
}

/// `CloseProtocol()`.
pub unsafe extern "efiapi" fn close_protocol(
    handle: Handle,
    protocol: *mut Guid,
    agent: Handle,
    controller: Handle,
) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    match unsafe { guid(protocol) } {
        Some(protocol) => status(rules::close_protocol(handle, &protocol, agent, controller)),
        None => Status::INVALID_PARAMETER,
    }
}

/// `OpenProtocolInformation()`. The array is pool that the caller frees.
pub unsafe extern "efiapi" fn open_protocol_information(
    handle: Handle,
    protocol: *mut Guid,
    entries: *mut *mut OpenProtocolInformationEntry,
    count: *mut usize,
) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    let Some(protocol) = (unsafe { guid(protocol) }) else {
        return Status::INVALID_PARAMETER;
    };
    if entries.is_null() || count.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let list = rules::openers(handle, &protocol).and_then(|records| {
        let mut list = Vec::new();
        list.try_reserve_exact(records.len()).map_err(|_| Status::OUT_OF_RESOURCES)?;
        list.extend(records.iter().map(|record| OpenProtocolInformationEntry {
            agent_handle: handle_to_raw(record.agent),
            controller_handle: record.controller.map_or(ptr::null_mut(), handle_to_raw),
            attributes: record.attributes,
            open_count: record.count,
        }));
        Ok((pool_array(&list)?, list.len()))
    });
    match list {
        Ok((list, length)) => {
            // SAFETY: the caller's pointers, not null.
            unsafe {
                entries.write_unaligned(list.as_ptr());
                count.write_unaligned(length);
            }
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// `ProtocolsPerHandle()`. The array is pool that the caller frees; the GUIDs it points at stand behind it in the same
/// block, because the database moves its own.
pub unsafe extern "efiapi" fn protocols_per_handle(
    handle: Handle,
    protocols: *mut *mut *mut Guid,
    count: *mut usize,
) -> Status {
    if protocols.is_null() || count.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let list = match rules::protocols_on(handle) {
        Ok(list) => list,
        Err(status) => return status,
    };
    let per_entry = size_of::<*mut Guid>() + size_of::<Guid>();
    let Some(size) = list.len().checked_mul(per_entry) else {
        return Status::OUT_OF_RESOURCES;
    };
    let array = match allocate_pool(efi::BOOT_SERVICES_DATA, size) {
        Ok(memory) => memory.cast::<*mut Guid>().as_ptr(),
        Err(status) => return status,
    };
    // SAFETY: the block has room for as many pointers and GUIDs as the list is long, and 8-byte alignment; the GUIDs
    // need four. The caller's pointers are not null.
    unsafe {
        let guids = array.add(list.len()).cast::<Guid>();
        guids.copy_from_nonoverlapping(list.as_ptr(), list.len());
        for at in 0..list.len() {
            array.add(at).write(guids.add(at));
        }
        protocols.write_unaligned(array);
        count.write_unaligned(list.len());
    }
    Status::SUCCESS
}

/// `RegisterProtocolNotify()`.
pub unsafe extern "efiapi" fn register_protocol_notify(
    protocol: *mut Guid,
    event: Event,
    registration: *mut *mut c_void,
) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    let Some(protocol) = (unsafe { guid(protocol) }) else {
        return Status::INVALID_PARAMETER;
    };
    if registration.is_null() {
        return Status::INVALID_PARAMETER;
    }
    match rules::register_notify(&protocol, event) {
        Ok(key) => {
            // SAFETY: the caller's pointer, not null.
            unsafe { registration.write_unaligned(from_u64(key.raw())) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// The GUID behind a client's pointer; `None` for null.
///
/// # Safety
/// `pointer` is null or points to a GUID.
pub(super) unsafe fn guid(pointer: *const Guid) -> Option<Guid> {
    // SAFETY: the caller's promise. Some clients keep GUIDs in packed structures.
    (!pointer.is_null()).then(|| unsafe { pointer.read_unaligned() })
}
