//! Virtual memory services (UEFI 2.10, section 8.4).
#![expect(unsafe_code, reason = "reads the caller's map and rewrites the pointers in the tables")]

use core::ffi::c_void;
use core::mem;
use core::slice;

use r_efi::efi::{self, EventNotify, MemoryDescriptor, RuntimeServices, Status, TableHeader};
use realmfw_runtime::address_map::{AddressMap, Error};
use realmfw_runtime::variables::Phase;
use runtime_abi::{ADDRESS_CHANGE_CAPACITY, DRIVER_CAPACITY, Driver};

use super::status;
use crate::cache;
use crate::region::{self, CODE_SIZE, Conversion, DATA_SIZE, with_state};
use crate::tables;

/// How many services the runtime services table points at.
const SERVICES: usize = 14;

const _: () = assert!(size_of::<RuntimeServices>() == size_of::<TableHeader>() + size_of::<[u64; SERVICES]>());

/// Every address that the image keeps, each as a number; zero is none.
#[derive(Clone, Copy)]
#[repr(C)]
struct Pointers {
    services: [u64; SERVICES],
    firmware_vendor: u64,
    runtime_services: u64,
    configuration_table: u64,
    rtc_base: u64,
}

/// `SetVirtualAddressMap()`.
pub unsafe extern "efiapi" fn set_virtual_address_map(
    size: usize,
    descriptor_size: usize,
    descriptor_version: u32,
    map: *mut MemoryDescriptor,
) -> Status {
    let allowed = with_state(|state| state.phase == Phase::Runtime && !state.is_virtual && state.conversion.is_none());
    if !allowed {
        return Status::UNSUPPORTED;
    }
    if map.is_null() || isize::try_from(size).is_err() {
        return Status::INVALID_PARAMETER;
    }
    let conversion = Conversion { map: map.cast(), size, descriptor_size, descriptor_version };
    // SAFETY: the caller's map has `size` bytes and stays as it is during the call.
    status(unsafe { change_to(&conversion) })
}

/// `ConvertPointer()`.
pub unsafe extern "efiapi" fn convert_pointer(disposition: usize, address: *mut *mut c_void) -> Status {
    let Some(conversion) = with_state(|state| state.conversion) else {
        return Status::UNSUPPORTED;
    };
    if address.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointer is valid, as ConvertPointer() demands.
    let pointer = unsafe { address.read_unaligned() };
    if pointer.is_null() {
        let optional = disposition & efi::OPTIONAL_POINTER as usize != 0;
        return if optional { Status::SUCCESS } else { Status::INVALID_PARAMETER };
    }
    // SAFETY: the map of the SetVirtualAddressMap() that is in progress.
    let converted = unsafe { address_map(&conversion) }.and_then(|map| map.convert(pointer as u64));
    match converted {
        Ok(converted) => {
            // SAFETY: as above.
            unsafe { address.write_unaligned(converted as *mut c_void) };
            Status::SUCCESS
        }
        Err(_) => Status::NOT_FOUND,
    }
}

/// Changes to the addresses of a map, or to none of them.
///
/// # Safety
/// `conversion` describes readable memory that does not change during the call.
unsafe fn change_to(conversion: &Conversion) -> Result<(), Status> {
    // SAFETY: as the caller promises.
    let map = unsafe { address_map(conversion) }.map_err(to_status)?;
    let region_size = (CODE_SIZE + DATA_SIZE) as u64;
    map.check_moves_whole(region::start(), region_size).map_err(to_status)?;
    each_driver(|driver| map.check_moves_whole(driver.base, driver.size)).map_err(to_status)?;
    let mut pointers = read_pointers();
    let Pointers { services, firmware_vendor, runtime_services, configuration_table, rtc_base } = &mut pointers;
    map.convert_all(services).map_err(to_status)?;
    for pointer in [firmware_vendor, runtime_services, configuration_table, rtc_base] {
        map.convert_all(slice::from_mut(pointer)).map_err(to_status)?;
    }

    with_state(|state| state.conversion = Some(*conversion));
    notify();
    // Behind the notifications, which run at the old addresses. Each address was converted a moment ago.
    let _ = each_driver(|driver| {
        relocate(driver, map.convert(driver.base)?.wrapping_sub(driver.base));
        Ok(())
    });
    with_state(|state| {
        state.conversion = None;
        state.is_virtual = true;
        state.rtc_base = pointers.rtc_base;
    });
    write_pointers(&pointers);
    tables::update_crcs();
    Ok(())
}

/// # Safety
/// `conversion` describes readable memory that does not change while the map is used.
unsafe fn address_map<'a>(conversion: &Conversion) -> Result<AddressMap<'a>, Error> {
    // SAFETY: as the caller promises.
    let bytes = unsafe { slice::from_raw_parts(conversion.map, conversion.size) };
    AddressMap::new(bytes, conversion.descriptor_size, conversion.descriptor_version)
}

fn read_pointers() -> Pointers {
    let tables = region::tables();
    // SAFETY: the tables are complete, and nobody else is using them now. The services are as many
    // pointers in a row.
    unsafe {
        let system = &raw const (*tables).system_table;
        Pointers {
            services: (&raw const (*tables).runtime_services.get_time).cast::<[u64; SERVICES]>().read(),
            firmware_vendor: (*system).firmware_vendor as u64,
            runtime_services: (*system).runtime_services as u64,
            configuration_table: (*system).configuration_table as u64,
            rtc_base: with_state(|state| state.rtc_base),
        }
    }
}

fn write_pointers(pointers: &Pointers) {
    let tables = region::tables();
    // SAFETY: as above; the new addresses are for the OS, no longer followed here.
    unsafe {
        let services = (&raw mut (*tables).runtime_services.get_time).cast::<[u64; SERVICES]>();
        services.write(pointers.services);
        let system = &raw mut (*tables).system_table;
        (*system).firmware_vendor = pointers.firmware_vendor as *mut _;
        (*system).runtime_services = pointers.runtime_services as *mut _;
        (*system).configuration_table = pointers.configuration_table as *mut _;
    }
}

/// Calls the notifications that the firmware has left.
fn notify() {
    let tables = region::tables();
    // SAFETY: the tables are complete; an entry is copied before its function runs.
    let count = unsafe { (*tables).address_change_count }.min(ADDRESS_CHANGE_CAPACITY);
    let mut index = 0;
    while index < count {
        // SAFETY: below the capacity.
        let change = unsafe {
            (&raw const (*tables).address_change).cast::<runtime_abi::AddressChange>().wrapping_add(index).read()
        };
        // SAFETY: the firmware registers only the functions of events, which lie in runtime memory
        // that is still mapped at these addresses.
        let function: EventNotify = unsafe { mem::transmute::<u64, EventNotify>(change.notify) };
        // SAFETY: an event's function takes its event and its context.
        unsafe { function(change.event, change.context) };
        index = index.saturating_add(1);
    }
}

/// Does something with each runtime driver that the firmware has left, up to the first error.
fn each_driver(mut work: impl FnMut(&Driver) -> Result<(), Error>) -> Result<(), Error> {
    let tables = region::tables();
    // SAFETY: the tables are complete, and only the firmware wrote to the list.
    let count = unsafe { (*tables).driver_count }.min(DRIVER_CAPACITY);
    let mut index = 0;
    while index < count {
        // SAFETY: below the capacity.
        let driver = unsafe { (&raw const (*tables).drivers).cast::<Driver>().wrapping_add(index).read() };
        work(&driver)?;
        index = index.saturating_add(1);
    }
    Ok(())
}

/// Moves the addresses in an image by `distance`.
fn relocate(driver: &Driver, distance: u64) {
    let mut index = 0;
    while index < driver.fixup_count {
        // SAFETY: the firmware left so many fixups, and their places lie in the image, which is runtime memory that is
        // still mapped, writable, at the old addresses. The driver does not run meanwhile.
        unsafe {
            let fixup = driver.fixups.wrapping_add(index).read();
            let place = fixup.place as *mut u64;
            if place.read_unaligned() == fixup.value {
                place.write_unaligned(fixup.value.wrapping_add(distance));
            }
        }
        index = index.saturating_add(1);
    }
    cache::sync_instructions(driver.base, driver.size);
}

fn to_status(error: Error) -> Status {
    match error {
        Error::InvalidParameter => Status::INVALID_PARAMETER,
        Error::NoMapping => Status::NO_MAPPING,
    }
}
