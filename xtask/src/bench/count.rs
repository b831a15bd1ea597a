//! Guest instructions from reset to a place in the guest's code, counted by the plugin of `tests/insn-count`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::read::pe::{ImageNtHeaders, PeFile64};
use vm::workspace;
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

/// Counts what the machine executes up to an entry point.
pub fn count(machine: Machine, entry: &Entry) -> Result<Counts> {
    let out = env::temp_dir().join(format!("insn-count-{}", std::process::id()));
    let argument = format!("{},out={},{}", plugin().display(), out.display(), entry.arguments());
    let machine = machine.arg("-plugin").arg(argument);
    let finished = Vm::start(&machine, LIMIT)?.wait()?;
    let text = fs::read_to_string(&out).with_context(|| format!("the entry was not reached\n{}", finished.report()))?;
    fs::remove_file(&out)?;
    let counts = Counts::parse(&text).context("the plugin's result is malformed")?;
    ensure!(counts.total() > 0, "the plugin counted nothing");
    Ok(counts)
}

/// The plugin in a machine that runs on behind the entry.
pub struct Beside {
    out: PathBuf,
    argument: String,
}

impl Beside {
    /// Builds the plugin for a run. None where QEMU takes no plugins.
    pub fn new(entry: &Entry) -> Result<Option<Self>> {
        let help = command::output(Command::new(vm::machine::QEMU).arg("--help"))?;
        if !help.lines().any(|line| line.starts_with("-plugin ")) {
            return Ok(None);
        }
        build_plugin()?;
        let out = env::temp_dir().join(format!("insn-count-run-{}", std::process::id()));
        let argument = format!("{},out={},{},then=go-on", plugin().display(), out.display(), entry.arguments());
        Ok(Some(Self { out, argument }))
    }

    /// QEMU's arguments.
    pub fn arguments(&self) -> [&str; 2] {
        ["-plugin", &self.argument]
    }

    /// What was executed up to the entry; none when it was not reached.
    pub fn counts(self) -> Option<Counts> {
        let text = fs::read_to_string(&self.out).ok()?;
        // What stays behind in the folder for temporary files harms nobody.
        let _ = fs::remove_file(&self.out);
        Counts::parse(&text)
    }
}

/// A place in the guest's code, wherever that is loaded to.
pub struct Entry {
    /// The instructions there.
    code: Vec<u8>,
    /// Its offset into its page, where that is known.
    offset: Option<u64>,
}

/// No more instructions are compared.
const CODE_LEN: usize = 32;

impl Entry {
    /// The PE entry point of a kernel: where firmware hands over.
    pub fn pe(image: &[u8]) -> Result<Self> {
        let pe = PeFile64::parse(image).context("the kernel is no PE image")?;
        let header = pe.nt_headers().optional_header();
        let address = header.address_of_entry_point.get(LittleEndian);
        let (start, size) = pe
            .section_table()
            .pe_file_range_at(address)
            .with_context(|| format!("no section has the entry point {address:#x}"))?;
        let start = usize::try_from(start)?;
        let length = usize::try_from(size)?.min(CODE_LEN);
        let code = image.get(start..start + length).context("the entry point lies outside the file")?;
        Ok(Self { code: code.to_vec(), offset: Some(u64::from(address) & 0xfff) })
    }

    /// Linux' own entry point, `primary_entry`: where its EFI stub hands over.
    pub fn linux(image: &[u8]) -> Result<Self> {
        let at = primary_entry(image).context("the kernel is no arm64 Image")?;
        let code = image.get(at..at + CODE_LEN).context("the entry point lies outside the file")?;
        Ok(Self { code: code.to_vec(), offset: Some(at as u64 & 0xfff) })
    }

    /// A mark of `tests/efi-check`, which is MOVZ X16 with a constant, MOVZ X16 with the number, and NOP.
    pub fn mark(number: u16) -> Self {
        const MARK: u16 = 0x6d61;
        const NOP: u32 = 0xd503_201f;
        let movz_x16 = |value: u16| 0xd280_0010 | u32::from(value) << 5;
        let code = [movz_x16(MARK), movz_x16(number), NOP];
        Self { code: code.iter().flat_map(|word| word.to_le_bytes()).collect(), offset: None }
    }

    fn arguments(&self) -> String {
        let hex: String = self.code.iter().map(|byte| format!("{byte:02x}")).collect();
        let offset = self.offset.map(|offset| format!(",offset={offset:x}"));
        format!("entry={hex}{}", offset.unwrap_or_default())
    }
}

/// Where the branch that is the second instruction of an arm64 Image leads (Linux, Documentation/arch/arm64/booting.rst:
/// `code1`).
fn primary_entry(image: &[u8]) -> Option<usize> {
    const BRANCH: u32 = 0b000101;
    const CODE1: usize = 4;
    let code1 = u32::from_le_bytes(*image.get(CODE1..)?.first_chunk()?);
    // A branch forwards: bit 25 is the sign.
    let forwards = code1 >> 26 == BRANCH && code1 & 1 << 25 == 0;
    forwards.then_some(CODE1 + (code1 & 0x01ff_ffff) as usize * 4)
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

    #[test]
    fn the_entry_of_an_image_is_where_its_branch_leads() {
        let image = |code1: u32| [&0x5a4d_u32.to_le_bytes()[..], &code1.to_le_bytes()].concat();
        assert_eq!(primary_entry(&image(0x1400_0010)), Some(0x44));
        assert_eq!(primary_entry(&image(0x17ff_ffff)), None);
        assert_eq!(primary_entry(&image(0xd503_201f)), None);
        assert_eq!(primary_entry(b"MZ"), None);
    }
}
