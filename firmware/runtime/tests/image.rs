//! The flat image as the firmware embeds it, called as a loader and an OS call it: placed at an
//! address, through the end of boot services, and after `SetVirtualAddressMap()` at another address,
//! with nothing left at the first.
//!
//! It is arm64 code, so the test runs in an arm64 Linux or under QEMU's user-mode emulation. The
//! image's path is in `RUNTIME_IMAGE`.
#![cfg(all(target_os = "linux", target_arch = "aarch64"))]
#![allow(unsafe_code, reason = "calls foreign code and maps memory")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers are the test")]

use std::ffi::c_void;
use std::mem::{MaybeUninit, transmute};
use std::ptr::null_mut;

use r_efi::efi::{self, Guid, MemoryDescriptor, RuntimeServices, Status, SystemTable, Time};
use runtime_abi::{Conduit, ExitBootServices, ImageHeader, Initialize, Parameters, Tables};

const NV: u32 = efi::VARIABLE_NON_VOLATILE;
const BS: u32 = efi::VARIABLE_BOOTSERVICE_ACCESS;
const RT: u32 = efi::VARIABLE_RUNTIME_ACCESS;
const VENDOR: Guid = Guid::from_fields(1, 2, 3, 4, 5, &[6; 6]);

const PHYSICAL: usize = 0x2000_0000;
const VIRTUAL: usize = 0x7_1234_5000;
const CLOCK: usize = 0x3000_0000;
const VIRTUAL_CLOCK: usize = 0x8_0000_1000;

const PARAMETERS: Parameters = Parameters {
    rtc_base: CLOCK as u64,
    conduit: Conduit::None,
    firmware_revision: 0x1234,
    memory_outlives_reset: false,
};

/// Memory that can be mapped more than once.
struct Memory {
    file: i32,
    size: usize,
}

impl Memory {
    fn new(size: usize) -> Self {
        // SAFETY: a new file of its own.
        let file = unsafe { libc::memfd_create(c"memory".as_ptr(), 0) };
        assert!(file >= 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ftruncate(file, size as i64) }, 0);
        Self { file, size }
    }

    fn map(&self, at: usize) -> *mut u8 {
        let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: fails rather than replaces what is there.
        let mapped = unsafe { libc::mmap(at as *mut c_void, self.size, protection, flags, self.file, 0) };
        assert_eq!(mapped as usize, at, "{}", std::io::Error::last_os_error());
        mapped.cast()
    }

    fn unmap(&self, at: usize) {
        // SAFETY: the test has no reference there.
        assert_eq!(unsafe { libc::munmap(at as *mut c_void, self.size) }, 0);
    }
}

fn name(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The services behind a runtime services table.
struct Services(*const RuntimeServices);

impl Services {
    fn table(&self) -> &RuntimeServices {
        // SAFETY: the test keeps the table mapped while it uses it.
        unsafe { &*self.0 }
    }

    fn set(&self, text: &str, attributes: u32, data: &[u8]) -> Status {
        let mut guid = VENDOR;
        let data_at = if data.is_empty() { null_mut() } else { data.as_ptr().cast_mut().cast() };
        // SAFETY: valid pointers.
        unsafe { (self.table().set_variable)(name(text).as_mut_ptr(), &mut guid, attributes, data.len(), data_at) }
    }

    fn get(&self, text: &str) -> Result<(u32, Vec<u8>), Status> {
        let (mut guid, mut attributes, mut size) = (VENDOR, 0, 0);
        let mut name = name(text);
        let get = self.table().get_variable;
        // SAFETY: valid pointers; there is no buffer, and none is claimed.
        let status = unsafe { get(name.as_mut_ptr(), &mut guid, &mut attributes, &mut size, null_mut()) };
        if status != Status::BUFFER_TOO_SMALL {
            return Err(status);
        }
        let mut data = vec![0; size];
        // SAFETY: valid pointers, and a buffer of the size that is given.
        let status = unsafe { get(name.as_mut_ptr(), &mut guid, &mut attributes, &mut size, data.as_mut_ptr().cast()) };
        assert_eq!((status, size), (Status::SUCCESS, data.len()));
        Ok((attributes, data))
    }

    fn names(&self) -> Vec<String> {
        let mut buffer = vec![0u16; 1];
        let (mut guid, mut names) = (VENDOR, Vec::new());
        loop {
            let mut size = buffer.len() * 2;
            // SAFETY: valid pointers, and a buffer of the size that is given.
            match unsafe { (self.table().get_next_variable_name)(&mut size, buffer.as_mut_ptr(), &mut guid) } {
                Status::SUCCESS => names.push(String::from_utf16(&buffer[..size / 2 - 1]).unwrap()),
                Status::BUFFER_TOO_SMALL => {
                    assert!(size > buffer.len() * 2);
                    buffer.resize(size / 2, 0);
                }
                status => {
                    assert_eq!(status, Status::NOT_FOUND);
                    return names;
                }
            }
        }
    }

    fn time(&self) -> Result<Time, Status> {
        let mut time = MaybeUninit::<Time>::uninit();
        let mut capabilities = MaybeUninit::uninit();
        // SAFETY: valid pointers; the time is initialised on success.
        unsafe {
            match (self.table().get_time)(time.as_mut_ptr(), capabilities.as_mut_ptr()) {
                Status::SUCCESS => Ok(time.assume_init()),
                status => Err(status),
            }
        }
    }

    fn change_map(&self, map: &mut [MemoryDescriptor], descriptor_size: usize, version: u32) -> Status {
        // SAFETY: a valid map.
        unsafe { (self.table().set_virtual_address_map)(size_of_val(map), descriptor_size, version, map.as_mut_ptr()) }
    }

    fn convert(&self, disposition: usize, address: usize) -> Result<usize, Status> {
        let mut pointer = address as *mut c_void;
        // SAFETY: a valid pointer to a pointer.
        match unsafe { (self.table().convert_pointer)(disposition, &mut pointer) } {
            Status::SUCCESS => Ok(pointer as usize),
            status => Err(status),
        }
    }
}

/// Whether the CRC of the table at `header` is right.
fn crc_holds(header: *const efi::TableHeader) -> bool {
    // SAFETY: the test passes tables that are mapped.
    let bytes = unsafe { std::slice::from_raw_parts(header.cast::<u8>(), (*header).header_size as usize) };
    let (before, rest) = bytes.split_at(16);
    let (crc, after) = rest.split_at(4);
    let computed = runtime_abi::crc32([before, &[0; 4], after].concat());
    u32::from_le_bytes(crc.try_into().unwrap()) == computed
}

/// What a notification of the address change saw.
struct Seen {
    services: *const RuntimeServices,
    calls: u32,
}

unsafe extern "efiapi" fn address_changes(event: efi::Event, context: *mut c_void) {
    assert_eq!(event as usize, 0x55);
    // SAFETY: the test passes this context.
    let seen = unsafe { &mut *context.cast::<Seen>() };
    let services = Services(seen.services);
    assert_eq!(services.convert(0, PHYSICAL + 0x12_345), Ok(VIRTUAL + 0x12_345));
    assert_eq!(services.convert(0, PHYSICAL - 1), Err(Status::NOT_FOUND));
    assert_eq!(services.convert(0, 0), Err(Status::INVALID_PARAMETER));
    assert_eq!(services.convert(1, 0), Ok(0));
    assert_eq!(services.change_map(&mut [], 40, 1), Status::UNSUPPORTED);
    seen.calls += 1;
}

#[test]
fn from_boot_to_virtual_addresses() {
    let file = std::fs::read(std::env::var("RUNTIME_IMAGE").expect("RUNTIME_IMAGE names the image")).unwrap();
    let header = ImageHeader::parse(&file).expect("a valid image");
    let region_size = (header.code_size + header.data_size) as usize;
    let region = Memory::new(region_size);
    let start = region.map(PHYSICAL);
    let clock_memory = Memory::new(4096);
    let clock = clock_memory.map(CLOCK).cast::<u32>();
    // SAFETY: just mapped; 1,000,000,000 seconds in RTCDR.
    unsafe {
        start.copy_from_nonoverlapping(file.as_ptr(), file.len());
        clock.write_volatile(1_000_000_000);
    }

    // SAFETY: the header names these entry points.
    let (initialize, exit_boot_services) = unsafe {
        (
            transmute::<*mut u8, Initialize>(start.add(header.initialize as usize)),
            transmute::<*mut u8, ExitBootServices>(start.add(header.exit_boot_services as usize)),
        )
    };
    let tables: *mut Tables = initialize(&Parameters { memory_outlives_reset: true, ..PARAMETERS });
    assert_eq!(tables as usize, PHYSICAL + header.code_size as usize);
    // SAFETY: initialised by the image.
    let system: &mut SystemTable = unsafe { &mut (*tables).system_table };
    assert!(crc_holds(&system.hdr) && crc_holds(system.runtime_services.cast()));
    assert_eq!(system.firmware_revision, 0x1234);
    let services = Services(system.runtime_services);

    // Boot.
    assert_eq!(
        services.names(),
        [
            "SetupMode",
            "SecureBoot",
            "AuditMode",
            "DeployedMode",
            "BootOptionSupport",
            "Timeout",
            "OsIndicationsSupported",
            "PlatformLangCodes",
            "PlatformLang"
        ]
    );
    assert_eq!(services.set("Boot", NV | BS, b"boot"), Status::SUCCESS);
    assert_eq!(services.set("Kept", NV | BS | RT, &[7; 40_000]), Status::SUCCESS);
    assert_eq!(services.set("Kept", NV | BS | RT | efi::VARIABLE_APPEND_WRITE, &[8; 20_000]), Status::SUCCESS);
    assert_eq!(services.set("Volatile", BS | RT, b"volatile"), Status::SUCCESS);
    assert_eq!(services.get("Boot"), Ok((NV | BS, b"boot".to_vec())));
    assert_eq!(services.set("Large", NV | BS, &[1; 60_000]), Status::SUCCESS);
    assert_eq!(services.set("Second", NV | BS, &[1; 10_000]), Status::OUT_OF_RESOURCES);
    assert_eq!(services.set("Large", 0, b""), Status::SUCCESS);
    let time = services.time().unwrap();
    assert_eq!((time.year, time.month, time.day, time.hour, time.minute, time.second), (2001, 9, 9, 1, 46, 40));
    let mut unset = Time { second: 0, ..time };
    // SAFETY: a valid time. The clock does not move, for it is only memory.
    assert_eq!(unsafe { (services.table().set_time)(&mut unset) }, Status::SUCCESS);
    // SAFETY: RTCLR of the memory that plays the clock.
    assert_eq!(unsafe { clock.add(2).read_volatile() }, 999_999_960);
    let mut far = Time { year: 2020, ..time };
    // SAFETY: as above.
    assert_eq!(unsafe { (services.table().set_time)(&mut far) }, Status::DEVICE_ERROR);
    let runtime = efi::MEMORY_RUNTIME | efi::MEMORY_WB;
    let descriptor = |physical: usize, virt: usize, size: usize, attribute| MemoryDescriptor {
        r#type: efi::RUNTIME_SERVICES_CODE,
        physical_start: physical as u64,
        virtual_start: virt as u64,
        number_of_pages: (size / 4096) as u64,
        attribute,
    };
    let mut map = [
        descriptor(0, 0x9_0000_0000, PHYSICAL + region_size, efi::MEMORY_WB),
        descriptor(CLOCK, VIRTUAL_CLOCK, 4096, runtime),
        descriptor(PHYSICAL, VIRTUAL, region_size, runtime),
    ];
    assert_eq!(services.change_map(&mut map, 40, 1), Status::UNSUPPORTED);
    assert_eq!(services.convert(0, PHYSICAL), Err(Status::UNSUPPORTED));

    // Runtime, physical.
    system.con_out = 0x1000 as *mut _;
    system.configuration_table = (PHYSICAL + 0x12_340) as *mut _;
    system.boot_services = 0x2000 as *mut _;
    let mut seen = Seen { services: services.0, calls: 0 };
    // SAFETY: the firmware's part of the tables.
    unsafe {
        (*tables).address_change[0] = runtime_abi::AddressChange {
            notify: address_changes as *const () as u64,
            event: 0x55 as *mut _,
            context: (&raw mut seen).cast(),
        };
        (*tables).address_change_count = 1;
    }
    exit_boot_services();
    assert!(system.con_out.is_null() && system.boot_services.is_null() && crc_holds(&system.hdr));
    assert_eq!(services.get("Boot"), Err(Status::NOT_FOUND));
    assert_eq!(services.set("Volatile", BS | RT, b"x"), Status::WRITE_PROTECTED);
    assert_eq!(services.set("New", NV | BS | RT, b"new"), Status::SUCCESS);
    assert_eq!(services.change_map(&mut map, 32, 1), Status::INVALID_PARAMETER);
    assert_eq!(services.change_map(&mut map, 40, 2), Status::INVALID_PARAMETER);
    assert_eq!(services.change_map(&mut map[..2], 40, 1), Status::NO_MAPPING);
    assert_eq!(services.change_map(&mut map[2..], 40, 1), Status::NO_MAPPING);
    map[2].number_of_pages -= 1;
    assert_eq!(services.change_map(&mut map, 40, 1), Status::NO_MAPPING);
    map[2].number_of_pages += 1;
    assert!(services.time().is_ok() && seen.calls == 0);

    // Runtime, virtual.
    let before = services.table().get_time as usize;
    assert_eq!(services.change_map(&mut map, 40, 1), Status::SUCCESS);
    assert_eq!(seen.calls, 1);
    assert_eq!(services.table().get_time as usize, before - PHYSICAL + VIRTUAL);
    region.unmap(PHYSICAL);
    clock_memory.unmap(CLOCK);
    region.map(VIRTUAL);
    clock_memory.map(VIRTUAL_CLOCK);
    // SAFETY: the same tables at their new address.
    let system = unsafe { &*((VIRTUAL + header.code_size as usize) as *const SystemTable) };
    assert!(crc_holds(&system.hdr) && crc_holds(system.runtime_services.cast()));
    // SAFETY: a string with its NUL.
    let vendor = unsafe { std::slice::from_raw_parts(system.firmware_vendor, 8) };
    assert_eq!(vendor, name("realmfw"));
    assert_eq!(system.configuration_table as usize, VIRTUAL + 0x12_340);
    let services = Services(system.runtime_services);
    assert_eq!(services.get("Kept"), Ok((NV | BS | RT, [vec![7; 40_000], vec![8; 20_000]].concat())));
    assert_eq!(services.set("Kept", 0, b""), Status::SUCCESS);
    assert_eq!(services.get("New"), Ok((NV | BS | RT, b"new".to_vec())));
    assert!(!services.names().contains(&"Boot".to_string()));
    assert_eq!(services.names().last().unwrap(), "New");
    assert_eq!(services.time().unwrap().minute, 46);
    assert_eq!(services.change_map(&mut map, 40, 1), Status::UNSUPPORTED);
    assert_eq!(services.convert(0, PHYSICAL), Err(Status::UNSUPPORTED));
    let mut high = 0;
    // SAFETY: a valid pointer.
    assert_eq!(unsafe { (services.table().get_next_high_mono_count)(&mut high) }, Status::SUCCESS);
    assert_eq!(high, 1);
    let (mut total, mut free, mut largest) = (0, 0, 0);
    // SAFETY: valid pointers.
    let status = unsafe { (services.table().query_variable_info)(NV | BS | RT, &mut total, &mut free, &mut largest) };
    assert_eq!(status, Status::SUCCESS);
    assert!(total > 116 * 1024 && free < total && free > 116 * 1024 && largest == 0x1_0000);
    // SAFETY: null is what is asked about.
    unsafe {
        let table = services.table();
        let invalid = Status::INVALID_PARAMETER;
        let (mut guid, mut size) = (VENDOR, 0);
        assert_eq!((table.get_time)(null_mut(), null_mut()), invalid);
        assert_eq!((table.get_wakeup_time)(null_mut(), null_mut(), null_mut()), invalid);
        assert_eq!((table.set_wakeup_time)(efi::Boolean::FALSE, null_mut()), Status::UNSUPPORTED);
        assert_eq!((table.set_wakeup_time)(efi::Boolean::TRUE, null_mut()), invalid);
        assert_eq!((table.update_capsule)(null_mut(), 0, 0), invalid);
        assert_eq!((table.get_next_high_mono_count)(null_mut()), invalid);
        assert_eq!((table.get_variable)(null_mut(), &mut guid, null_mut(), &mut size, null_mut()), invalid);
        assert_eq!((table.get_next_variable_name)(&mut size, name("A").as_mut_ptr(), &mut guid), invalid);
        size = 2;
        assert_eq!((table.get_next_variable_name)(&mut size, name("A").as_mut_ptr(), &mut guid), invalid);
        size = 4;
        assert_eq!((table.get_next_variable_name)(&mut size, name("A").as_mut_ptr(), &mut guid), invalid);
        assert_eq!((table.set_variable)(name("A").as_mut_ptr(), &mut guid, NV | BS | RT, 1, null_mut()), invalid);
        let mut capsule =
            efi::CapsuleHeader { capsule_guid: VENDOR, header_size: 28, flags: 0, capsule_image_size: 28 };
        let mut list = [&raw mut capsule];
        assert_eq!((table.update_capsule)(list.as_mut_ptr(), 1, 0), Status::UNSUPPORTED);
        (*list[0]).flags = efi::CAPSULE_FLAGS_INITIATE_RESET;
        assert_eq!((table.update_capsule)(list.as_mut_ptr(), 1, 0), invalid);
        (*list[0]).flags = efi::CAPSULE_FLAGS_PERSIST_ACROSS_RESET;
        assert_eq!((table.update_capsule)(list.as_mut_ptr(), 1, 0), invalid);
        assert_eq!((table.update_capsule)(list.as_mut_ptr(), 1, 0x1000), Status::UNSUPPORTED);
    }

    let mut zoned = Time { timezone: -90, daylight: efi::TIME_ADJUST_DAYLIGHT, ..time };
    // SAFETY: a valid time, and the memory that plays the clock.
    unsafe {
        (VIRTUAL_CLOCK as *mut u32).write_volatile(999_994_600);
        assert_eq!((services.table().set_time)(&mut zoned), Status::SUCCESS);
    }

    // Reset, with memory as it is.
    region.unmap(VIRTUAL);
    clock_memory.unmap(VIRTUAL_CLOCK);
    let start = region.map(PHYSICAL);
    clock_memory.map(CLOCK);
    let tables = start.wrapping_add(header.code_size as usize);
    let data = tables.wrapping_add(size_of::<Tables>());
    let rest = header.data_size as usize - size_of::<Tables>();
    // SAFETY: the region, just mapped.
    let left = unsafe { std::slice::from_raw_parts(data, rest) }.to_vec();
    let boot = |parameters: Parameters, damage: &[usize]| {
        // SAFETY: as above; nobody has a reference to anything in the region.
        unsafe {
            tables.write_bytes(0, size_of::<Tables>());
            data.copy_from_nonoverlapping(left.as_ptr(), rest);
            for at in damage {
                *data.add(*at) ^= 0x10;
            }
        }
        let tables = initialize(&parameters);
        // SAFETY: initialised by the image.
        Services(unsafe { (*tables).system_table.runtime_services })
    };
    let high = |services: &Services| {
        let mut high = 0;
        // SAFETY: a valid pointer.
        assert_eq!(unsafe { (services.table().get_next_high_mono_count)(&mut high) }, Status::SUCCESS);
        high
    };
    let recovers = Parameters { memory_outlives_reset: true, ..PARAMETERS };
    let services = boot(recovers, &[]);
    assert_eq!(services.get("New"), Ok((NV | BS | RT, b"new".to_vec())));
    assert_eq!(services.get("Boot"), Ok((NV | BS, b"boot".to_vec())));
    assert_eq!(services.get("Volatile"), Err(Status::NOT_FOUND));
    assert_eq!(services.names().len(), 11);
    // The reset counts one, and asking one more; the zone is that of before.
    assert_eq!(high(&services), 3);
    let now = services.time().unwrap();
    assert_eq!((now.timezone, now.daylight, now.hour, now.minute), (-90, efi::TIME_ADJUST_DAYLIGHT, 1, 46));
    // Of the two copies, the one before the last change is taken over where the last is damaged, and neither where both
    // are.
    let kept_name: Vec<_> = name("New").into_iter().flat_map(u16::to_le_bytes).take(6).collect();
    let find = |from: usize| from + left[from..].windows(6).position(|bytes| bytes == kept_name).unwrap();
    let [first, second] = [find(0), find(rest / 2)];
    let zones: Vec<_> = [first, second]
        .map(|damaged| {
            let services = boot(recovers, &[damaged]);
            assert_eq!((services.names().len(), high(&services)), (11, 3));
            services.time().unwrap().timezone
        })
        .into();
    assert!(zones.contains(&-90) && zones.contains(&efi::UNSPECIFIED_TIMEZONE), "{zones:?}");
    for (parameters, damage) in [(recovers, &[first, second][..]), (PARAMETERS, &[])] {
        let services = boot(parameters, damage);
        assert_eq!((services.names().len(), high(&services)), (9, 1));
        assert_eq!(services.time().unwrap().timezone, efi::UNSPECIFIED_TIMEZONE);
    }
}
