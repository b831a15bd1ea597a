//! Power: PSCI (DEN0022) through the conduit that the device tree names.
#![expect(unsafe_code, reason = "the way out before a conduit is known is an assembly symbol")]

use core::sync::atomic::{AtomicU8, Ordering};

use formats::machine::Conduit;

static CONDUIT: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const SMC: u8 = 1;
const HVC: u8 = 2;

unsafe extern "C" {
    /// Powers off by any conduit, or waits for ever.
    fn early_stop() -> !;
}

/// Uses `conduit` from now on.
pub fn set_conduit(conduit: Conduit) {
    let value = match conduit {
        Conduit::Smc => SMC,
        Conduit::Hvc => HVC,
    };
    CONDUIT.store(value, Ordering::Relaxed);
}

/// Powers the machine off.
pub fn system_off() -> ! {
    // An error leaves nothing to do but the way out that needs no conduit.
    let _ = match CONDUIT.load(Ordering::Relaxed) {
        SMC => smccc::psci::system_off::<smccc::Smc>(),
        HVC => smccc::psci::system_off::<smccc::Hvc>(),
        _ => Ok(()),
    };
    stop()
}

/// Resets the machine.
pub fn system_reset() -> ! {
    let _ = match CONDUIT.load(Ordering::Relaxed) {
        SMC => smccc::psci::system_reset::<smccc::Smc>(),
        HVC => smccc::psci::system_reset::<smccc::Hvc>(),
        _ => Ok(()),
    };
    stop()
}

/// Powers the machine off by whatever conduit answers: for when something is wrong with the one that is known.
pub fn stop() -> ! {
    // SAFETY: the symbol is boot-asm's; it takes nothing and never returns.
    unsafe { early_stop() }
}
