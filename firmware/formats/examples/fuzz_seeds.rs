//! Writes the fuzzers' first inputs into `<directory>/<target>/`, where libFuzzer looks for them.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: fuzz_seeds <corpus directory>");
        return ExitCode::FAILURE;
    };
    let directory = Path::new(&directory);
    let kernel = support::image::arm64_header(0, 0x4_0000, 0xa);
    let targets = [
        ("device_tree", [support::machines::all(), support::machines::for_event_logs()].concat()),
        ("pe", support::image::all()),
        ("device_path", support::device_paths()),
        ("device_path_text", support::device_path_texts()),
        ("compressed", support::compressed::all().into_iter().map(|(compressed, _)| compressed).collect()),
        ("fw_cfg", vec![support::fw_cfg_directory()]),
        ("kernel_and_strings", vec![kernel, b"a\0b\0\0\0".to_vec()]),
        ("boot_options", support::load_options()),
        ("variables", vec![support::variable_record()]),
        // A list as it is, and a string block.
        ("hii", vec![vec![1], b"\0\x10text\0\0".to_vec()]),
    ];
    let result = targets.into_iter().try_for_each(|(target, seeds)| write(directory, target, seeds));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path, target: &str, seeds: Vec<Vec<u8>>) -> io::Result<()> {
    let directory = directory.join(target);
    fs::create_dir_all(&directory)?;
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{index}")), seed)?;
    }
    Ok(())
}
