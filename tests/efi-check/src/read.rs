//! Reads a file in one request through the File protocol, between two marks that a counter of instructions knows.

use core::arch::asm;
use core::ptr;

use r_efi::efi::{self, Status};
use r_efi::protocols::{file, simple_file_system};

use crate::env::{self, bs};
use crate::report::{equal, failed, say, status};

/// A place that `tests/insn-count` finds by its instructions: they begin a block and lie in one page.
macro_rules! mark {
    ($number:literal) => {
        unsafe {
            asm!("b 2f", ".p2align 4", "2: movz x16, #0x6d61", concat!("movz x16, #", $number), "nop", out("x16") _)
        }
    };
}

/// Reads all of the file at `path`, on the volume that the program came from, whose words of 64 bits count up from zero.
pub fn run(path: &str) {
    let mut name = [0u16; 16];
    name.iter_mut().zip(path.encode_utf16().take(15)).for_each(|(to, from)| *to = from);
    let volume: *mut simple_file_system::Protocol =
        env::interface(env::loaded_image().device_handle, &simple_file_system::PROTOCOL_GUID);
    assert!(!volume.is_null(), "no SimpleFileSystem");
    let (mut root, mut opened) = (ptr::null_mut(), ptr::null_mut());
    let found = unsafe {
        ((*volume).open_volume)(volume, &mut root);
        ((*root).open)(root, &mut opened, name.as_mut_ptr(), file::MODE_READ, 0)
    };
    status("Open", found, Status::SUCCESS);
    let mut size = 0;
    unsafe {
        ((*opened).set_position)(opened, u64::MAX);
        ((*opened).get_position)(opened, &mut size);
        ((*opened).set_position)(opened, 0);
    }
    let (mut length, mut start) = (size as usize, 0);
    let pages = length.div_ceil(4096);
    let given = unsafe { (bs().allocate_pages)(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, pages, &mut start) };
    status("AllocatePages", given, Status::SUCCESS);
    let buffer: *mut u64 = ptr::with_exposed_provenance_mut(start as usize);

    say!("reading");
    mark!(1);
    let is = unsafe { ((*opened).read)(opened, &mut length, buffer.cast()) };
    mark!(2);
    say!("read {length} bytes");
    status("Read", is, Status::SUCCESS);
    equal("Read: length", length as u64, size);
    let wrong = (0..length / 8).find(|&word| unsafe { buffer.add(word).read() } != word as u64);
    match wrong {
        Some(word) => failed("Read: content", format_args!("word {word} is another")),
        None => crate::report::passed("Read: content"),
    }
}
