//! Installing, opening and closing protocols (UEFI 2.10, section 7.3).

use core::ffi::c_void;

use alloc::vec::Vec;
use r_efi::efi::{self, Guid, Handle, Status};
use uefi_core::handles::{HandleError, OpenRecord, OpenRequest, Opened, Registration, Removal};

use super::state::{Core, event_from, handle_from, handle_to_raw, optional_handle_from, with_core};
use super::status::ToStatus;
use super::{driver_model, events};

/// Installs `interface` as `protocol` on `handle`, or on a new handle when there is none, and returns the handle.
///
/// The interface must be what the protocol demands for as long as it is installed: clients call through it, and so
/// does the firmware for device paths and driver bindings.
///
/// # Errors
/// As `InstallProtocolInterface()` (UEFI 2.10, section 7.3.2).
pub fn install_protocol(handle: Option<Handle>, protocol: &Guid, interface: *mut c_void) -> Result<Handle, Status> {
    let handle = install_quietly(handle, protocol, interface)?;
    events::poll();
    Ok(handle)
}

/// As [`install_protocol`], but leaves the notifications of it queued.
///
/// # Errors
/// Likewise.
pub fn install_quietly(handle: Option<Handle>, protocol: &Guid, interface: *mut c_void) -> Result<Handle, Status> {
    with_core(|core| {
        let handle = core.handles.install(handle.map(handle_from), protocol, interface).map_err(ToStatus::status)?;
        signal_listeners(core, protocol);
        Ok(handle_to_raw(handle))
    })
}

/// Removes `interface` from `handle`, disconnecting the drivers that use it. The handle vanishes with its last
/// protocol.
///
/// # Errors
/// As `UninstallProtocolInterface()` (UEFI 2.10, section 7.3.3).
pub fn uninstall_protocol(handle: Handle, protocol: &Guid, interface: *mut c_void) -> Result<(), Status> {
    remove(handle, |core| core.handles.uninstall(handle_from(handle), protocol, interface))
}

/// Replaces an interface by another one, so that drivers notice the change.
///
/// # Errors
/// As `ReinstallProtocolInterface()` (UEFI 2.10, section 7.3.4).
pub fn reinstall_protocol(handle: Handle, protocol: &Guid, old: *mut c_void, new: *mut c_void) -> Result<(), Status> {
    remove(handle, |core| core.handles.reinstall(handle_from(handle), protocol, old, new))?;
    with_core(|core| signal_listeners(core, protocol));
    events::poll();
    // That no driver takes the new interface is no failure of the exchange.
    let _ = driver_model::connect_controller(handle, true);
    Ok(())
}

/// Looks up the interface of `protocol` on `handle` without recording that it was opened.
///
/// # Errors
/// `INVALID_PARAMETER` when `handle` is none, `UNSUPPORTED` when it lacks the protocol.
pub fn interface(handle: Handle, protocol: &Guid) -> Result<*mut c_void, Status> {
    with_core(|core| core.handles.interface(handle_from(handle), protocol)).map_err(ToStatus::status)
}

/// Whether `handle` is in the handle database. Any value is safe to pass.
pub fn is_handle(handle: Handle) -> bool {
    with_core(|core| core.handles.contains(handle_from(handle)))
}

/// Opens a protocol, and for exclusive use disconnects the driver that has it.
///
/// # Errors
/// As `OpenProtocol()` (UEFI 2.10, section 7.3.9).
pub fn open_protocol(handle: Handle, protocol: &Guid, request: OpenRequest) -> Result<*mut c_void, Status> {
    let mut asked = None;
    loop {
        let opened = with_core(|core| core.handles.open(handle_from(handle), protocol, request));
        match opened.map_err(ToStatus::status)? {
            Opened::Granted(interface) => return Ok(interface),
            Opened::DisconnectFirst(driver) => {
                // A driver that stopped and yet has the protocol open will not let go.
                if asked.replace(driver) == Some(driver) {
                    return Err(Status::ACCESS_DENIED);
                }
                driver_model::disconnect_controller(handle, Some(handle_to_raw(driver)), None)
                    .map_err(|_| Status::ACCESS_DENIED)?;
            }
        }
    }
}

/// Forgets every protocol that `agent` has open, as unloading an image must.
pub fn close_protocols_of_agent(agent: Handle) {
    with_core(|core| core.handles.close_agent(handle_from(agent)));
}

/// Repeats `request` until it is done, disconnecting the drivers that stand in the way; connects them again when one
/// of them stays.
fn remove(handle: Handle, request: impl Fn(&mut Core) -> Result<Removal, HandleError>) -> Result<(), Status> {
    let mut asked = None;
    let mut disconnected = false;
    let status = loop {
        match with_core(&request) {
            Ok(Removal::Done) => return Ok(()),
            Err(HandleError::AccessDenied) => break Status::ACCESS_DENIED,
            Err(error) => break error.status(),
            Ok(Removal::DisconnectFirst(driver)) => {
                if asked.replace(driver) == Some(driver) {
                    break Status::ACCESS_DENIED;
                }
                disconnected = true;
                if driver_model::disconnect_controller(handle, Some(handle_to_raw(driver)), None).is_err() {
                    break Status::ACCESS_DENIED;
                }
            }
        }
    };
    if disconnected {
        // The removal has failed already; a driver that does not come back cannot make that worse.
        let _ = driver_model::connect_controller(handle, true);
    }
    Err(status)
}

/// Signals who waits for new interfaces of `protocol`.
fn signal_listeners(core: &mut Core, protocol: &Guid) {
    for event in core.handles.listeners(protocol) {
        // Closing an event ends its registrations, so a listener's event exists.
        let _ = core.events.signal(event);
    }
}

/// Registers `event` for new interfaces of `protocol` and returns the key for the searches.
///
/// # Errors
/// As `RegisterProtocolNotify()` (UEFI 2.10, section 7.3.5).
pub fn register_notify(protocol: &Guid, event: efi::Event) -> Result<Registration, Status> {
    let event = event_from(event);
    with_core(|core| {
        if !core.events.contains(event) {
            return Err(Status::INVALID_PARAMETER);
        }
        core.handles.register(protocol, event).map_err(ToStatus::status)
    })
}

/// Closes what `agent` has open of a protocol, for `controller` or, when that is null, for none.
///
/// # Errors
/// As `CloseProtocol()` (UEFI 2.10, section 7.3.10).
pub fn close_protocol(handle: Handle, protocol: &Guid, agent: Handle, controller: Handle) -> Result<(), Status> {
    let controller = optional_handle_from(controller);
    with_core(|core| core.handles.close(handle_from(handle), protocol, handle_from(agent), controller))
        .map_err(ToStatus::status)
}

/// Who has a protocol open.
///
/// # Errors
/// `NOT_FOUND` when the handle lacks the protocol; `OUT_OF_RESOURCES`.
pub fn openers(handle: Handle, protocol: &Guid) -> Result<Vec<OpenRecord>, Status> {
    with_core(|core| {
        let records = core.handles.openers(handle_from(handle), protocol).map_err(ToStatus::status)?;
        copied(records.iter())
    })
}

/// The protocols on a handle.
///
/// # Errors
/// `INVALID_PARAMETER` when there is no such handle; `OUT_OF_RESOURCES`.
pub fn protocols_on(handle: Handle) -> Result<Vec<Guid>, Status> {
    with_core(|core| copied(core.handles.protocols(handle_from(handle)).map_err(ToStatus::status)?))
}

fn copied<'a, T: Copy + 'a>(values: impl Iterator<Item = &'a T>) -> Result<Vec<T>, Status> {
    let mut list = Vec::new();
    for value in values {
        list.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
        list.push(*value);
    }
    Ok(list)
}
