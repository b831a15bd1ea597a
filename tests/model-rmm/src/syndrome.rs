//! Exception syndromes (DDI0487 D24.2.37): what a trapped access says of itself, and what is
//! injected into the realm.

/// Exception class of an ESR.
pub fn class(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// A data abort whose syndrome describes the instruction (ISV = 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Register number; 31 is the zero register.
    pub register: u8,
    /// Whether it is a write.
    pub write: bool,
    sign_extend: bool,
    sixty_four: bool,
}

impl Access {
    /// The access in the ISS of a data abort; none when ISV is 0 or the abort is a cache
    /// maintenance operation or a stage 1 walk.
    pub fn from_esr(esr: u64) -> Option<Self> {
        let bit = |n: u32| esr >> n & 1 != 0;
        let walk_or_maintenance = bit(7) || bit(8);
        if !bit(24) || walk_or_maintenance {
            return None;
        }
        Some(Self {
            size: 1 << (esr >> 22 & 3),
            register: (esr >> 16 & 31) as u8,
            write: bit(6),
            sign_extend: bit(21),
            sixty_four: bit(15),
        })
    }

    /// What a load of `raw` puts into the register.
    pub fn loaded(&self, raw: u64) -> u64 {
        let unused = 64 - u32::from(self.size) * 8;
        let raw = raw << unused >> unused;
        if !self.sign_extend {
            return raw;
        }
        let extended = ((raw << unused) as i64 >> unused) as u64;
        if self.sixty_four { extended } else { extended & 0xffff_ffff }
    }

    /// What a store of the register's value puts on the bus.
    pub fn stored(&self, value: u64) -> u64 {
        let unused = 64 - u32::from(self.size) * 8;
        value << unused >> unused
    }
}

/// What is injected into the realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// Synchronous external abort, EA = 1 (DEN0137 A5.2.7).
    External,
    /// The same on the lookup of this level of a stage 1 walk.
    ExternalOnWalk(i8),
    /// Stage 1 address size fault at this level (DEN0137 A5.2.8).
    AddressSize(i8),
}

/// ESR_EL1 of an abort injected in place of the stage 2 abort with `esr`, taken from EL0 or EL1.
pub fn injected(esr: u64, from_el0: bool, injection: Injection) -> u64 {
    let instruction = class(esr) == 0x20;
    let class = match (instruction, from_el0) {
        (true, true) => 0x20,
        (true, false) => 0x21,
        (false, true) => 0x24,
        (false, false) => 0x25,
    };
    const IL: u64 = 1 << 25;
    const EA: u64 = 1 << 9;
    // WnR and CM are the realm's own doing; ISV and what it covers are for stage 2 only.
    let kept = if instruction { 0 } else { esr & (1 << 6 | 1 << 8) };
    // Level -1 has codes of its own.
    let fault = match injection {
        Injection::External => EA | 0b01_0000,
        Injection::ExternalOnWalk(-1) => EA | 0b01_0011,
        Injection::ExternalOnWalk(level) => EA | 0b01_0100 | level as u64 & 3,
        Injection::AddressSize(-1) => 0b10_1001,
        Injection::AddressSize(level) => level as u64 & 3,
    };
    class << 26 | IL | kept | fault
}

/// Whether a stage 2 abort came from a stage 1 walk (S1PTW).
pub fn is_walk(esr: u64) -> bool {
    esr >> 7 & 1 != 0
}

/// ESR_EL1 of an instruction that is undefined to the realm.
pub const UNDEFINED: u64 = 1 << 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_loads_and_stores() {
        // ldrsh w3, [x0]: SAS=1, SSE=1, SRT=3, SF=0.
        let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 22 | 1 << 21 | 3 << 16 | 0x7;
        let access = Access::from_esr(esr).unwrap();
        assert_eq!((access.size, access.register, access.write), (2, 3, false));
        assert_eq!(access.loaded(0x1_8001), 0xffff_8001);
        // ldrsw x3.
        let wide = Access::from_esr((esr + (1 << 22)) | 1 << 15).unwrap();
        assert_eq!(wide.loaded(0x8000_0000), 0xffff_ffff_8000_0000);
        // str xzr, [x0].
        let store = Access::from_esr(0x24 << 26 | 1 << 24 | 3 << 22 | 31 << 16 | 1 << 15 | 1 << 6);
        let store = store.unwrap();
        assert_eq!((store.size, store.register, store.write), (8, 31, true));
        assert_eq!(store.stored(u64::MAX), u64::MAX);
        assert_eq!(Access::from_esr(0x24 << 26 | 1 << 6), None);
        assert_eq!(Access::from_esr(0x24 << 26 | 1 << 24 | 1 << 7), None);
        assert_eq!(Access::from_esr(0x24 << 26 | 1 << 24 | 1 << 8), None);
    }

    #[test]
    fn injects_external_aborts() {
        let data = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 6 | 0x7;
        assert_eq!(injected(data, false, Injection::External), 0x25 << 26 | 1 << 25 | 1 << 9 | 1 << 6 | 0x10);
        assert_eq!(injected(data, true, Injection::External) >> 26, 0x24);
        let fetch = 0x20 << 26 | 1 << 25 | 0x7;
        assert_eq!(injected(fetch, false, Injection::External), 0x21 << 26 | 1 << 25 | 1 << 9 | 0x10);
        for (injection, status) in [
            (Injection::ExternalOnWalk(-1), 0x213),
            (Injection::ExternalOnWalk(0), 0x214),
            (Injection::ExternalOnWalk(3), 0x217),
            (Injection::AddressSize(-1), 0x29),
            (Injection::AddressSize(0), 0),
            (Injection::AddressSize(2), 2),
        ] {
            // S1PTW is for stage 2 only.
            assert_eq!(injected(data | 1 << 7, false, injection) & 0x2bf, status, "{injection:?}");
        }
    }
}
