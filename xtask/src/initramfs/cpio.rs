//! The "newc" form of cpio, which Linux unpacks into its initramfs.
//!
//! Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.

use sha2::{Digest, Sha256};

/// An archive that is being written. Owners, times and inode numbers depend on nothing outside.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    checksums: String,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder.
    pub fn dir(&mut self, path: &str) {
        self.entry(path, 0o040_755, (0, 0), &[]);
    }

    /// Adds a file with its permissions.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        for byte in Sha256::digest(content) {
            self.checksums.push_str(&format!("{byte:02x}"));
        }
        self.checksums.push_str(&format!("  /{path}\n"));
        self.entry(path, 0o100_000 | mode, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, to: &str) {
        self.entry(path, 0o120_777, (0, 0), to.as_bytes());
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, 0o020_600, (major, minor), &[]);
    }

    /// Adds a file with the SHA-256 and the path of every file so far, as `sha256sum` prints them.
    pub fn checksums(&mut self, path: &str) {
        let checksums = std::mem::take(&mut self.checksums);
        self.entry(path, 0o100_644, (0, 0), checksums.as_bytes());
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        self.bytes.extend_from_slice(b"070701");
        let name_size = path.len() as u32 + 1;
        for field in [
            self.entries, // ino
            mode,
            0, // uid
            0, // gid
            1, // nlink
            0, // mtime
            content.len() as u32,
            0, // devmajor
            0, // devminor
            device.0,
            device.1,
            name_size,
            0, // check
        ] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_110_characters_and_contents_aligned() {
        let mut archive = Archive::new();
        archive.file("a", 0o644, b"xyz");
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..115], b"xyz");
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
