//! arm64 kernel headers and CHAR16 strings.
#![no_main]

#[path = "../../../firmware/formats/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    support::exercise::kernel_and_strings(data);
});
