//! What each CPU is set to before it enters the realm.

use alloc::format;
use alloc::string::String;

use model_rmm::options::Options;
use model_rmm::psci;

use super::entry::{self, Frame};
use super::{gic, regs, state};

/// Number of CPUs the model has stacks for.
pub const MAX: usize = 8;

/// This CPU's index: QEMU counts Aff0 up to 15.
pub fn index() -> usize {
    (regs::mpidr() & 0xff) as usize
}

const HCR_VM: u64 = 1 << 0;
const HCR_FMO: u64 = 1 << 3;
const HCR_IMO: u64 = 1 << 4;
const HCR_AMO: u64 = 1 << 5;
const HCR_TWI: u64 = 1 << 13;
const HCR_TID3: u64 = 1 << 18;
const HCR_TSC: u64 = 1 << 19;
/// IMPLEMENTATION DEFINED registers are undefined to a realm (DEN0137 A2.1.2.4, RFQCKH).
const HCR_TIDCP: u64 = 1 << 20;
const HCR_RW: u64 = 1 << 31;
const HCR_APK: u64 = 1 << 40;
const HCR_API: u64 = 1 << 41;

/// SCTLR_EL1 of a REC at its start: MMU and caches off (DEN0137 A2.3.1).
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;
/// RES1 bits of CPTR_EL2, among them the trap of SME; bit 8, which is not set, traps SVE.
const CPTR_RES1: u64 = 0x32ff;
/// Data of EL1 is big-endian.
pub const SCTLR_EE: u64 = 1 << 25;

/// What SMCCC_VERSION answers on this CPU.
pub fn smccc() -> u64 {
    let field = |register: u64, shift: u32| register >> shift & 0xf;
    let (pfr0, pfr1) = (regs::id_register(4, 0), regs::id_register(4, 1));
    psci::smccc_version(field(pfr0, 32) != 0, field(pfr1, 24) != 0)
}

/// Why RMI_REALM_CREATE fails on this CPU with the parameters of `options`, which may ask for no
/// more than it has (DEN0137 A3.1).
pub fn lacks(options: &Options) -> Option<String> {
    let dfr0 = regs::id_register(5, 0);
    let has = |shift: u32| dfr0 >> shift & 0xf;
    let (bps, wps) = (has(12), has(20));
    if u64::from(options.bps) > bps || u64::from(options.wps) > wps {
        return Some(format!("the CPU has bps={bps} wps={wps} at most"));
    }
    if let Some(counters) = options.pmu {
        const NONE_OR_NOT_ARCHITECTED: [u64; 2] = [0, 15];
        if NONE_OR_NOT_ARCHITECTED.contains(&has(8)) {
            return Some("the CPU has no PMU".into());
        }
        let most = regs::pmcr() >> 11 & 0x1f;
        // Without FEAT_HPMN0 there is no way to hide all of them.
        let least = if has(60) == 0 { 1 } else { 0 };
        if !(least..=most).contains(&u64::from(counters)) {
            return Some(format!("the CPU has {most} PMU counters, and a realm {least} at least"));
        }
    }
    if let Some(vector_length) = options.sve {
        if regs::id_register(4, 0) >> 32 & 0xf == 0 {
            return Some("the CPU has no SVE".into());
        }
        regs::set_cptr(CPTR_RES1);
        regs::set_zcr(vector_length.into());
        let quadwords = regs::vector_quadwords();
        if quadwords != u64::from(vector_length) + 1 {
            return Some(format!("the CPU has vectors of {quadwords} quadwords in place of {}", vector_length + 1));
        }
    }
    None
}

fn configure(options: &Options, big_endian: bool) {
    regs::set_hcr(
        HCR_VM | HCR_FMO | HCR_IMO | HCR_AMO | HCR_TWI | HCR_TID3 | HCR_TSC | HCR_TIDCP | HCR_RW | HCR_APK | HCR_API,
    );
    // What later CPUs trap unless told not to: memory copy instructions and the registers of
    // SCTLR2, TCR2 and permission indirection.
    const HCRX_MSC_TCR2_SCTLR2: u64 = 1 << 11 | 1 << 14 | 1 << 15;
    const HFG_PERMISSION_REGISTERS: u64 = 0b1111 << 57;
    let (mmfr0, mmfr1) = (regs::id_register(7, 0), regs::id_register(7, 1));
    if mmfr1 >> 40 & 0xf != 0 {
        regs::set_hcrx(HCRX_MSC_TCR2_SCTLR2);
    }
    if mmfr0 >> 56 & 0xf != 0 {
        regs::set_hfgrtr(HFG_PERMISSION_REGISTERS);
        regs::set_hfgwtr(HFG_PERMISSION_REGISTERS);
    }
    const CPTR_TZ: u64 = 1 << 8;
    match options.sve {
        Some(vector_length) => {
            regs::set_cptr(CPTR_RES1);
            regs::set_zcr(u64::from(vector_length));
        }
        None => regs::set_cptr(CPTR_RES1 | CPTR_TZ),
    }
    const MDCR_TPM: u64 = 1 << 6;
    const MDCR_TPMCR: u64 = 1 << 5;
    regs::set_mdcr(match options.pmu {
        Some(counters) => u64::from(counters),
        None => MDCR_TPM | MDCR_TPMCR,
    });
    const EL1_COUNTER_AND_TIMER: u64 = 3;
    regs::set_cnthctl(EL1_COUNTER_AND_TIMER);
    regs::set_cntvoff(0);
    regs::set_cntv_ctl(0);
    regs::set_cntp_ctl(0);
    regs::set_vpidr(regs::midr());
    regs::set_vmpidr(regs::mpidr());
    regs::set_sctlr_el1(SCTLR_EL1_RESET | if big_endian { SCTLR_EE } else { 0 });
}

/// Enters the realm on CPU `cpu` at the start the state holds for it.
pub fn enter(cpu: usize) -> ! {
    let start = state::with(|state| {
        let start = state.starts.get(cpu).copied().unwrap_or_default();
        configure(&state.host.options, start.big_endian);
        state.host.stage2.activate();
        gic::init_cpu(cpu);
        start
    });
    entry::enter(&Frame::new(start.pc, start.x0), cpu)
}

const CPU_ON: u64 = 0xC400_0003;
const CPU_OFF: u64 = 0x8400_0002;
const ALREADY_ON: u64 = -4_i64 as u64;

/// Starts CPU `cpu` on its way into the realm.
pub fn start(cpu: usize) {
    // A CPU that stops tells the realm so a moment before it has stopped.
    while regs::smc(CPU_ON, cpu as u64, entry::secondary(), cpu as u64) == ALREADY_ON {
        core::hint::spin_loop();
    }
}

/// Stops this CPU.
pub fn off() -> ! {
    regs::smc(CPU_OFF, 0, 0, 0);
    loop {
        regs::wfi();
    }
}
