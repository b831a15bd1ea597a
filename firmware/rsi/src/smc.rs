//! The SMC instruction as the conduit.

#![expect(unsafe_code, reason = "the SMC instruction")]

use crate::guest::{Conduit, Registers};

/// Calls by `smc #0` (DEN0028: SMC64 fast call, results in x0 to x10, x11 to x17 not preserved).
#[derive(Debug)]
pub struct SmcConduit(());

impl SmcConduit {
    /// The conduit of this CPU.
    ///
    /// # Safety
    /// SMC must be taken by an RMM or a hypervisor, or the vector table in force must survive its
    /// being undefined. Calls that hand memory to the RMM must name memory of the caller.
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl Conduit for SmcConduit {
    fn call(&mut self, registers: &mut Registers) {
        let [x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10] = registers;
        // SAFETY: whoever made the conduit vouched for the SMC being answered; by the SMC calling
        // convention it changes no register beyond those listed. Memory it writes is memory a
        // caller named, which the missing `nomem` tells the compiler.
        unsafe {
            core::arch::asm!(
                "smc #0",
                inlateout("x0") *x0, inlateout("x1") *x1, inlateout("x2") *x2,
                inlateout("x3") *x3, inlateout("x4") *x4, inlateout("x5") *x5,
                inlateout("x6") *x6, inlateout("x7") *x7, inlateout("x8") *x8,
                inlateout("x9") *x9, inlateout("x10") *x10,
                lateout("x11") _, lateout("x12") _, lateout("x13") _, lateout("x14") _,
                lateout("x15") _, lateout("x16") _, lateout("x17") _,
                options(nostack),
            );
        }
    }
}
