//! The processor: registers, caches, time, power, faults.

pub mod cache;
pub mod mmio;
pub mod mmu;
pub mod psci;

#[cfg(target_os = "none")]
mod kernel_entry;
mod last_words;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, CurrentEL, ID_AA64ISAR0_EL1, Readable};

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
    aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY);
    CNTVCT_EL0.get()
}

/// Ticks per second of [`counter`].
pub fn counter_frequency() -> u64 {
    match CNTFRQ_EL0.get() {
        0 => DEFAULT_FREQUENCY,
        frequency => frequency,
    }
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
