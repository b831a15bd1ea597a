//! The initramfs: busybox, a few kernel modules and the scripts of `tests/init`.

mod cpio;
pub mod module;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vm::workspace::{self, Kernel};

use crate::file;

pub use self::cpio::Archive;

/// The modules that the checks need, in the kernel's words. What they depend on comes along.
const MODULES: [&str; 1] = ["efivarfs"];

/// Builds the initramfs of every kernel.
pub fn build_all() -> Result<()> {
    for kernel in Kernel::ALL {
        build(kernel)?;
    }
    Ok(())
}

/// Builds the initramfs of a kernel, the same bytes from the same inputs.
pub fn build(kernel: Kernel) -> Result<()> {
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "etc", "modules", "proc", "root", "sys", "tmp"] {
        archive.dir(dir);
    }
    // The kernel opens it before there is a devtmpfs.
    archive.char_device("dev/console", 5, 1);
    let busybox = workspace::cache().join("busybox/busybox");
    archive.file("bin/busybox", 0o755, &read(&busybox)?);
    archive.symlink("bin/sh", "busybox");
    for module in module::with_dependencies(&kernel.modules(), &MODULES)? {
        let path = format!("modules/{}", module.file_name);
        archive.file(&path, 0o644, &module.content);
    }
    let scripts = workspace::root().join("tests/init");
    let mut names: Vec<_> = fs::read_dir(&scripts)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    for name in names {
        let content = read(&scripts.join(&name))?;
        // The kernel starts /init; the rest is where programs are looked for.
        let path = match name.as_str() {
            "init" => name,
            _ => format!("bin/{name}"),
        };
        archive.file(&path, 0o755, &content);
    }
    // The guest finds out with this whether the archive came through whole.
    archive.checksums("etc/sha256sums");
    fs::create_dir_all(workspace::target())?;
    file::replace(&kernel.initrd(), &archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
