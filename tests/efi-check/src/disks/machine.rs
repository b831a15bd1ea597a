//! The machine's own disks (UEFI 2.11, 13.7 to 13.10), which may be written to: what the firmware says of each, and that
//! every protocol reads and writes the same blocks.

use core::ptr;

use r_efi::efi::{Boolean, Handle, Status};
use r_efi::protocols::{block_io, disk_io, disk_io2};

use super::second::{BLOCK_IO2, BlockIo2, DONE, DiskIo2, refused, request};
use crate::env::{self, bs};
use crate::pci::handles;
use crate::report::{check, equal, failed, say, status};

/// More than the firmware moves in one request.
const MUCH: usize = 4 << 20;

/// A disk with its protocols.
struct Disk {
    media: block_io::Media,
    io: *mut block_io::Protocol,
    io2: *mut BlockIo2,
    bytes: *mut disk_io::Protocol,
    bytes2: *mut DiskIo2,
    buffer: *mut u8,
}

pub fn run() {
    let mut count = 0;
    for &handle in handles(&block_io::PROTOCOL_GUID) {
        let io: *mut block_io::Protocol = env::interface(handle, &block_io::PROTOCOL_GUID);
        let media = unsafe { *(*io).media };
        if !media.logical_partition {
            count += 1;
            disk(handle, io, media);
        }
    }
    check("disks: there are some", count != 0);
}

fn disk(handle: Handle, io: *mut block_io::Protocol, media: block_io::Media) {
    let kind = match (media.media_present, media.read_only) {
        (false, _) => "empty",
        (true, false) => "writable",
        (true, true) => "read-only",
    };
    say!("# disk: {} blocks of {}, {kind}", media.last_block + 1, media.block_size);
    // The firmware may have done that already.
    unsafe { (bs().connect_controller)(handle, ptr::null_mut(), ptr::null_mut(), false.into()) };
    let disk = Disk {
        media,
        io,
        io2: env::interface(handle, &BLOCK_IO2),
        bytes: env::interface(handle, &disk_io::PROTOCOL_GUID),
        bytes2: env::interface(handle, &disk_io2::PROTOCOL_GUID),
        buffer: env::pool(MUCH + 4096),
    };
    if disk.io2.is_null() || disk.bytes.is_null() || disk.bytes2.is_null() {
        return failed("a disk's protocols", format_args!("{:?} {:?}", disk.io2, disk.bytes));
    }
    check("BlockIo2: the medium of block I/O, too", unsafe { (*disk.io2).media == (*io).media });
    status("Reset", unsafe { ((*io).reset)(io, Boolean::TRUE) }, Status::SUCCESS);
    status("BlockIo2: Reset, too", unsafe { ((*disk.io2).reset)(disk.io2, Boolean::FALSE) }, Status::SUCCESS);
    match kind {
        "empty" => disk.has_no_medium(),
        "writable" => disk.is_written(),
        _ => disk.is_protected(),
    }
    env::free(disk.buffer);
}

impl Disk {
    fn block(&self) -> usize {
        self.media.block_size as usize
    }

    fn read(&self, id: u32, lba: u64, length: usize) -> Status {
        unsafe { ((*self.io).read_blocks)(self.io, id, lba, length, self.buffer.cast()) }
    }

    fn write(&self, lba: u64, length: usize) -> Status {
        unsafe { ((*self.io).write_blocks)(self.io, self.media.media_id, lba, length, self.buffer.cast()) }
    }

    fn flush(&self) -> Status {
        unsafe { ((*self.io).flush_blocks)(self.io) }
    }

    fn write_ex(&self, lba: u64, length: usize) -> (Status, bool, Status) {
        let id = self.media.media_id;
        request(|token| unsafe { ((*self.io2).write)(self.io2, id, lba, token, length, self.buffer.cast()) })
    }

    fn read_ex(&self, lba: u64, length: usize) -> (Status, bool, Status) {
        let id = self.media.media_id;
        request(|token| unsafe { ((*self.io2).read)(self.io2, id, lba, token, length, self.buffer.cast()) })
    }

    fn flush_ex(&self) -> (Status, bool, Status) {
        request(|token| unsafe { ((*self.io2).flush)(self.io2, token) })
    }

    fn write_bytes(&self, offset: u64, length: usize) -> (Status, (Status, bool, Status)) {
        let (id, buffer) = (self.media.media_id, self.buffer.cast());
        let is = unsafe { ((*self.bytes).write_disk)(self.bytes, id, offset, length, buffer) };
        let second = request(|token| unsafe { ((*self.bytes2).write)(self.bytes2, id, offset, token, length, buffer) });
        (is, second)
    }

    fn fill(&self, byte: u8) {
        unsafe { self.buffer.write_bytes(byte, MUCH + 4096) };
    }

    /// Whether a part of the buffer is all of one byte.
    fn holds(&self, from: usize, to: usize, byte: u8) -> bool {
        (from..to).all(|at| unsafe { self.buffer.add(at).read() } == byte)
    }

    /// What is wrong with the medium comes before what is wrong with the request.
    fn has_no_medium(&self) {
        let id = self.media.media_id;
        let statuses = [self.read(id, 0, self.block()), self.read(id, 5, 1), self.read(id, 0, 0), self.write(0, 0)];
        equal("ReadBlocks, WriteBlocks: no medium", statuses, [Status::NO_MEDIA; 4]);
        equal("ReadBlocksEx: no medium", self.read_ex(0, 512), refused(Status::NO_MEDIA));
        equal("WriteBlocksEx: no medium", self.write_ex(0, 512), refused(Status::NO_MEDIA));
        status("FlushBlocks: no medium", self.flush(), Status::NO_MEDIA);
        equal("FlushBlocksEx: no medium", self.flush_ex(), refused(Status::NO_MEDIA));
        let written = self.write_bytes(0, 1);
        equal("WriteDisk, WriteDiskEx: no medium", written, (Status::NO_MEDIA, refused(Status::NO_MEDIA)));
        let flushed = request(|token| unsafe { ((*self.bytes2).flush)(self.bytes2, token) });
        equal("FlushDiskEx: no medium in it", flushed, refused(Status::NO_MEDIA));
    }

    fn is_protected(&self) {
        let id = self.media.media_id;
        status("ReadBlocks: read-only", self.read(id, self.media.last_block, self.block()), Status::SUCCESS);
        status("WriteBlocks: read-only", self.write(0, self.block()), Status::WRITE_PROTECTED);
        equal("WriteBlocksEx: read-only", self.write_ex(0, self.block()), refused(Status::WRITE_PROTECTED));
        let written = self.write_bytes(700, 5);
        equal("WriteDisk: read-only", written, (Status::WRITE_PROTECTED, refused(Status::WRITE_PROTECTED)));
    }

    fn is_written(&self) {
        let (id, last, block) = (self.media.media_id, self.media.last_block, self.block());
        self.fill(0x5a);
        equal("WriteBlocksEx: last block", self.write_ex(last, block), DONE);
        equal("FlushBlocksEx: a disk of the machine", self.flush_ex(), DONE);
        status("FlushBlocks", self.flush(), Status::SUCCESS);
        self.fill(0);
        status("ReadBlocks: last blocks", self.read(id, last - 1, 2 * block), Status::SUCCESS);
        check("ReadBlocks: what was written", self.holds(0, block, 0) && self.holds(block, 2 * block, 0x5a));
        // From amid the last block but one to amid the last.
        let offset = last * block as u64 - 9;
        self.fill(0xc3);
        equal("WriteDisk: over blocks", self.write_bytes(offset, 20), (Status::SUCCESS, DONE));
        self.fill(0);
        equal("ReadBlocksEx: last blocks", self.read_ex(last - 1, 2 * block), DONE);
        let parts = self.holds(0, block - 9, 0) && self.holds(block + 11, 2 * block, 0x5a);
        check("WriteDisk: the rest stays", parts && self.holds(block - 9, block + 11, 0xc3));
        self.fill(0);
        let (bytes, buffer) = (self.bytes, self.buffer.cast());
        let is = unsafe { ((*bytes).read_disk)(bytes, id, offset + 5, 15, buffer) };
        status("ReadDisk: over blocks", is, Status::SUCCESS);
        check("ReadDisk: what was written", self.holds(0, 15, 0xc3) && self.holds(15, 20, 0));
        // More than fits one request, and in each block its number.
        let number = |at: usize| (at / block % 251) as u8;
        (0..MUCH + block).for_each(|at| unsafe { self.buffer.add(at).write(number(at)) });
        status("WriteBlocks: much", self.write(1, MUCH + block), Status::SUCCESS);
        self.fill(0);
        status("ReadBlocks: much", self.read(id, 1, MUCH + block), Status::SUCCESS);
        check("ReadBlocks: all of it", (0..MUCH + block).all(|at| unsafe { self.buffer.add(at).read() } == number(at)));
        let odd = unsafe { self.buffer.add(1) };
        let is = unsafe { ((*self.io).read_blocks)(self.io, id, 2, MUCH, odd.cast()) };
        status("ReadBlocks: to an odd address", is, Status::SUCCESS);
        check("ReadBlocks: there, too", (0..MUCH).all(|at| unsafe { odd.add(at).read() } == number(at + block)));
        let is = unsafe { ((*self.io).write_blocks)(self.io, id, 1, MUCH, odd.cast()) };
        status("WriteBlocks: from an odd address", is, Status::SUCCESS);
        self.fill(0);
        status("ReadBlocks: what was there", self.read(id, 1, MUCH), Status::SUCCESS);
        let same = (0..MUCH).all(|at| unsafe { self.buffer.add(at).read() } == number(at + block));
        check("WriteBlocks: all of it", same);
        // Of what goes beyond the end, nothing is written.
        let start = last + 1 - (MUCH / block) as u64;
        status("WriteBlocks: beyond the end", self.write(start, MUCH + block), Status::INVALID_PARAMETER);
        equal("WriteBlocksEx: beyond the end", self.write_ex(last + 1, block), refused(Status::INVALID_PARAMETER));
        equal("ReadBlocksEx: beyond the end", self.read_ex(last, 2 * block), refused(Status::INVALID_PARAMETER));
        status("ReadBlocks: so far that it wraps", self.read(id, u64::MAX, block), Status::INVALID_PARAMETER);
        self.fill(0x11);
        status("ReadBlocks: what was not written", self.read(id, start, block), Status::SUCCESS);
        check("WriteBlocks: nothing of what goes beyond", self.holds(0, block, 0));
        status("ReadBlocks: part of a block, of a disk", self.read(id, 0, block - 1), Status::BAD_BUFFER_SIZE);
        status("ReadBlocks: not its medium", self.read(id.wrapping_sub(1), last + 1, 1), Status::MEDIA_CHANGED);
    }
}
