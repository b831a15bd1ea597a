//! PSCI as an RMM offers it (DEN0137 B6).

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Checks, SECOND};
use crate::{console, cpu, start};

const SMCCC_VERSION: u64 = 0x8000_0000;
const VERSION: u64 = 0x8400_0000;
const CPU_SUSPEND: u64 = 0xC400_0001;
const CPU_OFF: u64 = 0x8400_0002;
const CPU_ON: u64 = 0xC400_0003;
const AFFINITY_INFO: u64 = 0xC400_0004;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;
const FEATURES: u64 = 0x8400_000A;
const SMCCC_1_3: u64 = 0x1_0003;
/// PSCI_AFFINITY_INFO of a CPU that is off.
const OFF: u64 = 1;
const NOT_SUPPORTED: u64 = -1_i64 as u64;
const INVALID_PARAMETERS: u64 = -2_i64 as u64;
const DENIED: u64 = -3_i64 as u64;
const ALREADY_ON: u64 = -4_i64 as u64;
const INVALID_ADDRESS: u64 = -9_i64 as u64;

impl Checks {
    pub(super) fn power(&mut self) {
        let (_, mpidr) = start::identity();
        let me = mpidr & 0xff_00ff_ffff;
        let entry = start::second();
        let unprotected = self.shared(entry);
        self.result("PSCI_VERSION is 1.1", &[VERSION], 0x1_0001);
        self.conventions();
        let known =
            [VERSION, CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO, SYSTEM_OFF, SYSTEM_RESET, FEATURES, SMCCC_VERSION];
        self.results("PSCI_FEATURES knows what an RMM has (A4.3.7)", FEATURES, &known, 0);
        // SYSTEM_RESET2, SYSTEM_SUSPEND, MEM_PROTECT, SET_SUSPEND_MODE; no such functions; RSI_VERSION.
        let unknown = [0xC400_0012, 0xC400_000E, 0x8400_0013, 0x8400_000F, 0x8400_001F, 0x8600_0000, 0xC400_0190];
        self.results("PSCI_FEATURES does not know what an RMM has not", FEATURES, &unknown, NOT_SUPPORTED);
        // Among them the SMC64 forms of SYSTEM_OFF and CPU_OFF, which do not exist.
        let absent = [0xC400_0012, 0x8400_0013, 0xC400_0008, 0xC400_0002, 0x8400_001F];
        let rule = "a PSCI function that an RMM has not is not supported (A4.3.7)";
        self.every(rule, &absent, [NOT_SUPPORTED, 0], |this, call| {
            let [result, ..] = this.raw(&[call]);
            [result, 0]
        });
        for smc32 in [0x8400_0001, 0x8400_0003, 0x8400_0004] {
            let [result, ..] = self.raw(&[FEATURES, smc32]);
            console::line(format_args!("INFO PSCI_FEATURES of {smc32:#x}: {result:#x}"));
        }
        self.result("PSCI_CPU_ON of this CPU", &[CPU_ON, me, entry, 0], ALREADY_ON);
        // The first index that no REC has; Aff0 of more than four bits; the highest of each field.
        let nobody = [self.machine.cpus, 16, 0xff00, 0xff_0000, 0xff_0000_0000];
        let rule = "PSCI_CPU_ON and PSCI_AFFINITY_INFO of no CPU (mpidr)";
        self.every(rule, &nobody, [INVALID_PARAMETERS; 2], |this, mpidr| {
            let [on, ..] = this.raw(&[CPU_ON, mpidr, entry, 0]);
            let [info, ..] = this.raw(&[AFFINITY_INFO, mpidr, 0]);
            [on, info]
        });
        let [_, x1, x2, x3, ..] = self.raw(&[CPU_ON, 0xff_0000, entry, 1]);
        let zero = [x1, x2, x3] == [0; 3];
        self.check("PSCI arguments do not survive the call", zero, format_args!("{x1:#x} {x2:#x} {x3:#x}"));
        let other = self.machine.cpus.saturating_sub(1);
        let half = self.shared_bit();
        let rule = "PSCI_CPU_ON beyond the protected half (entry)";
        self.every(rule, &[unprotected, half, half << 1, !3], [1, 0], |this, address| {
            let [result, ..] = this.raw(&[CPU_ON, other, address, 0]);
            // With one CPU, that it is on is as good a reason.
            let refused = result == INVALID_ADDRESS || other == 0 && result == ALREADY_ON;
            [u64::from(refused), 0]
        });
        self.keeps("PSCI leaves x7 to x17 alone (RNMSFT)", &[AFFINITY_INFO, me, 0]);
        self.check("this CPU began as a REC does (RNJHQK)", begins(cpu::state()), format_args!("{:x?}", cpu::state()));
        self.result("PSCI_AFFINITY_INFO of this CPU", &[AFFINITY_INFO, me, 0], 0);
        let level = [AFFINITY_INFO, me, 1];
        self.result("PSCI_AFFINITY_INFO of a level", &level, INVALID_PARAMETERS);
        if self.machine.cpus > 1 {
            self.second_cpu();
        } else {
            console::line(format_args!("INFO one CPU"));
        }
    }

    /// SMCCC itself.
    fn conventions(&mut self) {
        let [smccc, ..] = self.raw(&[SMCCC_VERSION]);
        console::line(format_args!("INFO SMCCC_VERSION {smccc:#x}"));
        let (pfr0, _) = start::identity();
        let least = if pfr0 >> 32 & 0xf == 0 { 0x1_0002 } else { SMCCC_1_3 };
        self.check(
            "SMCCC_VERSION is 1.2 at least, with SVE 1.3 (DEN0137 RNNFPH, RVXJJQ)",
            (least..0x2_0000).contains(&smccc),
            format_args!("{smccc:#x}"),
        );
        const SVE_HINT: u64 = 1 << 16;
        if smccc >= SMCCC_1_3 {
            self.result("a PSCI call may have the SVE hint (DEN0028 2.10)", &[VERSION | SVE_HINT], 0x1_0001);
            self.result("an RSI call may have the SVE hint", &[rsi::fid::FEATURES | SVE_HINT], 0);
        } else {
            self.result("there is no SVE hint before SMCCC 1.3", &[VERSION | SVE_HINT], NOT_SUPPORTED);
        }
    }

    /// Starts the second CPU with this context and waits until it is through: what CPU_ON said.
    pub(super) fn start_second(&mut self, context: u64) -> u64 {
        SECOND.store(0, Ordering::SeqCst);
        let [result, ..] = self.raw(&[CPU_ON, 1, start::second(), context]);
        if result == 0 {
            let mut left = 50_000_000_u64;
            while SECOND.load(Ordering::SeqCst) == 0 && left > 0 {
                left -= 1;
                core::hint::spin_loop();
            }
            for _ in 0..50_000_000_u64 {
                let [off, ..] = self.raw(&[AFFINITY_INFO, 1, 0]);
                if off == OFF {
                    break;
                }
            }
        }
        result
    }

    fn second_cpu(&mut self) {
        const CONTEXT: u64 = 0x1234_5678_9abc_def0;
        self.result("a second CPU is off", &[AFFINITY_INFO, 1, 0], OFF);
        for _ in 0..2 {
            let result = self.start_second(CONTEXT);
            if result == DENIED {
                // It is the host's right, and all that it can do.
                console::line(format_args!("INFO PSCI_CPU_ON is denied"));
                self.result("a CPU whose start was denied is off", &[AFFINITY_INFO, 1, 0], OFF);
                self.result("a CPU that is on cannot be denied", &[CPU_ON, 0, start::second(), 0], ALREADY_ON);
                continue;
            }
            self.check("PSCI_CPU_ON of a second CPU", result == 0, format_args!("{result:#x}"));
            let seen = SECOND.load(Ordering::SeqCst);
            self.check("it starts with its context", seen == CONTEXT, format_args!("{seen:#x}"));
            let began = BEGAN.load(Ordering::SeqCst);
            self.check("and as PSCI has it: EL1h, masked, MMU and caches off", began == 1, format_args!("{began}"));
            let rest = REST.load(Ordering::SeqCst);
            self.check("its other registers are zero (B4.3.7.3)", rest == 0, format_args!("{rest:#x}"));
            let info = self.raw(&[AFFINITY_INFO, 1, 0]);
            self.check("it is off after CPU_OFF", info.first() == Some(&OFF), format_args!("{info:x?}"));
        }
    }
}

/// Whether a CPU that runs so has just begun (DEN0022 6.4.3): EL1 with its own stack, everything
/// masked, MMU and caches off, little-endian as its caller.
fn begins(state: cpu::State) -> bool {
    const MMU_CACHES_ENDIANNESS: u64 = 1 << 25 | 1 << 12 | 1 << 2 | 1;
    const MASKED: u64 = 0xf << 6;
    const EL1: u64 = 1 << 2;
    state.sctlr & MMU_CACHES_ENDIANNESS == 0 && state.daif == MASKED && state.level == EL1 && state.stack == 1
}

static BEGAN: AtomicU64 = AtomicU64::new(0);
static REST: AtomicU64 = AtomicU64::new(0);

/// What a second CPU does: tells how it began, and with what in the registers but x0.
pub fn second(rest: u64) {
    REST.store(rest, Ordering::SeqCst);
    BEGAN.store(if begins(cpu::state()) { 1 } else { 2 }, Ordering::SeqCst);
}
