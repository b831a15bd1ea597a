//! HII package lists: string blocks as they come, or a list with some bytes changed.
#![no_main]

#[path = "../../../firmware/hii/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    if kind % 2 == 0 {
        support::exercise(&support::list(&[support::strings("en", data)]));
    } else {
        let mut list = support::seed();
        for patch in data.as_chunks::<3>().0 {
            let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % list.len();
            list[at] = patch[2];
        }
        support::exercise(&list);
    }
});
