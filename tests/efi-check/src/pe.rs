//! Makes small PE files whose code jumps to a function of this program.

use r_efi::efi::{Handle, Status, SystemTable};

pub type Entry = extern "efiapi" fn(Handle, *mut SystemTable) -> Status;

pub const FILE_SIZE: usize = 0xa00;
pub const TEXT: u64 = 0x1000;
pub const DATA: u64 = 0x2000;
pub const DATA_SIZE: u32 = 0x2800;
pub const IMAGE_SIZE: u32 = 0x6000;
pub const APPLICATION: u16 = 10;
pub const BOOT_DRIVER: u16 = 11;
pub const RUNTIME_DRIVER: u16 = 12;

/// Offsets of what the checks break.
pub const OFFSET_LFANEW: usize = 0x3c;
pub const OFFSET_PE: usize = 0x80;
pub const OFFSET_MACHINE: usize = OFFSET_PE + 4;
pub const OFFSET_SECTIONS: usize = OFFSET_PE + 6;
const OPTIONAL: usize = OFFSET_PE + 24;
pub const OFFSET_MAGIC: usize = OPTIONAL;
pub const OFFSET_ENTRY: usize = OPTIONAL + 16;
pub const OFFSET_IMAGE_SIZE: usize = OPTIONAL + 56;
pub const OFFSET_HEADERS_SIZE: usize = OPTIONAL + 60;
pub const OFFSET_CHECKSUM: usize = OPTIONAL + 64;
pub const OFFSET_SUBSYSTEM: usize = OPTIONAL + 68;
pub const OFFSET_RESOURCES: usize = OPTIONAL + 112 + 2 * 8;
pub const OFFSET_RELOCATIONS: usize = OPTIONAL + 112 + 5 * 8;
const SECTION_TABLE: usize = OPTIONAL + 240;
pub const OFFSET_TEXT_RAW: usize = SECTION_TABLE + 20;
pub const OFFSET_TEXT_ADDRESS: usize = SECTION_TABLE + 12;
pub const OFFSET_RELOCATION_BLOCK: usize = 0x800;

pub fn put<const N: usize>(file: &mut [u8], offset: usize, bytes: [u8; N]) {
    file[offset..offset + N].copy_from_slice(&bytes);
}

fn section(file: &mut [u8], index: usize, name: &[u8; 8], address: u32, size: u32, raw: u32, flags: u32) {
    let at = SECTION_TABLE + index * 40;
    put(file, at, *name);
    for (offset, value) in [(8, size), (12, address), (16, 0x200), (20, raw), (36, flags)] {
        put(file, at + offset, u32::to_le_bytes(value));
    }
}

/// A well-formed image: `.text` with the jump, `.data` that begins with a pointer to itself and
/// goes on with zeros beyond what is in the file, `.reloc`.
pub fn build(entry: Entry, subsystem: u16) -> [u8; FILE_SIZE] {
    let mut file = [0u8; FILE_SIZE];
    let f = &mut file;
    put(f, 0, *b"MZ");
    put(f, OFFSET_LFANEW, (OFFSET_PE as u32).to_le_bytes());
    put(f, OFFSET_PE, *b"PE\0\0");
    put(f, OFFSET_MACHINE, 0xaa64u16.to_le_bytes());
    put(f, OFFSET_SECTIONS, 3u16.to_le_bytes());
    put(f, OFFSET_PE + 20, 240u16.to_le_bytes());
    put(f, OFFSET_PE + 22, 0x0022u16.to_le_bytes());
    put(f, OFFSET_MAGIC, 0x20bu16.to_le_bytes());
    put(f, OFFSET_ENTRY, (TEXT as u32).to_le_bytes());
    put(f, OPTIONAL + 20, (TEXT as u32).to_le_bytes());
    put(f, OPTIONAL + 24, 0x1_4000_0000u64.to_le_bytes());
    put(f, OPTIONAL + 32, 0x1000u32.to_le_bytes());
    put(f, OPTIONAL + 36, 0x200u32.to_le_bytes());
    put(f, OFFSET_IMAGE_SIZE, IMAGE_SIZE.to_le_bytes());
    put(f, OFFSET_HEADERS_SIZE, 0x400u32.to_le_bytes());
    put(f, OFFSET_SUBSYSTEM, subsystem.to_le_bytes());
    put(f, OPTIONAL + 70, 0x0160u16.to_le_bytes());
    put(f, OPTIONAL + 108, 16u32.to_le_bytes());
    put(f, OFFSET_RELOCATIONS, 0x5000u32.to_le_bytes());
    put(f, OFFSET_RELOCATIONS + 4, 12u32.to_le_bytes());
    section(f, 0, b".text\0\0\0", TEXT as u32, 0x200, 0x400, 0x6000_0020);
    section(f, 1, b".data\0\0\0", DATA as u32, DATA_SIZE, 0x600, 0xc000_0040);
    section(f, 2, b".reloc\0\0", 0x5000, 12, OFFSET_RELOCATION_BLOCK as u32, 0x4200_0040);
    // ldr x16, #8; br x16; the address.
    put(f, 0x400, 0x5800_0050u32.to_le_bytes());
    put(f, 0x404, 0xd61f_0200u32.to_le_bytes());
    put(f, 0x408, (entry as usize as u64).to_le_bytes());
    put(f, 0x600, (0x1_4000_0000 + DATA).to_le_bytes());
    put(f, 0x608, 0x0123_4567_89ab_cdefu64.to_le_bytes());
    put(f, OFFSET_RELOCATION_BLOCK, (DATA as u32).to_le_bytes());
    put(f, OFFSET_RELOCATION_BLOCK + 4, 12u32.to_le_bytes());
    put(f, OFFSET_RELOCATION_BLOCK + 8, 0xa000u16.to_le_bytes());
    file
}

/// Where [`with_package_list`] puts the list in the image.
pub const PACKAGE_LIST: u64 = DATA + 0x90;

/// An image whose resource of the type "HII" is a package list with nothing in it.
pub fn with_package_list(entry: Entry) -> [u8; FILE_SIZE] {
    const RESOURCES: usize = 0x630;
    let mut file = build(entry, APPLICATION);
    let f = &mut file;
    put(f, OFFSET_RESOURCES, (DATA as u32 + 0x30).to_le_bytes());
    put(f, OFFSET_RESOURCES + 4, 0x78u32.to_le_bytes());
    // Three directories of one entry each, by name and twice by number, and where the data are.
    put(f, RESOURCES + 12, 1u16.to_le_bytes());
    put(f, RESOURCES + 16, 0x8000_0058u32.to_le_bytes());
    put(f, RESOURCES + 20, 0x8000_0018u32.to_le_bytes());
    put(f, RESOURCES + 0x18 + 14, 1u16.to_le_bytes());
    put(f, RESOURCES + 0x18 + 20, 0x8000_0030u32.to_le_bytes());
    put(f, RESOURCES + 0x30 + 14, 1u16.to_le_bytes());
    put(f, RESOURCES + 0x30 + 20, 0x48u32.to_le_bytes());
    put(f, RESOURCES + 0x48, (PACKAGE_LIST as u32).to_le_bytes());
    put(f, RESOURCES + 0x4c, 24u32.to_le_bytes());
    put(f, RESOURCES + 0x58, [3, 0, b'H', 0, b'I', 0, b'I', 0]);
    put(f, RESOURCES + 0x60, [0x77; 16]);
    put(f, RESOURCES + 0x70, 24u32.to_le_bytes());
    put(f, RESOURCES + 0x74, 0xdf00_0004u32.to_le_bytes());
    file
}
