//! The protocols that the firmware itself offers, and the handles they are on.

mod abi;
pub mod block_io;
mod block_io2;
mod cc_measurement;
mod conformance;
mod decompress;
mod device_path_text;
mod device_path_utilities;
pub mod disk;
mod file_system;
mod hii;
pub mod initrd;
mod iommu;
mod memory_attribute;
pub mod pci;
mod reset_notification;
mod rng;
mod serial_io;
mod text_input;
mod text_output;
mod timestamp;
mod unicode_collation;

use core::ffi::c_void;

use formats::device_path::{Builder, LINUX_EFI_INITRD_MEDIA, VT_UTF8};
use r_efi::efi::{Guid, Handle, Status};
use r_efi::protocols::{
    decompress as decompress_protocol, device_path, device_path_from_text, device_path_to_text,
    device_path_utilities as utilities_protocol, load_file2, memory_attribute as memory_attribute_protocol,
    rng as rng_protocol, simple_text_input, simple_text_input_ex, simple_text_output, timestamp as timestamp_protocol,
};

use super::services;

/// What the firmware would set on a line that has a rate.
const CONSOLE_RATE: u64 = 115_200;

/// Installs the console, memory attributes, device path utilities, collation, the counter and, where the processor has
/// one, the random number generator, in a realm measurement and shared memory, and the drivers of disks; names the
/// console in the system table.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install() -> Result<(), Status> {
    let output = text_output::create();
    let input = text_input::create()?;
    let console =
        install_on_new(&device_path::PROTOCOL_GUID, leak(Builder::new().console(0, CONSOLE_RATE, &VT_UTF8))?)?;
    let on_console = [
        (&simple_text_output::PROTOCOL_GUID, output.cast::<c_void>()),
        (&simple_text_input::PROTOCOL_GUID, input.simple.cast()),
        (&simple_text_input_ex::PROTOCOL_GUID, input.extended.cast()),
    ];
    for (guid, interface) in on_console {
        services::install_protocol(Some(console), guid, interface)?;
    }
    services::set_console(services::Console {
        input_handle: console,
        input: input.simple,
        output_handle: console,
        output,
    });

    let line = install_on_new(&device_path::PROTOCOL_GUID, leak(Builder::new().serial_line(0, CONSOLE_RATE))?)?;
    services::install_protocol(Some(line), &serial_io::PROTOCOL_GUID, serial_io::create().cast())?;

    let attributes = memory_attribute::create();
    install_on_new(&memory_attribute_protocol::PROTOCOL_GUID, attributes.cast())?;
    let utilities = device_path_utilities::create();
    install_on_new(&utilities_protocol::PROTOCOL_GUID, utilities.cast())?;
    install_on_new(&device_path_to_text::PROTOCOL_GUID, device_path_text::create_to_text().cast())?;
    install_on_new(&device_path_from_text::PROTOCOL_GUID, device_path_text::create_from_text().cast())?;
    install_on_new(&decompress_protocol::PROTOCOL_GUID, decompress::create().cast())?;
    install_on_new(&unicode_collation::PROTOCOL_GUID, unicode_collation::create().cast())?;
    install_on_new(&reset_notification::PROTOCOL_GUID, reset_notification::create().cast())?;
    install_on_new(&timestamp_protocol::PROTOCOL_GUID, timestamp::create().cast())?;
    install_on_new(&conformance::SUPPORTED_VERSION_GUID, conformance::supported_version())?;
    services::install_configuration_table(&conformance::PROFILES_TABLE_GUID, conformance::profiles())?;
    hii::install()?;
    if let Some(rng) = rng::create() {
        install_on_new(&rng_protocol::PROTOCOL_GUID, rng.cast())?;
    }
    if let Some(measurement) = cc_measurement::create() {
        install_on_new(&cc_measurement::PROTOCOL_GUID, measurement.cast())?;
    }
    if let Some(iommu) = iommu::create() {
        install_on_new(&iommu::PROTOCOL_GUID, iommu.cast())?;
    }
    disk::install()
}

/// Offers an initial ram disk of `size` bytes, which `read` fetches.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install_initrd(size: usize, read: initrd::ReadFile) -> Result<(), Status> {
    let handle = install_device_path(Builder::new().vendor_media(&LINUX_EFI_INITRD_MEDIA))?;
    let protocol = initrd::create(size, read);
    services::install_protocol(Some(handle), &load_file2::PROTOCOL_GUID, protocol.cast())?;
    Ok(())
}

/// Makes a handle of a device path.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install_device_path(path: Builder) -> Result<Handle, Status> {
    install_on_new(&device_path::PROTOCOL_GUID, leak(path)?)
}

fn install_on_new(guid: &Guid, interface: *mut c_void) -> Result<Handle, Status> {
    services::install_protocol(None, guid, interface)
}

/// Interfaces live in writable memory: clients hook members and edit paths.
fn leak(path: Builder) -> Result<*mut c_void, Status> {
    let path = path.finish().map_err(|_| Status::OUT_OF_RESOURCES)?;
    Ok(path.leak().as_mut_ptr().cast())
}
