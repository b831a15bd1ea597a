//! A device that says anything in its registers and in the memory that it shares: it is used or given up, in time.
#![no_main]

#[path = "../../../firmware/virtio/tests/support/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = stream::Device::new(data).exercise(data.len().is_multiple_of(2));
});
