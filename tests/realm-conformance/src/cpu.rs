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

/// Has the virtual timer fire soon, or stops it.
pub fn timer(on: bool) {
    write!("cntv_tval_el0", 1000_u64);
    write!("cntv_ctl_el0", u64::from(on));
}
