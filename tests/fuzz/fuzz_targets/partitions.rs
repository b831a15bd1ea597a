//! GPT, MBR and El Torito with some bytes changed, and the header's CRC right again.
#![no_main]

#[path = "../../../firmware/storage/tests/support/mod.rs"]
mod support;

use support::image::{GptDisk, iso, mbr_entry, resum};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, patches)) = data.split_first() else { return };
    let mut image = match kind % 3 {
        0 => GptDisk { block: 512, blocks: 200, partitions: vec![(40, 79), (80, 99)] }.build(),
        1 => iso(),
        _ => {
            let mut image = vec![0; 200 * 512];
            mbr_entry(&mut image, 0, 1, 0x0f, 50, 100);
            mbr_entry(&mut image, 50 * 512, 0, 0x83, 2, 10);
            mbr_entry(&mut image, 50 * 512, 1, 0x05, 20, 30);
            image
        }
    };
    support::exercise::patch(&mut image, patches);
    if kind & 0x80 != 0 {
        resum(&mut image, 512);
    }
    support::exercise::partitions(&image, 512);
});
