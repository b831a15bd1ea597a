//! The calls of PSCI (Arm DEN0022) that end the system.
#![expect(unsafe_code, reason = "smc and hvc")]

use core::arch::asm;

use runtime_abi::Conduit;

const VERSION: u32 = 0x8400_0000;
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
const FEATURES: u32 = 0x8400_000a;
const SYSTEM_RESET2: u32 = 0xc400_0012;
const SYSTEM_WARM_RESET: u64 = 0;

/// Major version 1, the first that can be asked for its functions.
const VERSION_1_0: i32 = 0x1_0000;

/// How the system is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Power off.
    Off,
    /// Reset everything.
    Cold,
    /// Reset and keep memory, where the system can.
    Warm,
}

/// Ends the system, or, if it has no PSCI or PSCI fails, stops this CPU.
pub fn end_system(conduit: Conduit, end: End) -> ! {
    if end == End::Warm
        && call(conduit, VERSION, 0) >= VERSION_1_0
        && call(conduit, FEATURES, u64::from(SYSTEM_RESET2)) >= 0
    {
        call(conduit, SYSTEM_RESET2, SYSTEM_WARM_RESET);
    }
    let function = if end == End::Off { SYSTEM_OFF } else { SYSTEM_RESET };
    call(conduit, function, 0);
    loop {
        // SAFETY: waits; no memory is touched.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }
}

/// Calls `function`. The result is `NOT_SUPPORTED` (-1) without a conduit.
fn call(conduit: Conduit, function: u32, argument: u64) -> i32 {
    let mut result = u64::from(function);
    macro_rules! conduit {
        ($instruction:literal) => {
            // SAFETY: a call by the SMC Calling Convention, which may change x0 to x17 and no memory
            // of the caller; x2 and x3 are zero, as the functions here expect of unused arguments.
            unsafe {
                asm!($instruction, inout("x0") result, inout("x1") argument => _,
                    inout("x2") 0u64 => _, inout("x3") 0u64 => _,
                    out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
                    out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _,
                    out("x15") _, out("x16") _, out("x17") _, options(nostack))
            }
        };
    }
    match conduit {
        Conduit::None => return -1,
        Conduit::Smc => conduit!("smc #0"),
        Conduit::Hvc => conduit!("hvc #0"),
    }
    result as i32
}
