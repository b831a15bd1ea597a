//! Files that are no image, or a damaged one. All must be refused, and none may leave anything
//! behind.

use r_efi::efi::Status;

use super::{PLAIN_STATUS, free_pages, load, loaded, returns, start, unload};
use crate::pe::{self, APPLICATION, FILE_SIZE, put};
use crate::report::{check, failed, passed, status};

type Damage = fn(&mut [u8]);

/// What is done to a file that is right.
const DAMAGES: [(&str, Damage); 19] = [
    ("PE: no MZ", |file| put(file, 0, *b"ZM")),
    ("PE: e_lfanew beyond the file", |file| put(file, pe::OFFSET_LFANEW, 0x1_0000u32.to_le_bytes())),
    ("PE: e_lfanew wraps", |file| put(file, pe::OFFSET_LFANEW, u32::MAX.to_le_bytes())),
    ("PE: no signature", |file| put(file, pe::OFFSET_PE, *b"PF\0\0")),
    ("PE: for x86", |file| put(file, pe::OFFSET_MACHINE, 0x8664u16.to_le_bytes())),
    ("PE: for Arm 32", |file| put(file, pe::OFFSET_MACHINE, 0x01c2u16.to_le_bytes())),
    ("PE: PE32", |file| put(file, pe::OFFSET_MAGIC, 0x10bu16.to_le_bytes())),
    ("PE: 65535 sections", |file| put(file, pe::OFFSET_SECTIONS, u16::MAX.to_le_bytes())),
    ("PE: subsystem of a console program", |file| put(file, pe::OFFSET_SUBSYSTEM, 3u16.to_le_bytes())),
    ("PE: SizeOfImage zero", |file| put(file, pe::OFFSET_IMAGE_SIZE, 0u32.to_le_bytes())),
    ("PE: SizeOfImage too small", |file| put(file, pe::OFFSET_IMAGE_SIZE, 0x2000u32.to_le_bytes())),
    ("PE: headers beyond the file", |file| put(file, pe::OFFSET_HEADERS_SIZE, 0x10_0000u32.to_le_bytes())),
    ("PE: section beyond the file", |file| put(file, pe::OFFSET_TEXT_RAW, 0xffff_ff00u32.to_le_bytes())),
    ("PE: section beyond the image", |file| put(file, pe::OFFSET_TEXT_ADDRESS, 0xffff_f000u32.to_le_bytes())),
    ("PE: relocations beyond the image", |file| put(file, pe::OFFSET_RELOCATIONS, 0xffff_0000u32.to_le_bytes())),
    ("PE: relocation block too short", |file| put(file, pe::OFFSET_RELOCATION_BLOCK + 4, 4u32.to_le_bytes())),
    ("PE: relocation block too long", |file| put(file, pe::OFFSET_RELOCATION_BLOCK + 4, u32::MAX.to_le_bytes())),
    ("PE: relocation outside", |file| put(file, pe::OFFSET_RELOCATION_BLOCK, 0xffff_f000u32.to_le_bytes())),
    ("PE: relocation of another type", |file| put(file, pe::OFFSET_RELOCATION_BLOCK + 8, 0xf000u16.to_le_bytes())),
];

pub fn run() {
    let before = free_pages();
    for (name, damage) in DAMAGES {
        let mut file = pe::build(returns, APPLICATION);
        damage(&mut file);
        refused(name, &mut file);
    }
    for (name, length) in [
        ("PE: one byte", 1),
        ("PE: cut in the DOS header", 0x3e),
        ("PE: cut in the optional header", pe::OFFSET_PE + 30),
        ("PE: cut in the headers", 0x300),
        ("PE: cut in a section", 0x500),
    ] {
        let mut file = pe::build(returns, APPLICATION);
        refused(name, &mut file[..length]);
    }
    let mut file = pe::build(returns, APPLICATION);
    put(&mut file, pe::OFFSET_ENTRY, 0xffff_ff00u32.to_le_bytes());
    match load(&mut file) {
        Ok(handle) => {
            failed("PE: entry point outside", format_args!("loaded"));
            unload(handle);
        }
        Err(_) => passed("PE: entry point outside"),
    }

    // Any single byte of the headers changed: refused or loaded, but never a fault.
    let (mut accepted, mut rejected) = (0, 0);
    for offset in 0..0x400 {
        let mut file = [0u8; FILE_SIZE];
        file.copy_from_slice(&pe::build(returns, APPLICATION));
        file[offset] ^= 0x80 >> (offset % 8);
        match load(&mut file) {
            Ok(handle) => {
                accepted += 1;
                unload(handle);
            }
            Err(_) => rejected += 1,
        }
    }
    check("PE: 1024 changed bytes", accepted + rejected == 1024 && rejected > 20);
    check("PE: broken files leave no memory behind", free_pages() + 16 >= before);
    let mut file = pe::build(returns, APPLICATION);
    let handle = loaded(&mut file);
    status("PE: a good one still runs", start(handle), PLAIN_STATUS);
}

fn refused(name: &str, file: &mut [u8]) {
    match load(file) {
        Ok(handle) => {
            failed(name, format_args!("loaded"));
            unload(handle);
        }
        Err(Status::LOAD_ERROR | Status::UNSUPPORTED | Status::INVALID_PARAMETER) => passed(name),
        Err(status) => failed(name, format_args!("{status:?}")),
    }
}
