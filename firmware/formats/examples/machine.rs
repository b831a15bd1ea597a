//! Prints the machine that a device tree blob describes, as the firmware sees it.
//!
//! `qemu-system-aarch64 -M virt,dumpdtb=virt.dtb`, then
//! `cargo run -p formats --example machine virt.dtb`.

use std::process::ExitCode;

use formats::machine::Machine;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: machine <device tree blob>");
        return ExitCode::FAILURE;
    };
    let blob = match std::fs::read(&path) {
        Ok(blob) => blob,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    match Machine::from_device_tree(&blob) {
        Ok(machine) => {
            println!("{machine:#?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
