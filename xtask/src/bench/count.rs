//! Guest instructions from reset to the kernel's PE entry, counted by the plugin of
//! `tests/insn-count`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::read::pe::{ImageNtHeaders, PeFile64};
use vm::workspace::{self, Kernel};
use vm::{Machine, Vm};

use super::LIMIT;
use crate::command;

/// A translated block and how much of it was executed.
pub struct Block {
    /// Its virtual address.
    pub address: u64,
    /// The instructions executed in it.
    pub executed: u64,
    /// The instructions it is made of.
    pub bytes: Vec<u8>,
}

/// What a boot executed.
pub struct Counts {
    /// Every block.
    pub blocks: Vec<Block>,
}

impl Counts {
    /// The sum.
    pub fn total(&self) -> u64 {
        self.blocks.iter().map(|block| block.executed).sum()
    }

    fn parse(text: &str) -> Option<Self> {
        let block = |line: &str| {
            let mut fields = line.split(' ');
            let mut number = || u64::from_str_radix(fields.next()?, 16).ok();
            let (address, executed) = (number()?, number()?);
            let digits = fields.next()?.as_bytes().chunks(2);
            let bytes = digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect::<Option<_>>()?;
            Some(Block { address, executed, bytes })
        };
        let blocks = text.lines().map(block).collect::<Option<_>>()?;
        Some(Self { blocks })
    }
}

fn plugin() -> PathBuf {
    workspace::target().join("release/libinsn_count.so")
}

/// Builds the plugin.
pub fn build_plugin() -> Result<()> {
    let mut cargo = command::cargo();
    command::run(cargo.args(["build", "--quiet", "--release", "--package", "insn-count"]))
}

/// Counts what the machine executes up to the entry of the 7.x kernel.
pub fn count(machine: Machine) -> Result<Counts> {
    let out = env::temp_dir().join(format!("insn-count-{}", std::process::id()));
    let (entry, offset) = entry(&Kernel::Linux7.image())?;
    let hex: String = entry.iter().map(|byte| format!("{byte:02x}")).collect();
    let argument = format!("{},out={},entry={hex},offset={offset:x}", plugin().display(), out.display());
    let machine = machine.arg("-plugin").arg(argument);
    let finished = Vm::start(&machine, LIMIT)?.wait()?;
    let text =
        fs::read_to_string(&out).with_context(|| format!("the kernel was not reached\n{}", finished.report()))?;
    fs::remove_file(&out)?;
    let counts = Counts::parse(&text).context("the plugin's result is malformed")?;
    ensure!(counts.total() > 0, "the plugin counted nothing");
    Ok(counts)
}

/// The first instructions at the PE entry point of a kernel, and its offset into its page.
fn entry(kernel: &Path) -> Result<(Vec<u8>, u64)> {
    let image = fs::read(kernel)?;
    let pe = PeFile64::parse(&*image).context("the kernel is no PE image")?;
    let header = pe.nt_headers().optional_header();
    let address = header.address_of_entry_point.get(LittleEndian);
    let (start, size) = pe
        .section_table()
        .pe_file_range_at(address)
        .with_context(|| format!("no section has the entry point {address:#x}"))?;
    let start = usize::try_from(start)?;
    let length = usize::try_from(size)?.min(32);
    let code = image.get(start..start + length);
    let code = code.context("the entry point lies outside the file")?;
    Ok((code.to_vec(), u64::from(address) & 0xfff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_and_summed() {
        let counts = Counts::parse("40080000 10 1f2003d5\n0 a c0035fd6\n").unwrap();
        assert_eq!(counts.total(), 26);
        assert_eq!(counts.blocks[1].bytes, [0xc0, 0x03, 0x5f, 0xd6]);
        assert!(Counts::parse("40080000 10\n").is_none());
    }
}
