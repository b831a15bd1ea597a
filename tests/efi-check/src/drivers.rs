//! Drivers and controllers (UEFI 2.10, 7.3.12, 7.3.13 and chapter 11): two drivers for one kind of controller, which
//! make a child each, and a driver for the children.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

use r_efi::efi::{self, Boolean, Guid, Handle, Status};
use r_efi::protocols::{
    bus_specific_driver_override, device_path, driver_binding, driver_family_override, platform_driver_override,
};

use crate::env::{self, bs};
use crate::report::{check, equal, status};

const CONTROLLER: Guid = guid(1);
const CHILD: Guid = guid(2);

const fn guid(number: u8) -> Guid {
    Guid::from_fields(0x4a5d_0c7e, 0x9f7b, 0x4a0c, 0x8e, 0x11, &[0x21, 0x60, 0x3c, 0xd5, 0x44, number])
}

/// A driver that counts what it is asked. The binding comes first, so a pointer to it is one to the driver.
#[repr(C)]
struct Driver {
    binding: UnsafeCell<driver_binding::Protocol>,
    /// The protocol of the controllers it manages.
    wants: Guid,
    makes_child: bool,
    starts: AtomicUsize,
    stops: AtomicUsize,
    /// Whether it will not stop.
    stubborn: AtomicBool,
    child: AtomicPtr<c_void>,
}

unsafe impl Sync for Driver {}

impl Driver {
    const fn new(wants: Guid, makes_child: bool, version: u32) -> Self {
        Self {
            binding: UnsafeCell::new(driver_binding::Protocol {
                supported,
                start,
                stop,
                version,
                image_handle: ptr::null_mut(),
                driver_binding_handle: ptr::null_mut(),
            }),
            wants,
            makes_child,
            starts: AtomicUsize::new(0),
            stops: AtomicUsize::new(0),
            stubborn: AtomicBool::new(false),
            child: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn install(&self) -> Handle {
        let mut handle = ptr::null_mut();
        let mut guid = driver_binding::PROTOCOL_GUID;
        unsafe {
            (bs().install_protocol_interface)(&mut handle, &mut guid, efi::NATIVE_INTERFACE, self.binding.get().cast());
            (*self.binding.get()).image_handle = env::image();
            (*self.binding.get()).driver_binding_handle = handle;
        }
        handle
    }

    fn remove(&self) -> Status {
        let mut guid = driver_binding::PROTOCOL_GUID;
        unsafe { (bs().uninstall_protocol_interface)(self.handle(), &mut guid, self.binding.get().cast()) }
    }

    fn handle(&self) -> Handle {
        unsafe { (*self.binding.get()).driver_binding_handle }
    }

    fn open(&self, controller: Handle, other: Handle, attributes: u32) -> Status {
        let (mut guid, mut interface) = (self.wants, ptr::null_mut());
        unsafe { (bs().open_protocol)(controller, &mut guid, &mut interface, self.handle(), other, attributes) }
    }

    fn close(&self, controller: Handle, other: Handle) -> Status {
        let mut guid = self.wants;
        unsafe { (bs().close_protocol)(controller, &mut guid, self.handle(), other) }
    }

    fn counts(&self) -> (usize, usize) {
        (self.starts.load(Relaxed), self.stops.load(Relaxed))
    }
}

static OLD: Driver = Driver::new(CONTROLLER, true, 0x10);
static NEW: Driver = Driver::new(CONTROLLER, true, 0x20);
static LEAF: Driver = Driver::new(CHILD, false, 0x10);

/// What a driver was started with last.
static REMAINING: AtomicUsize = AtomicUsize::new(0);

fn of<'a>(this: *mut driver_binding::Protocol) -> &'a Driver {
    unsafe { &*this.cast::<Driver>() }
}

unsafe extern "efiapi" fn supported(
    this: *mut driver_binding::Protocol,
    controller: Handle,
    _remaining: *mut device_path::Protocol,
) -> Status {
    let driver = of(this);
    let status = driver.open(controller, controller, efi::OPEN_PROTOCOL_BY_DRIVER);
    if status == Status::SUCCESS {
        driver.close(controller, controller);
    }
    status
}

unsafe extern "efiapi" fn start(
    this: *mut driver_binding::Protocol,
    controller: Handle,
    remaining: *mut device_path::Protocol,
) -> Status {
    let driver = of(this);
    let status = driver.open(controller, controller, efi::OPEN_PROTOCOL_BY_DRIVER);
    if status != Status::SUCCESS {
        return status;
    }
    // Its first bytes: it may be a copy.
    let bytes = if remaining.is_null() { 0 } else { unsafe { remaining.cast::<u64>().read_unaligned() } };
    REMAINING.store(bytes as usize, Relaxed);
    driver.starts.fetch_add(1, Relaxed);
    if driver.makes_child {
        let mut child = ptr::null_mut();
        install(&mut child, CHILD, 7);
        driver.open(controller, child, efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
        driver.child.store(child, Relaxed);
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn stop(
    this: *mut driver_binding::Protocol,
    controller: Handle,
    children: usize,
    list: *mut Handle,
) -> Status {
    let driver = of(this);
    if driver.stubborn.load(Relaxed) {
        return Status::DEVICE_ERROR;
    }
    driver.stops.fetch_add(1, Relaxed);
    if children == 0 {
        return driver.close(controller, controller);
    }
    for index in 0..children {
        let child = unsafe { *list.add(index) };
        // The child's protocol can only go when nobody has its parent open for it.
        driver.close(controller, child);
        if uninstall(child, CHILD, 7) != Status::SUCCESS {
            driver.open(controller, child, efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
            return Status::DEVICE_ERROR;
        }
        driver.child.store(ptr::null_mut(), Relaxed);
    }
    Status::SUCCESS
}

fn interface(number: usize) -> *mut c_void {
    ptr::without_provenance_mut(number)
}

fn install(handle: &mut Handle, mut guid: Guid, number: usize) -> Status {
    unsafe { (bs().install_protocol_interface)(handle, &mut guid, efi::NATIVE_INTERFACE, interface(number)) }
}

fn uninstall(handle: Handle, mut guid: Guid, number: usize) -> Status {
    unsafe { (bs().uninstall_protocol_interface)(handle, &mut guid, interface(number)) }
}

fn connect(controller: Handle, drivers: *mut Handle, recursive: bool) -> Status {
    unsafe { (bs().connect_controller)(controller, drivers, ptr::null_mut(), Boolean::from(recursive)) }
}

fn disconnect(controller: Handle, driver: Handle, child: Handle) -> Status {
    unsafe { (bs().disconnect_controller)(controller, driver, child) }
}

fn is_installed(handle: Handle, mut guid: Guid) -> bool {
    let mut found = ptr::null_mut();
    unsafe { (bs().handle_protocol)(handle, &mut guid, &mut found) == Status::SUCCESS }
}

/// EFI_COMPONENT_NAME2_PROTOCOL (UEFI 2.11, 11.5).
#[repr(C)]
struct ComponentName {
    get_driver_name: unsafe extern "efiapi" fn(*mut ComponentName, *const u8, *mut *const u16) -> Status,
    get_controller_name:
        unsafe extern "efiapi" fn(*mut ComponentName, Handle, Handle, *const u8, *mut *const u16) -> Status,
    supported_languages: *const u8,
}

const COMPONENT_NAME2: Guid =
    Guid::from_fields(0x6a7a_5cff, 0xe8d9, 0x4f70, 0xba, 0xda, &[0x75, 0xab, 0x30, 0x25, 0xce, 0x14]);

/// Every driver there is before the program's own has a name.
fn names() {
    let (mut count, mut handles, mut guid) = (0, ptr::null_mut(), driver_binding::PROTOCOL_GUID);
    unsafe {
        (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut guid, ptr::null_mut(), &mut count, &mut handles);
        check("ComponentName2: drivers", count >= 3);
        for index in 0..count {
            let named: *mut ComponentName = env::interface(*handles.add(index), &COMPONENT_NAME2);
            check("ComponentName2: there", !named.is_null());
            if named.is_null() {
                continue;
            }
            let n = &*named;
            let mut name = ptr::null();
            let is = (n.get_driver_name)(named, n.supported_languages, &mut name);
            equal("GetDriverName", (is, !name.is_null() && *name != 0), (Status::SUCCESS, true));
            let (en, fr) = (c"en".as_ptr().cast(), c"fr".as_ptr().cast());
            status("GetDriverName: in French", (n.get_driver_name)(named, fr, &mut name), Status::UNSUPPORTED);
            let is = (n.get_driver_name)(named, ptr::null(), &mut name);
            status("GetDriverName: no language", is, Status::INVALID_PARAMETER);
            let is = (n.get_driver_name)(named, en, ptr::null_mut());
            status("GetDriverName: no place", is, Status::INVALID_PARAMETER);
            let none = ptr::null_mut();
            let controller =
                |of: Handle, child: Handle, language, place| (n.get_controller_name)(named, of, child, language, place);
            let is = controller(none, none, en, &mut name);
            status("GetControllerName: no controller", is, Status::INVALID_PARAMETER);
            let is = controller(env::image(), ptr::without_provenance_mut(0x5555), en, &mut name);
            status("GetControllerName: a child that is none", is, Status::INVALID_PARAMETER);
            let is = controller(env::image(), none, ptr::null(), &mut name);
            status("GetControllerName: no language", is, Status::INVALID_PARAMETER);
            let is = controller(env::image(), none, en, ptr::null_mut());
            status("GetControllerName: no place", is, Status::INVALID_PARAMETER);
            let is = controller(env::image(), none, en, &mut name);
            status("GetControllerName: of another driver's", is, Status::UNSUPPORTED);
        }
    }
    env::free(handles.cast());
}

pub fn run() {
    // Elsewhere not every driver has a name.
    if env::is_realmfw() {
        names();
    }
    let mut controller = ptr::null_mut();
    install(&mut controller, CONTROLLER, 1);
    status("ConnectController: no driver for it", connect(controller, ptr::null_mut(), false), Status::NOT_FOUND);
    for driver in [&OLD, &NEW, &LEAF] {
        driver.install();
    }
    connecting(controller);
    precedence(controller);
    exclusive(controller);
    replacing(controller);
    recursive(controller);
    refusing(controller);
    for driver in [&OLD, &NEW, &LEAF] {
        status("DriverBinding: removed", driver.remove(), Status::SUCCESS);
    }
}

fn connecting(controller: Handle) {
    status("ConnectController", connect(controller, ptr::null_mut(), false), Status::SUCCESS);
    equal("ConnectController: the highest version", (OLD.counts(), NEW.counts()), ((0, 0), (1, 0)));
    check("ConnectController: a child", is_installed(NEW.child.load(Relaxed), CHILD));
    equal("ConnectController: not the child's driver", LEAF.counts(), (0, 0));
    status("ConnectController: again", connect(controller, ptr::null_mut(), false), Status::NOT_FOUND);
    equal("ConnectController: again: nothing started", NEW.counts(), (1, 0));

    let child = NEW.child.load(Relaxed);
    let not_its = disconnect(controller, OLD.handle(), ptr::null_mut());
    if env::is_realmfw() {
        // EDK2 answers NOT_FOUND, against section 7.3.13.
        status("DisconnectController: not the driver", not_its, Status::SUCCESS);
    }
    status(
        "DisconnectController: driver is no handle",
        disconnect(controller, interface(8), ptr::null_mut()),
        Status::INVALID_PARAMETER,
    );
    status("DisconnectController", disconnect(controller, ptr::null_mut(), ptr::null_mut()), Status::SUCCESS);
    equal("DisconnectController: child first, then itself", NEW.counts(), (1, 2));
    check("DisconnectController: the child is gone", !is_installed(child, CHILD));

    let mut wanted = [OLD.handle(), ptr::null_mut()];
    status("ConnectController: given driver", connect(controller, wanted.as_mut_ptr(), false), Status::SUCCESS);
    equal("ConnectController: given driver first", (OLD.counts(), NEW.counts()), ((1, 0), (1, 2)));
    let child = OLD.child.load(Relaxed);
    status("DisconnectController: only child", disconnect(controller, OLD.handle(), child), Status::SUCCESS);
    equal("DisconnectController: only child: itself too", OLD.counts(), (1, 2));
}

/// What the override protocols answer: the image of the driver to try first.
static PLATFORM_CHOICE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static BUS_CHOICE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

fn choose(choice: &AtomicPtr<c_void>, image: *mut Handle) -> Status {
    // The enumeration goes on from what it got last.
    if unsafe { !(*image).is_null() } {
        return Status::NOT_FOUND;
    }
    unsafe { *image = choice.load(Relaxed) };
    Status::SUCCESS
}

unsafe extern "efiapi" fn platform_driver(
    _this: *mut platform_driver_override::Protocol,
    _controller: Handle,
    image: *mut Handle,
) -> Status {
    choose(&PLATFORM_CHOICE, image)
}

unsafe extern "efiapi" fn platform_path(
    _this: *mut platform_driver_override::Protocol,
    _controller: Handle,
    _path: *mut *mut device_path::Protocol,
) -> Status {
    Status::NOT_FOUND
}

unsafe extern "efiapi" fn platform_loaded(
    _this: *mut platform_driver_override::Protocol,
    _controller: Handle,
    _path: *mut device_path::Protocol,
    _image: Handle,
) -> Status {
    Status::UNSUPPORTED
}

unsafe extern "efiapi" fn bus_driver(_this: *mut bus_specific_driver_override::Protocol, image: *mut Handle) -> Status {
    choose(&BUS_CHOICE, image)
}

unsafe extern "efiapi" fn family_version(_this: *mut driver_family_override::Protocol) -> u32 {
    1
}

/// Connects and disconnects; whether the old driver, whose version is the lower one, was the one that started.
fn is_old_first(controller: Handle, list: *mut Handle) -> bool {
    let before = (OLD.counts().0, NEW.counts().0);
    connect(controller, list, false);
    let after = (OLD.counts().0, NEW.counts().0);
    disconnect(controller, ptr::null_mut(), ptr::null_mut());
    after == (before.0 + 1, before.1)
}

/// The order of section 7.3.12: what the caller names, the platform, the family, the bus, the version.
fn precedence(controller: Handle) {
    let mut platform = platform_driver_override::Protocol {
        get_driver: platform_driver,
        get_driver_path: platform_path,
        driver_loaded: platform_loaded,
    };
    let mut bus = bus_specific_driver_override::Protocol { get_driver: bus_driver };
    let mut family = driver_family_override::Protocol { get_version: family_version };
    let old = OLD.handle();
    // An image of its own, as far as the overrides look.
    unsafe { (*OLD.binding.get()).image_handle = old };
    let put = |mut handle: Handle, mut guid: Guid, interface: *mut c_void| unsafe {
        let is = (bs().install_protocol_interface)(&mut handle, &mut guid, efi::NATIVE_INTERFACE, interface);
        status("ConnectController: override installed", is, Status::SUCCESS);
        handle
    };
    check("ConnectController: by version", !is_old_first(controller, ptr::null_mut()));
    let on_bus = (&raw mut bus).cast();
    put(controller, bus_specific_driver_override::PROTOCOL_GUID, on_bus);
    BUS_CHOICE.store(old, Relaxed);
    check("ConnectController: the bus before the version", is_old_first(controller, ptr::null_mut()));
    BUS_CHOICE.store(env::image(), Relaxed);
    let of_family = (&raw mut family).cast();
    put(old, driver_family_override::PROTOCOL_GUID, of_family);
    check("ConnectController: the family before the bus", is_old_first(controller, ptr::null_mut()));
    PLATFORM_CHOICE.store(env::image(), Relaxed);
    let of_platform = (&raw mut platform).cast();
    let on = put(ptr::null_mut(), platform_driver_override::PROTOCOL_GUID, of_platform);
    check("ConnectController: the platform before the family", !is_old_first(controller, ptr::null_mut()));
    let mut wanted = [old, ptr::null_mut()];
    check("ConnectController: the caller before the platform", is_old_first(controller, wanted.as_mut_ptr()));
    for (handle, mut guid, interface) in [
        (on, platform_driver_override::PROTOCOL_GUID, of_platform),
        (old, driver_family_override::PROTOCOL_GUID, of_family),
        (controller, bus_specific_driver_override::PROTOCOL_GUID, on_bus),
    ] {
        let is = unsafe { (bs().uninstall_protocol_interface)(handle, &mut guid, interface) };
        status("ConnectController: override removed", is, Status::SUCCESS);
    }
    unsafe { (*OLD.binding.get()).image_handle = env::image() };

    // An end node asks for no child: connecting is done when there is nothing to do.
    let mut end = [0x7fu8, 0xff, 4, 0];
    let alone =
        unsafe { (bs().connect_controller)(env::image(), ptr::null_mut(), end.as_mut_ptr().cast(), Boolean::FALSE) };
    status("ConnectController: RemainingDevicePath that ends", alone, Status::SUCCESS);
    connect(controller, ptr::null_mut(), false);
    equal("ConnectController: no RemainingDevicePath", REMAINING.load(Relaxed), 0);
    disconnect(controller, ptr::null_mut(), ptr::null_mut());
    let mut child = [1u8, 4, 6, 0, 9, 9, 0x7f, 0xff, 4, 0];
    let wanted = usize::from_le_bytes([1, 4, 6, 0, 9, 9, 0x7f, 0xff]);
    let remaining = child.as_mut_ptr().cast();
    let is = unsafe { (bs().connect_controller)(controller, ptr::null_mut(), remaining, Boolean::FALSE) };
    status("ConnectController: RemainingDevicePath", is, Status::SUCCESS);
    equal("ConnectController: RemainingDevicePath arrives", REMAINING.load(Relaxed), wanted);
    disconnect(controller, ptr::null_mut(), ptr::null_mut());
}

fn exclusive(controller: Handle) {
    connect(controller, ptr::null_mut(), false);
    let (starts, stops) = NEW.counts();
    let (mut guid, mut found) = (CONTROLLER, ptr::null_mut());
    let open = unsafe {
        let attributes = efi::OPEN_PROTOCOL_EXCLUSIVE;
        (bs().open_protocol)(controller, &mut guid, &mut found, env::image(), ptr::null_mut(), attributes)
    };
    status("OpenProtocol: exclusive against a driver", open, Status::SUCCESS);
    equal("OpenProtocol: exclusive: interface", found, interface(1));
    equal("OpenProtocol: exclusive: driver stopped", NEW.counts(), (starts, stops + 2));
    status("ConnectController: while exclusive", connect(controller, ptr::null_mut(), false), Status::NOT_FOUND);
    let close = unsafe { (bs().close_protocol)(controller, &mut guid, env::image(), ptr::null_mut()) };
    status("CloseProtocol: exclusive against a driver", close, Status::SUCCESS);

    connect(controller, ptr::null_mut(), false);
    NEW.stubborn.store(true, Relaxed);
    let open = unsafe {
        let attributes = efi::OPEN_PROTOCOL_EXCLUSIVE;
        (bs().open_protocol)(controller, &mut guid, &mut found, env::image(), ptr::null_mut(), attributes)
    };
    status("OpenProtocol: exclusive: driver stays", open, Status::ACCESS_DENIED);
    NEW.stubborn.store(false, Relaxed);
}

fn replacing(controller: Handle) {
    let (starts, stops) = NEW.counts();
    let mut guid = CONTROLLER;
    let replace = unsafe { (bs().reinstall_protocol_interface)(controller, &mut guid, interface(1), interface(2)) };
    status("ReinstallProtocol: with a driver", replace, Status::SUCCESS);
    equal("ReinstallProtocol: stopped and started again", NEW.counts(), (starts + 1, stops + 2));
    equal("ReinstallProtocol: new interface", env::interface::<c_void>(controller, &CONTROLLER), interface(2));
    disconnect(controller, ptr::null_mut(), ptr::null_mut());
}

fn recursive(controller: Handle) {
    let (starts, _) = LEAF.counts();
    status("ConnectController: recursive", connect(controller, ptr::null_mut(), true), Status::SUCCESS);
    equal("ConnectController: recursive: the child's driver", LEAF.counts().0, starts + 1);
    let child = NEW.child.load(Relaxed);
    status(
        "DisconnectController: with a child that is used",
        disconnect(controller, ptr::null_mut(), ptr::null_mut()),
        Status::SUCCESS,
    );
    equal("DisconnectController: the child's driver stopped", LEAF.counts(), (starts + 1, starts + 1));
    check("DisconnectController: the used child is gone", !is_installed(child, CHILD));
}

fn refusing(controller: Handle) {
    connect(controller, ptr::null_mut(), false);
    NEW.stubborn.store(true, Relaxed);
    let stopped = disconnect(controller, ptr::null_mut(), ptr::null_mut());
    check("DisconnectController: driver stays", stopped.is_error());
    status("UninstallProtocol: driver stays", uninstall(controller, CONTROLLER, 2), Status::ACCESS_DENIED);
    check("UninstallProtocol: driver stays: protocol too", is_installed(controller, CONTROLLER));
    NEW.stubborn.store(false, Relaxed);
    status("UninstallProtocol: driver goes", uninstall(controller, CONTROLLER, 2), Status::SUCCESS);
    check("UninstallProtocol: driver goes: controller too", !is_installed(controller, CONTROLLER));
}
