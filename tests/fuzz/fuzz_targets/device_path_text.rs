//! Device paths in text: nodes, parameters, the way back.
#![no_main]

#[path = "../../../firmware/formats/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    support::exercise::device_path_text(data);
});
