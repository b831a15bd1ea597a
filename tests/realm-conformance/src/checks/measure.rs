//! Measurement registers and attestation tokens.

use rsi::{GRANULE, HashAlgorithm, fid};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{Checks, changing_page, page};
use crate::{console, start};

const INPUT: u64 = 1;
const STATE: u64 = 2;

struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

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
        for (rule, call, index) in [
            ("RSI_MEASUREMENT_READ refuses index 5", fid::MEASUREMENT_READ, 5),
            ("RSI_MEASUREMENT_EXTEND refuses the RIM", fid::MEASUREMENT_EXTEND, 0),
            ("RSI_MEASUREMENT_EXTEND refuses index 5", fid::MEASUREMENT_EXTEND, 5),
        ] {
            self.result(rule, &[call, index, 8], INPUT);
        }
        let too_long = [fid::MEASUREMENT_EXTEND, 1, 65];
        self.result("RSI_MEASUREMENT_EXTEND refuses 65 bytes", &too_long, INPUT);
        for size in [0, 1, 8, 31, 64] {
            self.extend(size);
        }
    }

    fn extend(&mut self, size: usize) {
        let mut data = [0; 64];
        for (byte, value) in data.iter_mut().zip(3_u8..) {
            *byte = value;
        }
        let data = head(&data, size);
        let len = self.hash.digest_len();
        let index = 1 + size as u64 % 4;
        let before = self.rsi.measurement_read(index).unwrap_or([0; 64]);
        let extended = self.rsi.measurement_extend(index, data);
        let after = self.rsi.measurement_read(index).unwrap_or([0; 64]);
        let expected = digest(self.hash, [head(&before, len), data]);
        self.check(
            "REM = H(REM, data) with exactly the data (DEN0137 B5.3.7)",
            extended.is_ok() && after == expected,
            format_args!("REM {index}, {size} bytes: {extended:?} {}", Hex(&after)),
        );
    }

    pub(super) fn tokens(&mut self) {
        let call = fid::ATTESTATION_TOKEN_CONTINUE;
        let good = [call, page(), 0, GRANULE];
        self.result("TOKEN_CONTINUE before INIT is refused (state)", &good, STATE);
        let mut challenge = [0; 64];
        for (byte, value) in challenge.iter_mut().zip(0_u8..) {
            *byte = value;
        }
        let bound = self.rsi.attestation_token_init(&challenge).unwrap_or(0);
        self.check("TOKEN_INIT tells a bound", bound > 0, format_args!("{bound}"));
        let shared = self.shared(page());
        for (rule, arguments) in [
            ("TOKEN_CONTINUE addr_align", [call, page() + 8, 0, 8]),
            ("TOKEN_CONTINUE addr_bound", [call, shared, 0, 8]),
            ("TOKEN_CONTINUE offset_bound", [call, page(), GRANULE, 0]),
            ("TOKEN_CONTINUE size_overflow", [call, page(), 8, u64::MAX]),
            ("TOKEN_CONTINUE size_bound", [call, page(), 8, GRANULE - 7]),
        ] {
            self.result(rule, &arguments, INPUT);
        }
        let mut total = 0;
        let mut complete = false;
        for _ in 0..4096 {
            // An odd size and offset, so that parts are put where they are asked to be.
            let Ok(part) = self.rsi.attestation_token_continue(page(), 24, 1000) else {
                break;
            };
            let mut bytes = [0; 1000];
            let len = (part.len as usize).min(bytes.len());
            start::read(page() + 24, bytes.get_mut(..len).unwrap_or_default());
            if len > 0 {
                console::line(format_args!("TOKEN {}", Hex(head(&bytes, len))));
            }
            total += part.len;
            complete = part.complete;
            if complete {
                break;
            }
        }
        self.check(
            "the token ends within its bound",
            complete && total > 0 && total <= bound,
            format_args!("complete {complete}, {total} bytes of {bound}"),
        );
        self.result("TOKEN_CONTINUE after the end is refused (state)", &good, STATE);
        let empty = changing_page();
        let _ = self.rsi.attestation_token_init(&challenge);
        self.set(empty, empty + self.unit, rsi::Ripas::Empty);
        let mut result = 3;
        for _ in 0..4096 {
            [result, ..] = self.raw(&[call, empty, 0, 64]);
            if result != 3 {
                break;
            }
        }
        self.check("TOKEN_CONTINUE refuses an EMPTY page", result == INPUT, format_args!("result {result:#x}"));
        self.set(empty, empty + self.unit, rsi::Ripas::Ram);
    }
}
