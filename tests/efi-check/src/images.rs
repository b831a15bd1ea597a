//! Image services (UEFI 2.10, 7.4), with images whose code is a function of this program.

mod broken;
mod files;
mod nested;

use core::arch::naked_asm;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use r_efi::efi::{self, Boolean, Char16, Guid, Handle, Status, SystemTable};
use r_efi::protocols::{hii_package_list, loaded_image, loaded_image_device_path, memory_attribute};

use crate::env::{self, bs, free};
use crate::pe::{self, APPLICATION, BOOT_DRIVER, RUNTIME_DRIVER};
use crate::report::{check, equal, one_of, skipped, status};

/// What an image that has run saw of itself.
static SEEN_HANDLE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static SEEN_TABLE: AtomicPtr<SystemTable> = AtomicPtr::new(ptr::null_mut());
static SEEN_OPTION: AtomicU64 = AtomicU64::new(0);

pub const PLAIN_STATUS: Status = Status::from_usize(0x1234);
const ERROR_STATUS: Status = Status::ABORTED;

pub fn load(file: &mut [u8]) -> Result<Handle, Status> {
    let mut handle = ptr::null_mut();
    let status = unsafe {
        (bs().load_image)(
            Boolean::FALSE,
            env::image(),
            ptr::null_mut(),
            file.as_mut_ptr().cast(),
            file.len(),
            &mut handle,
        )
    };
    if status == Status::SUCCESS { Ok(handle) } else { Err(status) }
}

pub fn loaded(file: &mut [u8]) -> Handle {
    load(file).unwrap_or_else(|status| panic!("LoadImage: {status:?}"))
}

pub fn start(handle: Handle) -> Status {
    unsafe { (bs().start_image)(handle, ptr::null_mut(), ptr::null_mut()) }
}

pub fn unload(handle: Handle) -> Status {
    unsafe { (bs().unload_image)(handle) }
}

pub fn information(handle: Handle) -> *mut loaded_image::Protocol {
    env::interface(handle, &loaded_image::PROTOCOL_GUID)
}

/// Calls `Exit()` with data that is a copy of the text.
pub fn exit_with(handle: Handle, status: Status, text: &[u16]) -> ! {
    let data: *mut u16 = env::pool(size_of_val(text)).cast();
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        (bs().exit)(handle, status, size_of_val(text), data);
    }
    panic!("Exit returned");
}

pub extern "efiapi" fn returns(handle: Handle, table: *mut SystemTable) -> Status {
    SEEN_HANDLE.store(handle, Ordering::Relaxed);
    SEEN_TABLE.store(table, Ordering::Relaxed);
    let information = information(handle);
    let options = unsafe { (*information).load_options };
    let option = if options.is_null() { 0 } else { unsafe { options.cast::<u64>().read_unaligned() } };
    SEEN_OPTION.store(option, Ordering::Relaxed);
    PLAIN_STATUS
}

extern "efiapi" fn succeeds(_handle: Handle, _table: *mut SystemTable) -> Status {
    Status::SUCCESS
}

extern "efiapi" fn fails(_handle: Handle, _table: *mut SystemTable) -> Status {
    ERROR_STATUS
}

/// An image that leaves from within, with every register that it should have kept spoilt.
extern "efiapi" fn exits(handle: Handle, _table: *mut SystemTable) -> Status {
    unsafe { spoil_and_exit(handle, PLAIN_STATUS, bs().exit as usize) };
    Status::SUCCESS
}

#[unsafe(naked)]
unsafe extern "C" fn spoil_and_exit(_handle: Handle, _status: Status, _exit: usize) {
    naked_asm!(
        "mov x16, x2",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x19, #-1",
        "mov x20, #-1",
        "mov x21, #-1",
        "mov x22, #-1",
        "mov x23, #-1",
        "mov x24, #-1",
        "mov x25, #-1",
        "mov x26, #-1",
        "mov x27, #-1",
        "mov x28, #-1",
        "fmov d8, x19",
        "fmov d15, x19",
        "sub sp, sp, #512",
        "br x16",
    )
}

/// Calls `StartImage()` with known values in the registers that a call preserves, and returns how
/// many of them came back changed.
#[unsafe(naked)]
unsafe extern "C" fn start_and_compare(_handle: Handle, _start: usize) -> u64 {
    naked_asm!(
        "stp x29, x30, [sp, #-128]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d15, [sp, #96]",
        "mov x9, #42",
        "fmov d8, x9",
        "fmov d15, x9",
        "mov x19, #19",
        "mov x22, #22",
        "mov x25, #25",
        "mov x28, #28",
        "mov x9, x1",
        "mov x1, xzr",
        "mov x2, xzr",
        "mov x27, sp",
        "blr x9",
        "mov x0, xzr",
        "cmp x19, #19",
        "cinc x0, x0, ne",
        "cmp x22, #22",
        "cinc x0, x0, ne",
        "cmp x25, #25",
        "cinc x0, x0, ne",
        "cmp x28, #28",
        "cinc x0, x0, ne",
        "fmov x9, d8",
        "cmp x9, #42",
        "cinc x0, x0, ne",
        "fmov x9, d15",
        "cmp x9, #42",
        "cinc x0, x0, ne",
        "mov x9, sp",
        "cmp x9, x27",
        "cinc x0, x0, ne",
        "ldp d8, d15, [sp, #96]",
        "ldp x27, x28, [sp, #80]",
        "ldp x25, x26, [sp, #64]",
        "ldp x23, x24, [sp, #48]",
        "ldp x21, x22, [sp, #32]",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #128",
        "ret",
    )
}

pub fn run() {
    parameters();
    loading();
    package_list();
    unmeasured();
    a_file_that_changes();
    protection();
    starting();
    exiting();
    drivers();
    nested::run();
    files::run();
    broken::run();
}

/// What is in no digest of a file does not come in with it.
fn unmeasured() {
    let mut file = pe::build(returns, APPLICATION);
    pe::put(&mut file, pe::OFFSET_CHECKSUM, [0x11, 0x22, 0x33, 0x44]);
    let Ok(handle) = load(&mut file) else { return check("LoadImage: a file with a checksum", false) };
    let image: *mut loaded_image::Protocol = env::interface(handle, &loaded_image::PROTOCOL_GUID);
    let base = unsafe { (*image).image_base.cast::<u8>() };
    let checksum = unsafe { base.wrapping_add(pe::OFFSET_CHECKSUM).cast::<u32>().read_unaligned() };
    equal("LoadImage: no checksum in memory", checksum, 0);
    let subsystem = unsafe { base.wrapping_add(pe::OFFSET_SUBSYSTEM).cast::<u16>().read_unaligned() };
    equal("LoadImage: the header behind it", subsystem, APPLICATION);
    status("UnloadImage", unsafe { (bs().unload_image)(handle) }, Status::SUCCESS);
}

fn parameters() {
    let mut file = pe::build(returns, APPLICATION);
    let (data, size) = (file.as_mut_ptr().cast::<c_void>(), file.len());
    let mut handle = ptr::null_mut();
    let null = ptr::null_mut();
    let mut call = |parent, data, size, out: bool| unsafe {
        let out = if out { &raw mut handle } else { ptr::null_mut() };
        (bs().load_image)(Boolean::FALSE, parent, ptr::null_mut(), data, size, out)
    };
    let me = env::image();
    status("LoadImage: nowhere to put the handle", call(me, data, size, false), Status::INVALID_PARAMETER);
    status("LoadImage: no parent", call(null, data, size, true), Status::INVALID_PARAMETER);
    status("LoadImage: parent is no handle", call(data, data, size, true), Status::INVALID_PARAMETER);
    let console = unsafe { (*env::table()).console_out_handle };
    if console != me {
        status("LoadImage: parent is no image", call(console, data, size, true), Status::INVALID_PARAMETER);
    }
    // As the specification's table has it. Some releases of its conformance suite want INVALID_PARAMETER.
    status("LoadImage: neither path nor buffer", call(me, null, 0, true), Status::NOT_FOUND);
    status("LoadImage: empty buffer", call(me, data, 0, true), Status::LOAD_ERROR);
    status("StartImage: no handle", start(null), Status::INVALID_PARAMETER);
    status("StartImage: no image", start(console), Status::INVALID_PARAMETER);
    status("StartImage: runs already", start(me), Status::INVALID_PARAMETER);
    status("UnloadImage: no handle", unload(null), Status::INVALID_PARAMETER);
    status("UnloadImage: no image", unload(console), Status::INVALID_PARAMETER);
    one_of("UnloadImage: runs", unload(me), &[Status::UNSUPPORTED, Status::INVALID_PARAMETER]);
    let is = unsafe { (bs().exit)(console, Status::SUCCESS, 0, ptr::null_mut()) };
    status("Exit: no image", is, Status::INVALID_PARAMETER);
}

fn loading() {
    let mut file = pe::build(returns, APPLICATION);
    let handle = loaded(&mut file);
    file.fill(0xff);
    let information = information(handle);
    check("LoadImage: LoadedImage protocol", !information.is_null());
    let i = unsafe { &*information };
    equal("LoadedImage: revision", i.revision, loaded_image::REVISION);
    equal("LoadedImage: parent", i.parent_handle, env::image());
    equal("LoadedImage: system table", i.system_table, env::table());
    check("LoadedImage: no load options", i.load_options_size == 0 && i.load_options.is_null());
    equal("LoadedImage: size", i.image_size, pe::IMAGE_SIZE.into());
    check("LoadedImage: alignment", i.image_base.addr() % 0x1000 == 0);
    equal("LoadedImage: code type", i.image_code_type, efi::LOADER_CODE);
    equal("LoadedImage: data type", i.image_data_type, efi::LOADER_DATA);
    check("LoadedImage: no unload member", i.unload.is_none());
    let data = i.image_base.cast::<u8>().wrapping_add(pe::DATA as usize);
    let words = data.cast::<u64>();
    unsafe {
        equal("LoadImage: relocates", words.read(), data.addr() as u64);
        equal("LoadImage: copies", words.wrapping_add(1).read(), 0x0123_4567_89ab_cdef);
        let zeros = core::slice::from_raw_parts(data.wrapping_add(16), pe::DATA_SIZE as usize - 16);
        check("LoadImage: zeroes what the file has not", zeros.iter().all(|&byte| byte == 0));
    }
    let map = crate::memory::Map::read();
    let found = map.at(i.image_base.addr() as u64);
    let list: *mut c_void = env::interface(handle, &hii_package_list::PROTOCOL_GUID);
    check("LoadImage: no HII package list", list.is_null());
    check("LoadImage: memory type", found.is_some_and(|d| d.r#type == efi::LOADER_CODE));
    map.release();
    status("UnloadImage: not started", unload(handle), Status::SUCCESS);
    check("UnloadImage: the handle is gone", self::information(handle).is_null());
    status("UnloadImage: again", unload(handle), Status::INVALID_PARAMETER);
    status("StartImage: unloaded", start(handle), Status::INVALID_PARAMETER);
}

/// A package list among the resources is on the image's handle, and goes with it.
fn package_list() {
    let handle = loaded(&mut pe::with_package_list(returns));
    let base = unsafe { (*information(handle)).image_base };
    let list: *mut c_void = env::interface(handle, &hii_package_list::PROTOCOL_GUID);
    equal("LoadImage: HII package list", list.addr(), base.addr() + pe::PACKAGE_LIST as usize);
    status("UnloadImage: with an HII package list", unload(handle), Status::SUCCESS);
    let list: *mut c_void = env::interface(handle, &hii_package_list::PROTOCOL_GUID);
    check("UnloadImage: the HII package list is gone", list.is_null());
}

/// Spoils the first byte of the file at `file`.
extern "efiapi" fn spoil(_event: efi::Event, file: *mut c_void) {
    unsafe { file.cast::<u8>().write_volatile(0xff) };
}

/// A notification that runs while an image is loaded writes to its file: the image is what was checked.
fn a_file_that_changes() {
    let mut file = pe::build(returns, APPLICATION);
    let whole = file;
    let mut group = efi::EVENT_GROUP_MEMORY_MAP_CHANGE;
    let mut event = ptr::null_mut();
    let context = file.as_mut_ptr().cast();
    let is = unsafe {
        (bs().create_event_ex)(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(spoil), context, &mut group, &mut event)
    };
    status("LoadImage: notification of a change of the map", is, Status::SUCCESS);
    let result = load(&mut file);
    check("LoadImage: the notification ran", file[0] == 0xff);
    let consistent = match result {
        // The first byte of the headers is where the file's was.
        Ok(handle) => unsafe { (*information(handle)).image_base.cast::<u8>().read() == whole[0] },
        Err(status) => status == Status::UNSUPPORTED,
    };
    check("LoadImage: what is loaded is what was checked", consistent);
    unsafe { (bs().close_event)(event) };
    if let Ok(handle) = result {
        unload(handle);
    }
    let before = free_pages();
    for _ in 0..20 {
        let mut file = pe::build(returns, APPLICATION);
        unload(loaded(&mut file));
        file[0] = 0;
        let _ = load(&mut file);
    }
    check("LoadImage: copies of files are freed", free_pages() + 8 >= before);
}

fn protection() {
    let protocol: *mut memory_attribute::Protocol = env::locate(&memory_attribute::PROTOCOL_GUID);
    if protocol.is_null() {
        return skipped("LoadImage: W^X", "no memory attribute protocol");
    }
    let mut file = pe::build(returns, APPLICATION);
    let handle = loaded(&mut file);
    let base = unsafe { (*information(handle)).image_base.addr() as u64 };
    let attributes = |offset: u64, length: u64| {
        let mut attributes = u64::MAX;
        let status = unsafe { ((*protocol).get_memory_attributes)(protocol, base + offset, length, &mut attributes) };
        if status == Status::SUCCESS { attributes } else { u64::MAX }
    };
    equal("LoadImage: code is read-only", attributes(pe::TEXT, 0x1000), efi::MEMORY_RO);
    equal("LoadImage: data is not executable", attributes(pe::DATA, 0x3000), efi::MEMORY_XP);
    equal("LoadImage: headers are neither", attributes(0, 0x1000), efi::MEMORY_RO | efi::MEMORY_XP);
    unload(handle);
    // Freed pages are like any: whoever gets them can write to them.
    equal("UnloadImage: pages are writable again", attributes(0, 0x6000) & efi::MEMORY_RO, 0);
}

fn starting() {
    let mut file = pe::build(returns, APPLICATION);
    let handle = loaded(&mut file);
    let mut option = 0x1122_3344_5566_7788u64;
    unsafe {
        let information = information(handle);
        (*information).load_options = (&raw mut option).cast();
        (*information).load_options_size = 8;
    }
    let (mut size, mut data) = (7usize, ptr::dangling_mut::<Char16>());
    let is = unsafe { (bs().start_image)(handle, &mut size, &mut data) };
    status("StartImage: what the image returns", is, PLAIN_STATUS);
    check("StartImage: no exit data", size == 0 && data.is_null());
    equal("StartImage: its handle", SEEN_HANDLE.load(Ordering::Relaxed), handle);
    equal("StartImage: the system table", SEEN_TABLE.load(Ordering::Relaxed), env::table());
    equal("StartImage: load options", SEEN_OPTION.load(Ordering::Relaxed), option);
    check("StartImage: an application is unloaded", information(handle).is_null());
    status("StartImage: ended", start(handle), Status::INVALID_PARAMETER);
    let mut file = pe::build(fails, APPLICATION);
    let handle = loaded(&mut file);
    status("StartImage: error", start(handle), ERROR_STATUS);
    check("StartImage: a failed image is unloaded", information(handle).is_null());

    let before = free_pages();
    for _ in 0..50 {
        let mut file = pe::build(returns, APPLICATION);
        let handle = loaded(&mut file);
        start(handle);
        let mut file = pe::build(fails, BOOT_DRIVER);
        let handle = loaded(&mut file);
        start(handle);
    }
    check("StartImage: 100 images leave no memory behind", free_pages() + 16 >= before);
}

fn free_pages() -> u64 {
    let map = crate::memory::Map::read();
    let pages = map.iter().filter(|d| d.r#type == efi::CONVENTIONAL_MEMORY).map(|d| d.number_of_pages).sum();
    map.release();
    pages
}

extern "efiapi" fn exits_with_data(handle: Handle, _table: *mut SystemTable) -> Status {
    exit_with(handle, PLAIN_STATUS, &[0x62, 0x79, 0x65, 0])
}

extern "efiapi" fn exits_raised(handle: Handle, _table: *mut SystemTable) -> Status {
    unsafe {
        (bs().raise_tpl)(efi::TPL_CALLBACK);
        (bs().exit)(handle, PLAIN_STATUS, 0, ptr::null_mut());
    }
    Status::SUCCESS
}

fn exiting() {
    let mut file = pe::build(exits, APPLICATION);
    let handle = loaded(&mut file);
    let changed = unsafe { start_and_compare(handle, bs().start_image as usize) };
    equal("Exit: registers and stack", changed, 0);
    check("Exit: the application is unloaded", information(handle).is_null());

    let mut file = pe::build(exits_with_data, APPLICATION);
    let handle = loaded(&mut file);
    let (mut size, mut data) = (0usize, ptr::null_mut());
    let is = unsafe { (bs().start_image)(handle, &mut size, &mut data) };
    status("Exit: status", is, PLAIN_STATUS);
    equal("Exit: data size", size, 8);
    let right = !data.is_null() && unsafe { core::slice::from_raw_parts(data, 4) } == [0x62, 0x79, 0x65, 0];
    check("Exit: data", right);
    status("Exit: data is pool memory", unsafe { (bs().free_pool)(data.cast()) }, Status::SUCCESS);
    let mut file = pe::build(exits_with_data, APPLICATION);
    let handle = loaded(&mut file);
    status("Exit: data that nobody wants", start(handle), PLAIN_STATUS);

    let mut file = pe::build(exits_raised, APPLICATION);
    let handle = loaded(&mut file);
    start(handle);
    let tpl = unsafe { (bs().raise_tpl)(efi::TPL_HIGH_LEVEL) };
    unsafe { (bs().restore_tpl)(tpl) };
    equal("Exit: restores the TPL", tpl, efi::TPL_APPLICATION);

    let mut file = pe::build(returns, APPLICATION);
    let handle = loaded(&mut file);
    let is = unsafe { (bs().exit)(handle, Status::SUCCESS, 0, ptr::null_mut()) };
    status("Exit: an image that was not started", is, Status::SUCCESS);
    check("Exit: unloads it", information(handle).is_null());
}

fn runtime_drivers() {
    let before = free_pages();
    let mut file = pe::build(succeeds, RUNTIME_DRIVER);
    let handle = loaded(&mut file);
    let i = unsafe { &*information(handle) };
    equal("runtime driver: code type", i.image_code_type, efi::RUNTIME_SERVICES_CODE);
    equal("runtime driver: data type", i.image_data_type, efi::RUNTIME_SERVICES_DATA);
    let map = crate::memory::Map::read();
    let found = map.at(i.image_base.addr() as u64);
    let is_runtime =
        |d: efi::MemoryDescriptor| d.r#type == efi::RUNTIME_SERVICES_CODE && d.attribute & efi::MEMORY_RUNTIME != 0;
    check("runtime driver: memory type", found.is_some_and(is_runtime));
    map.release();
    status("StartImage: runtime driver", start(handle), Status::SUCCESS);
    check("StartImage: a runtime driver stays", !information(handle).is_null());
    unsafe { (*information(handle)).unload = Some(unload_member) };
    status("UnloadImage: runtime driver", unload(handle), Status::SUCCESS);
    let mut file = pe::build(fails, RUNTIME_DRIVER);
    let handle = loaded(&mut file);
    status("StartImage: runtime driver that fails", start(handle), ERROR_STATUS);
    check("StartImage: a failed runtime driver is unloaded", information(handle).is_null());
    check("UnloadImage: memory of runtime drivers comes back", free_pages() + 32 >= before);
}

/// Loads a runtime driver that stays for the rest of the run, and returns the address of its pointer to itself.
pub fn stay_at_runtime() -> *mut u64 {
    let mut file = pe::build(succeeds, RUNTIME_DRIVER);
    let handle = loaded(&mut file);
    start(handle);
    let base = unsafe { (*information(handle)).image_base.cast::<u8>() };
    base.wrapping_add(pe::DATA as usize).cast()
}

static UNLOADED: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

unsafe extern "efiapi" fn unload_member(handle: Handle) -> Status {
    UNLOADED.store(handle, Ordering::Relaxed);
    Status::SUCCESS
}

unsafe extern "efiapi" fn refusing_unload_member(_handle: Handle) -> Status {
    ERROR_STATUS
}

const MARK: Guid = Guid::from_fields(0x0d6f_5ad1, 0x0b24, 0x4a5e, 0x88, 0x03, &[0x45, 0x9d, 0x5b, 0x59, 0x1c, 0x6a]);

/// A driver that has a protocol of this program open when it fails.
extern "efiapi" fn opens_and_fails(handle: Handle, _table: *mut SystemTable) -> Status {
    let mut mark = MARK;
    let mut interface = ptr::null_mut();
    unsafe {
        (bs().open_protocol)(
            env::image(),
            &mut mark,
            &mut interface,
            handle,
            ptr::null_mut(),
            efi::OPEN_PROTOCOL_EXCLUSIVE,
        )
    }
    .as_usize();
    ERROR_STATUS
}

fn drivers() {
    let mut file = pe::build(succeeds, BOOT_DRIVER);
    let handle = loaded(&mut file);
    let i = unsafe { &*information(handle) };
    equal("driver: code type", i.image_code_type, efi::BOOT_SERVICES_CODE);
    equal("driver: data type", i.image_data_type, efi::BOOT_SERVICES_DATA);
    status("StartImage: driver", start(handle), Status::SUCCESS);
    check("StartImage: a driver stays", !information(handle).is_null());
    status("StartImage: driver again", start(handle), Status::INVALID_PARAMETER);
    status("UnloadImage: driver without unload", unload(handle), Status::UNSUPPORTED);
    unsafe { (*information(handle)).unload = Some(refusing_unload_member) };
    status("UnloadImage: driver refuses", unload(handle), ERROR_STATUS);
    check("UnloadImage: and stays", !information(handle).is_null());
    unsafe { (*information(handle)).unload = Some(unload_member) };
    status("UnloadImage: driver", unload(handle), Status::SUCCESS);
    equal("UnloadImage: calls the member", UNLOADED.load(Ordering::Relaxed), handle);
    check("UnloadImage: the driver is gone", information(handle).is_null());
    let mut file = pe::build(fails, BOOT_DRIVER);
    let handle = loaded(&mut file);
    status("StartImage: driver that fails", start(handle), ERROR_STATUS);
    check("StartImage: a failed driver is unloaded", information(handle).is_null());

    let (mut me, mut mark) = (env::image(), MARK);
    unsafe { (bs().install_protocol_interface)(&mut me, &mut mark, efi::NATIVE_INTERFACE, ptr::null_mut()) };
    let mut file = pe::build(opens_and_fails, BOOT_DRIVER);
    let handle = loaded(&mut file);
    start(handle);
    let mut interface = ptr::null_mut();
    let exclusive = efi::OPEN_PROTOCOL_EXCLUSIVE;
    let is = unsafe { (bs().open_protocol)(me, &mut mark, &mut interface, me, ptr::null_mut(), exclusive) };
    status("UnloadImage: closes what the image has open", is, Status::SUCCESS);
    unsafe {
        (bs().close_protocol)(me, &mut mark, me, ptr::null_mut());
        (bs().uninstall_protocol_interface)(me, &mut mark, ptr::null_mut());
    }

    runtime_drivers();

    let path: *mut c_void = env::interface(env::image(), &loaded_image_device_path::PROTOCOL_GUID);
    check("LoadedImageDevicePath: of this program", !path.is_null());
    let (mut list, mut count) = (ptr::null_mut(), 0);
    let is = unsafe { (bs().protocols_per_handle)(env::image(), &mut list, &mut count) };
    check("LoadedImage: protocols of the handle", is == Status::SUCCESS && count >= 2);
    free(list.cast());
}
