//! Load options, the lists of their numbers, and QEMU's order of devices.
#![no_main]

use formats::device_path::{DevicePath, ShortForm};
use formats::{bootorder, load_option};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (first, rest) = data.split_at(data.len() / 2);
    for number in load_option::boot_order(data) {
        let _ = number.wrapping_add(1);
    }
    if let Ok(option) = load_option::LoadOption::parse(data) {
        let _ = (option.is_for_boot(), option.description().len(), option.optional_data.len());
        if let (Some(form), Ok(volume)) = (ShortForm::of(option.path), DevicePath::parse(rest)) {
            let _ = form.on(option.path, volume);
        }
    }
    if let Ok(path) = DevicePath::parse(first) {
        let rank = bootorder::rank(rest, path);
        assert!(rank == usize::MAX || rank <= bootorder::entries(rest).count());
    }
});
