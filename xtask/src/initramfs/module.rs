//! Kernel modules: found by name, with what they depend on, unpacked.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

use crate::fetch::walk;

/// A module, ready for insmod.
pub struct Module {
    /// A name that sorts in the order of loading.
    pub file_name: String,
    /// The ELF file.
    pub content: Vec<u8>,
}

/// The named modules and their dependencies, dependencies first. A module that the kernel has
/// built in has no file and is left out.
pub fn with_dependencies(dir: &Path, names: &[&str]) -> Result<Vec<Module>> {
    let files: Vec<_> = walk(dir)?.into_iter().filter(|path| path.is_file()).collect();
    let mut done = Vec::new();
    let mut modules = Vec::new();
    for name in names {
        load(name, &files, &mut done, &mut modules)?;
    }
    Ok(modules)
}

fn load(name: &str, files: &[PathBuf], done: &mut Vec<String>, modules: &mut Vec<Module>) -> Result<()> {
    if done.iter().any(|seen| seen == name) {
        return Ok(());
    }
    done.push(name.to_owned());
    let Some(file) = files.iter().find(|file| module_name(file) == name) else {
        return Ok(());
    };
    let content = unpack(file)?;
    for dependency in dependencies(&content)? {
        load(&dependency, files, done, modules)?;
    }
    modules.push(Module { file_name: format!("{:02}-{name}.ko", modules.len()), content });
    Ok(())
}

/// Modules are called by names with underscores, whatever their files are called.
fn module_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().replace('-', "_")
}

fn unpack(file: &Path) -> Result<Vec<u8>> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match file.extension().and_then(|kind| kind.to_str()) {
        Some("ko") => Ok(content),
        Some("xz") => {
            let mut unpacked = Vec::new();
            lzma_rs::xz_decompress(&mut Cursor::new(content), &mut unpacked)
                .with_context(|| format!("cannot unpack {}", file.display()))?;
            Ok(unpacked)
        }
        _ => bail!("{} is packed in an unknown way", file.display()),
    }
}

/// The `depends=` entry of the module's `.modinfo` section.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let info = file.section_by_name(".modinfo").context("the module has no .modinfo")?.data()?;
    let entries = info.split(|&byte| byte == 0);
    let mut depends = entries.filter_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("depends="));
    let names = depends.next().unwrap_or_default().split(',');
    Ok(names.filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}
