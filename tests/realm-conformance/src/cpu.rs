//! System registers of the virtual CPU interface and the virtual timer.

#![expect(unsafe_code, reason = "MRS and MSR")]

use core::arch::asm;

macro_rules! write {
    ($register:literal, $value:expr) => {
        // SAFETY: concerns interrupts and the timer, which stay masked at the CPU; no memory changes.
        unsafe { asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) $value, options(nostack)) }
    };
}

/// Opens the CPU interface to interrupts of group 1, which are polled for.
pub fn open() {
    const SYSTEM_REGISTERS: u64 = 7;
    write!("S3_0_C12_C12_5", SYSTEM_REGISTERS);
    write!("S3_0_C4_C6_0", 0xff_u64);
    write!("S3_0_C12_C12_7", 1_u64);
}

/// Acknowledges the most urgent pending interrupt: ICC_IAR1_EL1.
pub fn acknowledge() -> u32 {
    let interrupt: u64;
    // SAFETY: as above.
    unsafe { asm!("mrs {}, S3_0_C12_C12_0", "dsb sy", out(reg) interrupt, options(nostack)) };
    interrupt as u32
}

/// Ends an interrupt: ICC_EOIR1_EL1.
pub fn end(interrupt: u32) {
    write!("S3_0_C12_C12_1", u64::from(interrupt));
}

/// Sends the SGI `number` to CPU 0: ICC_SGI1R_EL1.
pub fn send(number: u64) {
    write!("S3_0_C12_C11_5", number << 24 | 1);
}

/// A timer of EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// CNTV.
    Virtual,
    /// CNTP.
    Physical,
}

/// Has the timer fire soon, or stops it.
pub fn timer(timer: Timer, on: bool) {
    match timer {
        Timer::Virtual => {
            write!("cntv_tval_el0", 1000_u64);
            write!("cntv_ctl_el0", u64::from(on));
        }
        Timer::Physical => {
            write!("cntp_tval_el0", 1000_u64);
            write!("cntp_ctl_el0", u64::from(on));
        }
    }
}

/// The physical, the virtual and again the physical counter.
pub fn counters() -> [u64; 3] {
    let (before, between, after);
    // SAFETY: reads of counters.
    unsafe {
        asm!("isb", "mrs {}, cntpct_el0", "isb", "mrs {}, cntvct_el0", "isb", "mrs {}, cntpct_el0",
             out(reg) before, out(reg) between, out(reg) after, options(nomem, nostack));
    }
    [before, between, after]
}

/// How this CPU runs.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// DAIF.
    pub daif: u64,
    /// CurrentEL.
    pub level: u64,
    /// SPSel.
    pub stack: u64,
}

/// How this CPU runs; the payload leaves these registers as they were at its entry.
pub fn state() -> State {
    let (sctlr, daif, level, stack);
    // SAFETY: reads of registers.
    unsafe {
        asm!("mrs {}, sctlr_el1", "mrs {}, daif", "mrs {}, currentel", "mrs {}, spsel",
             out(reg) sctlr, out(reg) daif, out(reg) level, out(reg) stack, options(nomem, nostack));
    }
    State { sctlr, daif, level, stack }
}

/// FAR_EL1: the address of the last abort.
pub fn fault_address() -> u64 {
    let far;
    // SAFETY: a read of a register.
    unsafe { asm!("mrs {}, far_el1", out(reg) far, options(nomem, nostack)) };
    far
}

/// ID_AA64MMFR0_EL1.
pub fn memory_features() -> u64 {
    let mmfr0;
    // SAFETY: a read of an ID register.
    unsafe { asm!("mrs {}, id_aa64mmfr0_el1", out(reg) mmfr0, options(nomem, nostack)) };
    mmfr0
}

/// The registers of stage 1, for when it is on.
pub fn translate(mair: u64, tcr: u64, ttbr0: u64, ttbr1: u64) {
    write!("mair_el1", mair);
    write!("tcr_el1", tcr);
    write!("ttbr0_el1", ttbr0);
    write!("ttbr1_el1", ttbr1);
}

/// Lets SVE instructions pass at EL1, with the longest vectors there are.
pub fn allow_vectors(there: bool) {
    const ZEN_FPEN: u64 = 3 << 16 | 3 << 20;
    const LONGEST: u64 = 0xf;
    write!("cpacr_el1", ZEN_FPEN);
    if there {
        write!("S3_0_C1_C2_0", LONGEST);
    }
}
