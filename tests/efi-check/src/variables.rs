//! Variable and time services before boot services end (UEFI 2.10, chapter 8).

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{self, Guid, Status, Time};

use crate::env::rt;
use crate::exit::VENDOR;
use crate::report::{check, equal, failed, one_of, status};

pub const BS: u32 = efi::VARIABLE_BOOTSERVICE_ACCESS;
pub const RT: u32 = efi::VARIABLE_RUNTIME_ACCESS;
pub const NV: u32 = efi::VARIABLE_NON_VOLATILE;

/// A name with its NUL.
pub fn name(text: &str) -> [u16; 32] {
    let mut units = [0; 32];
    for (unit, byte) in units.iter_mut().zip(text.bytes().take(31)) {
        *unit = byte.into();
    }
    units
}

pub fn set(text: &str, attributes: u32, data: &[u8]) -> Status {
    let (mut name, mut vendor) = (name(text), VENDOR);
    let data_ptr: *mut c_void = data.as_ptr().cast_mut().cast();
    unsafe { (rt().set_variable)(name.as_mut_ptr(), &mut vendor, attributes, data.len(), data_ptr) }
}

/// Reads a variable: its attributes and how many bytes of the buffer it has.
pub fn get(text: &str, data: &mut [u8]) -> Result<(u32, usize), Status> {
    let (mut name, mut vendor) = (name(text), VENDOR);
    let (mut attributes, mut size) = (0, data.len());
    let data: *mut c_void = data.as_mut_ptr().cast();
    let status = unsafe { (rt().get_variable)(name.as_mut_ptr(), &mut vendor, &mut attributes, &mut size, data) };
    if status == Status::SUCCESS { Ok((attributes, size)) } else { Err(status) }
}

/// Whether a variable has these attributes and these bytes.
pub fn is(text: &str, attributes: u32, wanted: &[u8]) -> bool {
    let mut data = [0; 64];
    get(text, &mut data) == Ok((attributes, wanted.len())) && data[..wanted.len()] == *wanted
}

/// How often GetNextVariableName() lists the variable.
pub fn listed(text: &str) -> Result<usize, Status> {
    let wanted = &name(text)[..=text.len()];
    let mut name = [0u16; 512];
    let mut vendor = Guid::from_fields(0, 0, 0, 0, 0, &[0; 6]);
    let mut found = 0;
    for _ in 0..10_000 {
        let mut size = size_of_val(&name);
        let status = unsafe { (rt().get_next_variable_name)(&mut size, name.as_mut_ptr(), &mut vendor) };
        match status {
            Status::SUCCESS => found += usize::from(vendor == VENDOR && name.starts_with(wanted)),
            Status::NOT_FOUND => return Ok(found),
            other => return Err(other),
        }
    }
    Err(Status::TIMEOUT)
}

/// Names of every length are told from those that differ in one place.
fn names_of_every_length() {
    const LONGEST: usize = 160;
    let mut vendor = VENDOR;
    let (mut value, mut size) = (1u8, 1);
    for length in 1..=LONGEST {
        let mut name = [0u16; LONGEST + 1];
        name[..length].fill(u16::from(b'n'));
        let data: *mut c_void = (&raw mut value).cast();
        let mut is = unsafe { (rt().set_variable)(name.as_mut_ptr(), &mut vendor, BS, 1, data) };
        let mut found = |name: &mut [u16]| unsafe {
            (rt().get_variable)(name.as_mut_ptr(), &mut vendor, ptr::null_mut(), &mut size, data)
        };
        for place in 0..length {
            for bit in [1, 1 << 8] {
                name[place] ^= bit;
                if found(&mut name) != Status::NOT_FOUND {
                    is = Status::ABORTED;
                }
                name[place] ^= bit;
            }
        }
        if is != Status::SUCCESS || found(&mut name) != Status::SUCCESS {
            return failed("GetVariable: names of every length", format_args!("{length} units: {is:?}"));
        }
        unsafe { (rt().set_variable)(name.as_mut_ptr(), &mut vendor, BS, 0, data) }.as_usize();
    }
    check("GetVariable: names of every length", true);
}

pub fn run() {
    names_of_every_length();
    status("SetVariable: volatile", set("Volatile", BS, b"one"), Status::SUCCESS);
    check("GetVariable: volatile", is("Volatile", BS, b"one"));
    status("SetVariable: replace", set("Volatile", BS, b"longer than before"), Status::SUCCESS);
    check("GetVariable: replaced", is("Volatile", BS, b"longer than before"));
    equal("GetNextVariableName: once", listed("Volatile"), Ok(1));
    let is_now = set("Volatile", BS | efi::VARIABLE_APPEND_WRITE, b"!");
    status("SetVariable: append", is_now, Status::SUCCESS);
    check("GetVariable: appended", is("Volatile", BS, b"longer than before!"));
    let is_now = set("Volatile", BS | efi::VARIABLE_APPEND_WRITE, b"");
    status("SetVariable: append nothing", is_now, Status::SUCCESS);
    check("GetVariable: still there", is("Volatile", BS, b"longer than before!"));
    status("SetVariable: other attributes", set("Volatile", BS | RT, b"two"), Status::INVALID_PARAMETER);
    let mut small = [0; 2];
    equal("GetVariable: too small", get("Volatile", &mut small), Err(Status::BUFFER_TOO_SMALL));
    equal("GetVariable: other name", get("volatile", &mut small), Err(Status::NOT_FOUND));
    status("SetVariable: delete", set("Volatile", BS, b""), Status::SUCCESS);
    equal("GetVariable: deleted", get("Volatile", &mut small), Err(Status::NOT_FOUND));
    equal("GetNextVariableName: deleted", listed("Volatile"), Ok(0));
    status("SetVariable: delete again", set("Volatile", BS, b""), Status::NOT_FOUND);
    status("SetVariable: non-volatile", set("Kept", NV | BS | RT, b"kept"), Status::SUCCESS);
    check("GetVariable: non-volatile", is("Kept", NV | BS | RT, b"kept"));
    status("SetVariable: runtime without boot", set("Wrong", RT, b"x"), Status::INVALID_PARAMETER);
    status("SetVariable: empty name", set("", BS, b"x"), Status::INVALID_PARAMETER);
    // 0x80: reserved.
    one_of(
        "SetVariable: unknown attribute",
        set("Wrong", BS | 0x8000_0000, b"x"),
        &[Status::INVALID_PARAMETER, Status::UNSUPPORTED],
    );
    let old_auth = efi::VARIABLE_AUTHENTICATED_WRITE_ACCESS;
    one_of(
        "SetVariable: authenticated by count",
        set("Wrong", NV | BS | old_auth, b"x"),
        &[Status::UNSUPPORTED, Status::INVALID_PARAMETER, Status::SECURITY_VIOLATION],
    );
    one_of("SetVariable: too large", set_large(), &[Status::OUT_OF_RESOURCES, Status::INVALID_PARAMETER]);
    set("Kept", NV | BS | RT, b"");
    global();
    parameters();
    quota();
    time();
    others();
}

/// A global variable: its attributes and the start of its data, and how long that is.
fn get_global(text: &str) -> Result<(u32, [u8; 128], usize), Status> {
    let (mut name, mut vendor) = (name(text), efi::GLOBAL_VARIABLE);
    let (mut attributes, mut data, mut size) = (0, [0; 128], 128);
    let out: *mut c_void = data.as_mut_ptr().cast();
    let status = unsafe { (rt().get_variable)(name.as_mut_ptr(), &mut vendor, &mut attributes, &mut size, out) };
    if status == Status::SUCCESS { Ok((attributes, data, size)) } else { Err(status) }
}

fn set_global(text: &str, attributes: u32, data: &[u8]) -> Status {
    let (mut name, mut vendor) = (name(text), efi::GLOBAL_VARIABLE);
    let data_ptr: *mut c_void = data.as_ptr().cast_mut().cast();
    unsafe { (rt().set_variable)(name.as_mut_ptr(), &mut vendor, attributes, data.len(), data_ptr) }
}

/// The variables of UEFI 2.10, table 3.1.
fn global() {
    let expect = |text: &str, attributes: u32, length: usize| match get_global(text) {
        Ok((is, _, size)) => equal(text, (is, size), (attributes, length)),
        Err(is) => failed(text, format_args!("{is:?}")),
    };
    for (text, length) in [("SetupMode", 1), ("SecureBoot", 1), ("AuditMode", 1), ("DeployedMode", 1)] {
        expect(text, BS | RT, length);
    }
    expect("OsIndicationsSupported", BS | RT, 8);
    expect("BootOptionSupport", BS | RT, 4);
    expect("Timeout", NV | BS | RT, 2);
    check("PlatformLang", get_global("PlatformLang").is_ok_and(|(is, ..)| is == NV | BS | RT));
    check("PlatformLangCodes", get_global("PlatformLangCodes").is_ok_and(|(is, ..)| is == BS | RT));
    let console = unsafe { (*crate::env::table()).console_out_handle };
    let path: *const u8 = crate::env::interface(console, &efi::protocols::device_path::PROTOCOL_GUID);
    for (text, attributes) in [
        ("ConIn", NV | BS | RT),
        ("ConOut", NV | BS | RT),
        ("ErrOut", NV | BS | RT),
        ("ConInDev", BS | RT),
        ("ConOutDev", BS | RT),
        ("ErrOutDev", BS | RT),
    ] {
        let is_path = get_global(text).is_ok_and(|(is, data, size)| {
            let path = unsafe { core::slice::from_raw_parts(path, size) };
            is == attributes && size > 4 && data[..size] == *path
        });
        check(text, is_path);
    }
    for text in ["SetupMode", "SecureBoot", "OsIndicationsSupported", "PlatformLangCodes"] {
        status("SetVariable: read-only", set_global(text, BS | RT, b"x"), Status::WRITE_PROTECTED);
    }
    status("SetVariable: Boot####", set_global("Boot00F0", NV | BS | RT, b"option"), Status::SUCCESS);
    status("SetVariable: Boot####: delete", set_global("Boot00F0", NV | BS | RT, b""), Status::SUCCESS);
    status("SetVariable: Boot####: attributes", set_global("Boot00F0", BS, b"x"), Status::INVALID_PARAMETER);
    let is = set_global("NotInTheTable", NV | BS | RT, b"x");
    status("SetVariable: global, not of the specification", is, Status::INVALID_PARAMETER);
    let signed = NV | BS | RT | efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS;
    status("SetVariable: signature that is none", set("Signed", signed, &[0; 64]), Status::SECURITY_VIOLATION);
    status("SetVariable: PK", set_global("PK", signed, &[0; 64]), Status::SECURITY_VIOLATION);
    status("SetVariable: PK: attributes", set_global("PK", NV | BS | RT, &[0; 64]), Status::INVALID_PARAMETER);
    let is = set_global("Timeout", signed, &[0; 64]);
    status("SetVariable: signature for what has none", is, Status::INVALID_PARAMETER);
}

fn set_large() -> Status {
    let size = 8 << 20;
    let data = crate::env::pool(size);
    unsafe { ptr::write_bytes(data, 1, size) };
    let (mut name, mut vendor) = (name("Large"), VENDOR);
    let status = unsafe { (rt().set_variable)(name.as_mut_ptr(), &mut vendor, BS, size, data.cast()) };
    crate::env::free(data);
    status
}

fn parameters() {
    let (mut text, mut vendor) = (name("Any"), VENDOR);
    let mut size = 4;
    let mut data = [0u8; 4];
    let null = ptr::null_mut();
    unsafe {
        let get = rt().get_variable;
        let no_name = get(null, &mut vendor, ptr::null_mut(), &mut size, data.as_mut_ptr().cast());
        status("GetVariable: no name", no_name, Status::INVALID_PARAMETER);
        let no_vendor = get(text.as_mut_ptr(), ptr::null_mut(), ptr::null_mut(), &mut size, data.as_mut_ptr().cast());
        status("GetVariable: no vendor", no_vendor, Status::INVALID_PARAMETER);
        let no_size = get(text.as_mut_ptr(), &mut vendor, ptr::null_mut(), ptr::null_mut(), data.as_mut_ptr().cast());
        status("GetVariable: no size", no_size, Status::INVALID_PARAMETER);
        set("Any", BS, b"x");
        let mut none = 0;
        let is = get(text.as_mut_ptr(), &mut vendor, ptr::null_mut(), &mut none, ptr::null_mut());
        status("GetVariable: asks for room", is, Status::BUFFER_TOO_SMALL);
        equal("GetVariable: tells the size", none, 1);
        set("Any", BS, b"");
        let next = rt().get_next_variable_name;
        let mut size = 64;
        let is = next(ptr::null_mut(), text.as_mut_ptr(), &mut vendor);
        status("GetNextVariableName: no size", is, Status::INVALID_PARAMETER);
        status("GetNextVariableName: no name", next(&mut size, null, &mut vendor), Status::INVALID_PARAMETER);
        let is = next(&mut size, text.as_mut_ptr(), ptr::null_mut());
        status("GetNextVariableName: no vendor", is, Status::INVALID_PARAMETER);
        let mut unknown = name("NoSuchVariable");
        let is = next(&mut size, unknown.as_mut_ptr(), &mut vendor);
        one_of("GetNextVariableName: after none", is, &[Status::INVALID_PARAMETER, Status::NOT_FOUND]);
        let mut tiny = [0u16; 1];
        let mut size = 2;
        let mut zero = Guid::from_fields(0, 0, 0, 0, 0, &[0; 6]);
        set("Any", BS, b"x");
        let is = next(&mut size, tiny.as_mut_ptr(), &mut zero);
        status("GetNextVariableName: too small", is, Status::BUFFER_TOO_SMALL);
        check("GetNextVariableName: tells the size", size > 2);
        set("Any", BS, b"");
    }
}

fn quota() {
    let query = |attributes| {
        let (mut maximum, mut remaining, mut largest) = (0, 0, 0);
        let status = unsafe { (rt().query_variable_info)(attributes, &mut maximum, &mut remaining, &mut largest) };
        if status == Status::SUCCESS { Ok((maximum, remaining, largest)) } else { Err(status) }
    };
    match query(NV | BS | RT) {
        Ok((maximum, remaining, largest)) => {
            check("QueryVariableInfo", remaining <= maximum && largest <= maximum && largest > 0);
            set("Quota", NV | BS | RT, &[7; 64]);
            let after = query(NV | BS | RT).map_or(u64::MAX, |(_, remaining, _)| remaining);
            check("QueryVariableInfo: is used up", after < remaining);
            set("Quota", NV | BS | RT, b"");
        }
        Err(is) => status("QueryVariableInfo", is, Status::SUCCESS),
    }
    equal("QueryVariableInfo: no attributes", query(0), Err(Status::INVALID_PARAMETER));
    equal("QueryVariableInfo: no access", query(NV), Err(Status::INVALID_PARAMETER));
    let counted = efi::VARIABLE_AUTHENTICATED_WRITE_ACCESS;
    equal("QueryVariableInfo: invalid and unsupported", query(RT | counted), Err(Status::UNSUPPORTED));
    let is = unsafe { (rt().query_variable_info)(BS, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()) };
    status("QueryVariableInfo: no results", is, Status::INVALID_PARAMETER);
}

fn time() {
    let mut now = Time::default();
    let get = |time: *mut Time| unsafe { (rt().get_time)(time, ptr::null_mut()) };
    match get(&mut now) {
        Status::SUCCESS => {
            check("GetTime: a date", now.year >= 1998 && (1..=12).contains(&now.month) && (1..=31).contains(&now.day));
            check("GetTime: a time", now.hour < 24 && now.minute < 60 && now.second < 60);
            status("GetTime: null", get(ptr::null_mut()), Status::INVALID_PARAMETER);
            let mut wrong = Time { month: 13, ..now };
            let is = unsafe { (rt().set_time)(&mut wrong) };
            status("SetTime: month 13", is, Status::INVALID_PARAMETER);
            let mut wrong = Time { month: 2, day: 30, ..now };
            let is = unsafe { (rt().set_time)(&mut wrong) };
            status("SetTime: 30 February", is, Status::INVALID_PARAMETER);
        }
        other => one_of("GetTime", other, &[Status::UNSUPPORTED]),
    }
}

/// A capsule that nobody knows, after the checks of section 8.5.3.
fn capsules() {
    let persists = efi::CAPSULE_FLAGS_PERSIST_ACROSS_RESET;
    let cases = [
        ("no flags", 0, 0, Status::UNSUPPORTED),
        ("persists without a list", persists, 0, Status::INVALID_PARAMETER),
        ("persists", persists, 0x4000_0000, Status::UNSUPPORTED),
        ("populates without persisting", efi::CAPSULE_FLAGS_POPULATE_SYSTEM_TABLE, 0, Status::INVALID_PARAMETER),
        ("resets without persisting", efi::CAPSULE_FLAGS_INITIATE_RESET, 0, Status::INVALID_PARAMETER),
    ];
    for (name, flags, list, wanted) in cases {
        let mut header = efi::CapsuleHeader { capsule_guid: VENDOR, header_size: 28, flags, capsule_image_size: 28 };
        let mut headers = [&raw mut header];
        let is = unsafe { (rt().update_capsule)(headers.as_mut_ptr(), 1, list) };
        if is == wanted {
            check("UpdateCapsule", true)
        } else {
            failed("UpdateCapsule", format_args!("{name}: {is:?}"))
        }
    }
    let is = unsafe { (rt().update_capsule)(ptr::null_mut(), 0, 0) };
    status("UpdateCapsule: none", is, Status::INVALID_PARAMETER);
}

fn others() {
    unsafe {
        let mut pointer = ptr::null_mut();
        let is = (rt().convert_pointer)(0, &mut pointer);
        check("ConvertPointer: only while addresses change", is.is_error());
        let mut map = efi::MemoryDescriptor {
            r#type: efi::LOADER_DATA,
            physical_start: 0,
            virtual_start: 0,
            number_of_pages: 0,
            attribute: 0,
        };
        let is = (rt().set_virtual_address_map)(0, size_of::<efi::MemoryDescriptor>(), 1, &mut map);
        status("SetVirtualAddressMap: boot services last", is, Status::UNSUPPORTED);
        let mut sizes = (0, 0);
        let is = (rt().query_capsule_capabilities)(ptr::null_mut(), 0, &mut sizes.0, &mut sizes.1);
        check("QueryCapsuleCapabilities: nothing given", is.is_error());
        let mut enabled = (efi::Boolean::FALSE, efi::Boolean::FALSE);
        let is = (rt().get_wakeup_time)(&mut enabled.0, &mut enabled.1, ptr::null_mut());
        check("GetWakeupTime: no time", is.is_error());
        let is = (rt().set_wakeup_time)(efi::Boolean::TRUE, ptr::null_mut());
        status("SetWakeupTime: no time", is, Status::INVALID_PARAMETER);
        capsules();
    }
}
