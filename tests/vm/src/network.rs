//! A network with all that a boot over it takes: QEMU's own DHCP and TFTP servers, and Debian's iPXE to boot by them.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Result;

use crate::workspace;

/// A kernel, its initramfs, and a script for iPXE that boots them, in a folder for TFTP that is removed at the end.
pub struct Network {
    dir: PathBuf,
}

impl Network {
    /// Offers `kernel` with `initramfs` and `command_line`. One network at a time has the name `name`.
    pub fn new(name: &str, kernel: &Path, initramfs: &Path, command_line: &str) -> Result<Self> {
        let network = Self { dir: env::temp_dir().join(format!("realmfw-network-{}-{name}", process::id())) };
        fs::create_dir_all(&network.dir)?;
        symlink(kernel, network.dir.join("vmlinuz"))?;
        symlink(initramfs, network.dir.join("initrd"))?;
        // iPXE puts the image's name in front of the words that follow the file.
        let (first, rest) = command_line.split_once(' ').unwrap_or((command_line, ""));
        let script = format!("#!ipxe\nkernel --name {first} vmlinuz {rest}\ninitrd initrd\nboot\n");
        fs::write(network.dir.join("boot.ipxe"), script)?;
        Ok(network)
    }

    /// QEMU's arguments for the network and a virtio device on PCI, which has to take what a realm's drivers ask for.
    /// It gives no option ROM, so its driver is the program's.
    pub fn args(&self) -> [String; 4] {
        let network = format!("user,id=network,tftp={},bootfile=boot.ipxe", self.dir.display());
        let device = "virtio-net-pci,netdev=network,romfile=,disable-legacy=on,iommu_platform=on";
        ["-netdev".to_owned(), network, "-device".to_owned(), device.to_owned()]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A file left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Debian's iPXE, an EFI program with drivers of its own.
pub fn ipxe() -> PathBuf {
    workspace::cache().join("ipxe/ipxe-arm64.efi")
}
