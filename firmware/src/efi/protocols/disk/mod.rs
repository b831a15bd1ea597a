//! Disks: byte access, partitions and file systems on any handle with EFI_BLOCK_IO_PROTOCOL, as three drivers of the
//! driver model (UEFI 2.11, chapters 11 and 13). Nothing is read before `ConnectController()` asks for it.

mod block_device;
mod disk_io;
mod driver;
mod measure;
mod partition;

use core::ffi::c_void;

use r_efi::efi::{self, Guid, Handle, Status};
use uefi_core::handles::OpenRequest;

use super::super::services::{self, handle_from, open_protocol};
use super::file_system::FileSystems;

pub use block_device::{EfiDisk, to_status};
pub use driver::{Driver, install as install_driver, name as driver_name};
pub use measure::measure;

/// Installs the drivers.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install() -> Result<(), Status> {
    driver::install(&disk_io::DiskIo, const { &driver_name(b"Disk I/O\0") })?;
    driver::install(&partition::Partitions, const { &driver_name(b"Partitions\0") })?;
    driver::install(&FileSystems, const { &driver_name(b"FAT File System\0") }).map(drop)
}

/// Opens a protocol of a controller for the driver `agent`, which nobody else can then.
pub fn open(agent: Handle, controller: Handle, protocol: &Guid) -> Result<*mut c_void, Status> {
    let request = OpenRequest {
        agent: Some(handle_from(agent)),
        controller: Some(handle_from(controller)),
        attributes: efi::OPEN_PROTOCOL_BY_DRIVER,
    };
    open_protocol(controller, protocol, request)
}

/// Closes what [`open`] opened.
pub fn close(agent: Handle, controller: Handle, protocol: &Guid) {
    // That it is open is the caller's claim; a client that closed it for the driver did the same.
    let _ = services::close_protocol(controller, protocol, agent, controller);
}

/// Whether a protocol is off now, by whomever. Where it is not, what it is part of must stay.
fn taken_off(result: Result<(), Status>) -> Result<(), Status> {
    result.or_else(|status| if status == Status::NOT_FOUND { Ok(()) } else { Err(status) })
}
