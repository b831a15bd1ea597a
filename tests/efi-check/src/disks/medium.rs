//! A disk in this program's memory, behind a block I/O protocol of its own: a GPT with one EFI System Partition, which
//! is a FAT12 volume.

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{Boolean, Lba, Status};
use r_efi::protocols::block_io;

use crate::env::{self, bs};

pub const BLOCK: usize = 512;
pub const BLOCKS: usize = 512;
/// The partition.
pub const START: usize = 64;
pub const LENGTH: usize = 384;
/// The volume: one boot sector, two FATs of two sectors, four sectors of root directory, then clusters of one sector.
pub const FAT_SECTORS: usize = 2;
pub const ROOT_ENTRIES: usize = 64;
pub const CLUSTERS: usize = LENGTH - 1 - 2 * FAT_SECTORS - 4;

pub const ESP: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
pub const PARTITION: [u8; 16] = *b"efi-check's ESP.";

/// The disk: its protocol, then what that needs.
#[repr(C)]
pub struct Medium {
    pub protocol: block_io::Protocol,
    pub media: block_io::Media,
    bytes: *mut u8,
    pub reads: usize,
    pub flushes: usize,
    /// Whether the device answers every request with an error.
    pub fails: bool,
}

impl Medium {
    /// Makes a disk with the partition table and an empty volume.
    pub fn new() -> *mut Self {
        let bytes = env::pool(BLOCK * BLOCKS);
        let medium: *mut Self = env::pool(size_of::<Self>()).cast();
        let media = block_io::Media {
            media_id: 7,
            removable_media: true,
            media_present: true,
            logical_partition: false,
            read_only: false,
            write_caching: false,
            block_size: BLOCK as u32,
            io_align: 4,
            last_block: BLOCKS as u64 - 1,
            lowest_aligned_lba: 3,
            logical_blocks_per_physical_block: 8,
            optimal_transfer_length_granularity: 16,
        };
        let protocol = block_io::Protocol {
            revision: block_io::REVISION3,
            media: ptr::null(),
            reset,
            read_blocks,
            write_blocks,
            flush_blocks,
        };
        unsafe {
            bytes.write_bytes(0, BLOCK * BLOCKS);
            medium.write(Self { protocol, media, bytes, reads: 0, flushes: 0, fails: false });
            (*medium).protocol.media = &raw const (*medium).media;
        }
        let disk = Bytes(bytes);
        disk.partition();
        disk.format();
        medium
    }

    pub fn release(medium: *mut Self) {
        env::free(unsafe { (*medium).bytes });
        env::free(medium.cast());
    }

    /// How many clusters the first FAT has as free.
    pub fn free_clusters(medium: *mut Self) -> usize {
        let entry = |cluster: usize| {
            let at = (START + 1) * BLOCK + cluster + cluster / 2;
            let pair = unsafe { [*Self::byte(medium, at), *Self::byte(medium, at + 1)] };
            u16::from_le_bytes(pair) >> (cluster % 2 * 4) & 0xfff
        };
        (2..CLUSTERS + 2).filter(|cluster| entry(*cluster) == 0).count()
    }

    /// A byte of the disk.
    pub fn byte(medium: *mut Self, at: usize) -> *mut u8 {
        unsafe { (*medium).bytes.add(at) }
    }
}

struct Bytes(*mut u8);

impl Bytes {
    fn put(&self, at: usize, bytes: &[u8]) {
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(at), bytes.len()) };
    }

    fn sum(&self, at: usize, length: usize) -> u32 {
        let mut sum = 0;
        unsafe { (bs().calculate_crc32)(self.0.add(at).cast(), length, &mut sum) };
        sum
    }

    fn partition(&self) {
        self.put(446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
        self.put(458, &(BLOCKS as u32 - 1).to_le_bytes());
        self.put(510, &[0x55, 0xaa]);
        let last = BLOCKS - 1;
        for (own, other, array) in [(1, last, 2), (last, 1, last - 32)] {
            let entry = array * BLOCK;
            self.put(entry, &ESP);
            self.put(entry + 16, &PARTITION);
            self.put(entry + 32, &(START as u64).to_le_bytes());
            self.put(entry + 40, &((START + LENGTH - 1) as u64).to_le_bytes());
            let header = own * BLOCK;
            self.put(header, b"EFI PART\0\0\x01\0\x5c\0\0\0");
            self.put(header + 24, &(own as u64).to_le_bytes());
            self.put(header + 32, &(other as u64).to_le_bytes());
            self.put(header + 40, &34u64.to_le_bytes());
            self.put(header + 48, &((last - 33) as u64).to_le_bytes());
            self.put(header + 56, b"efi-check's disk");
            self.put(header + 72, &(array as u64).to_le_bytes());
            self.put(header + 80, &128u32.to_le_bytes());
            self.put(header + 84, &128u32.to_le_bytes());
            self.put(header + 88, &self.sum(entry, 128 * 128).to_le_bytes());
            self.put(header + 16, &self.sum(header, 92).to_le_bytes());
        }
    }

    fn format(&self) {
        let at = START * BLOCK;
        self.put(at, b"\xeb\x3c\x90efi-chec");
        self.put(at + 11, &(BLOCK as u16).to_le_bytes());
        self.put(at + 13, &[1, 1, 0, 2]);
        self.put(at + 17, &(ROOT_ENTRIES as u16).to_le_bytes());
        self.put(at + 19, &(LENGTH as u16).to_le_bytes());
        self.put(at + 21, &[0xf8]);
        self.put(at + 22, &(FAT_SECTORS as u16).to_le_bytes());
        self.put(at + 510, &[0x55, 0xaa]);
        for copy in 0..2 {
            self.put(at + (1 + copy * FAT_SECTORS) * BLOCK, &[0xf8, 0xff, 0xff]);
        }
    }
}

/// The place of a transfer in memory, when the protocol allows it.
unsafe fn place(this: *mut block_io::Protocol, id: u32, lba: Lba, length: usize) -> Result<*mut u8, Status> {
    let medium: *mut Medium = this.cast();
    let media = unsafe { (*medium).media };
    let end = lba as usize + length / BLOCK;
    match () {
        () if !media.media_present => Err(Status::NO_MEDIA),
        () if media.media_id != id => Err(Status::MEDIA_CHANGED),
        () if unsafe { (*medium).fails } => Err(Status::DEVICE_ERROR),
        () if !length.is_multiple_of(BLOCK) => Err(Status::BAD_BUFFER_SIZE),
        () if end > BLOCKS => Err(Status::INVALID_PARAMETER),
        () => Ok(Medium::byte(medium, lba as usize * BLOCK)),
    }
}

unsafe extern "efiapi" fn reset(_this: *mut block_io::Protocol, _extended: Boolean) -> Status {
    Status::SUCCESS
}

unsafe extern "efiapi" fn read_blocks(
    this: *mut block_io::Protocol,
    id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    if !buffer.addr().is_multiple_of(4) {
        return Status::INVALID_PARAMETER;
    }
    match unsafe { place(this, id, lba, length) } {
        Ok(from) => {
            unsafe {
                (*this.cast::<Medium>()).reads += 1;
                ptr::copy_nonoverlapping(from, buffer.cast(), length);
            }
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "efiapi" fn write_blocks(
    this: *mut block_io::Protocol,
    id: u32,
    lba: Lba,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    if unsafe { (*this.cast::<Medium>()).media.read_only } {
        return Status::WRITE_PROTECTED;
    }
    if !buffer.addr().is_multiple_of(4) {
        return Status::INVALID_PARAMETER;
    }
    match unsafe { place(this, id, lba, length) } {
        Ok(to) => {
            unsafe { ptr::copy_nonoverlapping(buffer.cast::<u8>().cast_const(), to, length) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "efiapi" fn flush_blocks(this: *mut block_io::Protocol) -> Status {
    unsafe { (*this.cast::<Medium>()).flushes += 1 };
    if unsafe { (*this.cast::<Medium>()).media.media_present } { Status::SUCCESS } else { Status::NO_MEDIA }
}
