//! The processor: registers, caches, time, power, faults.

pub mod cache;
pub mod mmio;
pub mod mmu;
pub mod psci;
pub mod tick;

#[cfg(target_os = "none")]
mod kernel_entry;
mod last_words;

use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTKCTL_EL1, CNTVCT_EL0, CurrentEL, ID_AA64ISAR0_EL1, Readable, Writeable};

pub use kernel_entry::enter_kernel;
pub use last_words::say_without_mmu;

/// Ticks of the generic timer per second where CNTFRQ_EL0 was left at zero: the rate of every CPU since Armv8.6.
const DEFAULT_FREQUENCY: u64 = 1_000_000_000;

/// The exception level the firmware runs at: 1 or 2.
pub fn exception_level() -> u64 {
    CurrentEL.read(CurrentEL::EL)
}

/// The virtual counter, in ticks of [`counter_frequency`].
pub fn counter() -> u64 {
    // Without the barrier the counter may be read ahead of what it is to time.
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Ticks per second of [`counter`].
pub fn counter_frequency() -> u64 {
    match CNTFRQ_EL0.get() {
        0 => DEFAULT_FREQUENCY,
        frequency => frequency,
    }
}

/// Lets so many microseconds pass, with the CPU at rest until the next event of the stream that the generic timer makes
/// (DDI 0487, D12.2.6): Linux rests by it in the same way. EL2 has that stream in another register, and does not rest.
pub fn pause(microseconds: u64) {
    const MICROSECONDS_PER_SECOND: u64 = 1_000_000;
    /// CNTKCTL_EL1.EVNTEN; EVNTI, the bit of the counter whose rise is an event.
    const EVNTEN: u64 = 1 << 2;
    const EVNTI: u32 = 4;
    const LAST_BIT: u32 = 15;
    let ticks = (counter_frequency().saturating_mul(microseconds) / MICROSECONDS_PER_SECOND).max(1);
    let end = counter().saturating_add(ticks);
    if exception_level() != 1 {
        while counter() < end {}
        return;
    }
    let before = CNTKCTL_EL1.get();
    // Four events are at most the pause, or eight ticks.
    CNTKCTL_EL1.set(EVNTEN | u64::from(ticks.ilog2().saturating_sub(3).min(LAST_BIT)) << EVNTI);
    // Without, the first WFE might rest before there is a stream to end it.
    barrier::isb(barrier::SY);
    // An emulator's WFE may not rest at all.
    while CNTVCT_EL0.get() < end {
        asm::wfe();
        asm::wfe();
        asm::wfe();
        asm::wfe();
    }
    CNTKCTL_EL1.set(before);
}

/// 64 random bits from the CPU's own generator (FEAT_RNG); `None` where it has none or it fails.
pub fn random() -> Option<u64> {
    /// RNDR may fail for a moment when it is asked often (Arm ARM, RNDR).
    const ATTEMPTS: u32 = 16;
    if !has_random() {
        return None;
    }
    (0..ATTEMPTS).find_map(|_| mmu::read_rndr())
}

/// Whether the CPU has a random number generator.
pub fn has_random() -> bool {
    ID_AA64ISAR0_EL1.is_set(ID_AA64ISAR0_EL1::RNDR)
}
