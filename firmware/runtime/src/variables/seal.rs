//! What a store is known by in memory that has outlived a reset of the machine.

use runtime_abi::{ImageHeader, crc32};

use crate::time::Zone;

/// What outlives a reset beside the variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Kept {
    /// High half of the monotonic counter.
    pub monotonic_high: u32,
    /// What `SetTime()` has set that the clock cannot hold.
    pub zone: Zone,
}

impl Kept {
    /// Before the first boot, whose count is one more: zero.
    pub const FIRST: Self = Self { monotonic_high: u32::MAX, zone: Zone::UNSPECIFIED };
}

/// Beside a store: how much of it is taken, and what shows that it was left so.
///
/// The memory was an operating system's meanwhile, and may be anything.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Seal {
    pub(super) check: u64,
    pub(super) number: u64,
    pub(super) used: u64,
    pub(super) kept: Kept,
}

impl Seal {
    const MAGIC: u64 = u64::from_le_bytes(*b"realm-nv");

    /// Over the taken part of a store, as the change of this number leaves it.
    #[must_use]
    pub fn over(number: u64, kept: Kept, used: &[u8]) -> Self {
        Self::of_version(ImageHeader::VERSION, number, kept, used)
    }

    pub(super) fn of_version(version: u32, number: u64, kept: Kept, used: &[u8]) -> Self {
        let size = u64::try_from(used.len()).unwrap_or(u64::MAX);
        let Kept { monotonic_high, zone: Zone { timezone, daylight } } = kept;
        let version_and_content = u64::from(version) << 32 | u64::from(crc32(used.iter().copied()));
        let zone = u64::from(timezone.cast_unsigned()) | u64::from(daylight) << 16;
        let words = [version_and_content, number, size, u64::from(monotonic_high) << 32 | zone];
        // Each step can be undone, so a seal of which one field is of another never holds. The factor is odd, and has
        // as many ones as zeros.
        let step = |check: u64, word: &u64| (check ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        Self { check: words.iter().fold(Self::MAGIC, step), number, used: size, kept }
    }

    /// The taken part of `bytes`, when it is as it was sealed by firmware of this version.
    #[must_use]
    pub fn opens<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let used = bytes.get(..self.used())?;
        let holds = self.kept.zone.is_valid() && self.check == Self::over(self.number, self.kept, used).check;
        holds.then_some(used)
    }

    /// How much is taken, in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        usize::try_from(self.used).unwrap_or(usize::MAX)
    }

    /// What is kept beside the variables.
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// The number of the change behind this one.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.number.wrapping_add(1)
    }

    /// Whether this is of a later change than `other`.
    #[must_use]
    pub fn is_newer(&self, other: &Self) -> bool {
        self.number.wrapping_sub(other.number).cast_signed() > 0
    }
}
