//! PE images: parse, load, relocate, permissions, digest ranges.
#![no_main]

#[path = "../../../firmware/formats/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    support::exercise::pe(data);
});
