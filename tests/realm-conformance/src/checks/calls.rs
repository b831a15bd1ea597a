//! Versions, features, configuration, and what nobody answers.

use rsi::{GRANULE, fid};

use super::{Checks, Hex, changing_page, page};
use crate::start::Instruction;
use crate::{console, cpu, start};

const SUCCESS: u64 = 0;
const INPUT: u64 = 1;
const NOT_SUPPORTED: u64 = u64::MAX;
const RSI_1_1: u64 = 0x1_0001;

impl Checks {
    pub(super) fn calls(&mut self) {
        let (pfr0, _) = start::identity();
        console::line(format_args!("INFO ID_AA64PFR0_EL1 RME {} EL3 {}", pfr0 >> 52 & 0xf, pfr0 >> 12 & 0xf));
        self.processor(pfr0);
        self.versions();
        let wide = 0xdead_beef_0000_0000 | fid::FEATURES;
        self.result("the function identifier is in w0 (DEN0028)", &[wide, 0], SUCCESS);
        self.result("RSI_FEATURES 0 succeeds (DEN0137 B5.3)", &[fid::FEATURES, 0], SUCCESS);
        self.every("RSI_FEATURES beyond the last is 0", &[1, 99, u64::MAX], [SUCCESS, 0], |this, index| {
            let [result, value, ..] = this.raw(&[fid::FEATURES, index]);
            [result, value]
        });
        self.later_commands();
        for (rule, call) in [
            ("an unknown RSI call is not supported (DEN0028)", 0xC400_018F),
            ("the SMC32 form of an RSI call is not supported (RKWMVX)", 0x8400_0190),
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
        self.higher = higher;
        self.check(
            "RSI_VERSION has 1.0 (DEN0137 B5.3.10 a)",
            result == SUCCESS && lower == 0x1_0000 && higher >= lower,
            format_args!("{result:#x} {lower:#x} {higher:#x}"),
        );
        let [result, lower, higher, ..] = self.raw(&[fid::VERSION, self.higher]);
        self.check(
            "RSI_VERSION has its own highest revision (a)",
            (result, lower, higher) == (SUCCESS, self.higher, self.higher),
            format_args!("{result:#x} {lower:#x} {higher:#x}"),
        );
        let [result, lower, higher, ..] = self.raw(&[fid::VERSION, self.higher + 1]);
        self.check(
            "RSI_VERSION refuses the next revision and names the highest (b)",
            (result, lower, higher) == (INPUT, self.higher, self.higher),
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
        // Nothing of what was there may be left.
        for at in (page()..page() + GRANULE).step_by(8) {
            start::write(at, &[0xff; 8]);
        }
        self.result("RSI_REALM_CONFIG succeeds", &[call, page()], SUCCESS);
        let mut bytes = [0; GRANULE as usize];
        start::read(page(), &mut bytes);
        let again = rsi::RealmConfig::from_bytes(&bytes);
        self.check("RSI_REALM_CONFIG says the same again", again == Some(self.config), format_args!("{again:x?}"));
        let later = if self.higher >= RSI_1_1 { 0x10..0x28 } else { 0..0 };
        let field = |at: usize| at < 9 || later.contains(&at) || (0x200..0x240).contains(&at);
        let other = bytes.iter().enumerate().find(|(at, byte)| !field(*at) && **byte != 0);
        self.check(
            "RSI_REALM_CONFIG is zero where there is no field (B5.4.5)",
            other.is_none(),
            format_args!("{other:x?}"),
        );
        let hash = self.config.hash_algorithm;
        let known = rsi::HashAlgorithm::from_raw(hash).is_some();
        self.check("RSI_REALM_CONFIG has a hash algorithm that exists", known, format_args!("{hash}"));
        console::line(format_args!("RPV {}", Hex(&self.config.rpv)));
        let (planes, vtr) = (self.config.num_aux_planes, self.config.gicv3_vtr);
        console::line(format_args!("INFO {planes} auxiliary planes, ICH_VTR_EL2 {vtr:#x}"));
    }

    /// Commands that RSI 1.0 does not have: there if the RMM has RSI 1.1, whichever revision was
    /// asked for, as RSI_VERSION chooses nothing (B5.3.10.4).
    fn later_commands(&mut self) {
        const NO_PLANE: u64 = 0xff;
        let commands = [
            fid::MEM_GET_PERM_VALUE,
            fid::MEM_SET_PERM_VALUE,
            fid::PLANE_ENTER,
            fid::PLANE_SYSREG_READ,
            fid::PLANE_SYSREG_WRITE,
        ];
        let expected = if self.higher >= RSI_1_1 { INPUT } else { NOT_SUPPORTED };
        let rule = "commands for planes know no plane, or are not there before RSI 1.1";
        self.every(rule, &commands, [expected, 0], |this, call| {
            let [result, ..] = this.raw(&[call, NO_PLANE]);
            [result, 0]
        });
    }

    /// What of the CPU the realm sees (A3.1).
    fn processor(&mut self, pfr0: u64) {
        let dfr0 = start::debug_features();
        let version = dfr0 >> 8 & 0xf;
        let (pmu, sve) = (version != 0 && version != 0xf, pfr0 >> 32 & 0xf != 0);
        console::line(format_args!(
            "INFO {} breakpoints, {} watchpoints, PMU {}, SVE {}",
            (dfr0 >> 12 & 0xf) + 1,
            (dfr0 >> 20 & 0xf) + 1,
            u64::from(pmu),
            u64::from(sve),
        ));
        // Trace (4), SPE (32), trace filter (40), trace buffer (44).
        let hidden = [4, 32, 40, 44].iter().all(|shift| dfr0 >> shift & 0xf == 0);
        self.check("SPE, trace and the trace buffer are not there (A3.1)", hidden, format_args!("{dfr0:#x}"));
        self.check("the AMU is not there (RJJVZS)", pfr0 >> 44 & 0xf == 0, format_args!("{pfr0:#x}"));
        let undefined = |outcome: Result<u64, u64>| outcome.is_err_and(|esr| esr >> 26 == 0);
        // RFQCKH wants them undefined; an RMM on an emulator may have no way to see to it.
        let own = start::execute(Instruction::ImplementationDefined);
        let are = if undefined(own) { "are undefined" } else { "answer" };
        console::line(format_args!("INFO IMPLEMENTATION DEFINED registers {are}"));
        let counters = start::execute(Instruction::Counters);
        match counters {
            Ok(pmcr) if pmu => console::line(format_args!("INFO {} event counters", pmcr >> 11 & 0x1f)),
            _ => self.check("a PMU is there if the CPU says so", !pmu, format_args!("{counters:x?}")),
        }
        cpu::allow_vectors(sve);
        let length = start::execute(Instruction::VectorLength);
        match length {
            Ok(length) if sve => console::line(format_args!("INFO SVE vectors of {length} bytes")),
            _ => self.check("SVE is there if the CPU says so", !sve && undefined(length), format_args!("{length:x?}")),
        }
    }
}
