//! EFI_DRIVER_BINDING_PROTOCOL of the firmware's own drivers (UEFI 2.11, 11.1).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::{ptr, slice};

use r_efi::efi::{Handle, Status};
use r_efi::protocols::{device_path, driver_binding};

use super::super::super::{image, services};

/// Below every driver that an image brings, which are to come first.
const VERSION: u32 = 1;

/// What a driver does. `agent` is the handle that it opens protocols by.
pub trait Driver: Sync {
    /// Whether it can manage the controller. Changes nothing.
    fn supported(&self, agent: Handle, controller: Handle) -> Result<(), Status>;

    /// Manages the controller.
    fn start(&self, agent: Handle, controller: Handle) -> Result<(), Status>;

    /// Destroys these children or, when there are none, lets the controller go.
    fn stop(&self, agent: Handle, controller: Handle, children: &[Handle]) -> Result<(), Status>;
}

#[repr(C)]
struct Binding {
    /// First, so that a pointer to it is one to the whole.
    protocol: driver_binding::Protocol,
    driver: &'static dyn Driver,
}

/// Installs a driver on a handle of its own, by which it opens protocols.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install(driver: &'static dyn Driver) -> Result<Handle, Status> {
    let protocol = driver_binding::Protocol {
        supported,
        start,
        stop,
        version: VERSION,
        image_handle: image::firmware(),
        driver_binding_handle: ptr::null_mut(),
    };
    let binding = Box::into_raw(Box::new(Binding { protocol, driver }));
    let handle = services::install_protocol(None, &driver_binding::PROTOCOL_GUID, binding.cast())?;
    // SAFETY: the binding was made above and is never freed.
    unsafe { (*binding).protocol.driver_binding_handle = handle };
    Ok(handle)
}

/// The driver of a binding, and its agent.
///
/// # Safety
/// `this` is null or a binding that [`install`] made.
unsafe fn parts(this: *mut driver_binding::Protocol) -> Option<(&'static dyn Driver, Handle)> {
    // SAFETY: the caller's promise: the protocol is the first member of a binding.
    (!this.is_null()).then(|| unsafe { ((*this.cast::<Binding>()).driver, (*this).driver_binding_handle) })
}

unsafe extern "efiapi" fn supported(
    this: *mut driver_binding::Protocol,
    controller: Handle,
    _remaining: *mut device_path::Protocol,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    let Some((driver, agent)) = (unsafe { parts(this) }) else { return Status::INVALID_PARAMETER };
    driver.supported(agent, controller).err().unwrap_or(Status::SUCCESS)
}

unsafe extern "efiapi" fn start(
    this: *mut driver_binding::Protocol,
    controller: Handle,
    _remaining: *mut device_path::Protocol,
) -> Status {
    // SAFETY: as in `supported`.
    let Some((driver, agent)) = (unsafe { parts(this) }) else { return Status::INVALID_PARAMETER };
    driver.start(agent, controller).err().unwrap_or(Status::SUCCESS)
}

unsafe extern "efiapi" fn stop(
    this: *mut driver_binding::Protocol,
    controller: Handle,
    count: usize,
    children: *mut Handle,
) -> Status {
    // SAFETY: as in `supported`.
    let Some((driver, agent)) = (unsafe { parts(this) }) else { return Status::INVALID_PARAMETER };
    let children = if count == 0 || children.is_null() {
        &[]
    } else {
        // SAFETY: the caller passes so many handles.
        unsafe { slice::from_raw_parts(children, count) }
    };
    driver.stop(agent, controller, children).err().unwrap_or(Status::SUCCESS)
}
