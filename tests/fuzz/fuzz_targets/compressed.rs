//! The EFI compression format.
#![no_main]

#[path = "../../../firmware/formats/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    support::exercise::compressed(data);
});
