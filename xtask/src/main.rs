//! Build, run, test and measure realmfw.

mod bench;
mod check;
mod command;
mod disk;
#[cfg(test)]
mod docs;
mod emulated;
mod fetch;
mod file;
mod fuzz;
mod image;
mod initramfs;
mod realm;
mod run;
mod symbolize;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build target/realmfw.bin and target/realmfw.elf
    Build,
    /// Boot Debian's kernel on the firmware, to a shell or (--headless) through its checks
    Run(Box<run::Options>),
    /// Run every test: formatting, lints, licences, host tests, Miri, the image, QEMU
    Test(test::Options),
    /// Check formatting and lints
    Check,
    /// Fuzz the parsers
    Fuzz(fuzz::Options),
    /// Build a bootable disk of Debian's packages
    Disk(disk::Options),
    /// Measure the firmware beside EDK2 and write docs/performance.md
    Bench(bench::Options),
    /// Fetch the kernels and tools that the other commands need
    Fetch(Fetch),
    /// Put function names and lines behind the image offsets of a fault or panic report
    Symbolize(symbolize::Options),
}

#[derive(Args)]
struct Fetch {
    #[command(flatten)]
    setup: tools::Setup,
    /// Fetch again what has been fetched before
    #[arg(long)]
    update: bool,
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(task: Task) -> Result<ExitCode> {
    match task {
        Task::Build => image::build()?,
        Task::Run(options) => return run::run(&options),
        Task::Test(options) => return test::test(&options),
        Task::Check => {
            check::format()?;
            check::lint()?;
        }
        Task::Fuzz(options) => fuzz::fuzz(&options)?,
        Task::Disk(options) => disk::run(&options)?,
        Task::Bench(options) => bench::bench(&options)?,
        Task::Fetch(options) => {
            tools::ensure(&tools::EMULATOR, options.setup)?;
            if options.update {
                fetch::forget()?;
            }
            fetch::ensure(&fetch::Item::ALL, options.setup)?;
            initramfs::build_all()?;
        }
        Task::Symbolize(options) => symbolize::symbolize(&options)?,
    }
    Ok(ExitCode::SUCCESS)
}
