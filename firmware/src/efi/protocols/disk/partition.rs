//! Partitions: a handle for each, with a device path, EFI_BLOCK_IO_PROTOCOL, EFI_BLOCK_IO2_PROTOCOL and
//! EFI_PARTITION_INFO_PROTOCOL (UEFI 2.11, 5.3.3, 13.3 and 13.18).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr;

use formats::device_path::{Builder, DevicePath};
use r_efi::efi::{self, Boolean, Guid, Handle, Lba, Status};
use r_efi::protocols::{block_io, device_path, disk_io, partition_info};
use storage::partitions::{self, Partition, Record};
use storage::{BlockDevice, Disk};
use uefi_core::handles::OpenRequest;

use super::super::super::image::path_bytes;
use super::super::super::services::{self, handle_from, open_protocol};
use super::super::block_io::check;
use super::super::block_io2::{self, BlockIo2};
use super::{Driver, EfiDisk, close, measure, open, taken_off, to_status};
use crate::log;

/// Types and sub-types of the nodes (UEFI 2.11, 10.3.5.1 and 10.3.5.2).
const MEDIA: u8 = 4;
const HARD_DRIVE: u8 = 1;
const CD_ROM: u8 = 2;

/// The driver of disks that are divided.
pub struct Partitions;

/// A partition's protocols.
#[repr(C)]
struct Child {
    /// First, so that a pointer to it is one to the whole.
    block_io: block_io::Protocol,
    media: block_io::Media,
    block_io2: Option<BlockIo2>,
    parent: *mut block_io::Protocol,
    start: u64,
    path: Vec<u8>,
    info: [u8; size_of::<partition_info::Protocol>()],
    /// PartitionTypeGUID of a GPT's partition, which is a protocol on its handle.
    type_guid: Option<Guid>,
}

impl Driver for Partitions {
    fn supported(&self, agent: Handle, controller: Handle) -> Result<(), Status> {
        open(agent, controller, &disk_io::PROTOCOL_GUID)?;
        close(agent, controller, &disk_io::PROTOCOL_GUID);
        services::interface(controller, &device_path::PROTOCOL_GUID)?;
        let block_io = services::interface(controller, &block_io::PROTOCOL_GUID)?;
        // SAFETY: the interface is installed for the time of the call.
        let is_partition = unsafe { EfiDisk::new(block_io.cast()) }?.is_partition();
        if is_partition { Err(Status::UNSUPPORTED) } else { Ok(()) }
    }

    fn start(&self, agent: Handle, controller: Handle) -> Result<(), Status> {
        open(agent, controller, &disk_io::PROTOCOL_GUID)?;
        let result = divide(agent, controller);
        if result.is_err() {
            measure::forget(controller);
            close(agent, controller, &disk_io::PROTOCOL_GUID);
        }
        result
    }

    fn stop(&self, agent: Handle, controller: Handle, children: &[Handle]) -> Result<(), Status> {
        for child in children {
            remove(agent, controller, *child)?;
        }
        if children.is_empty() {
            measure::forget(controller);
            close(agent, controller, &disk_io::PROTOCOL_GUID);
        }
        Ok(())
    }
}

/// Makes the handles of a disk's partitions. `NOT_FOUND` when it has none.
fn divide(agent: Handle, controller: Handle) -> Result<(), Status> {
    let block_io = services::interface(controller, &block_io::PROTOCOL_GUID)?.cast::<block_io::Protocol>();
    // SAFETY: the interface stays installed while this driver has EFI_DISK_IO_PROTOCOL of its handle open.
    let mut disk = Disk::new(unsafe { EfiDisk::new(block_io) }?).map_err(to_status)?;
    let found = partitions::read(&mut disk).map_err(|error| {
        log::warn!("partitions: {error}");
        match error {
            partitions::Error::Device(error) => to_status(error),
            partitions::Error::Gpt => Status::NOT_FOUND,
            partitions::Error::OutOfMemory => Status::OUT_OF_RESOURCES,
        }
    })?;
    if found.gpt.as_ref().is_some_and(partitions::Gpt::is_backup) {
        log::warn!("partitions: the primary GPT is not valid; its backup is used");
    }
    if let Some(gpt) = found.gpt {
        measure::keep(controller, gpt)?;
    }
    let mut made = false;
    for partition in &found.list {
        made |= add(agent, controller, block_io, &disk, partition)?;
    }
    if made { Ok(()) } else { Err(Status::NOT_FOUND) }
}

/// Makes the handle of a partition; false when it is there already.
fn add(
    agent: Handle,
    controller: Handle,
    parent: *mut block_io::Protocol,
    disk: &Disk<EfiDisk>,
    partition: &Partition,
) -> Result<bool, Status> {
    let parent_path = services::interface(controller, &device_path::PROTOCOL_GUID)?;
    // SAFETY: the interface of this protocol is a device path, and nothing runs while it is borrowed.
    let parent_path = unsafe { path_bytes(parent_path.cast()) }.ok_or(Status::UNSUPPORTED)?;
    let node = node(partition);
    let parent_path = DevicePath::parse(parent_path).map_err(|_| Status::UNSUPPORTED)?;
    let path = parent_path.append_node(&node).map_err(|_| Status::OUT_OF_RESOURCES)?;
    // SAFETY: as in `EfiDisk::new`, which found it sound.
    let mut media = unsafe { (*parent).media.read() };
    media.logical_partition = true;
    media.last_block = partition.blocks.saturating_sub(1);
    // The disk's to tell.
    (media.lowest_aligned_lba, media.logical_blocks_per_physical_block) = (0, 0);
    media.optimal_transfer_length_granularity = 0;
    media.block_size = disk.device().block_size() as u32;
    let mut child = Box::new(Child {
        block_io: block_io::Protocol {
            revision: block_io::REVISION3,
            media: ptr::null(),
            reset,
            read_blocks,
            write_blocks,
            flush_blocks,
        },
        media,
        block_io2: None,
        parent,
        start: partition.start,
        path,
        info: info(partition),
        type_guid: match &partition.record {
            Record::Gpt(entry) => Some(Guid::from_bytes(&entry.type_guid())),
            _ => None,
        },
    });
    child.block_io.media = &raw const child.media;
    let child = Box::into_raw(child);
    // SAFETY: the child was made above; it is freed by `remove`.
    let (path, second, info, type_guid) = unsafe {
        let second = (*child).block_io2.insert(BlockIo2::new(child.cast(), &raw const (*child).media));
        ((*child).path.as_mut_ptr(), &raw mut *second, (&raw mut (*child).info), (*child).type_guid.as_ref())
    };
    let handle = match services::install_protocol(None, &device_path::PROTOCOL_GUID, path.cast()) {
        Ok(handle) => handle,
        Err(status) => {
            // SAFETY: nothing of it is installed.
            drop(unsafe { Box::from_raw(child) });
            return Err(status);
        }
    };
    let mut installed = services::install_protocol(Some(handle), &block_io::PROTOCOL_GUID, child.cast());
    for (guid, interface) in
        [(&block_io2::PROTOCOL_GUID, second.cast::<c_void>()), (&partition_info::PROTOCOL_GUID, info.cast())]
    {
        installed = installed.and_then(|handle| services::install_protocol(Some(handle), guid, interface));
    }
    if let Some(guid) = type_guid {
        installed = installed.and_then(|handle| services::install_protocol(Some(handle), guid, ptr::null_mut()));
    }
    let request = OpenRequest {
        agent: Some(handle_from(agent)),
        controller: Some(handle_from(handle)),
        attributes: efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER,
    };
    installed?;
    measure::add_partition(controller, handle)?;
    open_protocol(controller, &disk_io::PROTOCOL_GUID, request)?;
    Ok(true)
}

/// Takes the protocols off a partition's handle again.
fn remove(agent: Handle, controller: Handle, handle: Handle) -> Result<(), Status> {
    let child = services::interface(handle, &block_io::PROTOCOL_GUID)?.cast::<Child>();
    // SAFETY: the handle is a child that `add` made for this driver, and its interface the child.
    let (path, second, info, type_guid) = unsafe {
        let second = (*child).block_io2.as_mut().map_or(ptr::null_mut(), |second| &raw mut *second);
        ((*child).path.as_mut_ptr(), second, (&raw mut (*child).info), (*child).type_guid)
    };
    // Those that others use come first: if they do not let one go, the partition stays whole.
    let second_off = services::uninstall_protocol(handle, &block_io2::PROTOCOL_GUID, second.cast());
    taken_off(second_off)?;
    if let Err(status) = services::uninstall_protocol(handle, &block_io::PROTOCOL_GUID, child.cast()) {
        if second_off.is_ok() {
            let _ = services::install_protocol(Some(handle), &block_io2::PROTOCOL_GUID, second.cast());
        }
        return Err(status);
    }
    // What a client has taken off itself is off.
    let _ = services::close_protocol(controller, &disk_io::PROTOCOL_GUID, agent, handle);
    if let Some(guid) = type_guid {
        let _ = services::uninstall_protocol(handle, &guid, ptr::null_mut());
    }
    taken_off(services::uninstall_protocol(handle, &partition_info::PROTOCOL_GUID, info.cast()))?;
    taken_off(services::uninstall_protocol(handle, &device_path::PROTOCOL_GUID, path.cast()))?;
    // SAFETY: none of its protocols is installed any more.
    drop(unsafe { Box::from_raw(child) });
    Ok(())
}

/// HD() or CDROM() of a partition.
fn node(partition: &Partition) -> Vec<u8> {
    const MBR: u8 = 1;
    const GPT: u8 = 2;
    let mut signature = [0; 16];
    let (number, start, blocks) = (partition.number, partition.start, partition.blocks);
    let kind = match &partition.record {
        Record::ElTorito { entry, start, length } => {
            let data = [&entry.to_le_bytes()[..], &start.to_le_bytes(), &length.to_le_bytes()];
            return only_node(Builder::new().node(MEDIA, CD_ROM, &data));
        }
        Record::Gpt(entry) => {
            signature = entry.unique_guid();
            GPT
        }
        Record::Mbr { signature: short, .. } => {
            signature.iter_mut().zip(short).for_each(|(to, from)| *to = *from);
            MBR
        }
    };
    // SignatureType has the same values: 1 for the 32 bits of an MBR, 2 for a GUID.
    let data = [&number.to_le_bytes()[..], &start.to_le_bytes(), &blocks.to_le_bytes(), &signature, &[kind], &[kind]];
    only_node(Builder::new().node(MEDIA, HARD_DRIVE, &data))
}

/// The node of a path that has one.
fn only_node(path: Builder) -> Vec<u8> {
    let mut bytes = path.finish().unwrap_or_default();
    bytes.truncate(bytes.len().saturating_sub(formats::device_path::HEADER_LEN));
    bytes
}

/// EFI_PARTITION_INFO_PROTOCOL of a partition.
fn info(partition: &Partition) -> [u8; size_of::<partition_info::Protocol>()] {
    let mut info = [0; size_of::<partition_info::Protocol>()];
    let (kind, record) = match &partition.record {
        Record::Gpt(entry) => (partition_info::TYPE_GPT, entry.bytes()),
        Record::Mbr { entry, .. } => (partition_info::TYPE_MBR, &entry[..]),
        Record::ElTorito { .. } => (partition_info::TYPE_OTHER, &[][..]),
    };
    let revision = partition_info::REVISION.to_le_bytes();
    let system = [u8::from(partition.is_system()), 0, 0, 0, 0, 0, 0, 0];
    let parts = revision.iter().chain(&kind.to_le_bytes()).chain(&system).chain(record).copied().collect::<Vec<u8>>();
    info.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    info
}

/// Brings a partition's description of the medium up to date, and passes a transfer that is within the partition on to
/// a member of the disk.
///
/// # Safety
/// `this` is null or an instance that `add` made; the buffer is as the member wants it.
unsafe fn transfer(
    this: *mut block_io::Protocol,
    media_id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
    member: impl FnOnce(&block_io::Protocol) -> block_io::ProtocolReadBlocks,
) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let child = this.cast::<Child>();
    // SAFETY: the caller's promise; the parent's interface is installed as long as its children are there.
    let (parent, media, start) = unsafe {
        let parent = (*child).parent;
        let from = (*parent).media;
        let media = &raw mut (*child).media;
        (*media).media_id = (*from).media_id;
        (&raw mut (*media).media_present).cast::<u8>().write((&raw const (*from).media_present).cast::<u8>().read());
        (&raw mut (*media).read_only).cast::<u8>().write((&raw const (*from).read_only).cast::<u8>().read());
        (parent, *media, (*child).start)
    };
    match check(&media, media_id, lba, length, buffer) {
        Ok(true) => {}
        Ok(false) => return Status::SUCCESS,
        Err(status) => return status,
    }
    let Some(lba) = start.checked_add(lba) else { return Status::INVALID_PARAMETER };
    // SAFETY: as above; the blocks are the partition's, the buffer is the caller's.
    unsafe { member(&*parent)(parent, media_id, lba, length, buffer) }
}

unsafe extern "efiapi" fn reset(this: *mut block_io::Protocol, extended: Boolean) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from, whose parent is installed.
    unsafe {
        let parent = (*this.cast::<Child>()).parent;
        ((*parent).reset)(parent, extended)
    }
}

unsafe extern "efiapi" fn read_blocks(
    this: *mut block_io::Protocol,
    media_id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from, and what the member wants.
    unsafe { transfer(this, media_id, lba, length, buffer, |parent| parent.read_blocks) }
}

unsafe extern "efiapi" fn write_blocks(
    this: *mut block_io::Protocol,
    media_id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: as in `read_blocks`.
    unsafe { transfer(this, media_id, lba, length, buffer, |parent| parent.write_blocks) }
}

unsafe extern "efiapi" fn flush_blocks(this: *mut block_io::Protocol) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: as in `reset`.
    unsafe {
        let parent = (*this.cast::<Child>()).parent;
        ((*parent).flush_blocks)(parent)
    }
}
