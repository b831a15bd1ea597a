//! The boot services table itself, its beginning and its end.
#![expect(unsafe_code, reason = "fills the tables that EFI clients read")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use r_efi::efi::{BOOT_SERVICES_SIGNATURE, BootServices, TableHeader};
use uefi_core::events::EventTable;
use uefi_core::handles::HandleDatabase;
use uefi_core::memory_map::MemoryMap;
use uefi_core::pool::Pool;
use uefi_core::time::{Clock, MonotonicCount, Watchdog};

use super::{driver_model, events, locate, memory, misc, multiple, protocols};
use crate::efi::image;
use crate::efi::services::configuration::{change_system_table, update_checksum};
use crate::efi::services::state::{self, Core};

/// What the boot flow hands over to start UEFI.
pub struct EfiParameters {
    /// Every range of memory that exists, with what the firmware has claimed of it.
    pub memory_map: MemoryMap,
    /// The tables in the runtime data region, made by the entry point `initialize` of the runtime services image.
    pub tables: NonNull<runtime_abi::Tables>,
    /// The entry point of the runtime services image for the end of boot services.
    pub enter_runtime: runtime_abi::ExitBootServices,
    /// The frequency of `crate::arch::counter()` in hertz.
    pub counter_frequency: u64,
}

struct TableCell(UnsafeCell<MaybeUninit<BootServices>>);

// SAFETY: the firmware runs on one CPU and takes no interrupts; `init` and `retire` are the only writers.
unsafe impl Sync for TableCell {}

static TABLE: TableCell = TableCell(UnsafeCell::new(MaybeUninit::zeroed()));

/// Starts boot services and completes the system table, but for the consoles.
///
/// # Safety
/// Called once, by the boot flow. `tables` is initialised, outlives the firmware and is used by nothing else. The
/// conventional memory of the map is RAM, mapped read-write, and nothing uses it.
pub unsafe fn init(parameters: EfiParameters) {
    let EfiParameters { memory_map, tables, enter_runtime, counter_frequency } = parameters;
    let table = TABLE.0.get().cast::<BootServices>();
    // SAFETY: nobody knows the table yet, and it has room for one.
    unsafe {
        table.write(boot_services());
        update_checksum(table.cast());
    }
    change_system_table(tables, |system_table| system_table.boot_services = table);
    state::start(Core {
        memory: memory_map,
        pool: Pool::new(),
        handles: HandleDatabase::new(),
        events: EventTable::new(),
        clock: Clock::new(counter_frequency),
        watchdog: Watchdog::new(),
        monotonic_count: MonotonicCount::new(),
        tables,
        configuration: None,
        memory_attributes: None,
        enter_runtime,
        before_exit_signalled: false,
        exited: false,
    });
}

/// Zeroes the table once boot services have ended, so that a client that kept the pointer faults instead of running
/// half of a service.
pub fn retire() {
    // SAFETY: the memory of the table is there until the caller of `ExitBootServices()` reuses it, which is after this.
    unsafe { ptr::write_bytes(TABLE.0.get(), 0, 1) };
}

fn boot_services() -> BootServices {
    BootServices {
        hdr: TableHeader {
            signature: BOOT_SERVICES_SIGNATURE,
            revision: runtime_abi::UEFI_REVISION,
            header_size: u32::try_from(size_of::<BootServices>()).unwrap_or_default(),
            crc32: 0,
            reserved: 0,
        },
        raise_tpl: events::raise_tpl,
        restore_tpl: events::restore_tpl,
        allocate_pages: memory::allocate_pages,
        free_pages: memory::free_pages,
        get_memory_map: memory::get_memory_map,
        allocate_pool: memory::allocate_pool,
        free_pool: memory::free_pool,
        create_event: events::create_event,
        set_timer: events::set_timer,
        wait_for_event: events::wait_for_event,
        signal_event: events::signal_event,
        close_event: events::close_event,
        check_event: events::check_event,
        install_protocol_interface: protocols::install_protocol_interface,
        reinstall_protocol_interface: protocols::reinstall_protocol_interface,
        uninstall_protocol_interface: protocols::uninstall_protocol_interface,
        handle_protocol: protocols::handle_protocol,
        reserved: ptr::null_mut(),
        register_protocol_notify: protocols::register_protocol_notify,
        locate_handle: locate::locate_handle,
        locate_device_path: locate::locate_device_path,
        install_configuration_table: misc::install_configuration_table,
        load_image: image::load_image,
        start_image: image::start_image,
        exit: image::exit,
        unload_image: image::unload_image,
        exit_boot_services: misc::exit_boot_services,
        get_next_monotonic_count: misc::get_next_monotonic_count,
        stall: misc::stall,
        set_watchdog_timer: misc::set_watchdog_timer,
        connect_controller: driver_model::connect_controller,
        disconnect_controller: driver_model::disconnect_controller,
        open_protocol: protocols::open_protocol,
        close_protocol: protocols::close_protocol,
        open_protocol_information: protocols::open_protocol_information,
        protocols_per_handle: protocols::protocols_per_handle,
        locate_handle_buffer: locate::locate_handle_buffer,
        locate_protocol: locate::locate_protocol,
        install_multiple_protocol_interfaces: multiple::install_multiple_protocol_interfaces,
        uninstall_multiple_protocol_interfaces: multiple::uninstall_multiple_protocol_interfaces,
        calculate_crc32: misc::calculate_crc32,
        copy_mem: misc::copy_mem,
        set_mem: misc::set_mem,
        create_event_ex: events::create_event_ex,
    }
}
