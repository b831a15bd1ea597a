//! EFI_DRIVER_BINDING_PROTOCOL and EFI_COMPONENT_NAME2_PROTOCOL of the firmware's own drivers (UEFI 2.11, 11.1 and 11.5).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ffi::CStr;
use core::{ptr, slice};

use r_efi::efi::{Char8, Char16, Guid, Handle, Status};
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

/// The name of a driver as clients have it; `text` is ASCII and ends with NUL.
pub const fn name<const N: usize>(text: &[u8; N]) -> [Char16; N] {
    let mut units = [0; N];
    let (mut from, mut to) = (text.as_slice(), units.as_mut_slice());
    while let ([byte, bytes @ ..], [unit, rest @ ..]) = (from, to) {
        *unit = *byte as Char16;
        (from, to) = (bytes, rest);
    }
    units
}

#[repr(C)]
struct Binding {
    /// First, so that a pointer to it is one to the whole.
    protocol: driver_binding::Protocol,
    driver: &'static dyn Driver,
}

/// EFI_COMPONENT_NAME2_PROTOCOL_GUID
const COMPONENT_NAME2_GUID: Guid =
    Guid::from_fields(0x6a7a_5cff, 0xe8d9, 0x4f70, 0xba, 0xda, &[0x75, 0xab, 0x30, 0x25, 0xce, 0x14]);

const LANGUAGE: &CStr = c"en";

/// EFI_COMPONENT_NAME2_PROTOCOL.
#[repr(C)]
struct ComponentName {
    get_driver_name: unsafe extern "efiapi" fn(*mut ComponentName, *const Char8, *mut *const Char16) -> Status,
    get_controller_name:
        unsafe extern "efiapi" fn(*mut ComponentName, Handle, Handle, *const Char8, *mut *const Char16) -> Status,
    supported_languages: *const Char8,
    /// Not part of the protocol.
    name: &'static [Char16],
}

/// Installs a driver on a handle of its own, by which it opens protocols. Its name is of [`name`].
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install(driver: &'static dyn Driver, name: &'static [Char16]) -> Result<Handle, Status> {
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
    let supported_languages = LANGUAGE.as_ptr().cast();
    let named = Box::new(ComponentName { get_driver_name, get_controller_name, supported_languages, name });
    services::install_protocol(Some(handle), &COMPONENT_NAME2_GUID, Box::into_raw(named).cast())?;
    Ok(handle)
}

unsafe extern "efiapi" fn get_driver_name(
    this: *mut ComponentName,
    language: *const Char8,
    name: *mut *const Char16,
) -> Status {
    if this.is_null() || language.is_null() || name.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a NUL-terminated string.
    if unsafe { CStr::from_ptr(language.cast()) } != LANGUAGE {
        return Status::UNSUPPORTED;
    }
    // SAFETY: not null; the caller passes the instance that it took the member from, and a pointer to write.
    unsafe { name.write((*this).name.as_ptr()) };
    Status::SUCCESS
}

/// A controller has no name besides its device path.
unsafe extern "efiapi" fn get_controller_name(
    _this: *mut ComponentName,
    controller: Handle,
    child: Handle,
    language: *const Char8,
    name: *mut *const Char16,
) -> Status {
    let handles = services::is_handle(controller) && (child.is_null() || services::is_handle(child));
    if !handles || language.is_null() || name.is_null() { Status::INVALID_PARAMETER } else { Status::UNSUPPORTED }
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
