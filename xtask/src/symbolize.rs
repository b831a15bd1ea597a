//! `cargo xtask symbolize`.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use vm::symbolize::Symbols;

/// The options of `cargo xtask symbolize`.
#[derive(Args)]
pub struct Options {
    /// The console log; standard input when absent
    log: Option<PathBuf>,
    /// The firmware with symbols that wrote it
    #[arg(long)]
    elf: Option<PathBuf>,
}

/// Prints the log with names.
pub fn symbolize(options: &Options) -> Result<()> {
    let elf = options.elf.clone().unwrap_or_else(vm::workspace::elf);
    let symbols = Symbols::load(&elf)?;
    let log = match &options.log {
        Some(path) => fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => {
            let mut log = Vec::new();
            io::stdin().read_to_end(&mut log)?;
            log
        }
    };
    print!("{}", symbols.annotate(&String::from_utf8_lossy(&log)));
    Ok(())
}
