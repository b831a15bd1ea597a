//! The disks of `cargo xtask bench`. Linux is not let run from them, so there is no root file system.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vm::workspace;

use super::esp::Esp;
use super::{REMOVABLE, assemble, kernel, loader_file, unified_kernel_image};
use crate::fetch::{self, Item};
use crate::tools::{self, Setup};

/// The file that is read: its size in bytes, and its words of 64 bits count up from zero.
pub const READ_SIZE: usize = 512 << 20;
/// The size of the EFI system partitions: about as Debian's installer makes them, with clusters of 4 KiB.
const ESP_SIZE: u64 = 640 << 20;

/// Builds a unified kernel image's disk, GRUB's, and one whose loader starts `efi-check` with a file to read.
pub fn build_for_bench(initrd: &[u8], setup: Setup) -> Result<[PathBuf; 3]> {
    tools::ensure(&tools::DISK, setup)?;
    fetch::ensure(&[Item::Loaders], setup)?;
    let dir = workspace::target().join("disks");
    fs::create_dir_all(&dir)?;
    let line = "console=ttyAMA0";

    let uki = disk(&dir.join("bench-uki.img"), |esp| esp.file(REMOVABLE, &unified_kernel_image(&dir, initrd, line)?))?;
    let grub = disk(&dir.join("bench-grub.img"), |esp| {
        // Debian's signed GRUB, which looks here for its configuration; without shim.
        esp.file(REMOVABLE, &loader_file("grubaa64.efi")?)?;
        esp.file("linux", &kernel()?)?;
        esp.file("initrd", initrd)?;
        esp.file("EFI/debian/grub.cfg", format!("linux /linux {line}\ninitrd /initrd\nboot\n").as_bytes())
    })?;
    let read = disk(&dir.join("bench-read.img"), |esp| {
        let program = workspace::efi_check();
        let program = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        let content: Vec<u8> = (0..READ_SIZE as u64 / 8).flat_map(u64::to_le_bytes).collect();
        esp.file(REMOVABLE, &loader_file("systemd-bootaa64.efi")?)?;
        esp.file("loader/loader.conf", b"timeout 0\n")?;
        esp.file("loader/entries/read.conf", b"title Read\nefi /efi-check.efi\noptions read=\\content\n")?;
        esp.file("efi-check.efi", &program)?;
        esp.file("content", &content)
    })?;
    Ok([uki, grub, read])
}

fn disk(image: &Path, fill: impl FnOnce(&mut Esp) -> Result<()>) -> Result<PathBuf> {
    let [esp_file, empty] = ["esp", "empty"].map(|name| image.with_extension(name));
    let mut esp = Esp::with_size(&esp_file, ESP_SIZE)?;
    fill(&mut esp)?;
    esp.finish()?;
    File::create(&empty)?.set_len(1 << 20)?;
    assemble(image, [&esp_file, &empty])?;
    Ok(image.to_path_buf())
}
