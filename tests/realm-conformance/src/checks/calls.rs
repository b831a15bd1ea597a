//! Versions, features, configuration, and what nobody answers.

use rsi::fid;

use super::{Checks, changing_page, page};
use crate::{console, start};

const SUCCESS: u64 = 0;
const INPUT: u64 = 1;
const NOT_SUPPORTED: u64 = u64::MAX;

impl Checks {
    pub(super) fn calls(&mut self) {
        let (pfr0, _) = start::identity();
        console::line(format_args!("INFO ID_AA64PFR0_EL1 RME {} EL3 {}", pfr0 >> 52 & 0xf, pfr0 >> 12 & 0xf));
        let dfr0 = start::debug_features();
        console::line(format_args!(
            "INFO {} breakpoints, {} watchpoints, PMU {}, SVE {}",
            (dfr0 >> 12 & 0xf) + 1,
            (dfr0 >> 20 & 0xf) + 1,
            u64::from(dfr0 >> 8 & 0xf != 0),
            pfr0 >> 32 & 0xf
        ));
        self.versions();
        let wide = 0xdead_beef_0000_0000 | fid::FEATURES;
        self.result("the function identifier is in w0 (DEN0028)", &[wide, 0], SUCCESS);
        self.result("RSI_FEATURES 0 succeeds (DEN0137 B5.3)", &[fid::FEATURES, 0], SUCCESS);
        let [_, value, ..] = self.raw(&[fid::FEATURES, 99]);
        self.check("RSI_FEATURES beyond the last is 0", value == 0, format_args!("{value:#x}"));
        for (rule, call) in [
            ("an unknown RSI call is not supported (DEN0028)", 0xC400_01AF),
            ("an RMI call is not supported", 0xC400_0150),
            ("SMCCC_ARCH_FEATURES is not supported", 0x8000_0001),
            ("TRNG_VERSION is not supported", 0x8400_0050),
        ] {
            self.result(rule, &[call], NOT_SUPPORTED);
        }
        let hvc = start::hvc();
        self.check("HVC is undefined (DEN0137 RDNBQF)", hvc.is_err_and(|esr| esr >> 26 == 0), format_args!("{hvc:x?}"));
        self.configuration();
    }

    fn versions(&mut self) {
        let [result, lower, higher, ..] = self.raw(&[fid::VERSION, 0x1_0000]);
        console::line(format_args!("INFO RSI {lower:#x} to {higher:#x}"));
        self.check(
            "RSI_VERSION has 1.0 (DEN0137 B5.3.10 a)",
            result == SUCCESS && lower == 0x1_0000 && higher >= lower,
            format_args!("{result:#x} {lower:#x} {higher:#x}"),
        );
        for (rule, requested) in [
            ("RSI_VERSION refuses a higher revision (b)", 0x7fff_0000),
            ("RSI_VERSION refuses a lower revision (c)", 0x0_0001),
        ] {
            let [result, lower, higher, ..] = self.raw(&[fid::VERSION, requested]);
            self.check(
                rule,
                result == INPUT && lower <= higher && higher >> 31 == 0 && higher != 0,
                format_args!("{result:#x} {lower:#x} {higher:#x}"),
            );
        }
    }

    fn configuration(&mut self) {
        let width = self.config.ipa_width;
        self.check(
            "RSI_REALM_CONFIG has an IPA width of 32 to 52",
            (32..=52).contains(&width),
            format_args!("{width}"),
        );
        let call = fid::REALM_CONFIG;
        self.result("RSI_REALM_CONFIG wants alignment (addr_align)", &[call, page() + 8], INPUT);
        let shared = self.shared(page());
        self.result("RSI_REALM_CONFIG wants a protected IPA (addr_bound)", &[call, shared], INPUT);
        let outside = self.shared_bit() << 1;
        self.result("RSI_REALM_CONFIG refuses beyond the IPA space", &[call, outside], INPUT);
        let empty = changing_page();
        self.set(empty, empty + self.unit, rsi::Ripas::Empty);
        self.result("RSI_REALM_CONFIG refuses an EMPTY page", &[call, empty], INPUT);
        self.set(empty, empty + self.unit, rsi::Ripas::Ram);
        self.result("RSI_REALM_CONFIG succeeds", &[call, page()], SUCCESS);
    }
}
