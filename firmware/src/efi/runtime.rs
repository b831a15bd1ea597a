//! The runtime services image: placed in its region, started, and described to the OS.
//!
//! The image itself is `firmware/runtime`; its layout is `runtime-abi`. It is one region of
//! `EfiRuntimeServicesCode`, whose two parts the memory attributes table tells apart.
#![expect(unsafe_code, reason = "copies the image to where it runs, and calls it there")]

use core::ffi::c_void;
use core::mem::{self, size_of};
use core::ptr::{self, NonNull};

use formats::machine;
use r_efi::efi::{self, MemoryDescriptor, RtPropertiesTable, Status};
use runtime_abi::{ALIGNMENT, Conduit, ExitBootServices, ImageHeader, Initialize, Parameters, Tables};
use thiserror::Error;

use super::services;
use crate::arch::cache;
use crate::memory::{self, Access};
use crate::realm;

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.bin"));

/// `FirmwareRevision` of the system table: major version in the upper half, minor in the lower.
const FIRMWARE_REVISION: u32 = 0x0000_0001;

/// What can be wrong with the runtime services.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The build has embedded something else.
    #[error("the embedded runtime services image is not one of this version")]
    Image,
    /// The region is not aligned.
    #[error("the runtime services region at {0:#x} is not aligned to 64 KiB")]
    Alignment(u64),
    /// The page tables refused the permissions.
    #[error("the runtime services cannot be mapped: {0}")]
    Map(#[from] memory::MapError),
}

/// Runtime services in their place.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// The EFI tables, complete but for what boot services add.
    pub tables: NonNull<Tables>,
    /// What ends the boot phase there.
    pub exit_boot_services: ExitBootServices,
    start: u64,
    header: ImageHeader,
    has_clock: bool,
}

/// Length of the region that [`install`] needs, in bytes: a multiple of 64 KiB.
///
/// # Errors
/// [`Error::Image`].
pub fn region_size() -> Result<u64, Error> {
    let header = ImageHeader::parse(IMAGE).ok_or(Error::Image)?;
    u64::from(header.code_size).checked_add(header.data_size.into()).ok_or(Error::Image)
}

/// Places the image at `start`, gives its parts their permissions and starts it.
///
/// `rtc_base` is the address of a PL031's registers, which the memory map has as runtime MMIO.
///
/// # Errors
/// [`Error`]; the region is then free again.
///
/// # Safety
/// The [`region_size`] bytes from `start` on are RAM, mapped for reading and writing, of type
/// `EfiRuntimeServicesCode` in the memory map, and nothing else uses them. Called once.
pub unsafe fn install(start: u64, rtc_base: Option<u64>, conduit: Option<machine::Conduit>) -> Result<Runtime, Error> {
    let header = ImageHeader::parse(IMAGE).ok_or(Error::Image)?;
    let base = usize::try_from(start).map_err(|_| Error::Alignment(start))?;
    if !base.is_multiple_of(ALIGNMENT) {
        return Err(Error::Alignment(start));
    }
    let data = start.checked_add(header.code_size.into()).ok_or(Error::Image)?;
    let end = data.checked_add(header.data_size.into()).ok_or(Error::Image)?;
    // In a plain VM RAM keeps its content over a reset, and the variables with it. A realm has no before: after a reset
    // it is another realm.
    let memory_outlives_reset = !realm::is_realm();
    let zeroed = match memory_outlives_reset {
        true => header.code_size as usize + size_of::<Tables>(),
        false => usize::try_from(end - start).map_err(|_| Error::Image)?,
    };

    let region = ptr::with_exposed_provenance_mut::<u8>(base);
    // SAFETY: the caller gives the whole region, and the image is no longer than its code part.
    unsafe {
        ptr::copy_nonoverlapping(IMAGE.as_ptr(), region, IMAGE.len());
        region.add(IMAGE.len()).write_bytes(0, zeroed - IMAGE.len());
    }
    cache::sync_instructions(start..data);
    memory::set_attributes(start..data, Access::ReadExecute)?;
    memory::set_attributes(data..end, Access::ReadWrite)?;

    let entry = |offset: u32| region.wrapping_add(offset as usize).cast_const();
    // SAFETY: the header names entry points of these types (runtime-abi); they lie in the image,
    // which is now executable.
    let (initialize, exit_boot_services) = unsafe {
        (
            mem::transmute::<*const u8, Initialize>(entry(header.initialize)),
            mem::transmute::<*const u8, ExitBootServices>(entry(header.exit_boot_services)),
        )
    };
    let parameters = Parameters {
        rtc_base: rtc_base.unwrap_or(0),
        conduit: match conduit {
            None => Conduit::None,
            Some(machine::Conduit::Smc) => Conduit::Smc,
            Some(machine::Conduit::Hvc) => Conduit::Hvc,
        },
        firmware_revision: FIRMWARE_REVISION,
        memory_outlives_reset,
    };
    let tables = NonNull::new(initialize(&raw const parameters)).ok_or(Error::Image)?;
    Ok(Runtime { tables, exit_boot_services, start, header, has_clock: rtc_base.is_some() })
}

impl Runtime {
    /// Publishes the memory attributes table and the table of supported runtime services. Both go
    /// where UEFI 2.10, section 2.3.6, wants configuration tables on AArch64: `EfiACPIReclaimMemory`.
    ///
    /// # Errors
    /// As `InstallConfigurationTable()`.
    pub fn publish(&self) -> Result<(), Status> {
        services::memory_attributes::publish(self.memory_attributes())?;
        publish(
            &efi::RT_PROPERTIES_TABLE_GUID,
            RtPropertiesTable {
                version: efi::RT_PROPERTIES_TABLE_VERSION,
                length: size_of::<RtPropertiesTable>() as u16,
                runtime_services_supported: runtime_abi::supported_at_runtime(self.has_clock),
            },
        )
    }

    /// The permissions of the region (UEFI 2.10, section 4.6.4). The entries have the type of the
    /// memory map's descriptor that they refine, or an OS ignores them.
    fn memory_attributes(&self) -> [MemoryDescriptor; 2] {
        let part = |start: u64, size: u32, permission: u64| MemoryDescriptor {
            r#type: efi::RUNTIME_SERVICES_CODE,
            physical_start: start,
            virtual_start: 0,
            number_of_pages: u64::from(size) / PAGE_SIZE,
            attribute: efi::MEMORY_RUNTIME | permission,
        };
        let Self { start, header, .. } = *self;
        [
            part(start, header.code_size, efi::MEMORY_RO),
            part(start.wrapping_add(header.code_size.into()), header.data_size, efi::MEMORY_XP),
        ]
    }
}

/// The EFI page in bytes.
const PAGE_SIZE: u64 = 4096;

/// Installs a copy of `table` as the configuration table `guid`.
fn publish<Table>(guid: &efi::Guid, table: Table) -> Result<(), Status> {
    let memory = services::allocate_pool(efi::ACPI_RECLAIM_MEMORY, size_of::<Table>())?;
    // SAFETY: pool memory of this size, aligned to 8 bytes, which is the most that a table needs.
    unsafe { memory.cast::<Table>().write(table) };
    let pointer = memory.as_ptr().cast::<c_void>();
    services::install_configuration_table(guid, pointer).inspect_err(|_| {
        // What was just allocated can be freed.
        let _ = services::free_pool(pointer);
    })
}
