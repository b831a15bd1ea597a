//! PCI for the drivers that images bring: EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL on a handle for each host bridge, and
//! EFI_PCI_IO_PROTOCOL on one for each function behind it (UEFI 2.11, chapter 14).
//!
//! The firmware's own drivers work below these protocols. What they drive they have open all the same, so that nobody
//! else's driver takes it.

mod access;
mod io;
mod root_bridge;

use core::ffi::c_void;

use formats::device_path::{Builder, TYPE_HARDWARE};
use r_efi::efi::{self, Guid, Handle, Status};
use r_efi::protocols::{device_path, pci_io};
use spin::Mutex;
use uefi_core::handles::OpenRequest;

use super::super::services::{self, handle_from, open_protocol};
use super::disk::{Driver, driver_name, install_driver};
use super::leak;
use crate::devices::pci::Host;
use crate::devices::platform::Place;

/// EISA ID of "PNP0A03", a PCI root (UEFI 2.11, 10.4.2).
const PNP0A03: u32 = 0x0a03_41d0;
/// Hardware sub-type: PCI (10.3.2.1).
const HARDWARE_PCI: u8 = 1;

/// The firmware's own drivers, as far as the driver model sees them: nobody connects or stops them.
struct Own;

impl Driver for Own {
    fn supported(&self, _agent: Handle, _controller: Handle) -> Result<(), Status> {
        Err(Status::UNSUPPORTED)
    }

    fn start(&self, _agent: Handle, _controller: Handle) -> Result<(), Status> {
        Err(Status::UNSUPPORTED)
    }

    fn stop(&self, _agent: Handle, _controller: Handle, _children: &[Handle]) -> Result<(), Status> {
        Err(Status::DEVICE_ERROR)
    }
}

/// A handle as a name.
#[derive(Clone, Copy)]
struct Name(Handle);

// SAFETY: the value is not dereferenced.
#[expect(unsafe_code, reason = "a handle is a pointer that is never followed")]
unsafe impl Send for Name {}

/// By which the firmware's own drivers open protocols.
static AGENT: Mutex<Option<Name>> = Mutex::new(None);

/// Makes the handles.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install(hosts: &'static [Host]) -> Result<(), Status> {
    if hosts.is_empty() {
        return Ok(());
    }
    *AGENT.lock() = Some(Name(install_driver(&Own, const { &driver_name(b"virtio on PCI\0") })?));
    for host in hosts {
        let root = install_path(path(host.number, &[]))?;
        let interface = root_bridge::create(host, root);
        services::install_protocol(Some(root), &root_bridge::PROTOCOL_GUID, interface)?;
        for function in &host.functions {
            let handle = install_path(path(host.number, &host.steps(function)))?;
            services::install_protocol(Some(handle), &pci_io::PROTOCOL_GUID, io::create(host, function))?;
            open(root, &root_bridge::PROTOCOL_GUID, handle, efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
        }
    }
    Ok(())
}

/// Marks the function that `path` begins with, if there is one, as driven by the firmware, with `child`, if any, made of it.
///
/// # Safety
/// `path` is a device path that nobody changes meanwhile.
#[expect(unsafe_code, reason = "device paths are looked up by pointers")]
pub unsafe fn drive(path: *mut c_void, child: Option<Handle>) {
    // SAFETY: the caller's promise.
    let Ok((function, _)) = (unsafe { services::locate_device_path(&pci_io::PROTOCOL_GUID, path.cast()) }) else {
        return;
    };
    open(function, &pci_io::PROTOCOL_GUID, function, efi::OPEN_PROTOCOL_BY_DRIVER);
    if let Some(child) = child {
        open(function, &pci_io::PROTOCOL_GUID, child, efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
    }
}

/// Marks the function at a place, which nothing is made of.
pub fn drive_place(place: &Place) {
    let Place::Pci(root, steps) = place else { return };
    // For want of memory the relation is not told.
    let Ok(path) = leak(self::path(*root, steps)) else { return };
    #[expect(unsafe_code, reason = "device paths are looked up by pointers")]
    // SAFETY: the path was made above and stays as it is.
    unsafe {
        drive(path, None);
    };
}

fn open(handle: Handle, protocol: &Guid, controller: Handle, attributes: u32) {
    let Some(agent) = *AGENT.lock() else { return };
    let request =
        OpenRequest { agent: Some(handle_from(agent.0)), controller: Some(handle_from(controller)), attributes };
    // A function with several children is open already; for want of memory the relation is not told.
    let _ = open_protocol(handle, protocol, request);
}

fn install_path(path: Builder) -> Result<Handle, Status> {
    services::install_protocol(None, &device_path::PROTOCOL_GUID, leak(path)?)
}

/// PciRoot(n)/Pci(d,f)…
pub fn path(root: u32, steps: &[(u8, u8)]) -> Builder {
    let root = Builder::new().acpi(PNP0A03, root);
    steps.iter().fold(root, |path, (device, function)| path.node(TYPE_HARDWARE, HARDWARE_PCI, &[&[*function, *device]]))
}

/// What a member returns.
fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::SUCCESS)
}

/// Writes what the caller asks for, where it asks for it.
///
/// # Safety
/// `place` is null or the caller's to be written, and aligned as EFI images align what they pass (UEFI 2.11, 2.3.6).
#[expect(unsafe_code, reason = "the place is a pointer of the caller")]
unsafe fn answer<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: not null, and by the caller's promise.
        unsafe { place.write(value) };
    }
}
