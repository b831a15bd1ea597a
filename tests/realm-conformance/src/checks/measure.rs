//! Measurement registers.

use rsi::{HashAlgorithm, fid};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{Checks, Hex};
use crate::console;

const INPUT: u64 = 1;

/// The first bytes of a longer slice.
fn head(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

fn digest(algorithm: HashAlgorithm, parts: [&[u8]; 2]) -> [u8; 64] {
    fn of<D: Digest>(parts: [&[u8]; 2]) -> [u8; 64] {
        let mut state = D::new();
        parts.iter().for_each(|part| state.update(part));
        let mut out = [0; 64];
        for (to, from) in out.iter_mut().zip(state.finalize().iter()) {
            *to = *from;
        }
        out
    }
    match algorithm {
        HashAlgorithm::Sha256 => of::<Sha256>(parts),
        HashAlgorithm::Sha384 => of::<Sha384>(parts),
        HashAlgorithm::Sha512 => of::<Sha512>(parts),
    }
}

impl Checks {
    pub(super) fn measurements(&mut self) {
        // One RMM reports SHA-384 as SHA-512; the tail of the RIM tells.
        let rim = self.rsi.measurement_read(0).unwrap_or([0; 64]);
        let len = self.hash.digest_len();
        console::line(format_args!("RIM {}", Hex(head(&rim, len))));
        let tail_is_zero = rim.iter().skip(len).all(|byte| *byte == 0);
        let has_value = rim.iter().take(len).skip(len - 16).any(|byte| *byte != 0);
        self.check(
            "RIM fills the digest and is zero beyond it (DEN0137 B4.3.9.4)",
            tail_is_zero && has_value,
            format_args!("{}", Hex(&rim)),
        );
        self.every("REMs are zero at the start (B4.3.9.3)", &[1, 2, 3, 4], [0, 0], |this, index| {
            let [result, words @ ..] = this.raw(&[fid::MEASUREMENT_READ, index]);
            [result, words.iter().fold(0, |all, word| all | word)]
        });
        for (rule, call, index) in [
            ("RSI_MEASUREMENT_READ refuses index 5", fid::MEASUREMENT_READ, 5),
            ("RSI_MEASUREMENT_READ refuses the highest index", fid::MEASUREMENT_READ, u64::MAX),
            ("RSI_MEASUREMENT_EXTEND refuses the RIM", fid::MEASUREMENT_EXTEND, 0),
            ("RSI_MEASUREMENT_EXTEND refuses index 5", fid::MEASUREMENT_EXTEND, 5),
            ("RSI_MEASUREMENT_EXTEND refuses the highest index", fid::MEASUREMENT_EXTEND, u64::MAX),
        ] {
            self.result(rule, &[call, index, 8], INPUT);
        }
        self.every("RSI_MEASUREMENT_EXTEND refuses more than 64 bytes", &[65, u64::MAX], [INPUT, 0], |this, size| {
            let [result, ..] = this.raw(&[fid::MEASUREMENT_EXTEND, 1, size]);
            [result, 0]
        });
        let rem = self.rsi.measurement_read(1);
        self.check("a refused extension changes nothing", rem == Ok([0; 64]), format_args!("{rem:x?}"));
        for index in 1..=4 {
            self.extend(index);
        }
        let after = self.rsi.measurement_read(0);
        self.check("extensions leave the RIM alone", after == Ok(rim), format_args!("{after:x?}"));
    }

    /// Extends REM `index` by every size there is, and checks each value.
    fn extend(&mut self, index: u64) {
        let mut data = [0; 64];
        for (byte, value) in data.iter_mut().zip(3_u8..) {
            *byte = value;
        }
        let len = self.hash.digest_len();
        let mut expected = [0; 64];
        let mut wrong = None;
        for size in 0..=64 {
            let data = head(&data, size);
            let extended = self.rsi.measurement_extend(index, data);
            let after = self.rsi.measurement_read(index);
            expected = digest(self.hash, [head(&expected, len), data]);
            if extended.is_err() || after != Ok(expected) {
                wrong = Some((size, extended, after));
                break;
            }
        }
        self.check(
            "REM = H(REM, data) with exactly the data, of 0 to 64 bytes (DEN0137 B5.3.7)",
            wrong.is_none(),
            format_args!("REM {index}: {wrong:x?}"),
        );
    }
}
