//! Where things are: the checkout, what was built, what was fetched.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    // This crate sits two folders below the root.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Cargo's build folder, which also takes the image and the initramfs.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// What was fetched. One place for every build folder, so that nothing is fetched twice.
pub fn cache() -> PathBuf {
    root().join("target/cache")
}

/// The flat firmware image.
pub fn image() -> PathBuf {
    target().join("realmfw.bin")
}

/// The firmware with its symbols.
pub fn elf() -> PathBuf {
    target().join("realmfw.elf")
}

/// A series of Debian's arm64 kernels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kernel {
    /// The long-term kernel of Debian 13.
    Linux6_12,
    /// The newest 7.x kernel.
    Linux7,
}

impl Kernel {
    /// Every series the tests use.
    pub const ALL: [Kernel; 2] = [Kernel::Linux6_12, Kernel::Linux7];

    /// The name of its folder in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Linux6_12 => "linux-6.12",
            Kernel::Linux7 => "linux-7",
        }
    }

    /// What every release of the series begins with.
    pub fn release_prefix(self) -> &'static str {
        match self {
            Kernel::Linux6_12 => "6.12.",
            Kernel::Linux7 => "7.",
        }
    }

    /// The kernel image.
    pub fn image(self) -> PathBuf {
        cache().join(self.name()).join("vmlinuz")
    }

    /// The folder of its modules.
    pub fn modules(self) -> PathBuf {
        cache().join(self.name()).join("modules")
    }

    /// The initramfs with this kernel's modules.
    pub fn initrd(self) -> PathBuf {
        target().join(format!("initramfs-{}.cpio", self.name()))
    }
}

/// The disk with a loader, whose root file system makes its checks.
pub fn disk(loader: &str) -> PathBuf {
    target().join("disks").join(format!("{loader}.img"))
}

/// Debian's EDK2 image, which takes the place of realmfw for comparison.
pub fn edk2() -> PathBuf {
    cache().join("edk2").join("QEMU_EFI.fd")
}

/// Debian's EFI shell.
pub fn shell() -> PathBuf {
    cache().join("shell/shellaa64.efi")
}

/// The EFI program that checks boot services from inside.
pub fn efi_check() -> PathBuf {
    target().join("aarch64-unknown-uefi/release/efi-check.efi")
}

/// The EFI program that uses the services through the `uefi` crate.
pub fn uefi_walk() -> PathBuf {
    target().join("aarch64-unknown-uefi/release/uefi-walk.efi")
}
