//! PSCI as an RMM offers it (DEN0137 B6).

use core::sync::atomic::Ordering;

use super::{Checks, SECOND};
use crate::{console, start};

const SMCCC_VERSION: u64 = 0x8000_0000;
const VERSION: u64 = 0x8400_0000;
const CPU_ON: u64 = 0xC400_0003;
const AFFINITY_INFO: u64 = 0xC400_0004;
const FEATURES: u64 = 0x8400_000A;
const NOT_SUPPORTED: u64 = -1_i64 as u64;
const INVALID_PARAMETERS: u64 = -2_i64 as u64;
const ALREADY_ON: u64 = -4_i64 as u64;
const INVALID_ADDRESS: u64 = -9_i64 as u64;

impl Checks {
    pub(super) fn power(&mut self) {
        let (_, mpidr) = start::identity();
        let me = mpidr & 0xff_00ff_ffff;
        let entry = start::second();
        let unprotected = self.shared(entry);
        self.result("PSCI_VERSION is 1.1", &[VERSION], 0x1_0001);
        let [smccc, ..] = self.raw(&[SMCCC_VERSION]);
        self.check("SMCCC_VERSION is 1.1 or later", (0x1_0001..0x2_0000).contains(&smccc), format_args!("{smccc:#x}"));
        for call in [CPU_ON, AFFINITY_INFO, 0x8400_0002, 0x8400_0008, 0x8400_0009, SMCCC_VERSION] {
            self.result("PSCI_FEATURES knows what an RMM has", &[FEATURES, call], 0);
        }
        let reset2 = [FEATURES, 0xC400_0012];
        self.result("PSCI_FEATURES does not know SYSTEM_RESET2", &reset2, NOT_SUPPORTED);
        self.result("PSCI_CPU_ON of this CPU", &[CPU_ON, me, entry, 0], ALREADY_ON);
        let nobody = [CPU_ON, 0xff_0000, entry, 0];
        self.result("PSCI_CPU_ON of no CPU", &nobody, INVALID_PARAMETERS);
        let [_, x1, x2, x3, ..] = self.raw(&[CPU_ON, 0xff_0000, entry, 1]);
        let zero = [x1, x2, x3] == [0; 3];
        self.check("PSCI arguments do not survive the call", zero, format_args!("{x1:#x} {x2:#x} {x3:#x}"));
        self.result("PSCI_CPU_ON at an unprotected address", &[CPU_ON, me, unprotected, 0], INVALID_ADDRESS);
        self.result("PSCI_AFFINITY_INFO of this CPU", &[AFFINITY_INFO, me, 0], 0);
        let level = [AFFINITY_INFO, me, 1];
        self.result("PSCI_AFFINITY_INFO of a level", &level, INVALID_PARAMETERS);
        if self.machine.cpus > 1 {
            self.second_cpu(entry);
        } else {
            console::line(format_args!("INFO one CPU"));
        }
    }

    fn second_cpu(&mut self, entry: u64) {
        const CONTEXT: u64 = 0x1234_5678_9abc_def0;
        self.result("a second CPU is off", &[AFFINITY_INFO, 1, 0], 1);
        for _ in 0..2 {
            SECOND.store(0, Ordering::SeqCst);
            self.result("PSCI_CPU_ON of a second CPU", &[CPU_ON, 1, entry, CONTEXT], 0);
            let mut left = 50_000_000_u64;
            while SECOND.load(Ordering::SeqCst) == 0 && left > 0 {
                left -= 1;
                core::hint::spin_loop();
            }
            let seen = SECOND.load(Ordering::SeqCst);
            self.check("it starts with its context", seen == CONTEXT, format_args!("{seen:#x}"));
            let mut off = 0;
            for _ in 0..50_000_000_u64 {
                [off, ..] = self.raw(&[AFFINITY_INFO, 1, 0]);
                if off == 1 {
                    break;
                }
            }
            self.check("it is off after CPU_OFF", off == 1, format_args!("{off}"));
        }
    }
}
