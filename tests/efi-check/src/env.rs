//! The tables and the handle that the program was started with.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use r_efi::efi::{self, BootServices, Guid, Handle, RuntimeServices, Status, SystemTable};

static IMAGE: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(ptr::null_mut());
static TABLE: AtomicPtr<SystemTable> = AtomicPtr::new(ptr::null_mut());
static RUNTIME: AtomicPtr<RuntimeServices> = AtomicPtr::new(ptr::null_mut());

pub fn init(image: Handle, table: *mut SystemTable) {
    IMAGE.store(image, Ordering::Relaxed);
    TABLE.store(table, Ordering::Relaxed);
    RUNTIME.store(unsafe { (*table).runtime_services }, Ordering::Relaxed);
}

/// The program's own handle.
pub fn image() -> Handle {
    IMAGE.load(Ordering::Relaxed)
}

pub fn table() -> *mut SystemTable {
    TABLE.load(Ordering::Relaxed)
}

/// Boot services; none of them may be called after `ExitBootServices()`.
pub fn bs() -> &'static BootServices {
    unsafe { &*(*table()).boot_services }
}

pub fn rt() -> &'static RuntimeServices {
    unsafe { &*RUNTIME.load(Ordering::Relaxed) }
}

/// Where runtime services are from now on.
pub fn set_runtime(services: *mut RuntimeServices) {
    RUNTIME.store(services, Ordering::Relaxed);
}

/// The interface of a protocol on a handle, or null.
pub fn interface<T>(handle: Handle, guid: &Guid) -> *mut T {
    let mut interface = ptr::null_mut();
    let mut guid = *guid;
    let status = unsafe { (bs().handle_protocol)(handle, &mut guid, &mut interface) };
    if status == Status::SUCCESS { interface.cast() } else { ptr::null_mut() }
}

/// The first interface of a protocol, or null.
pub fn locate<T>(guid: &Guid) -> *mut T {
    let mut interface = ptr::null_mut();
    let mut guid = *guid;
    let status = unsafe { (bs().locate_protocol)(&mut guid, ptr::null_mut(), &mut interface) };
    if status == Status::SUCCESS { interface.cast() } else { ptr::null_mut() }
}

/// The program's EFI_LOADED_IMAGE_PROTOCOL.
pub fn loaded_image() -> &'static efi::protocols::loaded_image::Protocol {
    let protocol: *mut efi::protocols::loaded_image::Protocol =
        interface(image(), &efi::protocols::loaded_image::PROTOCOL_GUID);
    assert!(!protocol.is_null(), "no LoadedImage protocol");
    unsafe { &*protocol }
}

pub fn shut_down() -> ! {
    unsafe { (rt().reset_system)(efi::RESET_SHUTDOWN, Status::SUCCESS, 0, ptr::null_mut()) };
    loop {
        core::hint::spin_loop();
    }
}

/// Whether this is the firmware that the program was written for; what it does to others, they
/// need not survive.
pub fn is_realmfw() -> bool {
    let vendor = unsafe { (*table()).firmware_vendor };
    "realmfw".bytes().enumerate().all(|(index, byte)| u16::from(byte) == unsafe { vendor.wrapping_add(index).read() })
}

/// Pool memory for as long as boot services last.
pub fn pool(size: usize) -> *mut u8 {
    let mut memory = ptr::null_mut();
    let status = unsafe { (bs().allocate_pool)(efi::LOADER_DATA, size, &mut memory) };
    assert!(status == Status::SUCCESS, "AllocatePool: {status:?}");
    memory.cast()
}

pub fn free(memory: *mut u8) {
    unsafe { (bs().free_pool)(memory.cast()) };
}
