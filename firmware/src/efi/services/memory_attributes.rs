//! The memory attributes table, kept in step with what clients allocate (UEFI 2.10, section 4.6.4).
#![expect(unsafe_code, reason = "writes the table that an operating system reads")]

use core::ffi::c_void;
use core::ptr::NonNull;

use r_efi::efi::{self, MemoryAttributesTable, MemoryDescriptor, Status};
use uefi_core::memory_attributes::describe;
use uefi_core::memory_map::MemoryMap;

use super::configuration::install_configuration_table;
use super::memory::allocate_pool;
use super::state::with_core;

/// The most entries: the table has to be as large as it will ever be before the map's key is given out.
const CAPACITY: usize = 48;

type Table = MemoryAttributesTable<CAPACITY>;

/// Where the table is, and what it says of the firmware's own region.
pub struct MemoryAttributes {
    table: NonNull<Table>,
    firmware: [MemoryDescriptor; 2],
}

impl MemoryAttributes {
    /// Makes the table say what `map` says.
    pub fn update(&self, map: &MemoryMap) {
        // SAFETY: `publish` has initialised the table in memory that it keeps, and no client runs meanwhile.
        let table = unsafe { &mut *self.table.as_ptr() };
        let count = describe(map, &self.firmware, &mut table.entry);
        table.number_of_entries = u32::try_from(count).unwrap_or_default();
    }
}

/// Installs the table. `firmware` are the parts of the region of the runtime services, with their permissions.
///
/// # Errors
/// As `InstallConfigurationTable()`.
pub fn publish(firmware: [MemoryDescriptor; 2]) -> Result<(), Status> {
    let table = allocate_pool(efi::ACPI_RECLAIM_MEMORY, size_of::<Table>())?.cast::<Table>();
    let none = MemoryDescriptor { r#type: 0, physical_start: 0, virtual_start: 0, number_of_pages: 0, attribute: 0 };
    let empty = Table {
        version: efi::MEMORY_ATTRIBUTES_TABLE_VERSION,
        number_of_entries: 0,
        descriptor_size: u32::try_from(size_of::<MemoryDescriptor>()).unwrap_or_default(),
        flags: 0,
        entry: [none; CAPACITY],
    };
    // SAFETY: pool memory of this size, aligned to 32 bytes.
    unsafe { table.write(empty) };
    with_core(|core| {
        let attributes = MemoryAttributes { table, firmware };
        attributes.update(&core.memory);
        core.memory_attributes = Some(attributes);
    });
    install_configuration_table(&efi::MEMORY_ATTRIBUTES_TABLE_GUID, table.as_ptr().cast::<c_void>())
}
