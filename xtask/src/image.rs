//! `cargo xtask build`: the firmware as one flat, reproducible image.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, SectionFlags};

use crate::{command, file, tools};

/// The target of everything that runs without an operating system.
pub const TARGET: &str = "aarch64-unknown-none";

/// The largest image that is let through, in bytes.
const LIMIT: u64 = 384 << 10;

/// Builds the image and says how large its parts are.
pub fn build() -> Result<()> {
    let bytes = compile(&vm::workspace::root(), &vm::workspace::target())?;
    let elf = parse(&bytes)?;
    let flat = flatten(&elf)?;
    file::replace(&vm::workspace::image(), &flat)?;
    file::replace(&vm::workspace::elf(), &bytes)?;
    report(&elf, flat.len() as u64)
}

/// Builds the image of the checkout at `root` with `target` as cargo's build folder, and returns it.
pub fn build_elsewhere(root: &Path, target: &Path) -> Result<Vec<u8>> {
    flatten(&parse(&compile(root, target)?)?)
}

/// Builds the ELF file.
fn compile(root: &Path, target: &Path) -> Result<Vec<u8>> {
    tools::ensure_target(TARGET)?;
    let renames = renames(root)?;
    let mut cargo = command::cargo();
    cargo.current_dir(root).env("CARGO_TARGET_DIR", target);
    cargo.args(["build", "--package", "realmfw", "--release", "--target"]);
    cargo.arg(TARGET).arg("--config").arg(rustflags(&renames)?);
    // Flags from the environment would take the place of those in .cargo/config.toml.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command::run(&mut cargo)?;
    let built = target.join(TARGET).join("release").join("realmfw");
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let flat = flatten(&parse(&bytes)?)?;
    for (path, _) in &renames {
        let path = path.as_os_str().as_encoded_bytes();
        if flat.windows(path.len()).any(|window| window == path) {
            bail!("the image has a path of this machine in it: {}", String::from_utf8_lossy(path));
        }
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<ElfFile64<'_, Endianness>> {
    ElfFile64::parse(bytes).context("the firmware is no ELF file")
}

/// The folders of this machine that must not be in the image, and what stands there instead.
fn renames(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let rustc = |args: &[&str]| command::output(Command::new("rustc").current_dir(vm::workspace::root()).args(args));
    let sysroot = rustc(&["--print", "sysroot"])?;
    let version = rustc(&["--version", "--verbose"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    let home = env::var_os("HOME").map(PathBuf::from);
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(home?.join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let mut renames = vec![
        (root.to_path_buf(), "realmfw".to_owned()),
        (Path::new(sysroot.trim()).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")),
    ];
    // Each registry has a folder named after it, which is no business of the image either.
    let sources = cargo_home.join("registry/src");
    for registry in fs::read_dir(&sources).into_iter().flatten() {
        renames.push((registry?.path(), "crates".to_owned()));
    }
    Ok(renames)
}

fn rustflags(renames: &[(PathBuf, String)]) -> Result<String> {
    let mut flags = Vec::new();
    for (from, to) in renames {
        let from = from.to_str().context("a path is not UTF-8")?;
        ensure!(!from.contains(['\'', '\n']), "cannot quote {from}");
        flags.push(format!("'--remap-path-prefix={from}={to}'"));
    }
    Ok(format!("target.{TARGET}.rustflags=[{}]", flags.join(", ")))
}

/// The flat image of an ELF file.
pub fn flat(bytes: &[u8]) -> Result<Vec<u8>> {
    flatten(&ElfFile64::<Endianness>::parse(bytes).context("no ELF file")?)
}

/// Everything that has content in the file, at the place of its load address.
fn flatten(elf: &ElfFile64<Endianness>) -> Result<Vec<u8>> {
    let endian = elf.endian();
    let header = elf.elf_header();
    let mut flat = Vec::new();
    for segment in header.program_headers(endian, elf.data())? {
        if segment.p_type(endian) != elf::PT_LOAD || segment.p_filesz(endian) == 0 {
            continue;
        }
        let Ok(content) = segment.data(endian, elf.data()) else {
            bail!("a segment of the firmware lies outside its file");
        };
        let start = usize::try_from(segment.p_paddr(endian))?;
        let end = start.checked_add(content.len()).context("segment too large")?;
        ensure!(end as u64 <= 64 << 20, "a segment ends at {end:#x}: the image is linked at the wrong address");
        if flat.len() < end {
            flat.resize(end, 0);
        }
        if let Some(place) = flat.get_mut(start..end) {
            place.copy_from_slice(content);
        }
    }
    ensure!(!flat.is_empty(), "the firmware has no content");
    Ok(flat)
}

fn report(elf: &ElfFile64<Endianness>, size: u64) -> Result<()> {
    println!("{:>10}  {:>10}  section", "offset", "bytes");
    for section in elf.sections() {
        let allocated = match section.flags() {
            SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(elf::SHF_ALLOC),
            _ => false,
        };
        if allocated && section.size() > 0 {
            println!("{:>#10x}  {:>10}  {}", section.address(), section.size(), section.name()?);
        }
    }
    let image = vm::workspace::image();
    println!("{}: {size} bytes of at most {LIMIT}", image.display());
    ensure!(size <= LIMIT, "the image is too large");
    Ok(())
}
