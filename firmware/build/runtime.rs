//! Builds `realmfw-runtime` and makes the flat image `OUT_DIR/runtime.bin` of it.
//!
//! The image runs at an address that the OS chooses, with nobody to relocate it and nobody to hear a
//! panic. That it needs neither is shown here, by what the linker made, and not by promises: a
//! relocation, data with contents or a symbol of the panic machinery stops the build.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::LittleEndian;
use object::elf::{FileHeader64, PF_W, PT_LOAD, SHT_REL, SHT_RELA, SHT_RELR};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use runtime_abi::ImageHeader;

const PACKAGE: &str = "realmfw-runtime";
const TARGET: &str = "aarch64-unknown-none";

/// Pieces of symbol names that only code which can panic or format a message brings along.
const FORBIDDEN_SYMBOLS: [&str; 4] = ["panic", "begin_unwind", "4core3fmt", "unwrap_failed"];

/// Builds the image, checks it and writes it where the firmware includes it from.
pub fn build() -> Result<(), Box<dyn Error>> {
    let firmware = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    for watched in
        ["runtime", "runtime-abi", "memory-functions", "../linker/runtime.ld", "../Cargo.toml", "../Cargo.lock"]
    {
        println!("cargo::rerun-if-changed={}", firmware.join(watched).display());
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target_dir = out.join("runtime-target");
    compile(&firmware, &target_dir)?;
    let elf = fs::read(target_dir.join(TARGET).join("release").join(PACKAGE))?;
    let flat = flatten(&elf).map_err(|reason| format!("{PACKAGE} cannot be embedded: {reason}"))?;
    fs::write(out.join("runtime.bin"), flat)?;
    Ok(())
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

/// Runs cargo for the runtime package. It is the same image whatever the firmware is built with, so
/// the flags are given here and those around are not passed on.
fn compile(firmware: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(firmware)
        .args(["build", "--quiet", "--locked", "--release", "--bin", PACKAGE])
        .args(["--package", PACKAGE, "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Crelocation-model=pie\u{1f}-Ctarget-feature=+reserve-x18");
    let is_profile = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("CARGO_PROFILE_"));
    let profile = env::vars_os().map(|(name, _)| name).filter(is_profile);
    for name in profile.chain(["RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"].map(OsString::from)) {
        cargo.env_remove(name);
    }
    if cargo.status()?.success() { Ok(()) } else { Err(format!("{PACKAGE} does not build").into()) }
}

/// The flat image of `elf`, or why it is none.
fn flatten(elf: &[u8]) -> Result<Vec<u8>, String> {
    let text = |error: object::Error| error.to_string();
    let header = FileHeader64::<LittleEndian>::parse(elf).map_err(text)?;
    let endian = LittleEndian;

    let sections = header.sections(endian, elf).map_err(text)?;
    for section in sections.iter() {
        let name = String::from_utf8_lossy(sections.section_name(endian, section).map_err(text)?);
        let relocates = matches!(section.sh_type(endian), SHT_REL | SHT_RELA | SHT_RELR);
        if relocates && section.sh_size(endian) != 0 {
            return Err(format!("it needs relocations ({name})"));
        }
    }

    let symbols = sections.symbols(endian, elf, object::elf::SHT_SYMTAB).map_err(text)?;
    if symbols.len() < 2 {
        return Err("it has no symbols to check".into());
    }
    for symbol in symbols.iter().skip(1) {
        let name = String::from_utf8_lossy(symbols.symbol_name(endian, symbol).map_err(text)?);
        if FORBIDDEN_SYMBOLS.iter().any(|forbidden| name.contains(forbidden)) {
            return Err(format!("it can panic ({name})"));
        }
        if symbol.is_undefined(endian) {
            return Err(format!("it refers to something outside ({name})"));
        }
    }

    let mut flat = Vec::new();
    let mut data = None;
    for segment in header.program_headers(endian, elf).map_err(text)? {
        if segment.p_type(endian) != PT_LOAD {
            continue;
        }
        let address = segment.p_vaddr(endian);
        if !segment.p_flags(endian).contains(PF_W) {
            if address != 0 || !flat.is_empty() {
                return Err("its code is not one segment at 0".into());
            }
            let bytes = segment.data(endian, elf).map_err(|()| "its code segment is cut off".to_string())?;
            flat.extend_from_slice(bytes);
        } else if segment.p_filesz(endian) != 0 {
            return Err("its data is not all zero".into());
        } else if data.replace((address, segment.p_memsz(endian))).is_some() {
            return Err("its data is not one segment".into());
        }
    }

    let image = ImageHeader::parse(&flat).ok_or("its header is wrong")?;
    if data != Some((image.code_size.into(), image.data_size.into())) {
        return Err(format!("its header does not describe its data, {data:x?}"));
    }
    Ok(flat)
}
