//! The EFI system partition of each loader.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};

use super::{REMOVABLE, loader_file, root};
use crate::fetch::Item;

/// Its size in bytes: room for two kernels with their initrds.
const SIZE: u64 = 256 << 20;

/// The name that boot entries count down, which systemd-boot renames at each try.
pub const COUNTED_ENTRY: &str = "debian+3.conf";

/// A FAT file system in a file.
pub struct Esp {
    files: FileSystem<File>,
}

impl Esp {
    /// An empty one.
    pub fn new(path: &Path) -> Result<Self> {
        Self::with_size(path, SIZE)
    }

    /// An empty one of another size.
    pub fn with_size(path: &Path, size: u64) -> Result<Self> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        let mut file = open.with_context(|| format!("cannot write {}", path.display()))?;
        file.set_len(size)?;
        let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).volume_id(0x5ea1_0001);
        format_volume(&mut file, options.volume_label(*b"ESP        "))?;
        std::io::Seek::rewind(&mut file)?;
        Ok(Self { files: FileSystem::new(file, FsOptions::new())? })
    }

    /// Adds a file, and the folders it is in.
    pub fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut dir = self.files.root_dir();
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            dir = dir.create_dir(part)?;
        }
        let mut file = dir.create_file(name)?;
        file.write_all(content).with_context(|| format!("no room for {path} on the EFI system partition"))?;
        Ok(())
    }

    /// Writes what is pending.
    pub fn finish(self) -> Result<()> {
        Ok(self.files.unmount()?)
    }
}

/// Text in UTF-16 with a byte order mark, as shim's fallback loader reads it.
fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// shim in the removable place with its fallback loader, which makes a boot option of what the CSV file names; GRUB
/// beside a second shim. GRUB's configuration lies on the root file system, where the one here leads.
pub fn debian(esp: &mut Esp) -> Result<()> {
    let (shim, mok_manager) = (loader_file("shimaa64.efi")?, loader_file("mmaa64.efi")?);
    esp.file(REMOVABLE, &shim)?;
    esp.file("EFI/BOOT/fbaa64.efi", &loader_file("fbaa64.efi")?)?;
    esp.file("EFI/BOOT/mmaa64.efi", &mok_manager)?;
    esp.file("EFI/debian/shimaa64.efi", &shim)?;
    esp.file("EFI/debian/mmaa64.efi", &mok_manager)?;
    esp.file("EFI/debian/grubaa64.efi", &loader_file("grubaa64.efi")?)?;
    esp.file("EFI/debian/BOOTAA64.CSV", &utf16("shimaa64.efi,debian,,This is the boot entry for debian\n"))?;
    let label = root::LABEL;
    let config =
        format!("search --label --set=root {label}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n");
    esp.file("EFI/debian/grub.cfg", config.as_bytes())
}

/// systemd-boot with two entries: the first counts its tries, the second is chosen by hand.
pub fn systemd_boot(esp: &mut Esp, kernel: &[u8], initrd: &[u8], line: &str) -> Result<()> {
    let loader = loader_file("systemd-bootaa64.efi")?;
    esp.file(REMOVABLE, &loader)?;
    esp.file("EFI/systemd/systemd-bootaa64.efi", &loader)?;
    esp.file("debian/linux", kernel)?;
    esp.file("debian/initrd", initrd)?;
    esp.file("loader/loader.conf", b"timeout 5\ndefault debian*.conf\n")?;
    let entry = |title: &str, more: &str| {
        format!("title {title}\nlinux /debian/linux\ninitrd /debian/initrd\noptions {line}{more}\n")
    };
    esp.file(&format!("loader/entries/{COUNTED_ENTRY}"), entry("Debian", "").as_bytes())?;
    esp.file("loader/entries/other.conf", entry("Other", " realmfw.chosen=other").as_bytes())
}

/// The kernel with an initrd= on its command line, which the EFI shell's startup script gives it, or shim's fallback
/// loader by what the CSV file says.
pub fn kernel(esp: &mut Esp, kernel: &[u8], initrd: &[u8], line: &str) -> Result<()> {
    let shell = Item::Shell.dir().join("shellaa64.efi");
    esp.file(REMOVABLE, &std::fs::read(&shell).with_context(|| format!("cannot read {}", shell.display()))?)?;
    esp.file("EFI/BOOT/fbaa64.efi", &loader_file("fbaa64.efi")?)?;
    esp.file("EFI/debian/linux.efi", kernel)?;
    esp.file("initrd.img", initrd)?;
    let line = format!("initrd=\\initrd.img {line}");
    esp.file("EFI/debian/BOOTAA64.CSV", &utf16(&format!("linux.efi,debian,{line},Debian by its kernel\n")))?;
    esp.file("startup.nsh", format!("\\EFI\\debian\\linux.efi {line}\r\n").as_bytes())
}

/// rEFInd with one entry, in text mode.
pub fn refind(esp: &mut Esp, kernel: &[u8], initrd: &[u8], line: &str) -> Result<()> {
    esp.file(REMOVABLE, &loader_file("refind_aa64.efi")?)?;
    esp.file("debian/linux", kernel)?;
    esp.file("debian/initrd", initrd)?;
    let config = format!(
        "timeout 5\ntextonly true\nscanfor manual\nmenuentry \"Debian\" {{\n    loader /debian/linux\n    \
         initrd /debian/initrd\n    options \"{line}\"\n}}\n"
    );
    esp.file("EFI/BOOT/refind.conf", config.as_bytes())
}
