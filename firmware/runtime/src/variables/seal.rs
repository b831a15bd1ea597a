//! What a store is known by in memory that has outlived a reset of the machine.

use runtime_abi::{ImageHeader, crc32};

/// Beside a store: how much of it is taken, and what shows that it was left so.
///
/// The memory was an operating system's meanwhile, and may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Seal {
    magic: u64,
    version: u32,
    crc: u32,
    used: u64,
}

impl Seal {
    const MAGIC: u64 = u64::from_le_bytes(*b"realm-nv");

    /// Over the taken part of a store.
    #[must_use]
    pub fn over(used: &[u8]) -> Self {
        Self {
            magic: Self::MAGIC,
            version: ImageHeader::VERSION,
            crc: crc32(used.iter().copied()),
            used: u64::try_from(used.len()).unwrap_or(u64::MAX),
        }
    }

    /// How many of `bytes` are taken, when they are as they were sealed by firmware of this version.
    #[must_use]
    pub fn opens(&self, bytes: &[u8]) -> Option<usize> {
        let used = usize::try_from(self.used).ok()?;
        (*self == Self::over(bytes.get(..used)?)).then_some(used)
    }
}
