//! The tick: the virtual timer's interrupt, which stays masked and is never taken. Programs that wait for an event with
//! WFI (iPXE does) count on the interrupts of a firmware that has them; a pending one ends WFI, masked or not (DDI 0487,
//! D1.6.2).
#![expect(unsafe_code, reason = "the interrupt controller's registers have no names in the assembler")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{CNTV_CTL_EL0, CNTV_CVAL_EL0, ID_AA64PFR0_EL1, Readable, Writeable};

use super::{counter, counter_frequency, exception_level};

/// Ticks in a second: as many as EDK2 has.
const PER_SECOND: u64 = 100;

/// When the counter reaches the next tick; never, unless there are ticks.
static NEXT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Makes the ticks begin. The interrupt controller passes the timer's interrupt on already.
pub fn start() {
    NEXT.store(0, Ordering::Relaxed);
    passed(counter());
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
}

/// Asks for the next tick when the time of the last has come.
pub fn passed(now: u64) {
    if now >= NEXT.load(Ordering::Relaxed) {
        let next = now.saturating_add(counter_frequency() / PER_SECOND);
        NEXT.store(next, Ordering::Relaxed);
        CNTV_CVAL_EL0.set(next);
    }
}

/// Makes the ticks end; whether there were any.
pub fn stop() -> bool {
    let there_were = NEXT.swap(u64::MAX, Ordering::Relaxed) != u64::MAX;
    if there_were {
        CNTV_CTL_EL0.set(0);
        barrier::isb(barrier::SY);
    }
    there_were
}

/// Lets the CPU interface of a GICv3 signal interrupts of group 1 (IHI 0069, chapter 12); whether there is one.
pub fn enable_cpu_interface() -> bool {
    // ID_AA64PFR0_EL1.GIC.
    if ID_AA64PFR0_EL1.get() >> 24 & 0xf == 0 {
        return false;
    }
    // SAFETY: the CPU has the registers, and who starts a kernel leaves them to it (Linux, booting.rst); interrupts
    // stay masked in PSTATE, so none is taken.
    unsafe {
        if exception_level() == 2 {
            // ICC_SRE_EL2: SRE, DFB, DIB, Enable.
            asm!("msr s3_4_c12_c9_5, {}", "isb", in(reg) 0xf_u64, options(nostack, preserves_flags));
        }
        asm!(
            // ICC_SRE_EL1, ICC_PMR_EL1, ICC_IGRPEN1_EL1.
            "msr s3_0_c12_c12_5, {sre}",
            "isb",
            "msr s3_0_c4_c6_0, {all}",
            "msr s3_0_c12_c12_7, {group}",
            "isb",
            sre = in(reg) 7_u64,
            all = in(reg) 0xff_u64,
            group = in(reg) 1_u64,
            options(nostack, preserves_flags),
        );
    }
    true
}

/// Undoes [`enable_cpu_interface`].
pub fn disable_cpu_interface() {
    // SAFETY: only where the interface was enabled.
    unsafe { asm!("msr s3_0_c12_c12_7, xzr", "isb", options(nostack, preserves_flags)) };
}
