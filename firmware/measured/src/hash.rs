//! SHA-2 with the CPU's instructions where it has them, and with the sha2 crate otherwise.
//!
//! The sha2 crate never finds the instructions on a bare-metal target, where it has no operating system to
//! ask. So its block functions are one of two sets here, and the padding (FIPS 180-4, section 5.1) is common.

#[cfg(all(target_arch = "aarch64", any(target_os = "none", target_os = "linux"), not(miri)))]
#[path = "hash/aarch64.rs"]
mod cpu;
#[cfg(not(all(target_arch = "aarch64", any(target_os = "none", target_os = "linux"), not(miri))))]
#[path = "hash/other.rs"]
mod cpu;
#[cfg(test)]
mod tests;

use core::fmt;

use sha2::block_api::{compress256, compress512};

pub use cpu::CpuHash;

/// The longest digest, in bytes.
pub const MAX_DIGEST_LEN: usize = 64;

/// A hash algorithm a realm's measurements can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// TPM_ALG_ID (TCG Algorithm Registry), as event logs name the algorithm.
    pub const fn tcg_id(self) -> u16 {
        match self {
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The algorithm with this TPM_ALG_ID.
    pub const fn from_tcg_id(id: u16) -> Option<Self> {
        match id {
            0x000b => Some(Self::Sha256),
            0x000c => Some(Self::Sha384),
            0x000d => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Length of a digest in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A digest and the algorithm that it is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero behind the algorithm's length.
    bytes: [u8; MAX_DIGEST_LEN],
}

impl Digest {
    /// The value of a measurement register that nothing has been extended into.
    pub const fn zero(algorithm: Algorithm) -> Self {
        Self { algorithm, bytes: [0; MAX_DIGEST_LEN] }
    }

    /// A digest from its bytes; none if they are not as many as the algorithm's.
    pub fn new(algorithm: Algorithm, digest: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_DIGEST_LEN];
        bytes.get_mut(..algorithm.digest_len()).filter(|to| to.len() == digest.len())?.copy_from_slice(digest);
        Some(Self { algorithm, bytes })
    }

    /// What it is a digest by.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest, as long as the algorithm's digests are.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.digest_len()).unwrap_or(&self.bytes)
    }

    /// What a measurement register with this value holds after `digest` has been extended into it:
    /// `H(register || digest)` (DEN0137, RSI_MEASUREMENT_EXTEND).
    pub fn extended(&self, digest: &[u8], cpu: CpuHash) -> Self {
        let mut hasher = Hasher::new(self.algorithm, cpu);
        hasher.update(self.as_bytes());
        hasher.update(digest);
        hasher.finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{self}", self.algorithm)
    }
}

/// First words of the fractional parts of square roots of primes (FIPS 180-4, section 5.3.3).
const INITIAL_256: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// As above (FIPS 180-4, section 5.3.4).
const INITIAL_384: [u64; 8] = [
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
    0xdb0c_2e0d_64f9_8fa7,
    0x47b5_481d_befa_4fa4,
];

/// As above (FIPS 180-4, section 5.3.5).
const INITIAL_512: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Hash values, and the block function for them.
#[derive(Clone)]
enum State {
    Words32([u32; 8]),
    Words64([u64; 8]),
}

/// Length of a block of SHA-256.
const BLOCK_256: usize = 64;
/// Length of a block of SHA-384 and SHA-512.
const BLOCK_512: usize = 128;

/// A message being hashed.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    cpu: CpuHash,
    state: State,
    /// The beginning of the block that is not yet whole.
    block: [u8; BLOCK_512],
    /// Bytes of `block` taken: less than a block.
    filled: usize,
    /// Bytes of the message so far.
    len: u64,
}

impl Hasher {
    /// An empty message.
    pub fn new(algorithm: Algorithm, cpu: CpuHash) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Words32(INITIAL_256),
            Algorithm::Sha384 => State::Words64(INITIAL_384),
            Algorithm::Sha512 => State::Words64(INITIAL_512),
        };
        Self { algorithm, cpu, state, block: [0; BLOCK_512], filled: 0, len: 0 }
    }

    /// Digest of a message in one piece.
    pub fn digest(algorithm: Algorithm, cpu: CpuHash, message: &[u8]) -> Digest {
        let mut hasher = Self::new(algorithm, cpu);
        hasher.update(message);
        hasher.finish()
    }

    /// Appends to the message. Whole blocks are hashed where they lie.
    pub fn update(&mut self, mut bytes: &[u8]) {
        // No message of a machine's memory comes near 2^64 bytes.
        self.len = self.len.wrapping_add(bytes.len() as u64);
        let block_len = self.block_len();
        if self.filled > 0 {
            let free = self.block.get_mut(self.filled..block_len).unwrap_or_default();
            let (front, rest) = bytes.split_at(free.len().min(bytes.len()));
            free.iter_mut().zip(front).for_each(|(to, from)| *to = *from);
            self.filled += front.len();
            bytes = rest;
            if self.filled < block_len {
                return;
            }
            let block = self.block;
            self.compress(block.get(..block_len).unwrap_or_default());
            self.filled = 0;
        }
        let tail = self.compress(bytes);
        self.block.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        self.filled = tail.len();
    }

    /// Ends the message.
    pub fn finish(mut self) -> Digest {
        let bits = u128::from(self.len) * 8;
        let block_len = self.block_len();
        // The length takes an eighth of a block: 64 bits for SHA-256, 128 for the others.
        let length_len = block_len / 8;
        let mut padding = [0; BLOCK_512 + 16];
        if let Some(first) = padding.first_mut() {
            *first = 0x80;
        }
        let to_length = (2 * block_len - length_len - self.filled - 1) % block_len + 1;
        self.update(padding.get(..to_length).unwrap_or_default());
        let bits = bits.to_be_bytes();
        self.update(bits.get(bits.len() - length_len..).unwrap_or_default());

        let mut bytes = [0; MAX_DIGEST_LEN];
        match &self.state {
            State::Words32(words) => fill(&mut bytes, words.iter().map(|word| word.to_be_bytes())),
            State::Words64(words) => fill(&mut bytes, words.iter().map(|word| word.to_be_bytes())),
        }
        bytes.iter_mut().skip(self.algorithm.digest_len()).for_each(|byte| *byte = 0);
        Digest { algorithm: self.algorithm, bytes }
    }

    fn block_len(&self) -> usize {
        match self.state {
            State::Words32(_) => BLOCK_256,
            State::Words64(_) => BLOCK_512,
        }
    }

    /// Hashes the whole blocks at the front of `bytes` and returns what follows them.
    fn compress<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            State::Words32(state) => {
                let (blocks, rest) = bytes.as_chunks::<BLOCK_256>();
                if !self.cpu.compress256(state, blocks) {
                    compress256(state, blocks);
                }
                rest
            }
            State::Words64(state) => {
                let (blocks, rest) = bytes.as_chunks::<BLOCK_512>();
                if !self.cpu.compress512(state, blocks) {
                    compress512(state, blocks);
                }
                rest
            }
        }
    }
}

fn fill<const N: usize>(bytes: &mut [u8], words: impl Iterator<Item = [u8; N]>) {
    bytes.iter_mut().zip(words.flatten()).for_each(|(to, from)| *to = from);
}
