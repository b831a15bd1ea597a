//! Configuration space that says anything: buses are scanned, BARs sized and placed, capabilities followed.
#![no_main]

#[path = "../../../firmware/virtio/tests/support/space.rs"]
mod space;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = space::exercise(data);
});
