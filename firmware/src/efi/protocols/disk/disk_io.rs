//! EFI_DISK_IO_PROTOCOL and EFI_DISK_IO2_PROTOCOL (UEFI 2.11, 13.7 and 13.8): bytes at any offset of a block device.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ffi::c_void;
use core::slice;

use r_efi::efi::{Handle, Status};
use r_efi::protocols::{block_io, disk_io, disk_io2};
use storage::Disk;

use super::super::super::services;
use super::super::block_io2::complete;
use super::{Driver, EfiDisk, close, open, taken_off, to_status};

/// The driver that puts the protocol beside each EFI_BLOCK_IO_PROTOCOL.
pub struct DiskIo;

#[repr(C)]
struct Instance {
    /// First, so that a pointer to it is one to the whole.
    protocol: disk_io::Protocol,
    /// Its requests are done when their member returns.
    second: disk_io2::Protocol,
    block_io: *mut block_io::Protocol,
}

impl Driver for DiskIo {
    fn supported(&self, agent: Handle, controller: Handle) -> Result<(), Status> {
        open(agent, controller, &block_io::PROTOCOL_GUID)?;
        close(agent, controller, &block_io::PROTOCOL_GUID);
        Ok(())
    }

    fn start(&self, agent: Handle, controller: Handle) -> Result<(), Status> {
        let block_io = open(agent, controller, &block_io::PROTOCOL_GUID)?.cast();
        let protocol = disk_io::Protocol { revision: disk_io::REVISION, read_disk, write_disk };
        let second =
            disk_io2::Protocol { revision: disk_io2::REVISION, cancel, read_disk_ex, write_disk_ex, flush_disk_ex };
        let instance = Box::into_raw(Box::new(Instance { protocol, second, block_io }));
        // SAFETY: it was made above.
        let second = unsafe { &raw mut (*instance).second };
        let mut installed = services::install_protocol(Some(controller), &disk_io2::PROTOCOL_GUID, second.cast());
        if installed.is_ok() {
            installed = services::install_protocol(Some(controller), &disk_io::PROTOCOL_GUID, instance.cast());
            if installed.is_err() {
                // Nobody has it yet.
                let _ = services::uninstall_protocol(controller, &disk_io2::PROTOCOL_GUID, second.cast());
            }
        }
        if let Err(status) = installed {
            close(agent, controller, &block_io::PROTOCOL_GUID);
            // SAFETY: it was made above, and is installed nowhere.
            drop(unsafe { Box::from_raw(instance) });
            return Err(status);
        }
        Ok(())
    }

    fn stop(&self, agent: Handle, controller: Handle, _children: &[Handle]) -> Result<(), Status> {
        let instance = services::interface(controller, &disk_io::PROTOCOL_GUID)?;
        // SAFETY: `start` made it for the controller that this driver manages.
        let second = unsafe { &raw mut (*instance.cast::<Instance>()).second };
        let second_off = services::uninstall_protocol(controller, &disk_io2::PROTOCOL_GUID, second.cast());
        taken_off(second_off)?;
        if let Err(status) = services::uninstall_protocol(controller, &disk_io::PROTOCOL_GUID, instance) {
            // The driver goes on with both; what was taken off a moment ago can be put back.
            if second_off.is_ok() {
                let _ = services::install_protocol(Some(controller), &disk_io2::PROTOCOL_GUID, second.cast());
            }
            return Err(status);
        }
        close(agent, controller, &block_io::PROTOCOL_GUID);
        // SAFETY: `start` made it for the controller that this driver manages, and nobody finds it any more.
        drop(unsafe { Box::from_raw(instance.cast::<Instance>()) });
        Ok(())
    }
}

/// The disk, when `media_id` is that of its medium and the buffer can be one.
///
/// # Safety
/// `this` is null or an instance that `start` made.
unsafe fn disk(
    this: *mut disk_io::Protocol,
    media_id: u32,
    buffer: *mut c_void,
    length: usize,
) -> Result<Disk<EfiDisk>, Status> {
    if this.is_null() {
        return Err(Status::INVALID_PARAMETER);
    }
    // SAFETY: the protocol is the first member of an instance, and its driver has EFI_BLOCK_IO_PROTOCOL open.
    let disk = unsafe { EfiDisk::new((*this.cast::<Instance>()).block_io) }?;
    if disk.media_id() != media_id {
        return Err(Status::MEDIA_CHANGED);
    }
    if buffer.is_null() || isize::try_from(length).is_err() {
        return Err(Status::INVALID_PARAMETER);
    }
    Disk::new(disk).map_err(to_status)
}

unsafe extern "efiapi" fn read_disk(
    this: *mut disk_io::Protocol,
    media_id: u32,
    offset: u64,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    let read = unsafe { disk(this, media_id, buffer, length) }.and_then(|mut disk| {
        // SAFETY: not null; the caller gives away `length` bytes for the call, and bytes can hold anything.
        let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast(), length) };
        disk.read_at(offset, buffer).map_err(to_status)
    });
    read.err().unwrap_or(Status::SUCCESS)
}

unsafe extern "efiapi" fn write_disk(
    this: *mut disk_io::Protocol,
    media_id: u32,
    offset: u64,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    let written = unsafe { disk(this, media_id, buffer, length) }.and_then(|mut disk| {
        if disk.device().is_read_only() {
            return Err(Status::WRITE_PROTECTED);
        }
        // SAFETY: not null; the caller has `length` bytes there, which nothing changes during the call.
        let bytes = unsafe { slice::from_raw_parts(buffer.cast(), length) };
        disk.write_at(offset, bytes).map_err(to_status)
    });
    written.err().unwrap_or(Status::SUCCESS)
}

/// The first protocol of the instance whose second one `this` is; null for null.
fn first(this: *mut disk_io2::Protocol) -> *mut disk_io::Protocol {
    if this.is_null() {
        return core::ptr::null_mut();
    }
    this.wrapping_byte_sub(core::mem::offset_of!(Instance, second)).cast()
}

unsafe extern "efiapi" fn cancel(_this: *mut disk_io2::Protocol) -> Status {
    // Nothing is ever under way.
    Status::SUCCESS
}

unsafe extern "efiapi" fn read_disk_ex(
    this: *mut disk_io2::Protocol,
    media_id: u32,
    offset: u64,
    token: *mut disk_io2::Token,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from, and what the other member wants.
    unsafe { complete(token.cast(), || read_disk(first(this), media_id, offset, length, buffer)) }
}

unsafe extern "efiapi" fn write_disk_ex(
    this: *mut disk_io2::Protocol,
    media_id: u32,
    offset: u64,
    token: *mut disk_io2::Token,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: as in `read_disk_ex`.
    unsafe { complete(token.cast(), || write_disk(first(this), media_id, offset, length, buffer)) }
}

unsafe extern "efiapi" fn flush_disk_ex(this: *mut disk_io2::Protocol, token: *mut disk_io2::Token) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: as in `read_disk_ex`; the driver has EFI_BLOCK_IO_PROTOCOL open.
    unsafe {
        let device = (*first(this).cast::<Instance>()).block_io;
        complete(token.cast(), || ((*device).flush_blocks)(device))
    }
}
