//! A CPU, or an interpreter, of which no hash instructions are known.

/// Which hash instructions the CPU has: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuHash(());

impl CpuHash {
    /// No instructions, whatever the CPU has.
    pub const SOFTWARE: Self = Self(());

    /// What this CPU has.
    pub fn detect() -> Self {
        Self::SOFTWARE
    }

    /// Whether SHA-256 has instructions.
    pub fn sha256(self) -> bool {
        false
    }

    /// Whether SHA-384 and SHA-512 have instructions.
    pub fn sha512(self) -> bool {
        false
    }

    /// Hashes `blocks`; false, with nothing done, without the instructions.
    pub(super) fn compress256(self, _state: &mut [u32; 8], _blocks: &[[u8; 64]]) -> bool {
        false
    }

    /// As [`compress256`](Self::compress256).
    pub(super) fn compress512(self, _state: &mut [u64; 8], _blocks: &[[u8; 128]]) -> bool {
        false
    }
}
