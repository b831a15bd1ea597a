//! Disks (UEFI 2.11, chapter 13): a block device of this program, and what the firmware's drivers make of it: byte
//! access, a partition and a file system.

mod files;
pub mod machine;
mod medium;
mod second;

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{self, Guid, Handle, Status};
use r_efi::protocols::{block_io, device_path, disk_io, disk_io2, partition_info, simple_file_system};

use crate::env::{self, bs};
use crate::report::{check, equal, failed, status};
use medium::{BLOCK, ESP, LENGTH, Medium, PARTITION, START};

/// VenHw(...) with an end.
static mut PATH: [u8; 24] = *b"\x01\x04\x14\0efi-check's disk\x7f\xff\x04\0";

fn install(handle: &mut Handle, guid: &Guid, interface: *mut c_void) -> Status {
    let mut guid = *guid;
    unsafe { (bs().install_protocol_interface)(handle, &mut guid, efi::NATIVE_INTERFACE, interface) }
}

fn uninstall(handle: Handle, guid: &Guid, interface: *mut c_void) -> Status {
    let mut guid = *guid;
    unsafe { (bs().uninstall_protocol_interface)(handle, &mut guid, interface) }
}

/// The partition's handle: the one with a block I/O protocol whose path goes on where the disk's ends.
fn partition_of(disk: Handle) -> Option<Handle> {
    let (mut count, mut list) = (0, ptr::null_mut());
    let mut guid = block_io::PROTOCOL_GUID;
    let null = ptr::null_mut();
    unsafe { (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut guid, null, &mut count, &mut list) };
    let found = (0..count).map(|index| unsafe { list.add(index).read() }).find(|&handle| {
        let path: *const u8 = env::interface(handle, &device_path::PROTOCOL_GUID);
        handle != disk && !path.is_null() && (0..20).all(|at| unsafe { path.add(at).read() == PATH[at] })
    });
    env::free(list.cast());
    found
}

pub fn run() {
    let medium = Medium::new();
    let mut disk = ptr::null_mut();
    install(&mut disk, &device_path::PROTOCOL_GUID, (&raw mut PATH).cast());
    install(&mut disk, &block_io::PROTOCOL_GUID, medium.cast());
    check("disks: nothing is read before they are connected", unsafe { (*medium).reads } == 0);
    let is = unsafe { (bs().connect_controller)(disk, ptr::null_mut(), ptr::null_mut(), true.into()) };
    status("ConnectController: disk", is, Status::SUCCESS);
    bytes(disk, medium);
    match partition_of(disk) {
        Some(partition) => {
            blocks(partition, medium);
            second::run(disk, partition, medium);
            files::run(partition, medium);
        }
        None => failed("partitions: a handle", format_args!("there is none")),
    }
    if let Some(partition) = partition_of(disk) {
        held(disk, partition);
    }
    status("DisconnectController: disk", disconnect(disk), Status::SUCCESS);
    check("DisconnectController: the partition is gone", partition_of(disk).is_none());
    let left: *mut c_void = env::interface(disk, &disk_io::PROTOCOL_GUID);
    check("DisconnectController: disk I/O is gone", left.is_null());
    backup(disk, medium);
    status("disks: block I/O is let go", uninstall(disk, &block_io::PROTOCOL_GUID, medium.cast()), Status::SUCCESS);
    uninstall(disk, &device_path::PROTOCOL_GUID, (&raw mut PATH).cast());
    Medium::release(medium);
}

fn disconnect(disk: Handle) -> Status {
    unsafe { (bs().disconnect_controller)(disk, ptr::null_mut(), ptr::null_mut()) }
}

/// As long as a child of somebody else's uses a protocol, what offers it stays, whole.
fn held(disk: Handle, partition: Handle) {
    let (agent, child) = (env::image(), env::loaded_image().device_handle);
    let child = if child.is_null() { agent } else { child };
    let held = |name: &str, handle, guid: &Guid| {
        let (mut guid, mut interface) = (*guid, ptr::null_mut());
        let attributes = efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER;
        let is = unsafe { (bs().open_protocol)(handle, &mut guid, &mut interface, agent, child, attributes) };
        status(name, is, Status::SUCCESS);
        let refused = disconnect(disk);
        unsafe { (bs().close_protocol)(handle, &mut guid, agent, child) };
        check(name, refused.is_error());
        equal(name, partition_of(disk), Some(partition));
        let guids = [
            block_io::PROTOCOL_GUID,
            second::BLOCK_IO2,
            partition_info::PROTOCOL_GUID,
            Guid::from_bytes(&ESP),
            disk_io::PROTOCOL_GUID,
            disk_io2::PROTOCOL_GUID,
            simple_file_system::PROTOCOL_GUID,
        ];
        let missing = guids.iter().position(|guid| !has(partition, guid));
        equal(name, missing, None);
        let io: *mut block_io::Protocol = env::interface(partition, &block_io::PROTOCOL_GUID);
        let mut buffer = Buffer([0; 2 * BLOCK]);
        let is = unsafe { ((*io).read_blocks)(io, 7, 0, BLOCK, buffer.0.as_mut_ptr().cast()) };
        status(name, is, Status::SUCCESS);
    };
    held("disks: a partition's block I/O is used", partition, &block_io::PROTOCOL_GUID);
    held("disks: its second block I/O is used", partition, &second::BLOCK_IO2);
    held("disks: its disk I/O is used", partition, &disk_io::PROTOCOL_GUID);
    held("disks: its second disk I/O is used", partition, &disk_io2::PROTOCOL_GUID);
    held("disks: its file system is used", partition, &simple_file_system::PROTOCOL_GUID);

    // The drivers above let go of the disk, and are connected again.
    let (mut guid, mut interface) = (disk_io2::PROTOCOL_GUID, ptr::null_mut());
    let attributes = efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER;
    unsafe { (bs().open_protocol)(disk, &mut guid, &mut interface, agent, child, attributes) };
    status("DisconnectController: disk I/O is used", disconnect(disk), Status::SUCCESS);
    unsafe { (bs().close_protocol)(disk, &mut guid, agent, child) };
    let is = (partition_of(disk), has(disk, &disk_io::PROTOCOL_GUID), has(disk, &disk_io2::PROTOCOL_GUID));
    equal("DisconnectController: disk I/O stays, both of it", is, (None, true, true));
    let is = unsafe { (bs().connect_controller)(disk, ptr::null_mut(), ptr::null_mut(), true.into()) };
    status("ConnectController: disk, again", is, Status::SUCCESS);
    check("ConnectController: the partition, again", partition_of(disk).is_some());
}

fn has(handle: Handle, guid: &Guid) -> bool {
    let mut guid = *guid;
    let (null, test) = (ptr::null_mut(), efi::OPEN_PROTOCOL_TEST_PROTOCOL);
    unsafe { (bs().open_protocol)(handle, &mut guid, ptr::null_mut(), env::image(), null, test) == Status::SUCCESS }
}

/// A spoiled primary GPT: the backup gives the same partition. Taking block I/O away takes the partition away.
fn backup(mut disk: Handle, medium: *mut Medium) {
    unsafe { *Medium::byte(medium, BLOCK + 60) ^= 1 };
    let connect = || unsafe { (bs().connect_controller)(disk, ptr::null_mut(), ptr::null_mut(), true.into()) };
    connect();
    check("GPT: the backup counts when the first is bad", partition_of(disk).is_some());
    let is = uninstall(disk, &block_io::PROTOCOL_GUID, medium.cast());
    status("disks: block I/O is taken from its drivers", is, Status::SUCCESS);
    check("disks: a partition goes with its disk", partition_of(disk).is_none());
    unsafe { *Medium::byte(medium, (medium::BLOCKS - 1) * BLOCK + 60) ^= 1 };
    install(&mut disk, &block_io::PROTOCOL_GUID, medium.cast());
    unsafe { (bs().connect_controller)(disk, ptr::null_mut(), ptr::null_mut(), true.into()) };
    check("GPT: none when both are bad", partition_of(disk).is_none());
}

fn bytes(disk: Handle, medium: *mut Medium) {
    let io: *mut disk_io::Protocol = env::interface(disk, &disk_io::PROTOCOL_GUID);
    if io.is_null() {
        return failed("DiskIo: beside block I/O", format_args!("there is none"));
    }
    let mut buffer = [0u8; 1500];
    let mut read = |id: u32, offset: u64, at: usize, length: usize| {
        let status = unsafe { ((*io).read_disk)(io, id, offset, length, buffer.as_mut_ptr().add(at).cast()) };
        let same =
            (0..length).all(|index| unsafe { *Medium::byte(medium, offset as usize + index) } == buffer[at + index]);
        (status, same)
    };
    equal("ReadDisk: over blocks, to any address", read(7, 511, 1, 1400), (Status::SUCCESS, true));
    equal("ReadDisk: whole blocks to an odd address", read(7, 512, 3, 1024), (Status::SUCCESS, true));
    equal("ReadDisk: another medium", read(8, 0, 0, 512).0, Status::MEDIA_CHANGED);
    let end = (medium::BLOCKS * BLOCK) as u64;
    equal("ReadDisk: beyond the end", read(7, end - 10, 0, 11).0, Status::INVALID_PARAMETER);
    equal("ReadDisk: to the end", read(7, end - 10, 0, 10), (Status::SUCCESS, true));
    let offset = START as u64 * BLOCK as u64 - 700;
    let mut text = *b"between blocks";
    let is = unsafe { ((*io).write_disk)(io, 7, offset, text.len(), text.as_mut_ptr().cast()) };
    status("WriteDisk: inside a block", is, Status::SUCCESS);
    let same = (0..text.len()).all(|at| unsafe { *Medium::byte(medium, offset as usize + at) } == text[at]);
    check("WriteDisk: what was written", same);
    unsafe { (*medium).media.read_only = true };
    let is = unsafe { ((*io).write_disk)(io, 7, offset, text.len(), text.as_mut_ptr().cast()) };
    status("WriteDisk: read-only", is, Status::WRITE_PROTECTED);
    unsafe {
        (*medium).media.read_only = false;
        (*medium).media.media_present = false;
    }
    let is = unsafe { ((*io).read_disk)(io, 7, 0, 1, text.as_mut_ptr().cast()) };
    status("ReadDisk: no medium", is, Status::NO_MEDIA);
    unsafe { (*medium).media.media_present = true };
}

#[repr(align(8))]
struct Buffer([u8; 2 * BLOCK]);

fn blocks(partition: Handle, medium: *mut Medium) {
    let path: *const u8 = env::interface(partition, &device_path::PROTOCOL_GUID);
    let node = |at: usize| unsafe { path.add(20 + at).read() };
    let number = |at: usize| (0..8).fold(0u64, |all, byte| all | u64::from(node(at + byte)) << (8 * byte));
    equal("HD(): type and length", [node(0), node(1), node(2), node(3)], [4, 1, 42, 0]);
    equal("HD(): number", number(4) as u32, 1);
    equal("HD(): start and size", (number(8), number(16)), (START as u64, LENGTH as u64));
    check("HD(): signature", (0..16).all(|at| node(24 + at) == PARTITION[at]));
    equal("HD(): format and signature type", (node(40), node(41)), (2, 2));
    let info: *const u8 = env::interface(partition, &partition_info::PROTOCOL_GUID);
    if info.is_null() {
        failed("PartitionInfo", format_args!("there is none"));
    } else {
        let byte = |at: usize| unsafe { info.add(at).read() };
        equal("PartitionInfo: revision, type, system", (byte(1), byte(4), byte(8)), (0x10, 2, 1));
        check("PartitionInfo: the entry", (0..16).all(|at| byte(16 + at) == ESP[at] && byte(32 + at) == PARTITION[at]));
    }
    let (mut esp, mut found) = (Guid::from_bytes(&ESP), ptr::null_mut());
    let is = unsafe { (bs().handle_protocol)(partition, &mut esp, &mut found) };
    status("partition type GUID as a protocol", is, Status::SUCCESS);

    let io: *mut block_io::Protocol = env::interface(partition, &block_io::PROTOCOL_GUID);
    let media = unsafe { *(*io).media };
    equal("partition: last block", media.last_block, LENGTH as u64 - 1);
    check("partition: logical", media.logical_partition && media.media_present && media.block_size == 512);
    let hints = (media.lowest_aligned_lba, media.logical_blocks_per_physical_block);
    equal("partition: physical blocks are the disk's to tell", hints, (0, 0));
    equal("partition: optimal length, likewise", media.optimal_transfer_length_granularity, 0);
    let mut buffer = Buffer([0; 2 * BLOCK]);
    let mut read = |id: u32, lba: u64, length: usize| unsafe {
        ((*io).read_blocks)(io, id, lba, length, buffer.0.as_mut_ptr().cast())
    };
    status("ReadBlocks: partition", read(7, 0, 2 * BLOCK), Status::SUCCESS);
    status("ReadBlocks: last block", read(7, LENGTH as u64 - 1, BLOCK), Status::SUCCESS);
    status("ReadBlocks: beyond the partition", read(7, LENGTH as u64 - 1, 2 * BLOCK), Status::INVALID_PARAMETER);
    status("ReadBlocks: so far beyond that it wraps", read(7, u64::MAX - 1, BLOCK), Status::INVALID_PARAMETER);
    status("ReadBlocks: part of a block", read(7, 0, 100), Status::BAD_BUFFER_SIZE);
    status("ReadBlocks: nothing", read(7, 0, 0), Status::SUCCESS);
    status("ReadBlocks: another medium", read(8, 0, BLOCK), Status::MEDIA_CHANGED);
    status("ReadBlocks: first block again", read(7, 0, BLOCK), Status::SUCCESS);
    let same = (0..BLOCK).all(|at| unsafe { *Medium::byte(medium, START * BLOCK + at) } == buffer.0[at]);
    check("ReadBlocks: what is there", same);
    let is = unsafe { ((*io).write_blocks)(io, 7, 0, BLOCK, buffer.0.as_mut_ptr().cast()) };
    status("WriteBlocks: partition", is, Status::SUCCESS);
    let io: *mut disk_io::Protocol = env::interface(partition, &disk_io::PROTOCOL_GUID);
    check("DiskIo: on a partition", !io.is_null());
    let volume: *mut simple_file_system::Protocol = env::interface(partition, &simple_file_system::PROTOCOL_GUID);
    check("SimpleFileSystem: on a partition", !volume.is_null());
}
