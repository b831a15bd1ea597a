//! Device registers.
//!
//! Each access is one load or store of one general register without write-back: in a realm the access exits to
//! the host, which completes it by the syndrome, and only this form has one (Arm ARM, ESR_EL2.ISS.ISV).
#![expect(unsafe_code, reason = "device registers are addresses that only the machine's description vouches for")]

use core::arch::asm;

/// A range of device registers.
///
/// Made only by [`crate::memory::map_device`], which has checked that the range is no RAM and mapped it.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: u64,
    size: u64,
}

macro_rules! accessors {
    ($($read:ident, $write:ident, $type:ty, $load:literal, $store:literal;)*) => {
        $(
            #[doc = concat!("Reads the register at byte `offset` as `", stringify!($type), "`; zero outside the range.")]
            pub fn $read(&self, offset: u64) -> $type {
                let Some(address) = self.address(offset, size_of::<$type>() as u64) else { return 0 };
                let value: $type;
                // SAFETY: the address lies in a range that `map_device` has mapped as device memory, so the load
                // touches no Rust object.
                unsafe {
                    asm!($load, value = out(reg) value, address = in(reg) address, options(nostack, preserves_flags));
                }
                value
            }

            #[doc = concat!("Writes `", stringify!($type), "` to the register at byte `offset`; nothing outside the range.")]
            pub fn $write(&self, offset: u64, value: $type) {
                let Some(address) = self.address(offset, size_of::<$type>() as u64) else { return };
                // SAFETY: as for the load; a device that masters the bus is given addresses of private memory
                // only by its driver, which owns that memory for the time.
                unsafe {
                    asm!($store, value = in(reg) value, address = in(reg) address, options(nostack, preserves_flags));
                }
            }
        )*
    };
}

impl Mmio {
    /// Registers in [base, base + size), which is mapped as device memory.
    pub(crate) fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    fn address(&self, offset: u64, width: u64) -> Option<u64> {
        let end = offset.checked_add(width)?;
        if end > self.size {
            return None;
        }
        self.base.checked_add(offset)
    }

    accessors! {
        read8, write8, u8, "ldrb {value:w}, [{address}]", "strb {value:w}, [{address}]";
        read16, write16, u16, "ldrh {value:w}, [{address}]", "strh {value:w}, [{address}]";
        read32, write32, u32, "ldr {value:w}, [{address}]", "str {value:w}, [{address}]";
        read64, write64, u64, "ldr {value}, [{address}]", "str {value}, [{address}]";
    }

    /// Reads the register of `size` bytes (1, 2, 4 or 8) at byte `offset`; zero outside the range.
    pub fn read(&self, offset: u64, size: u64) -> u64 {
        match size {
            1 => self.read8(offset).into(),
            2 => self.read16(offset).into(),
            4 => self.read32(offset).into(),
            _ => self.read64(offset),
        }
    }

    /// Writes the low `size` bytes (1, 2, 4 or 8) of `value` to the register at byte `offset`; nothing outside the range.
    pub fn write(&self, offset: u64, size: u64, value: u64) {
        match size {
            1 => self.write8(offset, value as u8),
            2 => self.write16(offset, value as u16),
            4 => self.write32(offset, value as u32),
            _ => self.write64(offset, value),
        }
    }
}
