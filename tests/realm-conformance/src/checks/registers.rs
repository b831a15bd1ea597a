//! Which registers a call leaves in what state.

use rsi::{HostCall, fid, rhi};

use super::{Checks, changing_page, page};
use crate::start;

/// What stands in registers that are no argument of a call.
const KEPT: u64 = 0x1357_9bdf_0246_8ace;

impl Checks {
    pub(super) fn registers(&mut self) {
        let (at, top) = (changing_page(), changing_page() + self.unit);
        start::write(page() + 0x100, &HostCall::rhi(rhi::HOSTCONF_VERSION).to_bytes());
        // Call, arguments, number of outputs beside x0.
        let calls: [(&str, &[u64], usize); 10] = [
            ("RSI_VERSION", &[fid::VERSION, 0x1_0000], 2),
            ("RSI_FEATURES", &[fid::FEATURES, 7], 1),
            ("RSI_MEASUREMENT_READ", &[fid::MEASUREMENT_READ, 0], 8),
            ("RSI_MEASUREMENT_EXTEND", &[fid::MEASUREMENT_EXTEND, 2, 64, 3, 4, 5, 6, 7, 8, 9, 10], 0),
            ("RSI_ATTESTATION_TOKEN_INIT", &[fid::ATTESTATION_TOKEN_INIT, 1, 2, 3, 4, 5, 6, 7, 8], 1),
            ("RSI_ATTESTATION_TOKEN_CONTINUE", &[fid::ATTESTATION_TOKEN_CONTINUE, page(), 8, 16], 1),
            ("RSI_REALM_CONFIG", &[fid::REALM_CONFIG, page()], 0),
            ("RSI_IPA_STATE_SET", &[fid::IPA_STATE_SET, at, top, 1, 1], 2),
            ("RSI_IPA_STATE_GET", &[fid::IPA_STATE_GET, at, top], 2),
            ("RSI_HOST_CALL", &[fid::HOST_CALL, page() + 0x100], 0),
        ];
        let mut wrong = None;
        for (call, arguments, outputs) in calls {
            let registers = self.all(arguments, 0);
            let rest = registers.get(1 + outputs..17).unwrap_or_default();
            if rest.iter().any(|value| *value != 0) {
                wrong = wrong.or(Some((call, registers)));
            }
        }
        let rule = "registers that are no output of an RSI call are zero (DEN0137 RKBWJD)";
        self.check(rule, wrong.is_none(), format_args!("{wrong:x?}"));
        let refused = self.all(&[fid::IPA_STATE_GET, at, at], 0);
        let rest = refused.get(3..17).unwrap_or_default();
        let zero = rest.iter().all(|value| *value == 0);
        self.check("and those of one that fails", zero, format_args!("{refused:x?}"));
        let unknown = [0xC400_018F, 0x8000_0001, 0x8400_0050, 0xC400_0150];
        let rule = "an unknown call changes x0 to x3 at most (DEN0028 2.6)";
        self.every(rule, &unknown, [u64::MAX, KEPT], |this, call| {
            let registers = this.all(&[call], KEPT);
            let changed = registers.iter().skip(4).find(|value| **value != KEPT);
            [registers.first().copied().unwrap_or(0), changed.copied().unwrap_or(KEPT)]
        });
    }

    /// Makes a call with `other` in the registers that are no argument; returns x0 to x17.
    fn all(&mut self, arguments: &[u64], other: u64) -> [u64; 18] {
        let mut registers = [other; 18];
        for (register, argument) in registers.iter_mut().zip(arguments) {
            *register = *argument;
        }
        start::smc(&mut registers);
        registers
    }

    /// A PSCI call leaves x7 to x17 alone (DEN0137 RNMSFT).
    pub(super) fn keeps(&mut self, rule: &str, arguments: &[u64]) {
        let registers = self.all(arguments, KEPT);
        let kept = registers.get(7..).unwrap_or_default().iter().all(|value| *value == KEPT);
        self.check(rule, kept, format_args!("{registers:x?}"));
    }
}
