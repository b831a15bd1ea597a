//! The root file system: the programs and checks of the initramfs, Debian's efibootmgr, kernel and GRUB's menu.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use vm::workspace;

use crate::command;
use crate::fetch::Item;

/// By which the kernel's command line and GRUB find it.
pub const LABEL: &str = "realmfw-root";

const SIZE: &str = "256M";
const UUID: &str = "5f2d3b1e-6c1a-4f0e-9b58-1f4c7a2e0d03";

/// The libraries of efibootmgr, and the loader that the dynamic linker is.
const LIBRARIES: [&str; 5] =
    ["ld-linux-aarch64.so.1", "libc.so.6", "libefiboot.so.1", "libefivar.so.1", "libpopt.so.0"];

/// Writes the file system to `image`. `line` is what GRUB's entry gives the kernel.
pub fn build(image: &Path, kernel: &[u8], initrd: &[u8], line: &str) -> Result<()> {
    let tree = image.with_extension("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    for dir in ["bin", "boot/grub", "dev", "etc", "lib", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(tree.join(dir))?;
    }
    let mut sums = String::new();
    let mut file = |path: &str, mode: u32, content: &[u8]| -> Result<()> {
        sums.extend(Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")));
        sums.push_str(&format!("  /{path}\n"));
        let path = tree.join(path);
        fs::write(&path, content)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
    };
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    file("bin/busybox", 0o755, &read(&workspace::cache().join("busybox/busybox"))?)?;
    symlink("busybox", tree.join("bin/sh"))?;
    for folder in ["tests/init", "tests/realm/init", "tests/disk"] {
        for entry in fs::read_dir(workspace::root().join(folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Each of the others is the first process of an initramfs.
            if folder == "tests/disk" || name != "init" {
                file(&format!("bin/{name}"), 0o755, &read(&entry.path())?)?;
            }
        }
    }
    symlink("bin/init", tree.join("init"))?;
    let loaders = Item::Loaders.dir();
    file("bin/efibootmgr", 0o755, &read(&loaders.join("efibootmgr"))?)?;
    for library in LIBRARIES {
        file(&format!("lib/{library}"), 0o755, &read(&loaders.join(library))?)?;
    }
    file("boot/vmlinuz", 0o644, kernel)?;
    file("boot/initrd.img", 0o644, initrd)?;
    // What GRUB has written to its environment it reads again and hands on.
    let menu = format!(
        "set timeout=1\nset chosen=other\nsave_env chosen\nunset chosen\nload_env\nmenuentry Debian {{\n    \
         linux /boot/vmlinuz {line} realmfw.chosen=$chosen\n    initrd /boot/initrd.img\n}}\n"
    );
    file("boot/grub/grub.cfg", 0o644, menu.as_bytes())?;
    // GRUB does not make it: 1024 bytes, filled up.
    let environment = format!("{:#<1024}", "# GRUB Environment Block\n");
    fs::write(tree.join("boot/grub/grubenv"), environment)?;
    // The guest finds out with this whether it reads what was written.
    fs::write(tree.join("etc/sha256sums"), sums)?;

    let mut mkfs = Command::new(command::find_program("mke2fs").context("there is no mke2fs")?);
    mkfs.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum_seed", "-L", LABEL, "-U", UUID]);
    mkfs.arg("-E").arg(format!("root_owner=0:0,hash_seed={UUID}")).arg("-d").arg(&tree);
    // mke2fs takes the time of everything that it makes from here.
    mkfs.env("SOURCE_DATE_EPOCH", "0").env("E2FSPROGS_FAKE_TIME", "1");
    command::output(mkfs.arg(image).arg(SIZE))?;
    fs::remove_dir_all(&tree)?;
    Ok(())
}
