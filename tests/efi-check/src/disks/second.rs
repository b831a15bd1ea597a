//! EFI_BLOCK_IO2_PROTOCOL and EFI_DISK_IO2_PROTOCOL (UEFI 2.11, 13.8 and 13.10): what is done, or refused, with an event
//! and without.

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{Boolean, Event, Guid, Handle, Lba, Status};
use r_efi::protocols::{block_io, disk_io2};

use super::medium::{BLOCK, BLOCKS, LENGTH, Medium, START};
use crate::env::{self, bs};
use crate::report::{check, equal, failed, status};

pub const BLOCK_IO2: Guid =
    Guid::from_fields(0xa77b_2472, 0xe282, 0x4e9f, 0xa2, 0x45, &[0xc2, 0xc0, 0xe2, 0x7b, 0xbc, 0xc1]);

#[repr(C)]
pub struct Token {
    event: Event,
    status: Status,
}

pub type Transfer<P> = unsafe extern "efiapi" fn(*mut P, u32, Lba, *mut Token, usize, *mut c_void) -> Status;

#[repr(C)]
pub struct BlockIo2 {
    pub media: *const block_io::Media,
    pub reset: unsafe extern "efiapi" fn(*mut BlockIo2, Boolean) -> Status,
    pub read: Transfer<BlockIo2>,
    pub write: Transfer<BlockIo2>,
    pub flush: unsafe extern "efiapi" fn(*mut BlockIo2, *mut Token) -> Status,
}

#[repr(C)]
pub struct DiskIo2 {
    revision: u64,
    cancel: unsafe extern "efiapi" fn(*mut DiskIo2) -> Status,
    pub read: Transfer<DiskIo2>,
    pub write: Transfer<DiskIo2>,
    pub flush: unsafe extern "efiapi" fn(*mut DiskIo2, *mut Token) -> Status,
}

/// No status that a member gives.
const UNTOUCHED: Status = Status::CRC_ERROR;

/// A token with an event, which is closed again, for one request: what it returned, whether the event is signalled, and
/// the status in the token.
pub fn request(work: impl FnOnce(*mut Token) -> Status) -> (Status, bool, Status) {
    let mut event = ptr::null_mut();
    unsafe { (bs().create_event)(0, 0, None, ptr::null_mut(), &mut event) };
    let mut token = Token { event, status: UNTOUCHED };
    let is = work(&mut token);
    let signalled = unsafe { (bs().check_event)(event) } == Status::SUCCESS;
    unsafe { (bs().close_event)(event) };
    (is, signalled, token.status)
}

pub fn run(disk: Handle, partition: Handle, medium: *mut Medium) {
    blocks(partition, medium);
    bytes(disk, medium);
}

pub const DONE: (Status, bool, Status) = (Status::SUCCESS, true, Status::SUCCESS);

pub fn refused(status: Status) -> (Status, bool, Status) {
    (status, false, UNTOUCHED)
}

fn blocks(partition: Handle, medium: *mut Medium) {
    let io: *mut BlockIo2 = env::interface(partition, &BLOCK_IO2);
    if io.is_null() {
        return failed("BlockIo2: on a partition", format_args!("there is none"));
    }
    let b = unsafe { &*io };
    let first: *mut block_io::Protocol = env::interface(partition, &block_io::PROTOCOL_GUID);
    check("BlockIo2: the medium of block I/O", b.media == unsafe { (*first).media });
    status("BlockIo2: Reset", unsafe { (b.reset)(io, Boolean::FALSE) }, Status::SUCCESS);
    let buffer = env::pool(2 * BLOCK);
    let read = |id, lba, token, length| unsafe { (b.read)(io, id, lba, token, length, buffer.cast()) };
    equal("ReadBlocksEx", request(|token| read(7, 0, token, BLOCK)), DONE);
    let same = (0..BLOCK).all(|at| unsafe { *Medium::byte(medium, START * BLOCK + at) == buffer.add(at).read() });
    check("ReadBlocksEx: what is there", same);
    let last = LENGTH as u64 - 1;
    status("ReadBlocksEx: no token", read(7, last, ptr::null_mut(), BLOCK), Status::SUCCESS);
    let mut blocking = Token { event: ptr::null_mut(), status: UNTOUCHED };
    status("ReadBlocksEx: no event", read(7, last, &mut blocking, BLOCK), Status::SUCCESS);
    let beyond = request(|token| read(7, last, token, 2 * BLOCK));
    equal("ReadBlocksEx: beyond the partition", beyond, refused(Status::INVALID_PARAMETER));
    equal("ReadBlocksEx: part of a block", request(|token| read(7, 0, token, 9)), refused(Status::BAD_BUFFER_SIZE));
    equal("ReadBlocksEx: another medium", request(|token| read(8, 0, token, BLOCK)), refused(Status::MEDIA_CHANGED));
    equal("ReadBlocksEx: nothing", request(|token| read(7, 0, token, 0)), DONE);
    unsafe { (*medium).fails = true };
    let fails = (Status::SUCCESS, true, Status::DEVICE_ERROR);
    equal("ReadBlocksEx: the device fails", request(|token| read(7, 0, token, BLOCK)), fails);
    status("ReadBlocksEx: it fails, no event", read(7, 0, &mut blocking, BLOCK), Status::DEVICE_ERROR);
    unsafe { (*medium).fails = false };
    let write = |token, length| unsafe { (b.write)(io, 7, last, token, length, buffer.cast()) };
    unsafe { buffer.write_bytes(0x5a, BLOCK) };
    equal("WriteBlocksEx", request(|token| write(token, BLOCK)), DONE);
    let at = (START + LENGTH - 1) * BLOCK;
    check("WriteBlocksEx: what was written", unsafe { *Medium::byte(medium, at + BLOCK - 1) } == 0x5a);
    equal("WriteBlocksEx: beyond", request(|token| write(token, 2 * BLOCK)), refused(Status::INVALID_PARAMETER));
    equal("FlushBlocksEx", request(|token| unsafe { (b.flush)(io, token) }), DONE);
    env::free(buffer);
}

fn bytes(disk: Handle, medium: *mut Medium) {
    let io: *mut DiskIo2 = env::interface(disk, &disk_io2::PROTOCOL_GUID);
    if io.is_null() {
        return failed("DiskIo2: beside block I/O", format_args!("there is none"));
    }
    let d = unsafe { &*io };
    equal("DiskIo2: revision", d.revision, 0x2_0000);
    status("DiskIo2: Cancel", unsafe { (d.cancel)(io) }, Status::SUCCESS);
    let mut buffer = [0u8; 700];
    let mut read =
        |id, offset, token, length| unsafe { (d.read)(io, id, offset, token, length, buffer.as_mut_ptr().cast()) };
    equal("ReadDiskEx", request(|token| read(7, 500, token, 700)), DONE);
    let end = (BLOCKS * BLOCK) as u64;
    equal("ReadDiskEx: beyond", request(|token| read(7, end - 1, token, 2)), refused(Status::INVALID_PARAMETER));
    equal("ReadDiskEx: another medium", request(|token| read(8, 0, token, 1)), refused(Status::MEDIA_CHANGED));
    status("ReadDiskEx: no token", read(7, 500, ptr::null_mut(), 700), Status::SUCCESS);
    let same = (0..700).all(|at| unsafe { *Medium::byte(medium, 500 + at) } == buffer[at]);
    check("ReadDiskEx: what is there", same);
    let offset = START * BLOCK - 700;
    let mut text = *b"by the second";
    let write =
        |token: *mut Token| unsafe { (d.write)(io, 7, offset as u64, token, text.len(), text.as_mut_ptr().cast()) };
    equal("WriteDiskEx", request(write), DONE);
    let same = (0..text.len()).all(|at| unsafe { *Medium::byte(medium, offset + at) } == text[at]);
    check("WriteDiskEx: what was written", same);
    equal("FlushDiskEx", request(|token| unsafe { (d.flush)(io, token) }), DONE);
    let odd = ptr::without_provenance_mut(5);
    status("FlushDiskEx: a token that is none", unsafe { (d.flush)(io, odd) }, Status::INVALID_PARAMETER);
    unsafe { (*medium).media.media_present = false };
    equal("FlushDiskEx: no medium", request(|token| unsafe { (d.flush)(io, token) }), refused(Status::NO_MEDIA));
    unsafe { (*medium).media.media_present = true };
}
