//! The PL031 real time clock (Arm DDI 0224, section 3).
//!
//! In a realm each access is emulated from its syndrome, which only a plain load or store of one
//! general register has; volatile accesses of Rust may become others.
#![expect(unsafe_code, reason = "device registers")]

use core::arch::asm;

/// RTCDR: seconds.
const DATA: u64 = 0x00;
/// RTCLR: sets the seconds.
const LOAD: u64 = 0x08;

/// A PL031 at an address that is mapped as device memory.
#[derive(Clone, Copy)]
pub struct Clock(u64);

impl Clock {
    /// The clock whose registers begin at `base`; `None` for zero.
    pub fn at(base: u64) -> Option<Self> {
        (base != 0).then_some(Self(base))
    }

    /// The seconds it shows.
    pub fn read(self) -> u32 {
        let value: u32;
        // SAFETY: the firmware gave the address of a PL031, or SetVirtualAddressMap() converted it;
        // reading this register has no effect.
        unsafe {
            asm!("ldr {value:w}, [{address}]", value = out(reg) value,
                address = in(reg) self.0.wrapping_add(DATA),
                options(nostack, preserves_flags, readonly));
        }
        value
    }

    /// Makes it show `seconds`, and tells whether it does: not every PL031 of a VMM can be set.
    pub fn write(self, seconds: u32) -> bool {
        // SAFETY: as above; the store changes the clock and no memory.
        unsafe {
            asm!("str {value:w}, [{address}]", value = in(reg) seconds,
                address = in(reg) self.0.wrapping_add(LOAD),
                options(nostack, preserves_flags));
        }
        // A second may have passed, and so may a stop of the whole machine.
        self.read().wrapping_sub(seconds) < 60
    }
}
