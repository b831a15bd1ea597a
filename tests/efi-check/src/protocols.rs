//! The protocols that the firmware offers.

use core::ffi::c_void;
use core::ptr;
use core::slice;

use r_efi::efi::{self, Boolean, Status};
use r_efi::protocols::simple_text_input::{self, InputKey};
use r_efi::protocols::simple_text_input_ex::{self as input_ex, KeyData};
use r_efi::protocols::{
    decompress, device_path, device_path_utilities, load_file2, memory_attribute, rng, simple_text_output, timestamp,
};

use crate::env::{self, bs, free, pool};
use crate::report::{check, equal, one_of, say, skipped, status};

pub fn run() {
    text_output();
    text_input();
    random();
    timestamp();
    supported_version();
    decompression();
    memory_attributes();
    initrd();
    paths();
    path_utilities();
}

/// What changes the screen is tried first and reported once the screen is as it was.
fn text_output() {
    let out: *mut simple_text_output::Protocol = unsafe { (*env::table()).con_out };
    let o = unsafe { &*out };
    let mode = || unsafe { o.mode.read_volatile() };
    let mut results = [("", false); 24];
    let mut count = 0;
    let mut note = |name: &'static str, holds: bool| {
        results[count] = (name, holds);
        count += 1;
    };
    let print = |text: &[u16]| unsafe { (o.output_string)(out, text.as_ptr().cast_mut()) };
    let (mut columns, mut rows) = (0, 0);
    unsafe {
        let is = (o.query_mode)(out, 0, &mut columns, &mut rows);
        note("QueryMode: 0 is 80 by 25", is == Status::SUCCESS && (columns, rows) == (80, 25));
        let modes = mode().max_mode as usize;
        note("QueryMode: no such mode", (o.query_mode)(out, modes, &mut columns, &mut rows) == Status::UNSUPPORTED);
        note("SetMode: no such mode", (o.set_mode)(out, modes) == Status::UNSUPPORTED);
        let former = mode();
        note("SetMode: 0", (o.set_mode)(out, 0) == Status::SUCCESS && mode().mode == 0);
        note("SetMode: empties the screen", (mode().cursor_column, mode().cursor_row) == (0, 0));
        note("SetAttribute", (o.set_attribute)(out, 0x1e) == Status::SUCCESS && mode().attribute == 0x1e);
        note("SetAttribute: unknown", (o.set_attribute)(out, 0x80) == Status::UNSUPPORTED && mode().attribute == 0x1e);
        note("SetCursorPosition", (o.set_cursor_position)(out, 70, 20) == Status::SUCCESS);
        note("SetCursorPosition: moves", (mode().cursor_column, mode().cursor_row) == (70, 20));
        note("SetCursorPosition: beyond", (o.set_cursor_position)(out, 80, 0) == Status::UNSUPPORTED);
        note("SetCursorPosition: below", (o.set_cursor_position)(out, 0, 25) == Status::UNSUPPORTED);
        note("OutputString", print(&[0x61, 0x62, 0]) == Status::SUCCESS && mode().cursor_column == 72);
        print(&[0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x62, 0]);
        note("OutputString: wraps", (mode().cursor_column, mode().cursor_row) == (1, 21));
        print(&[0x0d, 0x0a, 0]);
        note("OutputString: line end", (mode().cursor_column, mode().cursor_row) == (0, 22));
        print(&[0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x63, 8, 0]);
        note("OutputString: scrolls, backspace", (mode().cursor_column, mode().cursor_row) == (0, 24));
        note("EnableCursor", (o.enable_cursor)(out, Boolean::TRUE) == Status::SUCCESS);
        note("EnableCursor: in the mode", bool::from(mode().cursor_visible));
        let text = [0x41u16, 0x2500, 0];
        note("TestString", (o.test_string)(out, text.as_ptr().cast_mut()) == Status::SUCCESS);
        (o.set_mode)(out, former.mode.max(0) as usize);
        (o.set_attribute)(out, 0x07);
        note("ClearScreen", (o.clear_screen)(out) == Status::SUCCESS);
        print(&[0x0d, 0x0a, 0]);
    }
    for (name, holds) in &results[..count] {
        check(name, *holds);
    }
}

unsafe extern "efiapi" fn ignore_key(_key: *mut KeyData) -> Status {
    Status::SUCCESS
}

type RegisterKeyNotify = unsafe extern "efiapi" fn(
    *mut input_ex::Protocol,
    *mut KeyData,
    Option<input_ex::KeyNotifyFunction>,
    *mut *mut c_void,
) -> Status;

fn text_input() {
    let input: *mut simple_text_input::Protocol = unsafe { (*env::table()).con_in };
    let i = unsafe { &*input };
    let mut key = InputKey::default();
    status("TextInput: Reset", unsafe { (i.reset)(input, Boolean::FALSE) }, Status::SUCCESS);
    status("ReadKeyStroke: nothing typed", unsafe { (i.read_key_stroke)(input, &mut key) }, Status::NOT_READY);
    status("WaitForKey: nothing typed", unsafe { (bs().check_event)(i.wait_for_key) }, Status::NOT_READY);
    let handle = unsafe { (*env::table()).console_in_handle };
    let extended: *mut input_ex::Protocol = env::interface(handle, &input_ex::PROTOCOL_GUID);
    check("TextInputEx: on the console", !extended.is_null());
    if extended.is_null() {
        return;
    }
    let e = unsafe { &*extended };
    let mut data = KeyData::default();
    unsafe {
        status("TextInputEx: Reset", (e.reset)(extended, Boolean::FALSE), Status::SUCCESS);
        status("ReadKeyStrokeEx: nothing", (e.read_key_stroke_ex)(extended, &mut data), Status::NOT_READY);
        let is = (e.read_key_stroke_ex)(extended, ptr::null_mut());
        status("ReadKeyStrokeEx: null", is, Status::INVALID_PARAMETER);
        status("WaitForKeyEx: nothing", (bs().check_event)(e.wait_for_key_ex), Status::NOT_READY);
        status("SetState: null", (e.set_state)(extended, ptr::null_mut()), Status::INVALID_PARAMETER);
        let mut state = input_ex::TOGGLE_STATE_VALID;
        one_of("SetState", (e.set_state)(extended, &mut state), &[Status::SUCCESS, Status::UNSUPPORTED]);
        let mut handle = ptr::null_mut();
        data.key.unicode_char = 0x78;
        let is = (e.register_key_notify)(extended, &mut data, ignore_key, &mut handle);
        status("RegisterKeyNotify", is, Status::SUCCESS);
        let is = (e.register_key_notify)(extended, ptr::null_mut(), ignore_key, &mut handle.clone());
        status("RegisterKeyNotify: no key", is, Status::INVALID_PARAMETER);
        let is = (e.register_key_notify)(extended, &mut data, ignore_key, ptr::null_mut());
        status("RegisterKeyNotify: no handle", is, Status::INVALID_PARAMETER);
        // EDK2 takes it.
        if env::is_realmfw() {
            let none: Option<input_ex::KeyNotifyFunction> = None;
            let register: RegisterKeyNotify = core::mem::transmute(e.register_key_notify);
            let is = register(extended, &mut data, none, &mut handle.clone());
            status("RegisterKeyNotify: no function", is, Status::INVALID_PARAMETER);
        }
        status("UnregisterKeyNotify", (e.unregister_key_notify)(extended, handle), Status::SUCCESS);
        let is = (e.unregister_key_notify)(extended, handle);
        status("UnregisterKeyNotify: again", is, Status::INVALID_PARAMETER);
    }
}

fn random() {
    let protocol: *mut rng::Protocol = env::locate(&rng::PROTOCOL_GUID);
    let features: u64;
    unsafe { core::arch::asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack)) };
    if protocol.is_null() {
        return check("RNG: not there without RNDR", features >> 60 == 0);
    }
    let p = unsafe { &*protocol };
    let mut list = [rng::ALGORITHM_RAW; 8];
    let mut size = size_of_val(&list);
    let info = |size: *mut usize, list: *mut rng::Algorithm| unsafe { (p.get_info)(protocol, size, list) };
    status("RNG: GetInfo", info(&mut size, list.as_mut_ptr()), Status::SUCCESS);
    check("RNG: GetInfo: algorithms", size >= 16 && size % 16 == 0);
    let mut small = 1;
    status("RNG: GetInfo: too small", info(&mut small, list.as_mut_ptr()), Status::BUFFER_TOO_SMALL);
    equal("RNG: GetInfo: tells the size", small, size);
    status("RNG: GetInfo: no size", info(ptr::null_mut(), list.as_mut_ptr()), Status::INVALID_PARAMETER);
    let mut bytes = [0u8; 40];
    let start = bytes.as_mut_ptr();
    let get = |algorithm: *mut rng::Algorithm, length| unsafe { (p.get_rng)(protocol, algorithm, length, start) };
    status("RNG: GetRNG", get(ptr::null_mut(), 33), Status::SUCCESS);
    let first = bytes;
    check("RNG: GetRNG: not beyond", first[33..].iter().all(|&byte| byte == 0));
    // A test that knows what the sources give looks at it.
    let [one, two] = [0, 16].map(|at| u128::from_be_bytes(core::array::from_fn(|byte| first[at + byte])));
    say!("random: [{one:032x}, {two:032x}]");
    check("RNG: GetRNG: fills", first[..33].iter().any(|&byte| byte != 0));
    status("RNG: GetRNG: listed", get(&mut list[0], 33), Status::SUCCESS);
    check("RNG: GetRNG: another", bytes[..33] != first[..33]);
    let mut unknown = crate::exit::VENDOR;
    status("RNG: GetRNG: unknown", get(&mut unknown, 33), Status::UNSUPPORTED);
    status("RNG: GetRNG: nothing", get(ptr::null_mut(), 0), Status::INVALID_PARAMETER);
    let is = unsafe { (p.get_rng)(protocol, ptr::null_mut(), 8, ptr::null_mut()) };
    status("RNG: GetRNG: no buffer", is, Status::INVALID_PARAMETER);
}

fn timestamp() {
    let protocol: *mut timestamp::Protocol = env::locate(&timestamp::PROTOCOL_GUID);
    check("Timestamp: there", !protocol.is_null());
    if protocol.is_null() {
        return;
    }
    let p = unsafe { &*protocol };
    let mut properties = timestamp::Properties { frequency: 0, end_value: 0 };
    status("Timestamp: GetProperties", unsafe { (p.get_properties)(&mut properties) }, Status::SUCCESS);
    status("Timestamp: no properties", unsafe { (p.get_properties)(ptr::null_mut()) }, Status::INVALID_PARAMETER);
    let now = || unsafe { (p.get_timestamp)() };
    let start = now();
    unsafe { (bs().stall)(1000) };
    let ticks = now().wrapping_sub(start);
    // The stall is the least that has passed; how much longer it took, the machine says.
    check(
        "Timestamp: counts at its frequency",
        ticks >= properties.frequency / 1000 && ticks < properties.end_value / 2,
    );
    let virtual_counter: u64;
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) virtual_counter, options(nomem, nostack)) };
    check("Timestamp: is the counter", virtual_counter.wrapping_sub(start) < properties.frequency * 3600);
}

fn supported_version() {
    /// EFI_DRIVER_SUPPORTED_EFI_VERSION_PROTOCOL_GUID
    const GUID: efi::Guid =
        efi::Guid::from_fields(0x5c19_8761, 0x16a8, 0x4e69, 0x97, 0x2c, &[0x89, 0xd6, 0x79, 0x54, 0xf8, 0x1d]);
    let protocol: *mut [u32; 2] = env::locate(&GUID);
    check("DriverSupportedEfiVersion: there", !protocol.is_null());
    if !protocol.is_null() {
        let revision = unsafe { (*env::table()).hdr.revision };
        equal("DriverSupportedEfiVersion: length and version", unsafe { protocol.read() }, [8, revision]);
    }
}

/// "it runs, it runs, it runs.", compressed.
const COMPRESSED: [u8; 31] = [
    0x17, 0, 0, 0, 0x1a, 0, 0, 0, 0, 0x0b, 0x3b, 0x6a, 0x4a, 0x1c, 0x03, 0x1f, 0x16, 0x41, 0x35, 0xc5, 0xe0, 0xb2,
    0x20, 0xe0, 0x4d, 0xe0, 0xea, 0x98, 0x3c, 0x10, 0,
];

fn decompression() {
    let protocol: *mut decompress::Protocol = env::locate(&decompress::PROTOCOL_GUID);
    check("Decompress: there", !protocol.is_null());
    if protocol.is_null() {
        return;
    }
    let p = unsafe { &*protocol };
    let mut source = COMPRESSED;
    let from = source.as_mut_ptr().cast::<c_void>();
    let (mut size, mut scratch_size) = (0, 0);
    let info = |of: u32, size: &mut u32, scratch: &mut u32| unsafe { (p.get_info)(protocol, from, of, size, scratch) };
    status("Decompress: GetInfo", info(31, &mut size, &mut scratch_size), Status::SUCCESS);
    equal("Decompress: GetInfo: size", size, 26);
    let (mut more, mut scratch) = (size, scratch_size);
    status("Decompress: GetInfo: too short", info(30, &mut more, &mut scratch), Status::INVALID_PARAMETER);
    status("Decompress: GetInfo: no header", info(7, &mut more, &mut scratch), Status::INVALID_PARAMETER);

    let scratch = pool(scratch_size as usize);
    let mut original = [0xee_u8; 32];
    let to = original.as_mut_ptr().cast::<c_void>();
    let expand =
        |of, size, scratch_size| unsafe { (p.decompress)(protocol, from, of, to, size, scratch.cast(), scratch_size) };
    let too_small = expand(31, size - 1, scratch_size);
    let no_scratch = expand(31, size, scratch_size - 1);
    let too_short = expand(30, size, scratch_size);
    let untouched = original == [0xee; 32];
    let expands = expand(31, size, scratch_size);
    let is_right = original.starts_with(b"it runs, it runs, it runs.") && original[26..] == [0xee; 6];
    source[10..].fill(0xff);
    let damaged = expand(31, size, scratch_size);
    free(scratch);
    status("Decompress: too little room", too_small, Status::INVALID_PARAMETER);
    status("Decompress: too little to work with", no_scratch, Status::INVALID_PARAMETER);
    status("Decompress: too short", too_short, Status::INVALID_PARAMETER);
    check("Decompress: errors write nothing", untouched);
    status("Decompress", expands, Status::SUCCESS);
    check("Decompress: what it expands to", is_right);
    status("Decompress: damaged", damaged, Status::INVALID_PARAMETER);
}

fn memory_attributes() {
    let protocol: *mut memory_attribute::Protocol = env::locate(&memory_attribute::PROTOCOL_GUID);
    if protocol.is_null() {
        return skipped("MemoryAttribute", "not there");
    }
    let p = unsafe { &*protocol };
    let get = |base, length| {
        let mut bits = 0;
        let status = unsafe { (p.get_memory_attributes)(protocol, base, length, &mut bits) };
        if status == Status::SUCCESS { Ok(bits) } else { Err(status) }
    };
    let set = |base, length, bits| unsafe { (p.set_memory_attributes)(protocol, base, length, bits) };
    let clear = |base, length, bits| unsafe { (p.clear_memory_attributes)(protocol, base, length, bits) };
    let (ro, xp, rp) = (efi::MEMORY_RO, efi::MEMORY_XP, efi::MEMORY_RP);
    let mut base = 0;
    unsafe { (bs().allocate_pages)(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 4, &mut base) };
    let first = get(base, 0x4000);
    equal("MemoryAttribute: data is not executable", first, Ok(xp));
    status("MemoryAttribute: set RO", set(base, 0x1000, ro), Status::SUCCESS);
    equal("MemoryAttribute: is RO", get(base, 0x1000), Ok(xp | ro));
    equal("MemoryAttribute: the next is not", get(base + 0x1000, 0x3000), Ok(xp));
    equal("MemoryAttribute: pages differ", get(base, 0x4000), Err(Status::NO_MAPPING));
    status("MemoryAttribute: clear XP", clear(base, 0x1000, xp), Status::SUCCESS);
    equal("MemoryAttribute: is code", get(base, 0x1000), Ok(ro));
    status("MemoryAttribute: set RP", set(base + 0x2000, 0x1000, rp), Status::SUCCESS);
    equal("MemoryAttribute: is RP", get(base + 0x2000, 0x1000), Ok(xp | rp));
    status("MemoryAttribute: clear over a mix", clear(base, 0x4000, ro | rp), Status::SUCCESS);
    status("MemoryAttribute: set XP", set(base, 0x4000, xp), Status::SUCCESS);
    equal("MemoryAttribute: as it was", get(base, 0x4000), Ok(xp));
    unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(base as usize), 1, 0x4000) };
    status("MemoryAttribute: nothing", set(base, 0, ro), Status::INVALID_PARAMETER);
    status("MemoryAttribute: no attribute", set(base, 0x1000, 0), Status::INVALID_PARAMETER);
    status("MemoryAttribute: another attribute", set(base, 0x1000, efi::MEMORY_WB), Status::INVALID_PARAMETER);
    status("MemoryAttribute: clear another", clear(base, 0x1000, efi::MEMORY_WB), Status::INVALID_PARAMETER);
    let refused = [Status::UNSUPPORTED, Status::INVALID_PARAMETER];
    one_of("MemoryAttribute: part of a page", set(base, 0x800, ro), &refused);
    one_of("MemoryAttribute: not at a page", set(base + 8, 0x1000, ro), &refused);
    one_of("MemoryAttribute: wraps", set(0xffff_ffff_ffff_f000, 0x2000, ro), &refused);
    equal("MemoryAttribute: no RAM", get(0x000f_0000_0000_0000, 0x1000), Err(Status::UNSUPPORTED));
    equal("MemoryAttribute: get nothing", get(base, 0), Err(Status::INVALID_PARAMETER));
    // Where the firmware's own code and data are, and where nobody would notice in time that they had changed.
    let code = (bs().allocate_pages as usize as u64) & !0xfff;
    let runtime = (crate::env::rt().get_time as usize as u64) & !0xfff;
    if env::is_realmfw() {
        let names = [
            ("MemoryAttribute: clear on boot services", code),
            ("MemoryAttribute: clear on runtime services", runtime),
        ];
        for (name, page) in names {
            status(name, clear(page, 0x1000, ro), Status::ACCESS_DENIED);
            equal("MemoryAttribute: they stay as they are", get(page, 0x1000), Ok(ro));
        }
        status("MemoryAttribute: set on boot services", set(code, 0x1000, rp), Status::ACCESS_DENIED);
        status("MemoryAttribute: set on runtime services", set(runtime, 0x1000, xp), Status::ACCESS_DENIED);
    }
    let is = unsafe { (p.get_memory_attributes)(protocol, base, 0x1000, ptr::null_mut()) };
    status("MemoryAttribute: no result", is, Status::INVALID_PARAMETER);
    set(base, 0x1000, ro);
    unsafe { (bs().free_pages)(base, 4) };
    equal("FreePages: forgets what was set", get(base, 0x1000).map(|bits| bits & ro), Ok(0));
}

/// VenMedia(LINUX_EFI_INITRD_MEDIA_GUID)
const INITRD_PATH: [u8; 24] = [
    4, 3, 20, 0, 0x27, 0xe4, 0x68, 0x55, 0xfc, 0x68, 0x3d, 0x4f, 0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68, 0x7f,
    0xff, 4, 0,
];

fn initrd() {
    let mut path = INITRD_PATH;
    let mut rest: *mut device_path::Protocol = path.as_mut_ptr().cast();
    let mut guid = load_file2::PROTOCOL_GUID;
    let mut handle = ptr::null_mut();
    let is = unsafe { (bs().locate_device_path)(&mut guid, &mut rest, &mut handle) };
    if is != Status::SUCCESS {
        return skipped("initrd: LoadFile2", "none given");
    }
    equal("initrd: the whole path", rest.addr() - path.as_ptr().addr(), 20);
    let protocol: *mut load_file2::Protocol = env::interface(handle, &guid);
    let load = |path, policy: bool, size: *mut usize, buffer: *mut u8| unsafe {
        ((*protocol).load_file)(protocol, path, policy.into(), size, buffer.cast::<c_void>())
    };
    let mut size = 0;
    status("initrd: asks for room", load(rest, false, &mut size, ptr::null_mut()), Status::BUFFER_TOO_SMALL);
    check("initrd: size", size > 0);
    status("initrd: boot policy", load(rest, true, &mut size, ptr::null_mut()), Status::UNSUPPORTED);
    // EDK2's faults.
    if env::is_realmfw() {
        let is = load(ptr::null_mut(), false, &mut size, ptr::null_mut());
        status("initrd: no path", is, Status::INVALID_PARAMETER);
    }
    let is = load(rest, false, ptr::null_mut(), ptr::null_mut());
    status("initrd: no size", is, Status::INVALID_PARAMETER);
    let (first, second) = (pool(size + 1), pool(size + 1));
    unsafe { first.wrapping_add(size).write(0xa5) };
    let mut small = size - 1;
    status("initrd: too little room", load(rest, false, &mut small, first), Status::BUFFER_TOO_SMALL);
    equal("initrd: tells the size", small, size);
    status("initrd: load", load(rest, false, &mut size, first), Status::SUCCESS);
    equal("initrd: not beyond", unsafe { first.wrapping_add(size).read() }, 0xa5);
    let mut more = size + 1;
    status("initrd: load again", load(rest, false, &mut more, second), Status::SUCCESS);
    equal("initrd: its size again", more, size);
    let (one, other) = unsafe { (slice::from_raw_parts(first, size), slice::from_raw_parts(second, size)) };
    check("initrd: the same", one == other && one.iter().any(|&byte| byte != 0));
    free(first);
    free(second);
}

fn paths() {
    let handle = unsafe { (*env::table()).console_out_handle };
    let path: *mut u8 = env::interface(handle, &device_path::PROTOCOL_GUID);
    if path.is_null() {
        return skipped("console: device path", "none");
    }
    let mut at = 0usize;
    let ended = (0..64).any(|_| {
        let header = unsafe { path.wrapping_add(at).cast::<[u8; 4]>().read() };
        at += usize::from(u16::from_le_bytes([header[2], header[3]]));
        header[0] == device_path::TYPE_END
    });
    check("console: device path", ended && at > 4);
}

fn path_utilities() {
    let protocol: *mut device_path_utilities::Protocol = env::locate(&device_path_utilities::PROTOCOL_GUID);
    if protocol.is_null() {
        return skipped("device path utilities", "not there");
    }
    let p = unsafe { &*protocol };
    let bytes = |path: *mut device_path::Protocol, length: usize| unsafe {
        slice::from_raw_parts(path.cast::<u8>().cast_const(), length)
    };
    let null = ptr::null_mut();
    let end = [0x7f, 0xff, 4, 0];
    let path: *const device_path::Protocol = INITRD_PATH.as_ptr().cast();
    unsafe {
        equal("GetDevicePathSize", (p.get_device_path_size)(path), 24);
        equal("GetDevicePathSize: null", (p.get_device_path_size)(null), 0);
        let copy = (p.duplicate_device_path)(path);
        check("DuplicateDevicePath", !copy.is_null() && bytes(copy, 24) == INITRD_PATH);
        check("DuplicateDevicePath: null", (p.duplicate_device_path)(null).is_null());
        let twice = (p.append_device_path)(path, copy);
        equal("AppendDevicePath", (p.get_device_path_size)(twice), 44);
        check(
            "AppendDevicePath: nodes",
            bytes(twice, 20) == &INITRD_PATH[..20] && bytes(twice, 44)[20..] == INITRD_PATH,
        );
        let empty = (p.append_device_path)(null, null);
        check("AppendDevicePath: nothing", bytes(empty, 4) == end);
        let node = (p.create_device_node)(1, 4, 20);
        check("CreateDeviceNode", bytes(node, 4) == [1, 4, 20, 0]);
        check("CreateDeviceNode: too short", (p.create_device_node)(1, 4, 3).is_null());
        let longer = (p.append_device_node)(path, node);
        equal("AppendDeviceNode", (p.get_device_path_size)(longer), 44);
        let only = (p.append_device_node)(null, node);
        check("AppendDeviceNode: to nothing", bytes(only, 4) == [1, 4, 20, 0] && bytes(only, 24)[20..] == end);
        let both = (p.append_device_path_instance)(path, only);
        equal("AppendDevicePathInstance", (p.get_device_path_size)(both), 48);
        check("AppendDevicePathInstance: null", (p.append_device_path_instance)(path, null).is_null());
        let many = |path| bool::from((p.is_device_path_multi_instance)(path));
        check("IsDevicePathMultiInstance", many(both) && !many(path));
        let (mut place, mut size) = (both, 0);
        let first = (p.get_next_device_path_instance)(&mut place, &mut size);
        check("GetNextDevicePathInstance: first", size == 24 && bytes(first, 24) == INITRD_PATH);
        let second = (p.get_next_device_path_instance)(&mut place, &mut size);
        check("GetNextDevicePathInstance: second", size == 24 && bytes(second, 4) == [1, 4, 20, 0]);
        check("GetNextDevicePathInstance: no more", place.is_null());
        check("GetNextDevicePathInstance: null", (p.get_next_device_path_instance)(&mut place, &mut size).is_null());
        for path in [copy, twice, empty, node, longer, only, both, first, second] {
            free(path.cast());
        }
    }
}
