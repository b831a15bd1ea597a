//! What an exception syndrome says, in the words of the Arm ARM (ESR_ELx).

use core::fmt;

/// ESR_ELx, displayed as its class and, for aborts, the access and the fault.
#[derive(Clone, Copy, Debug)]
pub struct Syndrome(pub u64);

impl Syndrome {
    fn class(self) -> u64 {
        (self.0 >> 26) & 0x3f
    }

    fn is_data_abort(self) -> bool {
        matches!(self.class(), 0x24 | 0x25)
    }

    fn is_abort(self) -> bool {
        self.is_data_abort() || matches!(self.class(), 0x20 | 0x21)
    }

    /// Whether a load or store got no answer, from an address that FAR_ELx holds.
    pub fn is_external_data_abort(self) -> bool {
        self.is_data_abort() && self.has_address() && self.0 & 0x3f == 0x10
    }

    /// Whether FAR_ELx holds the address (ISS.FnV clear, and a class that sets FAR).
    pub fn has_address(self) -> bool {
        let fnv = self.is_abort() && self.0 & (1 << 10) != 0;
        (self.is_abort() || matches!(self.class(), 0x22 | 0x34 | 0x35)) && !fnv
    }

    /// The number of a BRK instruction.
    pub fn breakpoint(self) -> Option<u16> {
        (self.class() == 0x3c).then_some(self.0 as u16)
    }

    fn class_name(self) -> &'static str {
        match self.class() {
            0x00 => "unknown reason (undefined instruction?)",
            0x01 => "trapped WFI or WFE",
            0x07 => "trapped SVE, SIMD or floating point",
            0x0d => "branch target exception",
            0x0e => "illegal execution state",
            0x15 => "SVC",
            0x16 => "HVC",
            0x17 => "SMC",
            0x18 => "trapped MSR, MRS or system instruction",
            0x19 => "trapped SVE",
            0x1c => "pointer authentication failure",
            0x20 => "instruction abort from a lower level",
            0x21 => "instruction abort",
            0x22 => "PC alignment fault",
            0x24 => "data abort from a lower level",
            0x25 => "data abort",
            0x26 => "SP alignment fault",
            0x2c => "trapped floating point",
            0x2f => "SError",
            0x34 | 0x35 => "watchpoint",
            0x3c => "BRK",
            _ => "unlisted class",
        }
    }

    fn fault_name(self) -> &'static str {
        match self.0 & 0x3f {
            0x00..=0x03 => "address size fault",
            0x04..=0x07 => "translation fault",
            0x08..=0x0b => "access flag fault",
            0x0c..=0x0f => "permission fault",
            0x10 => "synchronous external abort",
            0x11 => "tag check fault",
            0x13..=0x17 => "synchronous external abort on a table walk",
            0x21 => "alignment fault",
            0x30 => "TLB conflict abort",
            _ => "unlisted fault",
        }
    }
}

impl fmt::Display for Syndrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class_name())?;
        if self.is_data_abort() {
            f.write_str(if self.0 & (1 << 6) != 0 { " on a write" } else { " on a read" })?;
        }
        if self.is_abort() {
            write!(f, ", {}", self.fault_name())?;
            if self.0 & 0x3f < 0x10 {
                write!(f, " at level {}", self.0 & 3)?;
            }
        }
        Ok(())
    }
}
