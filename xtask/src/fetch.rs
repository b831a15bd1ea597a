//! What comes from Debian: kernels and their modules, busybox, EDK2.
//!
//! Everything is fetched once into `target/cache` and used from there without a network.

mod apt;
mod mirror;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use vm::workspace::{self, Kernel};

use self::apt::Apt;
use crate::command;
use crate::tools::Setup;

/// A thing to fetch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Item {
    /// A kernel and its modules.
    Kernel(Kernel),
    /// The programs of the initramfs.
    Busybox,
    /// The firmware that realmfw is measured beside.
    Edk2,
    /// Boot loaders, what makes unified kernel images, and efibootmgr with its libraries.
    Loaders,
    /// The EFI shell.
    Shell,
    /// iPXE.
    Ipxe,
}

/// What is kept of the loaders' packages: the name in the package, and the name in the cache.
const LOADERS: [(&str, &str); 15] = [
    ("shimaa64.efi.signed", "shimaa64.efi"),
    ("fbaa64.efi.signed", "fbaa64.efi"),
    ("mmaa64.efi.signed", "mmaa64.efi"),
    ("grubaa64.efi.signed", "grubaa64.efi"),
    ("systemd-bootaa64.efi", "systemd-bootaa64.efi"),
    ("linuxaa64.efi.stub", "linuxaa64.efi.stub"),
    ("refind_aa64.efi", "refind_aa64.efi"),
    ("ukify", "ukify"),
    ("pefile.py", "pefile.py"),
    ("efibootmgr", "efibootmgr"),
    ("ld-linux-aarch64.so.1", "ld-linux-aarch64.so.1"),
    ("libc.so.6", "libc.so.6"),
    ("libefiboot.so.1", "libefiboot.so.1"),
    ("libefivar.so.1", "libefivar.so.1"),
    ("libpopt.so.0", "libpopt.so.0"),
];

/// The packages they come from.
const LOADER_PACKAGES: [&str; 12] = [
    "shim-signed",
    "shim-helpers-arm64-signed",
    "grub-efi-arm64-signed",
    "systemd-boot-efi",
    "systemd-ukify",
    "python3-pefile",
    "refind",
    "efibootmgr",
    "libefiboot1t64",
    "libefivar1t64",
    "libpopt0",
    "libc6",
];

impl Item {
    /// All of them.
    pub const ALL: [Item; 7] = [
        Item::Kernel(Kernel::Linux7),
        Item::Kernel(Kernel::Linux6_12),
        Item::Busybox,
        Item::Edk2,
        Item::Loaders,
        Item::Shell,
        Item::Ipxe,
    ];

    fn name(self) -> &'static str {
        match self {
            Item::Kernel(kernel) => kernel.name(),
            Item::Busybox => "busybox",
            Item::Edk2 => "edk2",
            Item::Loaders => "loaders",
            Item::Shell => "shell",
            Item::Ipxe => "ipxe",
        }
    }

    /// Where it is kept.
    pub fn dir(self) -> PathBuf {
        workspace::cache().join(self.name())
    }

    /// The packages that make it up. The name of a kernel package has its release in it, and newer
    /// ones are split in three.
    fn packages(self, apt: &Apt) -> Result<Vec<String>> {
        let kernel = match self {
            Item::Busybox => return Ok(vec!["busybox-static".into()]),
            Item::Edk2 => return Ok(vec!["qemu-efi-aarch64".into()]),
            Item::Loaders => return Ok(LOADER_PACKAGES.map(str::to_owned).to_vec()),
            Item::Shell => return Ok(vec!["efi-shell-aa64".into()]),
            Item::Ipxe => return Ok(vec!["ipxe".into()]),
            Item::Kernel(kernel) => kernel,
        };
        let prefix = format!("linux-image-{}", kernel.release_prefix());
        let names = apt.names(&prefix)?;
        let newest = names
            .iter()
            .filter(|name| name.ends_with("-cloud-arm64"))
            .max_by_key(|name| release_number(name))
            .with_context(|| format!("no suite has a package {prefix}*-cloud-arm64"))?;
        let release = newest.trim_start_matches("linux-image-");
        let mut packages = Vec::new();
        for part in ["linux-image-", "linux-binary-", "linux-modules-"] {
            let name = format!("{part}{release}");
            if apt.names(&name)?.contains(&name) {
                packages.push(name);
            }
        }
        Ok(packages)
    }

    /// Moves what is needed from the unpacked packages to where [`workspace`] says that it is.
    fn keep(self, unpacked: &Path, dir: &Path) -> Result<()> {
        match self {
            Item::Busybox => {
                keep_file(unpacked, "busybox", dir, "busybox")?;
            }
            Item::Edk2 => {
                keep_file(unpacked, "QEMU_EFI.fd", dir, "QEMU_EFI.fd")?;
            }
            Item::Loaders => {
                for (name, new_name) in LOADERS {
                    keep_file(unpacked, name, dir, new_name)?;
                }
                // pefile imports it.
                let ordlookup = walk(unpacked)?.into_iter().find(|path| path.is_dir() && path.ends_with("ordlookup"));
                fs::rename(ordlookup.context("the package has no ordlookup")?, dir.join("ordlookup"))?;
            }
            Item::Shell => {
                keep_file(unpacked, "shellaa64.efi", dir, "shellaa64.efi")?;
            }
            Item::Ipxe => {
                keep_file(unpacked, "ipxe-arm64.efi", dir, "ipxe-arm64.efi")?;
            }
            Item::Kernel(_) => {
                keep_file(unpacked, "vmlinuz", dir, "vmlinuz")?;
                let modules = walk(unpacked)?
                    .into_iter()
                    .find(|path| path.is_dir() && path.ends_with("kernel"))
                    .context("the kernel's package has no modules")?;
                fs::rename(&modules, dir.join("modules"))?;
            }
        }
        Ok(())
    }
}

/// `7.2.13` out of a package's name, as numbers, so that 7.10 is newer than 7.9.
fn release_number(package: &str) -> Vec<u64> {
    let release = package.trim_start_matches("linux-image-");
    let number = release.split(|char: char| !(char.is_ascii_digit() || char == '.'));
    let number = number.into_iter().next().unwrap_or_default();
    number.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Makes sure that the items are in the cache.
pub fn ensure(items: &[Item], setup: Setup) -> Result<()> {
    fs::create_dir_all(workspace::cache())?;
    // One at a time: two would unpack over each other.
    let lock = File::create(workspace::cache().join("lock"))?;
    lock.lock()?;
    let missing = missing(items, |item| item.dir().is_dir());
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|item| item.name()).collect();
    println!("to fetch from Debian: {}", names.join(", "));
    if setup.no_install {
        bail!("not fetched: run `cargo xtask fetch`");
    }
    let apt = Apt::new(&workspace::cache().join("apt"))?;
    apt.update()?;
    for item in missing {
        fetch(item, &apt)?;
    }
    Ok(())
}

/// What of `items` is not there, each once.
fn missing(items: &[Item], is_there: impl Fn(Item) -> bool) -> Vec<Item> {
    let mut missing = Vec::new();
    for &item in items {
        if !is_there(item) && !missing.contains(&item) {
            missing.push(item);
        }
    }
    missing
}

/// Forgets everything that was fetched.
pub fn forget() -> Result<()> {
    for item in Item::ALL {
        if item.dir().is_dir() {
            fs::remove_dir_all(item.dir())?;
        }
    }
    Ok(())
}

fn fetch(item: Item, apt: &Apt) -> Result<()> {
    let packages = item.packages(apt)?;
    let part = workspace::cache().join(format!("{}.part", item.name()));
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let unpacked = part.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    apt.download(&packages, &part)?;
    let mut manifest = String::new();
    for deb in fs::read_dir(&part)? {
        let deb = deb?.path();
        if deb.extension().is_some_and(|extension| extension == "deb") {
            command::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked))?;
            if let Some(name) = deb.file_name() {
                manifest.push_str(&name.to_string_lossy().replace("%3a", ":"));
                manifest.push('\n');
            }
            fs::remove_file(&deb)?;
        }
    }
    item.keep(&unpacked, &part)?;
    fs::remove_dir_all(&unpacked)?;
    fs::write(part.join("manifest"), &manifest)?;
    // What carries its final name is complete.
    fs::rename(&part, item.dir())?;
    for deb in manifest.lines() {
        println!("{}: {deb}", item.name());
    }
    Ok(())
}

/// Every file and folder below a folder. Links are not followed.
pub fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Moves the first regular file of this name, or whose name goes on after it with a version.
fn keep_file(from: &Path, name: &str, dir: &Path, new_name: &str) -> Result<()> {
    let found = walk(from)?
        .into_iter()
        .find(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let is_it = file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']));
            is_it && path.symlink_metadata().is_ok_and(|data| data.is_file())
        })
        .with_context(|| format!("the package has no {name}"))?;
    fs::rename(found, dir.join(new_name))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_twice() {
        let items = [Item::Kernel(Kernel::Linux7), Item::Kernel(Kernel::Linux7), Item::Busybox];
        assert_eq!(missing(&items, |_| false), [Item::Kernel(Kernel::Linux7), Item::Busybox]);
        assert_eq!(missing(&items, |item| item == Item::Busybox), [Item::Kernel(Kernel::Linux7)]);
    }

    #[test]
    fn releases_compare_by_number() {
        let number = release_number("linux-image-7.2.13+deb14-cloud-arm64");
        assert_eq!(number, [7, 2, 13]);
        assert!(number < release_number("linux-image-7.10.1+deb14-cloud-arm64"));
    }
}
