//! The fw_cfg file directory.
#![no_main]

#[path = "../../../firmware/formats/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    support::exercise::fw_cfg(data);
});
