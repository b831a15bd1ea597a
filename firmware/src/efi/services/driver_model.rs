//! Connecting drivers with controllers (UEFI 2.10, sections 7.3.12 and 7.3.13, and the driver binding protocols of
//! chapter 11).
#![expect(unsafe_code, reason = "calls the members of driver binding protocols")]

use core::cmp::Reverse;
use core::ffi::c_void;
use core::{ptr, slice};

use alloc::vec::Vec;
use r_efi::efi::{Guid, Handle, Status};
use r_efi::protocols::{
    bus_specific_driver_override, device_path, driver_binding, driver_family_override, platform_driver_override,
};

use super::locate::{locate_handles, locate_protocol, raw};
use super::protocols::{interface, is_handle};
use super::state::{handle_from, optional_handle_from, with_core};
use super::status::ToStatus;

/// How deep a tree of controllers is followed. Real ones have fewer than ten levels; a loop in the database of a
/// confused client must not end in the stack guard.
const MAX_DEPTH: usize = 32;

/// The most drivers an override protocol may name for one controller.
const MAX_OVERRIDES: usize = 64;

/// Connects the drivers of `controller` and, when `recursive`, those of its children.
///
/// # Errors
/// `INVALID_PARAMETER` when `controller` is none; `NOT_FOUND` when no driver was started.
pub fn connect_controller(controller: Handle, recursive: bool) -> Result<(), Status> {
    // SAFETY: without a path there is nothing to read.
    unsafe { connect_with(controller, &[], ptr::null_mut(), recursive) }
}

/// `ConnectController()`: `first` are the drivers that the caller prefers, `remaining` is the path to the child that
/// shall be made.
///
/// # Errors
/// As [`connect_controller`].
///
/// # Safety
/// `remaining` is null or points to a device path.
pub unsafe fn connect_with(
    controller: Handle,
    first: &[Handle],
    remaining: *mut device_path::Protocol,
    recursive: bool,
) -> Result<(), Status> {
    // SAFETY: passed on.
    unsafe { connect_tree(controller, first, remaining, recursive, MAX_DEPTH) }
}

/// # Safety
/// `remaining` is null or points to a device path.
unsafe fn connect_tree(
    controller: Handle,
    first: &[Handle],
    remaining: *mut device_path::Protocol,
    recursive: bool,
    depth: usize,
) -> Result<(), Status> {
    if !is_handle(controller) {
        return Err(Status::INVALID_PARAMETER);
    }
    // SAFETY: passed on.
    let result = unsafe { connect_single(controller, first, remaining) };
    if recursive && let Some(depth) = depth.checked_sub(1) {
        let children = with_core(|core| core.handles.children_of(handle_from(controller), None));
        for child in raw(&children.map_err(ToStatus::status)?)? {
            // SAFETY: no path is passed. A child without a driver does not fail its parent.
            let _ = unsafe { connect_tree(child, &[], ptr::null_mut(), true, depth) };
        }
    }
    // SAFETY: passed on. An end node asks for no child, so it needs no driver.
    let ends =
        unsafe { super::device_path::bytes(remaining) }.is_some_and(|path| path.len() == size_of::<device_path::End>());
    if ends { Ok(()) } else { result }
}

/// A driver binding and the handle it is installed on.
#[derive(Clone, Copy)]
struct Driver {
    handle: Handle,
    binding: *mut driver_binding::Protocol,
}

impl Driver {
    fn on(handle: Handle) -> Result<Self, Status> {
        Ok(Self { handle, binding: implemented(handle, &driver_binding::PROTOCOL_GUID)?.cast() })
    }

    fn version(&self) -> u32 {
        // SAFETY: the interface was installed as a driver binding, and was there a moment ago.
        unsafe { (*self.binding).version }
    }

    fn image(&self) -> Handle {
        // SAFETY: as above.
        unsafe { (*self.binding).image_handle }
    }

    fn is_installed(&self) -> bool {
        Self::on(self.handle).is_ok_and(|present| ptr::eq(present.binding, self.binding))
    }

    /// # Safety
    /// `remaining` is null or points to a device path.
    unsafe fn supports(&self, controller: Handle, remaining: *mut device_path::Protocol) -> bool {
        // SAFETY: as in `version`; nothing of the core is borrowed.
        !unsafe { ((*self.binding).supported)(self.binding, controller, remaining) }.is_error()
    }

    /// # Safety
    /// `remaining` is null or points to a device path.
    unsafe fn start(&self, controller: Handle, remaining: *mut device_path::Protocol) -> bool {
        // SAFETY: as in `supports`.
        !unsafe { ((*self.binding).start)(self.binding, controller, remaining) }.is_error()
    }

    fn stop(&self, controller: Handle, children: &mut [Handle]) -> Status {
        let list = if children.is_empty() { ptr::null_mut() } else { children.as_mut_ptr() };
        // SAFETY: as in `supports`; the list has as many handles as its count says.
        unsafe { ((*self.binding).stop)(self.binding, controller, children.len(), list) }
    }
}

/// Starts every driver that supports the controller. A driver that could be started is tried once; after each start the
/// search begins anew, because the start may have changed what others support.
///
/// # Safety
/// `remaining` is null or points to a device path.
unsafe fn connect_single(
    controller: Handle,
    first: &[Handle],
    remaining: *mut device_path::Protocol,
) -> Result<(), Status> {
    let mut started = false;
    let mut tried: Vec<Handle> = Vec::new();
    // A start may install further drivers, which get their turn too.
    'search: loop {
        if !is_handle(controller) {
            break;
        }
        for driver in candidates(controller, first)? {
            // SAFETY: the caller's promise about the path.
            let supported = !tried.contains(&driver.handle)
                && driver.is_installed()
                && unsafe { driver.supports(controller, remaining) };
            if supported {
                tried.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
                tried.push(driver.handle);
                // SAFETY: likewise.
                started |= unsafe { driver.start(controller, remaining) };
                continue 'search;
            }
        }
        break;
    }
    if started { Ok(()) } else { Err(Status::NOT_FOUND) }
}

/// The drivers to try, in the order of precedence (section 7.3.12): those the caller names, the platform's overrides,
/// the driver families, the bus's overrides, then all by descending version.
fn candidates(controller: Handle, first: &[Handle]) -> Result<Vec<Driver>, Status> {
    let mut all = Vec::new();
    for handle in locate_handles(&driver_binding::PROTOCOL_GUID)? {
        if let Ok(driver) = Driver::on(handle) {
            push(&mut all, driver)?;
        }
    }
    let mut ordered: Vec<Driver> = Vec::new();
    let mut add = |driver: &Driver| {
        if ordered.iter().all(|known| known.handle != driver.handle) { push(&mut ordered, *driver) } else { Ok(()) }
    };

    for handle in first {
        all.iter().filter(|driver| driver.handle == *handle).try_for_each(&mut add)?;
    }
    for image in platform_overrides(controller)? {
        all.iter().filter(|driver| driver.image() == image).try_for_each(&mut add)?;
    }
    let mut families = Vec::new();
    for driver in &all {
        if let Ok(family) = implemented(driver.handle, &driver_family_override::PROTOCOL_GUID) {
            let family = family.cast::<driver_family_override::Protocol>();
            // SAFETY: the interface was installed as this protocol; nothing of the core is borrowed.
            push(&mut families, (unsafe { ((*family).get_version)(family) }, *driver))?;
        }
    }
    // The handle makes the order of equal versions the same each time.
    heap_sort::sort_by_key(&mut families, |(version, driver)| (Reverse(*version), driver.handle.addr()));
    families.iter().map(|(_, driver)| driver).try_for_each(&mut add)?;
    for image in bus_overrides(controller)? {
        all.iter().filter(|driver| driver.image() == image).try_for_each(&mut add)?;
    }
    let mut by_version = Vec::new();
    all.iter().try_for_each(|driver| push(&mut by_version, *driver))?;
    heap_sort::sort_by_key(&mut by_version, |driver| (Reverse(driver.version()), driver.handle.addr()));
    by_version.iter().try_for_each(&mut add)?;
    Ok(ordered)
}

fn platform_overrides(controller: Handle) -> Result<Vec<Handle>, Status> {
    let Some((_, protocol)) = locate_protocol(&platform_driver_override::PROTOCOL_GUID) else {
        return Ok(Vec::new());
    };
    if protocol.is_null() {
        return Ok(Vec::new());
    }
    let protocol = protocol.cast::<platform_driver_override::Protocol>();
    enumerate(|image| {
        // SAFETY: the interface was installed as this protocol; nothing of the core is borrowed.
        unsafe { ((*protocol).get_driver)(protocol, controller, image) }
    })
}

fn bus_overrides(controller: Handle) -> Result<Vec<Handle>, Status> {
    let Ok(protocol) = implemented(controller, &bus_specific_driver_override::PROTOCOL_GUID) else {
        return Ok(Vec::new());
    };
    let protocol = protocol.cast::<bus_specific_driver_override::Protocol>();
    enumerate(|image| {
        // SAFETY: as in `platform_overrides`.
        unsafe { ((*protocol).get_driver)(protocol, image) }
    })
}

/// Calls an enumeration that continues from the image handle it is given, beginning with null.
fn enumerate(next: impl Fn(*mut Handle) -> Status) -> Result<Vec<Handle>, Status> {
    let mut images = Vec::new();
    let mut image: Handle = ptr::null_mut();
    while images.len() < MAX_OVERRIDES && !next(&raw mut image).is_error() {
        push(&mut images, image)?;
    }
    Ok(images)
}

/// `DisconnectController()`: stops one driver or all, for one child or all.
///
/// # Errors
/// `INVALID_PARAMETER` when a handle is none, or the driver has no driver binding; `DEVICE_ERROR` when drivers were asked
/// to stop and none did.
pub fn disconnect_controller(controller: Handle, driver: Option<Handle>, child: Option<Handle>) -> Result<(), Status> {
    let given = [Some(controller), driver, child];
    if given.into_iter().flatten().any(|handle| !is_handle(handle)) {
        return Err(Status::INVALID_PARAMETER);
    }
    let managing = with_core(|core| core.handles.drivers_of(handle_from(controller))).map_err(ToStatus::status)?;
    let managing = raw(&managing)?;
    let mut asked = false;
    let mut stopped = false;
    for handle in driver.as_ref().map_or(managing.as_slice(), slice::from_ref) {
        let driver = Driver::on(*handle).map_err(|_| Status::INVALID_PARAMETER)?;
        let children =
            with_core(|core| core.handles.children_of(handle_from(controller), optional_handle_from(*handle)));
        let mut children = raw(&children.map_err(ToStatus::status)?)?;
        let count = children.len();
        // A bus driver may have nothing but its children on the controller.
        if count == 0 && !managing.contains(handle) {
            continue;
        }
        if let Some(child) = child {
            if !children.contains(&child) {
                continue;
            }
            children.retain(|handle| *handle == child);
        }
        asked = true;
        stopped |= stop(&driver, controller, &mut children, count);
    }
    if asked && !stopped { Err(Status::DEVICE_ERROR) } else { Ok(()) }
}

/// Stops the driver for `children`, and for the controller itself when these are all the `count` children it has.
fn stop(driver: &Driver, controller: Handle, children: &mut [Handle], count: usize) -> bool {
    if !children.is_empty() && driver.stop(controller, children).is_error() {
        return false;
    }
    children.len() != count || !driver.stop(controller, &mut []).is_error()
}

/// The interface of a protocol whose members are called: one that was installed without any counts as missing.
fn implemented(handle: Handle, protocol: &Guid) -> Result<*mut c_void, Status> {
    Some(interface(handle, protocol)?).filter(|found| !found.is_null()).ok_or(Status::UNSUPPORTED)
}

fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), Status> {
    list.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    list.push(value);
    Ok(())
}
