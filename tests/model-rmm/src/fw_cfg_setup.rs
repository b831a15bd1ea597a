//! A kernel in two parts, as fw_cfg has it on machines whose kernels begin with a setup part (QEMU docs/specs/fw_cfg):
//! QEMU's arm64 machines never split theirs, so the host does.

/// Selectors.
const KERNEL_SIZE: u16 = 0x08;
const KERNEL_DATA: u16 = 0x11;
const SETUP_SIZE: u16 = 0x17;
const SETUP_DATA: u16 = 0x18;

/// Follows what the guest selects and reads, and shows it the two parts.
#[derive(Clone, Debug)]
pub struct Split {
    setup: u32,
    rest: u32,
    key: u16,
    offset: usize,
}

/// What to select in QEMU, and how far to skip in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The selector.
    pub key: u16,
    /// Bytes to skip.
    pub skip: u32,
}

impl Split {
    /// The first `setup` bytes of a kernel of `kernel` bytes; none when it has no more than these.
    pub fn new(setup: u32, kernel: u32) -> Option<Self> {
        let rest = kernel.checked_sub(setup).filter(|rest| *rest > 0)?;
        Some(Self { setup, rest, key: 0, offset: 0 })
    }

    /// The guest selects an item.
    pub fn select(&mut self, key: u16) -> Selection {
        (self.key, self.offset) = (key, 0);
        match key {
            SETUP_DATA => Selection { key: KERNEL_DATA, skip: 0 },
            KERNEL_DATA => Selection { key, skip: self.setup },
            _ => Selection { key, skip: 0 },
        }
    }

    /// The guest skips or writes.
    pub fn skip(&mut self, len: usize) {
        self.offset = self.offset.saturating_add(len);
    }

    /// The guest reads `data`, which QEMU has filled: puts right what is not so in two parts.
    pub fn read(&mut self, data: &mut [u8]) {
        let start = self.offset;
        self.skip(data.len());
        let item = match self.key {
            SETUP_SIZE => self.setup.to_le_bytes(),
            KERNEL_SIZE => self.rest.to_le_bytes(),
            SETUP_DATA => {
                // Zeros lie behind the end of an item.
                let left = (self.setup as usize).saturating_sub(start);
                data.iter_mut().skip(left).for_each(|byte| *byte = 0);
                return;
            }
            _ => return,
        };
        for (to, from) in data.iter_mut().zip(item.iter().skip(start)) {
            *to = *from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn sizes_tell_of_two_parts() {
        let mut split = Split::new(0x1000, 0x1234).unwrap();
        for (key, size) in [(SETUP_SIZE, 0x1000), (KERNEL_SIZE, 0x234)] {
            assert_eq!(split.select(key), Selection { key, skip: 0 });
            let mut whole = [9; 4];
            split.read(&mut whole);
            assert_eq!(u32::from_le_bytes(whole), size);
            split.select(key);
            let bytes = [(); 5].map(|()| {
                let mut byte = [9];
                split.read(&mut byte);
                byte[0]
            });
            assert_eq!(bytes[..4], size.to_le_bytes());
            assert_eq!(bytes[4], 9, "QEMU's own");
        }
        assert!(Split::new(4, 4).is_none());
    }

    #[test]
    fn the_parts_are_one_behind_the_other() {
        let kernel = [1, 2, 3, 4, 5];
        let mut split = Split::new(2, 5).unwrap();
        let mut read = |key, len: usize| {
            let selection = split.select(key);
            assert_eq!(selection.key, KERNEL_DATA);
            let mut data = vec![0; len];
            for (to, from) in data.iter_mut().zip(&kernel[selection.skip as usize..]) {
                *to = *from;
            }
            split.read(&mut data);
            data
        };
        assert_eq!(read(SETUP_DATA, 2), [1, 2]);
        assert_eq!(read(SETUP_DATA, 4), [1, 2, 0, 0]);
        assert_eq!(read(KERNEL_DATA, 3), [3, 4, 5]);
    }
}
