//! Writes the first inputs of the fuzzers of virtio and PCI into `<directory>/<target>/`, where libFuzzer looks for them.

#[path = "../tests/support/space.rs"]
mod space;
#[path = "../tests/support/stream.rs"]
mod stream;

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use stream::{BLOCK, CONSOLE, Device, ENTROPY, SCSI_HOST};

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: fuzz_seeds <corpus directory>");
        return ExitCode::FAILURE;
    };
    let directory = Path::new(&directory);
    let virtio = [SCSI_HOST, BLOCK, ENTROPY, CONSOLE].map(Device::honest);
    let result = write(directory, "virtio", &virtio).and_then(|()| write(directory, "pci", &[space::honest()]));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path, target: &str, seeds: &[Vec<u8>]) -> io::Result<()> {
    let directory = directory.join(target);
    fs::create_dir_all(&directory)?;
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{index}")), seed)?;
    }
    Ok(())
}
