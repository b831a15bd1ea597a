//! EFI_BLOCK_IO_PROTOCOL of the machine's disks, each on a handle with its device path (UEFI 2.11, 13.9).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::{ptr, slice};

use driver::Error;
use formats::bootorder::VIRTIO_MMIO;
use formats::device_path::{Builder, MESSAGING_NVME, TYPE_MESSAGING};
use r_efi::efi::{Boolean, Lba, Status};
use r_efi::protocols::{block_io, device_path};
use spin::Mutex;

use super::super::services;
use super::block_io2::{self, BlockIo2};
use super::{leak, pci};
use crate::devices::{self, disks::Disk, platform::Place};

/// Messaging sub-type: SCSI (10.3.4.2).
const MESSAGING_SCSI: u8 = 2;

/// A disk and its protocol.
#[repr(C)]
struct Instance {
    /// First, so that a pointer to it is one to the whole.
    protocol: block_io::Protocol,
    media: block_io::Media,
    disk: Disk,
}

impl Instance {
    /// Describes the medium that there is now.
    fn look_again(&mut self) {
        // A failure leaves no medium, which is what the description then says.
        let _ = self.disk.refresh();
        self.media = media(&self.disk, self.media.media_id.wrapping_add(1));
    }
}

/// An instance as a name; its members alone follow it.
struct Pointer(*mut Instance);

// SAFETY: instances are never freed, and one CPU runs them one call at a time.
unsafe impl Send for Pointer {}

static INSTANCES: Mutex<Vec<Pointer>> = Mutex::new(Vec::new());

/// Makes a handle for each disk.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn install(found: Vec<Disk>) -> Result<(), Status> {
    for disk in found {
        let path = leak(path(&disk))?;
        let mut instance = Box::new(Instance {
            protocol: block_io::Protocol {
                revision: block_io::REVISION3,
                media: ptr::null(),
                reset,
                read_blocks,
                write_blocks,
                flush_blocks,
            },
            media: media(&disk, 0),
            disk,
        });
        instance.protocol.media = &raw const instance.media;
        let instance = Box::into_raw(instance);
        INSTANCES.lock().push(Pointer(instance));
        let handle = services::install_protocol(None, &device_path::PROTOCOL_GUID, path)?;
        // SAFETY: the path was made above and stays as it is.
        unsafe { pci::drive(path, Some(handle)) };
        services::install_protocol(Some(handle), &block_io::PROTOCOL_GUID, instance.cast())?;
        // SAFETY: the instance was made above and is never freed.
        let media = unsafe { &raw const (*instance).media };
        let second = Box::leak(Box::new(BlockIo2::new(instance.cast(), media)));
        services::install_protocol(Some(handle), &block_io2::PROTOCOL_GUID, (&raw mut *second).cast())?;
    }
    Ok(())
}

/// Resets every disk's device for good: none writes to memory after this.
pub fn stop() {
    for Pointer(instance) in INSTANCES.lock().iter() {
        // SAFETY: the instance was leaked by `install`, and no member of it is running.
        unsafe { (**instance).disk.stop() };
    }
    devices::pci::stop_masters();
}

/// PciRoot(n)/Pci(d,f)…, or the vendor node that EDK2 has for virtio-mmio; then the unit of a SCSI host or the namespace
/// of an NVMe controller.
fn path(disk: &Disk) -> Builder {
    let mut path = match &disk.place {
        Place::Mmio(address) => Builder::new().vendor_hardware(&VIRTIO_MMIO, &address.to_le_bytes()),
        Place::Pci(root, steps) => pci::path(*root, steps),
    };
    if let Some(unit) = disk.scsi_address() {
        let target = u16::from(unit.target).to_le_bytes();
        path = path.node(TYPE_MESSAGING, MESSAGING_SCSI, &[&target, &unit.lun.to_le_bytes()]);
    }
    if let Some(namespace) = disk.namespace() {
        path = path.node(TYPE_MESSAGING, MESSAGING_NVME, &[&namespace.id.to_le_bytes(), &namespace.eui64]);
    }
    path
}

fn media(disk: &Disk, media_id: u32) -> block_io::Media {
    let medium = disk.medium();
    block_io::Media {
        media_id,
        removable_media: disk.is_removable(),
        media_present: medium.blocks != 0,
        logical_partition: false,
        read_only: medium.read_only,
        write_caching: !medium.read_only,
        // Clients divide by it, medium or not.
        block_size: medium.block_size.max(512),
        io_align: 0,
        last_block: medium.blocks.saturating_sub(1),
        lowest_aligned_lba: medium.lowest_aligned,
        logical_blocks_per_physical_block: medium.blocks_per_physical,
        optimal_transfer_length_granularity: 0,
    }
}

fn status(error: Error) -> Status {
    match error {
        Error::Range => Status::INVALID_PARAMETER,
        Error::WriteProtected => Status::WRITE_PROTECTED,
        Error::NoMedium => Status::NO_MEDIA,
        Error::MediumChanged => Status::MEDIA_CHANGED,
        _ => Status::DEVICE_ERROR,
    }
}

/// Checks a transfer against the medium that there is (UEFI 2.11, 13.9.2): whether there is anything to do.
///
/// # Errors
/// `NO_MEDIA` and `MEDIA_CHANGED` before all others, `INVALID_PARAMETER`, `BAD_BUFFER_SIZE`.
pub fn check(
    media: &block_io::Media,
    media_id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Result<bool, Status> {
    if !media.media_present {
        return Err(Status::NO_MEDIA);
    }
    if media.media_id != media_id {
        return Err(Status::MEDIA_CHANGED);
    }
    if length == 0 {
        return Ok(false);
    }
    let aligned = media.io_align < 2 || buffer.addr().is_multiple_of(media.io_align as usize);
    if buffer.is_null() || !aligned || isize::try_from(length).is_err() {
        return Err(Status::INVALID_PARAMETER);
    }
    let block_size = media.block_size as usize;
    if !length.is_multiple_of(block_size) {
        return Err(Status::BAD_BUFFER_SIZE);
    }
    // All of it, before a part is written.
    let end = lba.checked_add((length / block_size) as u64);
    let within = end.is_some_and(|end| end <= media.last_block.saturating_add(1));
    if within { Ok(true) } else { Err(Status::INVALID_PARAMETER) }
}

/// Does `work` with the disk when there is a medium and a transfer is one that [`check`] lets pass.
///
/// # Safety
/// `this` is null or an instance of [`install`].
unsafe fn with_disk(
    this: *mut block_io::Protocol,
    transfer: Option<(u32, Lba, usize, *mut c_void)>,
    work: impl FnOnce(&mut Disk) -> Result<(), Error>,
) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise. The members do not call out while they have the reference, so it is the only one.
    let instance = unsafe { &mut *this.cast::<Instance>() };
    if !instance.media.media_present {
        instance.look_again();
        return if instance.media.media_present { Status::MEDIA_CHANGED } else { Status::NO_MEDIA };
    }
    if let Some((media_id, lba, length, buffer)) = transfer {
        match check(&instance.media, media_id, lba, length, buffer) {
            Ok(true) => {}
            Ok(false) => return Status::SUCCESS,
            Err(status) => return status,
        }
    }
    let Err(error) = work(&mut instance.disk) else { return Status::SUCCESS };
    if matches!(error, Error::NoMedium | Error::MediumChanged) {
        instance.look_again();
    }
    status(error)
}

unsafe extern "efiapi" fn reset(this: *mut block_io::Protocol, _extended: Boolean) -> Status {
    // A device that answers needs no reset.
    if this.is_null() { Status::INVALID_PARAMETER } else { Status::SUCCESS }
}

unsafe extern "efiapi" fn read_blocks(
    this: *mut block_io::Protocol,
    media_id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    unsafe {
        with_disk(this, Some((media_id, lba, length, buffer)), |disk| {
            // SAFETY: not null, and the caller's to be written for `length` bytes, which is checked before.
            disk.read(lba, slice::from_raw_parts_mut(buffer.cast(), length))
        })
    }
}

unsafe extern "efiapi" fn write_blocks(
    this: *mut block_io::Protocol,
    media_id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: as in `read_blocks`.
    unsafe {
        with_disk(this, Some((media_id, lba, length, buffer)), |disk| {
            // SAFETY: not null, and the caller's to be read for `length` bytes, which is checked before.
            disk.write(lba, slice::from_raw_parts(buffer.cast::<u8>(), length))
        })
    }
}

unsafe extern "efiapi" fn flush_blocks(this: *mut block_io::Protocol) -> Status {
    // SAFETY: as in `read_blocks`.
    unsafe { with_disk(this, None, Disk::flush) }
}
