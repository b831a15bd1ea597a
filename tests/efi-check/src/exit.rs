//! `ExitBootServices()` and what is behind it: the tables, variables and time of an operating
//! system, before and after it has moved runtime services to other addresses.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use r_efi::efi::{self, Event, Guid, MemoryDescriptor, RuntimeServices, Status, SystemTable, Time};

use crate::env::{self, bs, free, pool, rt};
use crate::images;
use crate::memory::Map;
use crate::options::Options;
use crate::paging;
use crate::report::{self, check, equal, skipped, status};
use crate::reset;
use crate::tables::checksum_holds;
use crate::variables::{BS, NV, RT, get, is, listed, set};

/// The vendor of this program's variables.
pub const VENDOR: Guid =
    Guid::from_fields(0x5fe8_a3a6, 0xd9d1, 0x4f4b, 0x9d, 0x27, &[0x75, 0xdd, 0x3f, 0xb8, 0x4e, 0x52]);

const BEFORE_EXIT: Guid =
    Guid::from_fields(0x8be0_e274, 0x3970, 0x4b44, 0x80, 0xc5, &[0x1a, 0xb9, 0x50, 0x2f, 0x3b, 0xfc]);

/// How many bytes of descriptors the program keeps for itself when memory services are gone.
const MAP_ROOM: usize = 64 * 1024;

/// What a runtime driver has put in the place of an address.
const CHANGED: u64 = 0x1234_5678;

static BEFORE: AtomicUsize = AtomicUsize::new(0);
static DURING: AtomicUsize = AtomicUsize::new(0);
static ORDER_HELD: AtomicUsize = AtomicUsize::new(0);

extern "efiapi" fn before_exit(_event: Event, _context: *mut c_void) {
    BEFORE.fetch_add(1, Ordering::Relaxed);
}

extern "efiapi" fn at_exit(_event: Event, _context: *mut c_void) {
    DURING.fetch_add(1, Ordering::Relaxed);
    ORDER_HELD.store(BEFORE.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// How often it ran, and what became of the system table's address in it.
static CHANGES: AtomicUsize = AtomicUsize::new(0);
static CONVERTED: AtomicUsize = AtomicUsize::new(0);

extern "efiapi" fn at_address_change(_event: Event, _context: *mut c_void) {
    CHANGES.fetch_add(1, Ordering::Relaxed);
    let mut pointer: *mut c_void = env::table().cast();
    let mut null = ptr::null_mut();
    let mut nowhere = ptr::without_provenance_mut(8);
    let convert = rt().convert_pointer;
    unsafe {
        let right = convert(0, &mut pointer) == Status::SUCCESS
            && convert(0, &mut null) == Status::INVALID_PARAMETER
            && convert(efi::OPTIONAL_POINTER as usize, &mut null) == Status::SUCCESS
            && convert(0, &mut nowhere) == Status::NOT_FOUND
            && convert(0, ptr::null_mut()) == Status::INVALID_PARAMETER;
        CONVERTED.store(if right { pointer.addr() } else { 0 }, Ordering::Relaxed);
    }
}

pub fn run(options: &Options) {
    set("AtBoot", BS, b"boot");
    set("AtRuntime", BS | RT, b"volatile");
    set("Kept", NV | BS | RT, b"kept");
    events();
    reset::register_late();
    let drivers = drivers();
    let map = leave(options.uart);
    after(options.fuzz > 0 && options.selects("fuzz"));
    runtime("before the change");
    addresses(&map, drivers);
}

fn events() {
    let mut event = ptr::null_mut();
    unsafe {
        let null = ptr::null_mut();
        (bs().create_event_ex)(
            efi::EVT_NOTIFY_SIGNAL,
            efi::TPL_CALLBACK,
            Some(before_exit),
            null,
            &BEFORE_EXIT,
            &mut event,
        );
        let kind = efi::EVT_SIGNAL_EXIT_BOOT_SERVICES;
        (bs().create_event)(kind, efi::TPL_NOTIFY, Some(at_exit), null, &mut event);
        let kind = efi::EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE;
        (bs().create_event)(kind, efi::TPL_NOTIFY, Some(at_address_change), null, &mut event);
    }
}

/// Two runtime drivers, of which one changes an address in its image.
fn drivers() -> [*mut u64; 2] {
    let addresses = [images::stay_at_runtime(), images::stay_at_runtime()];
    unsafe { addresses[1].write(CHANGED) };
    addresses
}

fn leave(uart: u64) -> Map {
    let exit = |image, key| unsafe { (bs().exit_boot_services)(image, key) };
    let buffer = pool(MAP_ROOM);
    let read = || Map::read_into(buffer, MAP_ROOM).unwrap_or_else(|error| panic!("GetMemoryMap: {error:?}"));
    let stale = read().key;
    let other = pool(5 * 4096);
    status("ExitBootServices: no image", exit(ptr::null_mut(), stale), Status::INVALID_PARAMETER);
    status("ExitBootServices: stale key", exit(env::image(), stale), Status::INVALID_PARAMETER);
    // From here on only memory services need work (UEFI 2.10, 7.4.6).
    free(other);
    let stale = read().key;
    let mut address = 0;
    unsafe { (bs().allocate_pages)(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 1, &mut address) };
    let again = exit(env::image(), stale);
    let map = read();
    let left = exit(env::image(), map.key);
    report::use_uart(uart);
    status("ExitBootServices: stale key again", again, Status::INVALID_PARAMETER);
    status("ExitBootServices", left, Status::SUCCESS);
    map
}

fn after(fuzzed: bool) {
    let table = unsafe { &*env::table() };
    check("after: events of ExitBootServices", DURING.load(Ordering::Relaxed) == 1);
    // Told when the first call begins; the random calls have had that already.
    let before = BEFORE.load(Ordering::Relaxed);
    if fuzzed {
        skipped("after: events before ExitBootServices", "random calls came first");
    } else {
        let first = ORDER_HELD.load(Ordering::Relaxed) == before;
        check("after: events before ExitBootServices", before >= 1 && first);
    }
    let timer: u64;
    // SAFETY: reads a register that every exception level has.
    unsafe { core::arch::asm!("mrs {}, cntv_ctl_el0", out(reg) timer, options(nomem, nostack)) };
    check("after: no timer runs", timer & 1 == 0);
    check("after: no boot services", table.boot_services.is_null());
    check("after: no consoles", table.con_in.is_null() && table.con_out.is_null() && table.std_err.is_null());
    check("after: no console handles", table.console_in_handle.is_null() && table.console_out_handle.is_null());
    check("after: CRC of the system table", checksum_holds(&raw const table.hdr));
    check("after: CRC of runtime services", checksum_holds(&raw const rt().hdr));
    let mut data = [0; 8];
    equal("after: variable of boot services", get("AtBoot", &mut data), Err(Status::NOT_FOUND));
    equal("after: is not listed", listed("AtBoot"), Ok(0));
    equal("after: volatile variable is listed", listed("AtRuntime"), Ok(1));
    let is_now = set("AtRuntime", BS | RT, b"other");
    check("after: volatile variable is read-only", is_now.is_error());
    check("after: volatile variable is kept", is("AtRuntime", BS | RT, b"volatile"));
    let is_now = set("New", NV | BS, b"x");
    check("after: no variable without runtime access", is_now.is_error());
}

/// Uses runtime services as an operating system does; for each round the same checks.
fn runtime(round: &str) {
    report::say!("# {round}");
    check("runtime: variable from before", is("Kept", NV | BS | RT, b"kept"));
    status("runtime: SetVariable", set("Made", NV | BS | RT, b"made"), Status::SUCCESS);
    check("runtime: GetVariable", is("Made", NV | BS | RT, b"made"));
    let append = NV | BS | RT | efi::VARIABLE_APPEND_WRITE;
    status("runtime: append", set("Made", append, b" longer"), Status::SUCCESS);
    check("runtime: appended", is("Made", NV | BS | RT, b"made longer"));
    equal("runtime: GetNextVariableName", listed("Made"), Ok(1));
    status("runtime: delete", set("Made", NV | BS | RT, b""), Status::SUCCESS);
    let mut data = [0; 16];
    equal("runtime: deleted", get("Made", &mut data), Err(Status::NOT_FOUND));
    let (mut maximum, mut remaining, mut largest) = (0, 0, 0);
    let is_now = unsafe { (rt().query_variable_info)(NV | BS | RT, &mut maximum, &mut remaining, &mut largest) };
    status("runtime: QueryVariableInfo", is_now, Status::SUCCESS);
    let mut now = Time::default();
    let is_now = unsafe { (rt().get_time)(&mut now, ptr::null_mut()) };
    report::one_of("runtime: GetTime", is_now, &[Status::SUCCESS, Status::UNSUPPORTED]);
    let mut high = 0;
    let is_now = unsafe { (rt().get_next_high_mono_count)(&mut high) };
    report::one_of("runtime: GetNextHighMonotonicCount", is_now, &[Status::SUCCESS, Status::UNSUPPORTED]);
}

fn addresses(map: &Map, drivers: [*mut u64; 2]) {
    let Some(mut tables) = paging::Map::new() else {
        return skipped("SetVirtualAddressMap", "no room in the address space");
    };
    tables.switch();
    // As Linux does, only what runtime services need is in the map.
    let mut count = 0;
    for index in 0..map.len() {
        let descriptor = map.descriptor(index);
        unsafe {
            if (*descriptor).attribute & efi::MEMORY_RUNTIME == 0 {
                continue;
            }
            (*descriptor).virtual_start = (*descriptor).physical_start + tables.offset;
            let place: *mut u8 = map.descriptor(count).cast();
            ptr::copy(descriptor.cast::<u8>(), place, map.descriptor_size);
        }
        count += 1;
    }
    let size = map.descriptor_size;
    let set_map = rt().set_virtual_address_map;
    let wrong = unsafe { set_map(count * size, size, 99, map.as_mut_ptr()) };
    status("SetVirtualAddressMap: other version", wrong, Status::INVALID_PARAMETER);
    let wrong = unsafe { set_map(count * size, 8, 1, map.as_mut_ptr()) };
    status("SetVirtualAddressMap: descriptors too small", wrong, Status::INVALID_PARAMETER);
    let is_now = unsafe { set_map(count * size, size, 1, map.as_mut_ptr()) };
    status("SetVirtualAddressMap", is_now, Status::SUCCESS);
    if is_now != Status::SUCCESS {
        return;
    }

    let moved_table = env::table().wrapping_byte_add(tables.offset as usize);
    let pointers = unsafe { &*moved_table };
    let runtime_services: *mut RuntimeServices = pointers.runtime_services;
    check("after the change: runtime services moved", runtime_services.addr() as u64 >= tables.offset);
    check("after the change: vendor moved", pointers.firmware_vendor.addr() as u64 >= tables.offset);
    env::set_runtime(runtime_services);
    for index in 0..count {
        let descriptor: MemoryDescriptor = unsafe { *map.descriptor(index) };
        let in_use = matches!(descriptor.r#type, efi::RUNTIME_SERVICES_CODE | efi::RUNTIME_SERVICES_DATA);
        for page in 0..if in_use { descriptor.number_of_pages } else { 0 } {
            tables.remove(descriptor.physical_start + page * 4096);
        }
    }
    tables.switch();
    check("after the change: CRC of runtime services", checksum_holds(unsafe { &raw const (*runtime_services).hdr }));
    check("after the change: CRC of the system table", checksum_holds(&raw const pointers.hdr));
    equal("after the change: notifications", CHANGES.load(Ordering::Relaxed), 1);
    let converted = CONVERTED.load(Ordering::Relaxed) as u64;
    equal("ConvertPointer: in a notification", converted, env::table().addr() as u64 + tables.offset);
    let [moved, changed] = drivers.map(|address| unsafe { address.wrapping_byte_add(tables.offset as usize).read() });
    equal("after the change: address in a runtime driver", moved, drivers[0].addr() as u64 + tables.offset);
    equal("after the change: what a runtime driver changed", changed, CHANGED);
    runtime("after the change, old addresses gone");
    // These two need not be converted themselves; EDK2 leaves them where they were.
    if (rt().set_virtual_address_map as usize as u64) < tables.offset {
        skipped("SetVirtualAddressMap: again", "has not moved");
    } else {
        let is_now = unsafe { (rt().set_virtual_address_map)(count * size, size, 1, map.as_mut_ptr()) };
        status("SetVirtualAddressMap: again", is_now, Status::UNSUPPORTED);
        let mut pointer: *mut c_void = ptr::dangling_mut::<SystemTable>().cast();
        let is_now = unsafe { (rt().convert_pointer)(0, &mut pointer) };
        check("ConvertPointer: afterwards", is_now.is_error());
    }
    set("Kept", NV | BS | RT, b"");
}
