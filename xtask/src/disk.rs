//! Bootable disks as people have them, made of Debian's arm64 packages: a GPT with an EFI system partition
//! and, for distributions, a root file system.
//!
//! The same inputs give the same partition table and the same EFI system partition, byte for byte: what the firmware
//! measures of them can be predicted.

mod bench;
mod esp;
mod root;
mod table;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use vm::workspace::{self, Kernel};

pub use self::bench::{READ_SIZE, build_for_bench};
use self::esp::Esp;
use crate::command;
use crate::fetch::{self, Item};
use crate::initramfs::{Archive, module};
use crate::tools::{self, Setup};

/// The kernel on every disk.
const KERNEL: Kernel = Kernel::Linux7;

/// What the kernel needs to find its root on any of the disks, and what is checked there.
const MODULES: [&str; 16] = [
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "virtio_console",
    "sd_mod",
    "sr_mod",
    "ext4",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859_1",
    "efivarfs",
    "configfs",
    "tsm_report",
    "arm_cca_guest",
];

/// Where the loader of a removable medium lies (UEFI 2.11, 3.5.1.1).
const REMOVABLE: &str = "EFI/BOOT/BOOTAA64.EFI";

/// What starts the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Loader {
    /// shim and GRUB, which reads kernel and initrd from the root file system: Debian as installed
    Debian,
    /// systemd-boot, with a menu and boot counting
    SystemdBoot,
    /// A unified kernel image
    Uki,
    /// The kernel itself, which the EFI shell gives an initrd= on its command line
    Kernel,
    /// rEFInd
    Refind,
}

impl Loader {
    /// The name it has on the command line.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Builds the disks of the tests, which make their checks and power off.
pub fn build_for_tests(setup: Setup) -> Result<()> {
    for loader in [Loader::Debian, Loader::SystemdBoot, Loader::Uki, Loader::Kernel, Loader::Refind] {
        let name = loader.name();
        let words = format!("realmfw.mode=check realmfw.loader={name} efi=debug panic=-1");
        build(loader, &words, &workspace::disk(&name), setup)?;
    }
    Ok(())
}

/// The disk that `run --disk` means: an image, or the name of a loader, whose disk is built.
pub fn find_or_build(disk: &str, words: &str, setup: Setup) -> Result<PathBuf> {
    let Ok(loader) = Loader::from_str(disk, false) else { return Ok(PathBuf::from(disk)) };
    let image = workspace::target().join(format!("{disk}.img"));
    build(loader, words, &image, setup)?;
    Ok(image)
}

/// The options of `cargo xtask disk`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    setup: Setup,
    /// What is to start the kernel
    #[arg(value_enum)]
    loader: Loader,
    /// The file to write
    #[arg(long, default_value = "disk.img")]
    output: PathBuf,
    /// More words for the kernel's command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    append: String,
}

/// `cargo xtask disk`.
pub fn run(options: &Options) -> Result<()> {
    build(options.loader, &options.append, &options.output, options.setup)
}

/// Builds a disk that boots Linux with `words` on its command line.
pub fn build(loader: Loader, words: &str, image: &Path, setup: Setup) -> Result<()> {
    tools::ensure(&tools::DISK, setup)?;
    fetch::ensure(&[Item::Kernel(KERNEL), Item::Busybox, Item::Loaders, Item::Shell], setup)?;
    let dir = image.parent().context("the image has no folder")?;
    fs::create_dir_all(dir)?;
    let initrd = initrd()?;
    let line = format!("console=ttyAMA0 root=LABEL={} {words}", root::LABEL);
    let line = line.trim_end();

    let part = |name: &str| image.with_extension(name);
    let (esp_file, root_file) = (part("esp"), part("root"));
    let mut esp = Esp::new(&esp_file)?;
    match loader {
        Loader::Debian => esp::debian(&mut esp)?,
        Loader::SystemdBoot => esp::systemd_boot(&mut esp, &kernel()?, &initrd, line)?,
        Loader::Uki => esp.file(REMOVABLE, &unified_kernel_image(dir, &initrd, line)?)?,
        Loader::Kernel => esp::kernel(&mut esp, &kernel()?, &initrd, line)?,
        Loader::Refind => esp::refind(&mut esp, &kernel()?, &initrd, line)?,
    }
    esp.finish()?;
    root::build(&root_file, &kernel()?, &initrd, line)?;
    assemble(image, [&esp_file, &root_file])
}

fn kernel() -> Result<Vec<u8>> {
    let path = KERNEL.image();
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// A file of the loaders' packages.
fn loader_file(name: &str) -> Result<Vec<u8>> {
    let path = Item::Loaders.dir().join(name);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The initramfs of the disks: it mounts the root file system and goes on there.
fn initrd() -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "modules", "proc", "root", "sys"] {
        archive.dir(dir);
    }
    archive.char_device("dev/console", 5, 1);
    archive.file("bin/busybox", 0o755, &fs::read(workspace::cache().join("busybox/busybox"))?);
    archive.symlink("bin/sh", "busybox");
    for module in module::with_dependencies(&KERNEL.modules(), &MODULES)? {
        archive.file(&format!("modules/{}", module.file_name), 0o644, &module.content);
    }
    archive.file("init", 0o755, &fs::read(workspace::root().join("tests/disk/initramfs"))?);
    Ok(archive.finish())
}

/// ukify makes it, as a distribution does.
fn unified_kernel_image(dir: &Path, initrd: &[u8], line: &str) -> Result<Vec<u8>> {
    let loaders = Item::Loaders.dir();
    let (initrd_file, output) = (dir.join("uki.initrd"), dir.join("uki.efi"));
    fs::write(&initrd_file, initrd)?;
    let mut ukify = Command::new("python3");
    ukify.arg(loaders.join("ukify")).arg("build").env("PYTHONPATH", &loaders).env("SOURCE_DATE_EPOCH", "0");
    ukify.arg(format!("--linux={}", KERNEL.image().display()));
    ukify.arg(format!("--initrd={}", initrd_file.display()));
    ukify.arg(format!("--stub={}", loaders.join("linuxaa64.efi.stub").display()));
    ukify.arg(format!("--cmdline={line}"));
    ukify.args(["--efi-arch=aa64", "--uname=7", "--os-release=ID=debian\nNAME=Debian"]);
    command::output(ukify.arg(format!("--output={}", output.display())))?;
    let image = fs::read(&output)?;
    fs::remove_file(&initrd_file)?;
    fs::remove_file(&output)?;
    Ok(image)
}

/// Puts the partitions into one image, with holes where there are zeros, and removes their files.
fn assemble(image: &Path, partitions: [&Path; 2]) -> Result<()> {
    // A machine may be running from an image of this name; it keeps what it has opened.
    let part = image.with_extension("part");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&part)?;
    let contents = [fs::read(partitions[0])?, fs::read(partitions[1])?];
    let starts = table::write(&mut file, contents.each_ref().map(|content| content.len() as u64))?;
    for (start, content) in starts.into_iter().zip(&contents) {
        for (number, chunk) in content.chunks(1 << 16).enumerate() {
            if chunk.iter().any(|&byte| byte != 0) {
                file.seek(SeekFrom::Start(start + ((number as u64) << 16)))?;
                file.write_all(chunk)?;
            }
        }
    }
    fs::rename(&part, image)?;
    for partition in partitions {
        fs::remove_file(partition)?;
    }
    Ok(())
}
