//! What of QEMU's fw_cfg the host looks at: the directory, the selected item, DMA descriptors;
//! and how a misbehaving host changes what is read (QEMU docs/specs/fw_cfg).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Selector of the file directory.
pub const FILE_DIR: u16 = 0x19;

/// DMA control bits.
pub mod control {
    /// The operation failed.
    pub const ERROR: u32 = 1;
    /// Copy the item to memory.
    pub const READ: u32 = 2;
    /// Move on without copying.
    pub const SKIP: u32 = 4;
    /// Select the item in bits 31:16 first.
    pub const SELECT: u32 = 8;
    /// Copy memory to the item.
    pub const WRITE: u32 = 16;
}

/// FWCfgDmaAccess: 16 bytes, big endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Control bits.
    pub control: u32,
    /// Bytes.
    pub length: u32,
    /// Address of the data.
    pub address: u64,
}

impl Descriptor {
    /// Reads it.
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let value = u128::from_be_bytes(*bytes);
        Self { control: (value >> 96) as u32, length: (value >> 64) as u32, address: value as u64 }
    }

    /// Writes it.
    pub fn to_bytes(self) -> [u8; 16] {
        let value = u128::from(self.control) << 96 | u128::from(self.length) << 64 | u128::from(self.address);
        value.to_be_bytes()
    }

    /// Where the device reads or writes memory: nothing when it only selects or skips.
    pub fn memory(&self) -> Option<Range<u64>> {
        let moves = self.control & (control::READ | control::WRITE) != 0;
        let end = self.address.checked_add(u64::from(self.length))?;
        (moves && self.length > 0).then_some(self.address..end)
    }
}

/// A file in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Offset of its entry in the directory.
    pub entry: usize,
    /// Its selector.
    pub select: u16,
}

/// Finds `name` in the bytes of the directory.
pub fn find(directory: &[u8], name: &str) -> Option<File> {
    let entries = directory.get(4..)?.chunks_exact(64);
    for (entry, offset) in entries.zip((4..).step_by(64)) {
        let text = entry.get(8..)?.split(|byte| *byte == 0).next()?;
        if text == name.as_bytes() {
            let select = u16::from_be_bytes(*entry.get(4..)?.first_chunk()?);
            return Some(File { entry: offset, select });
        }
    }
    None
}

/// Follows what the guest selects and reads, and alters it.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    key: u16,
    offset: usize,
    change: Option<u16>,
    reads: u32,
    size: Option<(usize, u32)>,
}

impl Tap {
    /// Contents of `change` change from the second read on; the directory says that `size.0` has
    /// `size.1` bytes.
    pub fn new(directory: &[u8], change: Option<&str>, size: Option<&(String, u32)>) -> Self {
        Self {
            change: change.and_then(|name| Some(find(directory, name)?.select)),
            size: size.and_then(|(name, size)| Some((find(directory, name)?.entry, *size))),
            ..Self::default()
        }
    }

    /// Whether anything is to be altered.
    pub fn is_armed(&self) -> bool {
        self.change.is_some() || self.size.is_some()
    }

    /// The guest selects an item.
    pub fn select(&mut self, key: u16) {
        (self.key, self.offset) = (key, 0);
    }

    /// The guest skips or writes.
    pub fn skip(&mut self, len: usize) {
        self.offset = self.offset.saturating_add(len);
    }

    /// The guest reads `data`; returns what was altered.
    pub fn read(&mut self, data: &mut [u8]) -> Vec<&'static str> {
        let mut done = vec![];
        let start = self.offset;
        self.skip(data.len());
        if self.change == Some(self.key) && start == 0 && !data.is_empty() {
            self.reads = self.reads.saturating_add(1);
            if let (2.., Some(byte)) = (self.reads, data.first_mut()) {
                *byte ^= 0xff;
                done.push("changed the first byte of a fw_cfg item since its last read");
            }
        }
        if let (FILE_DIR, Some((entry, size))) = (self.key, self.size) {
            for (at, byte) in (entry..).zip(size.to_be_bytes()) {
                let slot = at.checked_sub(start).and_then(|at| data.get_mut(at));
                if let Some(slot) = slot {
                    *slot = byte;
                    done.push("put a wrong size into the fw_cfg directory");
                }
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn directory() -> Vec<u8> {
        let mut bytes = vec![0; 4 + 128];
        bytes[3] = 2;
        bytes[4..12].copy_from_slice(&[0, 0, 0, 9, 0, 0x20, 0, 0]);
        bytes[12..15].copy_from_slice(b"a/b");
        bytes[68..76].copy_from_slice(&[0, 0, 0, 5, 0, 0x21, 0, 0]);
        bytes[76..81].copy_from_slice(b"etc/c");
        bytes
    }

    #[test]
    fn contents_change_on_the_second_read_only() {
        let mut tap = Tap::new(&directory(), Some("etc/c"), None);
        for (key, expected) in [(0x21, [1, 2]), (0x20, [1, 2]), (0x21, [0xfe, 2]), (0x21, [0xfe, 2])] {
            tap.select(key);
            let mut data = [1, 2];
            tap.read(&mut data);
            assert_eq!(data, expected);
            let mut more = [1];
            tap.read(&mut more);
            assert_eq!(more, [1]);
        }
    }

    #[test]
    fn size_lies_however_the_directory_is_read() {
        let lie = ("etc/c".to_string(), 0x0102_0304);
        let real = directory();
        for step in [1, 3, 4, 8, 64, real.len()] {
            let mut tap = Tap::new(&real, None, Some(&lie));
            tap.select(FILE_DIR);
            let mut read = real.clone();
            for part in read.chunks_mut(step) {
                tap.read(part);
            }
            assert_eq!(read[68..72], [1, 2, 3, 4]);
            assert_eq!(read[72..], real[72..]);
            assert_eq!(read[..68], real[..68]);
        }
        assert!(!Tap::new(&real, Some("none"), None).is_armed());
    }

    #[test]
    fn descriptors_are_big_endian() {
        let bytes = [0, 0x19, 0, 10, 0, 0, 0, 4, 0, 0, 0, 1, 0x40, 0, 0, 0];
        let descriptor = Descriptor::from_bytes(&bytes);
        assert_eq!(descriptor.control, 0x19 << 16 | control::SELECT | control::READ);
        assert_eq!(descriptor.memory(), Some(0x1_4000_0000..0x1_4000_0004));
        assert_eq!(descriptor.to_bytes(), bytes);
        let wrapping = Descriptor { address: u64::MAX, length: 2, ..descriptor };
        assert_eq!(wrapping.memory(), None);
    }
}
