//! The system table, its checksums and the configuration tables (UEFI 2.10, chapter 4).

use core::ffi::c_void;
use core::ptr;
use core::slice;

use r_efi::efi::{self, Guid, Status, TableHeader};

use crate::env::{bs, is_realmfw, rt, table};
use crate::report::{check, equal, failed, one_of, skipped, status};

const SIGNATURE_BOOT: u64 = 0x5652_4553_544f_4f42;
const SIGNATURE_RUNTIME: u64 = 0x5652_4553_544e_5552;

const TEST_TABLE: Guid =
    Guid::from_fields(0x6c84_8ae4, 0xfd2f, 0x4a3e, 0x93, 0x52, &[0x5c, 0x2e, 0x86, 0x0b, 0xb0, 0x01]);

/// CRC-32 as the specification has it for tables.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Whether a table's checksum holds.
pub fn checksum_holds(header: *const TableHeader) -> bool {
    let size = unsafe { (*header).header_size } as usize;
    let mut copy = [0u8; 1024];
    if size > copy.len() || size < size_of::<TableHeader>() {
        return false;
    }
    copy[..size].copy_from_slice(unsafe { slice::from_raw_parts(header.cast(), size) });
    copy[16..20].fill(0);
    crc32(&copy[..size]) == unsafe { (*header).crc32 }
}

/// What is installed under this GUID.
pub fn config_table(guid: &Guid) -> Option<*mut c_void> {
    let table = unsafe { &*table() };
    let entries = unsafe { slice::from_raw_parts(table.configuration_table, table.number_of_table_entries) };
    entries.iter().find(|entry| entry.vendor_guid == *guid).map(|entry| entry.vendor_table)
}

pub fn run() {
    let system = unsafe { &*table() };
    equal("system table: signature", system.hdr.signature, efi::SYSTEM_TABLE_SIGNATURE);
    check("system table: revision is 2.x", system.hdr.revision >> 16 == 2);
    check("system table: CRC", checksum_holds(&raw const system.hdr));
    equal("boot services: signature", bs().hdr.signature, SIGNATURE_BOOT);
    check("boot services: CRC", checksum_holds(&raw const bs().hdr));
    equal("runtime services: signature", rt().hdr.signature, SIGNATURE_RUNTIME);
    check("runtime services: CRC", checksum_holds(&raw const rt().hdr));
    check("system table: firmware vendor", !system.firmware_vendor.is_null());
    check("system table: consoles", !system.con_in.is_null() && !system.con_out.is_null() && !system.std_err.is_null());
    check("system table: console handles", !system.console_in_handle.is_null() && !system.console_out_handle.is_null());
    runtime_properties();
    memory_attributes();
    conformance_profiles();
    crc_service();
    configuration();
    counts();
    copies();
}

/// What EFI_RT_PROPERTIES_TABLE says is what runtime services do (UEFI 2.10, 4.6.2).
fn runtime_properties() {
    let Some(found) = config_table(&efi::RT_PROPERTIES_TABLE_GUID) else {
        return skipped("RT_PROPERTIES", "no such table");
    };
    let properties = unsafe { found.cast::<efi::RtPropertiesTable>().read_unaligned() };
    equal("RT_PROPERTIES: version and length", (properties.version, properties.length), (1, 8));
    let has = |service: u32| properties.runtime_services_supported & service != 0;
    let mut time = efi::Time::default();
    let (mut enabled, mut pending) = (efi::Boolean::FALSE, efi::Boolean::FALSE);
    unsafe {
        let is = (rt().get_time)(&mut time, ptr::null_mut());
        equal("RT_PROPERTIES: GetTime", has(efi::RT_SUPPORTED_GET_TIME), is != Status::UNSUPPORTED);
        equal("RT_PROPERTIES: SetTime", has(efi::RT_SUPPORTED_SET_TIME), is != Status::UNSUPPORTED);
        let is = (rt().get_wakeup_time)(&mut enabled, &mut pending, &mut time);
        equal("RT_PROPERTIES: GetWakeupTime", has(efi::RT_SUPPORTED_GET_WAKEUP_TIME), is != Status::UNSUPPORTED);
        let is = (rt().set_wakeup_time)(efi::Boolean::FALSE, ptr::null_mut());
        equal("RT_PROPERTIES: SetWakeupTime", has(efi::RT_SUPPORTED_SET_WAKEUP_TIME), is != Status::UNSUPPORTED);
    }
    check(
        "RT_PROPERTIES: variables",
        [
            efi::RT_SUPPORTED_GET_VARIABLE,
            efi::RT_SUPPORTED_GET_NEXT_VARIABLE_NAME,
            efi::RT_SUPPORTED_SET_VARIABLE,
            efi::RT_SUPPORTED_QUERY_VARIABLE_INFO,
        ]
        .into_iter()
        .all(has),
    );
    check(
        "RT_PROPERTIES: addresses",
        has(efi::RT_SUPPORTED_SET_VIRTUAL_ADDRESS_MAP) && has(efi::RT_SUPPORTED_CONVERT_POINTER),
    );
    check("RT_PROPERTIES: reset", has(efi::RT_SUPPORTED_RESET_SYSTEM));
}

/// EFI_CONFORMANCE_PROFILES_TABLE names EBBR 2.1 and nothing else (UEFI 2.11, 4.6.5).
fn conformance_profiles() {
    const GUID: Guid =
        Guid::from_fields(0x3612_2546, 0xf7e7, 0x4c8f, 0xbd, 0x9b, &[0xeb, 0x85, 0x25, 0xb5, 0x0c, 0x0b]);
    const EBBR_2_1: Guid =
        Guid::from_fields(0xcce3_3c35, 0x74ac, 0x4087, 0xbc, 0xe7, &[0x8b, 0x29, 0xb0, 0x2e, 0xeb, 0x27]);
    if !is_realmfw() {
        return skipped("CONFORMANCE_PROFILES", "not what other firmware claims");
    }
    let Some(found) = config_table(&GUID) else {
        return check("CONFORMANCE_PROFILES: there", false);
    };
    let [version, count] = unsafe { found.cast::<[u16; 2]>().read_unaligned() };
    equal("CONFORMANCE_PROFILES: version and count", (version, count), (1, 1));
    let profile = unsafe { found.byte_add(4).cast::<Guid>().read_unaligned() };
    check("CONFORMANCE_PROFILES: EBBR 2.1", profile == EBBR_2_1);
}

/// EFI_MEMORY_ATTRIBUTES_TABLE covers all runtime memory, and nothing else (UEFI 2.10, 4.6.4).
fn memory_attributes() {
    let Some(found) = config_table(&efi::MEMORY_ATTRIBUTES_TABLE_GUID) else {
        return skipped("MEMORY_ATTRIBUTES", "no such table");
    };
    let table = found.cast::<efi::MemoryAttributesTable>();
    let (count, size) = unsafe { ((*table).number_of_entries as usize, (*table).descriptor_size as usize) };
    check("MEMORY_ATTRIBUTES: descriptor size", size >= size_of::<efi::MemoryDescriptor>());
    let first = unsafe { found.byte_add(16) };
    let entries =
        || (0..count).map(|at| unsafe { first.byte_add(at * size).cast::<efi::MemoryDescriptor>().read_unaligned() });
    let permissions = efi::MEMORY_RO | efi::MEMORY_XP | efi::MEMORY_RP;
    check(
        "MEMORY_ATTRIBUTES: permissions alone",
        entries().all(|d| d.attribute & !(permissions | efi::MEMORY_RUNTIME) == 0),
    );
    let map = crate::memory::Map::read();
    let end = |d: &efi::MemoryDescriptor| d.physical_start + d.number_of_pages * 4096;
    let lies_in = |entry: efi::MemoryDescriptor| {
        let around = map.at(entry.physical_start);
        around.is_some_and(|around| around.r#type == entry.r#type && end(&entry) <= end(&around))
    };
    check("MEMORY_ATTRIBUTES: in descriptors of the map", entries().all(lies_in));
    let runtime =
        |d: &efi::MemoryDescriptor| matches!(d.r#type, efi::RUNTIME_SERVICES_CODE | efi::RUNTIME_SERVICES_DATA);
    let in_map: u64 = map.iter().filter(runtime).map(|d| d.number_of_pages).sum();
    if crate::env::is_realmfw() {
        equal("MEMORY_ATTRIBUTES: all runtime memory", entries().map(|d| d.number_of_pages).sum::<u64>(), in_map);
        check(
            "MEMORY_ATTRIBUTES: 64 KiB",
            entries().all(|d| d.physical_start % 0x1_0000 == 0 && d.number_of_pages % 16 == 0),
        );
        check(
            "RUNTIME: 64 KiB",
            map.iter().filter(runtime).all(|d| d.physical_start % 0x1_0000 == 0 && d.number_of_pages % 16 == 0),
        );
    }
    map.release();
}

fn crc_service() {
    let mut data = *b"123456789";
    let mut crc = 0;
    let calculate = |data: *mut u8, size, crc: *mut u32| unsafe { (bs().calculate_crc32)(data.cast(), size, crc) };
    status("CalculateCrc32", calculate(data.as_mut_ptr(), 9, &mut crc), Status::SUCCESS);
    equal("CalculateCrc32: check value", crc, 0xcbf4_3926);
    status("CalculateCrc32: no data", calculate(ptr::null_mut(), 9, &mut crc), Status::INVALID_PARAMETER);
    status("CalculateCrc32: no size", calculate(data.as_mut_ptr(), 0, &mut crc), Status::INVALID_PARAMETER);
    status("CalculateCrc32: no result", calculate(data.as_mut_ptr(), 9, ptr::null_mut()), Status::INVALID_PARAMETER);
}

fn configuration() {
    let mut guid = TEST_TABLE;
    let mut install = |table: *mut c_void| unsafe { (bs().install_configuration_table)(&mut guid, table) };
    let (mut first, mut second) = (1u64, 2u64);
    let (first, second): (*mut c_void, *mut c_void) = ((&raw mut first).cast(), (&raw mut second).cast());
    status("InstallConfigurationTable: remove what is not there", install(ptr::null_mut()), Status::NOT_FOUND);
    let before = unsafe { (*table()).number_of_table_entries };
    status("InstallConfigurationTable: add", install(first), Status::SUCCESS);
    equal("configuration table: added", config_table(&TEST_TABLE), Some(first));
    equal("configuration table: counted", unsafe { (*table()).number_of_table_entries }, before + 1);
    check("configuration table: CRC after adding", checksum_holds(unsafe { &raw const (*table()).hdr }));
    let map = crate::memory::Map::read();
    let memory = map.at(unsafe { (*table()).configuration_table } as u64);
    let is_data = memory.is_some_and(|d| d.r#type == efi::RUNTIME_SERVICES_DATA);
    check("configuration table: in data of runtime services", is_data);
    map.release();
    status("InstallConfigurationTable: replace", install(second), Status::SUCCESS);
    equal("configuration table: replaced", config_table(&TEST_TABLE), Some(second));
    status("InstallConfigurationTable: remove", install(ptr::null_mut()), Status::SUCCESS);
    equal("configuration table: removed", config_table(&TEST_TABLE), None);
    check("configuration table: CRC after removing", checksum_holds(unsafe { &raw const (*table()).hdr }));
    status(
        "InstallConfigurationTable: no GUID",
        unsafe { (bs().install_configuration_table)(ptr::null_mut(), first) },
        Status::INVALID_PARAMETER,
    );
    let acpi = Guid::from_fields(0x8868_e871, 0xe4f1, 0x11d3, 0xbc, 0x22, &[0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81]);
    let tree = config_table(&efi::DTB_TABLE_GUID);
    check("configuration table: device tree or ACPI", tree.is_some() || config_table(&acpi).is_some());
    if let Some(tree) = tree {
        let magic = unsafe { tree.cast::<u32>().read_unaligned() };
        equal("device tree: magic", u32::from_be(magic), 0xd00d_feed);
    }
}

fn counts() {
    let (mut first, mut second) = (0u64, 0u64);
    let next = |count: *mut u64| unsafe { (bs().get_next_monotonic_count)(count) };
    status("GetNextMonotonicCount", next(&mut first), Status::SUCCESS);
    status("GetNextMonotonicCount: again", next(&mut second), Status::SUCCESS);
    check("GetNextMonotonicCount: increases", second > first);
    status("GetNextMonotonicCount: null", next(ptr::null_mut()), Status::INVALID_PARAMETER);
    let mut high = 0u32;
    let next_high = |high: *mut u32| unsafe { (rt().get_next_high_mono_count)(high) };
    status("GetNextHighMonotonicCount", next_high(&mut high), Status::SUCCESS);
    check("GetNextHighMonotonicCount: increases", u64::from(high) > second >> 32);
    status("GetNextHighMonotonicCount: null", next_high(ptr::null_mut()), Status::INVALID_PARAMETER);
    let set = |seconds, code| unsafe { (bs().set_watchdog_timer)(seconds, code, 0, ptr::null_mut()) };
    status("SetWatchdogTimer: arm", set(3600, 0x1_0000), Status::SUCCESS);
    // Codes up to 0xffff are the firmware's, but few firmwares look.
    let is = set(3600, 0xffff);
    one_of("SetWatchdogTimer: code of the firmware", is, &[Status::INVALID_PARAMETER, Status::SUCCESS]);
    status("SetWatchdogTimer: disarm", set(0, 0x1_0000), Status::SUCCESS);
}

/// More than the longest length that is tried, the distances and the guard bytes around.
const SWEEP: usize = 960;
const ALIGNMENTS: [usize; 6] = [0, 1, 7, 8, 15, 16];

#[repr(align(16))]
struct Aligned([u8; SWEEP]);

/// Every length up to one turn of the loops and a bit, and some with more turns.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=300).chain(511..=513).chain(575..=577).chain([319, 320, 321])
}

/// No two bytes near each other are equal.
fn pattern() -> Aligned {
    let mut bytes = [0; SWEEP];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (index * 7 % 251) as u8;
    }
    Aligned(bytes)
}

/// Every length, over distances on both sides of what the copy moves at once.
fn sweep_copies() {
    const DISTANCES: [isize; 19] =
        [-300, -128, -127, -65, -64, -32, -16, -8, -3, -1, 0, 1, 8, 15, 16, 63, 64, 128, 305];
    const MIDDLE: usize = 312;
    let whole = pattern();
    for length in lengths() {
        for alignment in ALIGNMENTS {
            for distance in DISTANCES {
                let mut bytes = Aligned(whole.0);
                // What is copied lies in the middle, or at the end where the copy goes upwards.
                let from = (if distance > 0 { 0 } else { MIDDLE }) + alignment;
                let to = from.wrapping_add_signed(distance);
                let start = bytes.0.as_mut_ptr();
                unsafe { (bs().copy_mem)(start.wrapping_add(to).cast(), start.wrapping_add(from).cast(), length) };
                let right = (0..SWEEP).all(|index| {
                    let copied = (to..to + length).contains(&index);
                    bytes.0[index] == whole.0[if copied { index - to + from } else { index }]
                });
                if !right {
                    return failed("CopyMem: every length", format_args!("{length} bytes at {from} by {distance}"));
                }
            }
        }
    }
    check("CopyMem: every length", true);
}

fn sweep_sets() {
    let whole = pattern();
    for length in lengths() {
        for alignment in ALIGNMENTS {
            let mut bytes = Aligned(whole.0);
            unsafe { (bs().set_mem)(bytes.0.as_mut_ptr().wrapping_add(alignment).cast(), length, 0xfe) };
            let set = alignment..alignment + length;
            let right =
                (0..SWEEP).all(|index| bytes.0[index] == if set.contains(&index) { 0xfe } else { whole.0[index] });
            if !right {
                return failed("SetMem: every length", format_args!("{length} bytes at {alignment}"));
            }
        }
    }
    check("SetMem: every length", true);
}

fn copies() {
    let mut bytes = [0u8; 64];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = index as u8;
    }
    let start = bytes.as_mut_ptr();
    unsafe { (bs().copy_mem)(start.wrapping_add(5).cast(), start.cast(), 40) };
    check("CopyMem: overlapping upwards", (0..40).all(|index| bytes[index + 5] == index as u8));
    let start = bytes.as_mut_ptr();
    unsafe { (bs().copy_mem)(start.cast(), start.wrapping_add(5).cast(), 40) };
    check("CopyMem: overlapping downwards", (0..40).all(|index| bytes[index] == index as u8));
    unsafe { (bs().set_mem)(bytes.as_mut_ptr().wrapping_add(3).cast(), 7, 0xa5) };
    sweep_copies();
    sweep_sets();
    check("SetMem", bytes[2] == 2 && bytes[3..10].iter().all(|&byte| byte == 0xa5) && bytes[10] == 10);
}
