//! FAT volumes with some bytes changed: walk, read, create, write, rename, delete.
#![no_main]

#[path = "../../../firmware/storage/tests/support/mod.rs"]
mod support;

use support::image::{FAT12, FAT16, FAT32, FAT32_4K};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, patches)) = data.split_first() else { return };
    let format = [FAT12, FAT16, FAT32, FAT32_4K][usize::from(kind % 4)];
    let mut image = support::exercise::seed(&format);
    support::exercise::patch(&mut image, patches);
    support::exercise::fat(&image, format.sector);
});
