//! SHA-256 and SHA-512 by the instructions of FEAT_SHA256 and FEAT_SHA512 (Arm Architecture Reference
//! Manual, DDI 0487, C7.2: SHA256H, SHA256H2, SHA256SU0, SHA256SU1, SHA512H, SHA512H2, SHA512SU0, SHA512SU1).

#![expect(unsafe_code, reason = "calls instructions that not every CPU has")]

use core::arch::aarch64::*;
use core::arch::asm;

/// Which hash instructions the CPU has.
///
/// A value that names an instruction only ever comes from the CPU's own register, so that holding one is
/// the permission to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuHash {
    sha256: bool,
    sha512: bool,
}

impl CpuHash {
    /// No instructions, whatever the CPU has.
    pub const SOFTWARE: Self = Self { sha256: false, sha512: false };

    /// What this CPU has: ID_AA64ISAR0_EL1.SHA2, bits 15:12, is 1 for FEAT_SHA256, 2 for FEAT_SHA512 as
    /// well (DDI 0487, D24.2). Advanced SIMD must be enabled before anything is hashed.
    pub fn detect() -> Self {
        let isar0: u64;
        // SAFETY: reads an ID register. From EL1 on it is always readable; Linux emulates the read for EL0.
        unsafe { asm!("mrs {}, ID_AA64ISAR0_EL1", out(reg) isar0, options(nomem, nostack, preserves_flags)) };
        // A later value means more, not less (DDI 0487, D24.1.3: ID registers grow).
        let sha2 = isar0 >> 12 & 0xf;
        Self { sha256: sha2 >= 1, sha512: sha2 >= 2 }
    }

    /// Whether SHA-256 has instructions.
    pub fn sha256(self) -> bool {
        self.sha256
    }

    /// Whether SHA-384 and SHA-512 have instructions.
    pub fn sha512(self) -> bool {
        self.sha512
    }

    /// Hashes `blocks`; false, with nothing done, without the instructions.
    pub(super) fn compress256(self, state: &mut [u32; 8], blocks: &[[u8; 64]]) -> bool {
        if self.sha256 {
            // SAFETY: the CPU has FEAT_SHA256.
            unsafe { compress256(state, blocks) };
        }
        self.sha256
    }

    /// As [`compress256`](Self::compress256).
    pub(super) fn compress512(self, state: &mut [u64; 8], blocks: &[[u8; 128]]) -> bool {
        if self.sha512 {
            // SAFETY: the CPU has FEAT_SHA512.
            unsafe { compress512(state, blocks) };
        }
        self.sha512
    }
}

/// Cube roots of primes (FIPS 180-4, section 4.2.2).
static K256: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Cube roots of primes (FIPS 180-4, section 4.2.3).
static K512_FIRST: [[u64; 16]; 4] = [
    [
        0x428a_2f98_d728_ae22,
        0x7137_4491_23ef_65cd,
        0xb5c0_fbcf_ec4d_3b2f,
        0xe9b5_dba5_8189_dbbc,
        0x3956_c25b_f348_b538,
        0x59f1_11f1_b605_d019,
        0x923f_82a4_af19_4f9b,
        0xab1c_5ed5_da6d_8118,
        0xd807_aa98_a303_0242,
        0x1283_5b01_4570_6fbe,
        0x2431_85be_4ee4_b28c,
        0x550c_7dc3_d5ff_b4e2,
        0x72be_5d74_f27b_896f,
        0x80de_b1fe_3b16_96b1,
        0x9bdc_06a7_25c7_1235,
        0xc19b_f174_cf69_2694,
    ],
    [
        0xe49b_69c1_9ef1_4ad2,
        0xefbe_4786_384f_25e3,
        0x0fc1_9dc6_8b8c_d5b5,
        0x240c_a1cc_77ac_9c65,
        0x2de9_2c6f_592b_0275,
        0x4a74_84aa_6ea6_e483,
        0x5cb0_a9dc_bd41_fbd4,
        0x76f9_88da_8311_53b5,
        0x983e_5152_ee66_dfab,
        0xa831_c66d_2db4_3210,
        0xb003_27c8_98fb_213f,
        0xbf59_7fc7_beef_0ee4,
        0xc6e0_0bf3_3da8_8fc2,
        0xd5a7_9147_930a_a725,
        0x06ca_6351_e003_826f,
        0x1429_2967_0a0e_6e70,
    ],
    [
        0x27b7_0a85_46d2_2ffc,
        0x2e1b_2138_5c26_c926,
        0x4d2c_6dfc_5ac4_2aed,
        0x5338_0d13_9d95_b3df,
        0x650a_7354_8baf_63de,
        0x766a_0abb_3c77_b2a8,
        0x81c2_c92e_47ed_aee6,
        0x9272_2c85_1482_353b,
        0xa2bf_e8a1_4cf1_0364,
        0xa81a_664b_bc42_3001,
        0xc24b_8b70_d0f8_9791,
        0xc76c_51a3_0654_be30,
        0xd192_e819_d6ef_5218,
        0xd699_0624_5565_a910,
        0xf40e_3585_5771_202a,
        0x106a_a070_32bb_d1b8,
    ],
    [
        0x19a4_c116_b8d2_d0c8,
        0x1e37_6c08_5141_ab53,
        0x2748_774c_df8e_eb99,
        0x34b0_bcb5_e19b_48a8,
        0x391c_0cb3_c5c9_5a63,
        0x4ed8_aa4a_e341_8acb,
        0x5b9c_ca4f_7763_e373,
        0x682e_6ff3_d6b2_b8a3,
        0x748f_82ee_5def_b2fc,
        0x78a5_636f_4317_2f60,
        0x84c8_7814_a1f0_ab72,
        0x8cc7_0208_1a64_39ec,
        0x90be_fffa_2363_1e28,
        0xa450_6ceb_de82_bde9,
        0xbef9_a3f7_b2c6_7915,
        0xc671_78f2_e372_532b,
    ],
];

/// Those of the last sixteen rounds, which schedule no more words.
static K512_LAST: [u64; 16] = [
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];

// The firmware is built for aligned accesses only, and the compiler makes a load of each byte of what may not be aligned.
// LD1 wants no more than its elements aligned, but no intrinsic is sure to become one.

/// 64 bytes at `bytes[INDEX..]`.
#[inline]
#[target_feature(enable = "neon")]
fn load8<const INDEX: usize, const N: usize>(bytes: &[u8; N]) -> [uint8x16_t; 4] {
    const { assert!(INDEX + 64 <= N) };
    let (v0, v1, v2, v3);
    // SAFETY: 64 bytes lie there, by the line above.
    unsafe {
        asm!("ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{}]", in(reg) bytes.as_ptr().add(INDEX),
            out("v4") v0, out("v5") v1, out("v6") v2, out("v7") v3, options(pure, readonly, nostack, preserves_flags));
    }
    [v0, v1, v2, v3]
}

/// Eight 64-bit words at `words[INDEX..]`.
#[inline]
#[target_feature(enable = "neon")]
fn load64<const INDEX: usize, const N: usize>(words: &[u64; N]) -> [uint64x2_t; 4] {
    const { assert!(INDEX + 8 <= N) };
    let (v0, v1, v2, v3);
    // SAFETY: eight words lie there, by the line above.
    unsafe {
        asm!("ld1 {{v16.2d, v17.2d, v18.2d, v19.2d}}, [{}]", in(reg) words.as_ptr().add(INDEX),
            out("v16") v0, out("v17") v1, out("v18") v2, out("v19") v3, options(pure, readonly, nostack, preserves_flags));
    }
    [v0, v1, v2, v3]
}

/// Four 32-bit words at `words[index..]`. Of a constant the compiler makes one that is aligned.
#[inline]
#[target_feature(enable = "neon")]
fn load32<const INDEX: usize, const N: usize>(words: &[u32; N]) -> uint32x4_t {
    const { assert!(INDEX + 4 <= N) };
    // SAFETY: four words lie there, by the line above.
    unsafe { vld1q_u32(words.as_ptr().add(INDEX)) }
}

#[target_feature(enable = "neon,sha2")]
fn compress256(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    let mut abcd = load32::<0, 8>(state);
    let mut efgh = load32::<4, 8>(state);
    for block in blocks {
        let (abcd_before, efgh_before) = (abcd, efgh);
        let [mut w0, mut w1, mut w2, mut w3] =
            load8::<0, 64>(block).map(|bytes| vreinterpretq_u32_u8(vrev32q_u8(bytes)));

        // Four rounds with the words of $w.
        macro_rules! rounds {
            ($index:literal, $w:ident) => {
                let wk = vaddq_u32($w, load32::<$index, 64>(&K256));
                let abcd_now = abcd;
                abcd = vsha256hq_u32(abcd, efgh, wk);
                efgh = vsha256h2q_u32(efgh, abcd_now, wk);
            };
        }
        // Four rounds, and the words sixteen rounds on.
        macro_rules! rounds_and_schedule {
            ($index:literal, $w0:ident, $w1:ident, $w2:ident, $w3:ident) => {
                rounds!($index, $w0);
                $w0 = vsha256su1q_u32(vsha256su0q_u32($w0, $w1), $w2, $w3);
            };
        }
        rounds_and_schedule!(0, w0, w1, w2, w3);
        rounds_and_schedule!(4, w1, w2, w3, w0);
        rounds_and_schedule!(8, w2, w3, w0, w1);
        rounds_and_schedule!(12, w3, w0, w1, w2);
        rounds_and_schedule!(16, w0, w1, w2, w3);
        rounds_and_schedule!(20, w1, w2, w3, w0);
        rounds_and_schedule!(24, w2, w3, w0, w1);
        rounds_and_schedule!(28, w3, w0, w1, w2);
        rounds_and_schedule!(32, w0, w1, w2, w3);
        rounds_and_schedule!(36, w1, w2, w3, w0);
        rounds_and_schedule!(40, w2, w3, w0, w1);
        rounds_and_schedule!(44, w3, w0, w1, w2);
        rounds!(48, w0);
        rounds!(52, w1);
        rounds!(56, w2);
        rounds!(60, w3);

        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    let (low, high) = state.split_at_mut(4);
    // SAFETY: each half is four words.
    unsafe {
        vst1q_u32(low.as_mut_ptr(), abcd);
        vst1q_u32(high.as_mut_ptr(), efgh);
    }
}

#[target_feature(enable = "neon,sha3")]
fn compress512(state: &mut [u64; 8], blocks: &[[u8; 128]]) {
    let [mut ab, mut cd, mut ef, mut gh] = load64::<0, 8>(state);
    for block in blocks {
        let before = (ab, cd, ef, gh);
        let [mut w0, mut w1, mut w2, mut w3] =
            load8::<0, 128>(block).map(|bytes| vreinterpretq_u64_u8(vrev64q_u8(bytes)));
        let [mut w4, mut w5, mut w6, mut w7] =
            load8::<64, 128>(block).map(|bytes| vreinterpretq_u64_u8(vrev64q_u8(bytes)));

        // Two rounds with the words of $w; afterwards $gh holds a and b, $cd holds e and f.
        macro_rules! rounds {
            ($k:expr, $w:ident, $ab:ident, $cd:ident, $ef:ident, $gh:ident) => {
                let wk = vaddq_u64($w, $k);
                let sum = vaddq_u64(vextq_u64::<1>(wk, wk), $gh);
                let t = vsha512hq_u64(sum, vextq_u64::<1>($ef, $gh), vextq_u64::<1>($cd, $ef));
                $gh = vsha512h2q_u64(t, $cd, $ab);
                $cd = vaddq_u64($cd, t);
            };
        }
        macro_rules! sixteen_rounds {
            ($k:ident) => {
                let [k0, k1, k2, k3] = load64::<0, 16>($k);
                rounds!(k0, w0, ab, cd, ef, gh);
                rounds!(k1, w1, gh, ab, cd, ef);
                rounds!(k2, w2, ef, gh, ab, cd);
                rounds!(k3, w3, cd, ef, gh, ab);
                let [k0, k1, k2, k3] = load64::<8, 16>($k);
                rounds!(k0, w4, ab, cd, ef, gh);
                rounds!(k1, w5, gh, ab, cd, ef);
                rounds!(k2, w6, ef, gh, ab, cd);
                rounds!(k3, w7, cd, ef, gh, ab);
            };
        }
        // The words sixteen rounds after those of $w0.
        macro_rules! schedule {
            ($w0:ident, $w1:ident, $w4:ident, $w5:ident, $w7:ident) => {
                $w0 = vsha512su1q_u64(vsha512su0q_u64($w0, $w1), $w7, vextq_u64::<1>($w4, $w5));
            };
        }
        for k in &K512_FIRST {
            sixteen_rounds!(k);
            schedule!(w0, w1, w4, w5, w7);
            schedule!(w1, w2, w5, w6, w0);
            schedule!(w2, w3, w6, w7, w1);
            schedule!(w3, w4, w7, w0, w2);
            schedule!(w4, w5, w0, w1, w3);
            schedule!(w5, w6, w1, w2, w4);
            schedule!(w6, w7, w2, w3, w5);
            schedule!(w7, w0, w3, w4, w6);
        }
        let k = &K512_LAST;
        sixteen_rounds!(k);

        ab = vaddq_u64(ab, before.0);
        cd = vaddq_u64(cd, before.1);
        ef = vaddq_u64(ef, before.2);
        gh = vaddq_u64(gh, before.3);
    }
    let (pairs, _) = state.as_chunks_mut::<2>();
    for (pair, words) in pairs.iter_mut().zip([ab, cd, ef, gh]) {
        // SAFETY: a pair is two words.
        unsafe { vst1q_u64(pair.as_mut_ptr(), words) };
    }
}
