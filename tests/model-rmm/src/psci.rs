//! PSCI 1.1 as an RMM offers it to a realm (DEN0137 B6; DEN0022).

use alloc::vec::Vec;

/// Function identifiers: those of DEN0137 B6.3, in the one calling convention that each has there.
pub mod fid {
    #![expect(missing_docs, reason = "the names are the specification's")]
    pub const SMCCC_VERSION: u32 = 0x8000_0000;
    pub const VERSION: u32 = 0x8400_0000;
    pub const CPU_SUSPEND: u32 = 0xC400_0001;
    pub const CPU_OFF: u32 = 0x8400_0002;
    pub const CPU_ON: u32 = 0xC400_0003;
    pub const AFFINITY_INFO: u32 = 0xC400_0004;
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    pub const FEATURES: u32 = 0x8400_000A;
}

/// The function identifier in x0: w0 (DEN0028 2.6) without the hint that SVE state needs no keeping,
/// which is part of fast calls from SMCCC 1.3 on.
pub fn function(x0: u64, smccc: u64) -> u32 {
    const FAST: u32 = 1 << 31;
    const SVE_HINT: u32 = 1 << 16;
    let call = x0 as u32;
    if smccc >= SMCCC_1_3 && call & FAST != 0 { call & !SVE_HINT } else { call }
}

/// SMCCC 1.3, which an RMM has where the CPU has SVE.
pub const SMCCC_1_3: u64 = 0x1_0003;

/// The version of SMCCC that DEN0137 B1.1 wants of an RMM on a CPU with these features (RNNFPH,
/// RVXJJQ, RJNVJQ).
pub fn smccc_version(sve: bool, sme: bool) -> u64 {
    match (sve, sme) {
        (_, true) => 0x1_0004,
        (true, false) => SMCCC_1_3,
        (false, false) => 0x1_0002,
    }
}

/// DENIED: the host does not want it.
pub const DENIED: i64 = -3;
/// NOT_SUPPORTED.
pub const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const ALREADY_ON: i64 = -4;
const INVALID_ADDRESS: i64 = -9;

/// Name of a PSCI or SMCCC function, if there is one.
pub fn name(call: u32) -> Option<&'static str> {
    Some(match call {
        fid::SMCCC_VERSION => "SMCCC_VERSION",
        fid::VERSION => "PSCI_VERSION",
        fid::CPU_SUSPEND => "PSCI_CPU_SUSPEND",
        fid::CPU_OFF => "PSCI_CPU_OFF",
        fid::CPU_ON => "PSCI_CPU_ON",
        fid::AFFINITY_INFO => "PSCI_AFFINITY_INFO",
        fid::SYSTEM_OFF => "PSCI_SYSTEM_OFF",
        fid::SYSTEM_RESET => "PSCI_SYSTEM_RESET",
        fid::FEATURES => "PSCI_FEATURES",
        _ => return None,
    })
}

/// How many registers from x1 on come back as zero from a call: those of PSCI outputs after a REC
/// exit (DEN0137 A4.2.2, RNMSFT), otherwise those that every SMC may change (DEN0028 2.7).
pub fn cleared(call: u32) -> usize {
    match call {
        fid::CPU_SUSPEND | fid::CPU_ON | fid::AFFINITY_INFO => 6,
        _ => 3,
    }
}

/// What a call asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the result for x0.
    Return(i64),
    /// Start the REC at this index; the caller gets SUCCESS.
    Start {
        /// Index of the REC.
        rec: usize,
        /// Where it starts.
        entry: u64,
        /// Its x0.
        context: u64,
    },
    /// Wait for an interrupt, then return SUCCESS.
    Suspend,
    /// This REC stops.
    Off,
    /// The realm ends.
    SystemOff,
    /// The realm ends and asks to be made anew.
    SystemReset,
}

/// Which RECs run, and what the calls depend on beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recs {
    on: Vec<bool>,
    /// What SMCCC_VERSION answers.
    pub smccc: u64,
    /// Whether the host denies PSCI_CPU_ON (RMI_PSCI_COMPLETE with PSCI_DENIED).
    pub deny_cpu_on: bool,
}

impl Recs {
    /// `count` RECs of which the first runs, with this version of SMCCC.
    pub fn new(count: usize, smccc: u64) -> Self {
        Self { on: (0..count).map(|index| index == 0).collect(), smccc, deny_cpu_on: false }
    }

    /// Number of RECs that run.
    pub fn running(&self) -> usize {
        self.on.iter().filter(|on| **on).count()
    }

    /// Number of RECs.
    pub fn count(&self) -> usize {
        self.on.len()
    }

    /// Index of the REC with this MPIDR: Aff0 has four bits, the rest counts on
    /// (DEN0137 A2.3.3).
    fn index(&self, mpidr: u64) -> Option<usize> {
        let aff = |shift: u32| mpidr >> shift & 0xff;
        if aff(0) > 15 || mpidr & !0xff_00ff_ffff != 0 {
            return None;
        }
        let index = aff(0) | aff(8) << 4 | aff(16) << 12 | aff(32) << 20;
        usize::try_from(index).ok().filter(|index| *index < self.on.len())
    }

    /// Answers the call `call` of the REC `caller` with x1 to x3; none when it is no PSCI function
    /// that the RMM has.
    pub fn call(
        &mut self,
        caller: usize,
        call: u32,
        [x1, x2, x3]: [u64; 3],
        is_protected: impl Fn(u64) -> bool,
    ) -> Option<Outcome> {
        Some(match call {
            fid::SMCCC_VERSION => Outcome::Return(self.smccc as i64),
            fid::VERSION => Outcome::Return(0x1_0001),
            fid::CPU_SUSPEND => Outcome::Suspend,
            fid::CPU_OFF => {
                if let Some(on) = self.on.get_mut(caller) {
                    *on = false;
                }
                Outcome::Off
            }
            fid::CPU_ON => self.cpu_on(x1, x2, x3, is_protected),
            fid::AFFINITY_INFO => match self.index(x1) {
                Some(index) if x2 == 0 => Outcome::Return(if self.on.get(index) == Some(&true) { 0 } else { 1 }),
                _ => Outcome::Return(INVALID_PARAMETERS),
            },
            fid::SYSTEM_OFF => Outcome::SystemOff,
            fid::SYSTEM_RESET => Outcome::SystemReset,
            fid::FEATURES => {
                let known = name(function(x1, self.smccc)).is_some();
                Outcome::Return(if known { 0 } else { NOT_SUPPORTED })
            }
            _ => return None,
        })
    }

    fn cpu_on(&mut self, mpidr: u64, entry: u64, context: u64, is_protected: impl Fn(u64) -> bool) -> Outcome {
        if !is_protected(entry) {
            return Outcome::Return(INVALID_ADDRESS);
        }
        let Some(rec) = self.index(mpidr) else {
            return Outcome::Return(INVALID_PARAMETERS);
        };
        match self.on.get_mut(rec) {
            Some(false) if self.deny_cpu_on => return Outcome::Return(DENIED),
            Some(on @ false) => *on = true,
            _ => return Outcome::Return(ALREADY_ON),
        }
        Outcome::Start { rec, entry, context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(recs: &mut Recs, [call, arguments @ ..]: [u64; 4]) -> Option<Outcome> {
        let call = function(call, recs.smccc);
        recs.call(0, call, arguments, |ipa| ipa < 1 << 32)
    }

    #[test]
    fn starts_each_rec_once() {
        let mut recs = Recs::new(2, 0x1_0002);
        let on = u64::from(fid::CPU_ON);
        let entry = 0x4000_0000;
        assert_eq!(call(&mut recs, [on, 2, entry, 7]), Some(Outcome::Return(-2)));
        assert_eq!(call(&mut recs, [on, 16, entry, 7]), Some(Outcome::Return(-2)));
        assert_eq!(call(&mut recs, [on, 1 << 31 | 1, entry, 7]), Some(Outcome::Return(-2)));
        assert_eq!(call(&mut recs, [on, 1, 1 << 32, 7]), Some(Outcome::Return(-9)));
        assert_eq!(call(&mut recs, [on, 0, entry, 7]), Some(Outcome::Return(-4)));
        let info = [u64::from(fid::AFFINITY_INFO), 1, 0, 0];
        assert_eq!(call(&mut recs, info), Some(Outcome::Return(1)));
        recs.deny_cpu_on = true;
        assert_eq!(call(&mut recs, [on, 1, entry, 7]), Some(Outcome::Return(-3)));
        assert_eq!(call(&mut recs, [on, 0, entry, 7]), Some(Outcome::Return(-4)), "the host cannot deny what is so");
        assert_eq!(call(&mut recs, info), Some(Outcome::Return(1)));
        recs.deny_cpu_on = false;
        let started = Outcome::Start { rec: 1, entry, context: 7 };
        assert_eq!(call(&mut recs, [on, 1, entry, 7]), Some(started));
        assert_eq!(call(&mut recs, [on, 1, entry, 7]), Some(Outcome::Return(-4)));
        assert_eq!(call(&mut recs, info), Some(Outcome::Return(0)));
        assert_eq!(recs.running(), 2);
        recs.call(1, fid::CPU_OFF, [0; 3], |_| true);
        assert_eq!(recs.running(), 1);
        assert_eq!(call(&mut recs, info), Some(Outcome::Return(1)));
    }

    #[test]
    fn argument_registers_do_not_survive() {
        assert_eq!(cleared(fid::CPU_ON), 6);
        assert_eq!(cleared(fid::AFFINITY_INFO), 6);
        assert_eq!(cleared(fid::VERSION), 3);
        assert_eq!(cleared(0x8400_0050), 3);
    }

    #[test]
    fn smccc_follows_the_cpu() {
        for (sve, sme, version, hint) in
            [(false, false, 0x1_0002, false), (true, false, 0x1_0003, true), (true, true, 0x1_0004, true)]
        {
            assert_eq!(smccc_version(sve, sme), version);
            let mut recs = Recs::new(1, version);
            assert_eq!(call(&mut recs, [0x8000_0000, 0, 0, 0]), Some(Outcome::Return(version as i64)));
            let hinted = call(&mut recs, [0xdead_beef_8401_0000, 0, 0, 0]);
            assert_eq!(hinted, hint.then_some(Outcome::Return(0x1_0001)), "{version:#x}");
        }
        // A call that is not fast has no such hint.
        assert_eq!(function(0x4401_0000, SMCCC_1_3), 0x4401_0000);
    }

    #[test]
    fn offers_what_an_rmm_offers() {
        let mut recs = Recs::new(1, 0x1_0002);
        let features = u64::from(fid::FEATURES);
        for known in [
            fid::SMCCC_VERSION,
            fid::VERSION,
            fid::CPU_SUSPEND,
            fid::CPU_OFF,
            fid::CPU_ON,
            fid::AFFINITY_INFO,
            fid::SYSTEM_OFF,
            fid::SYSTEM_RESET,
            fid::FEATURES,
        ] {
            let answer = call(&mut recs, [features, u64::from(known), 0, 0]);
            assert_eq!(answer, Some(Outcome::Return(0)));
        }
        // SYSTEM_RESET2, MEM_PROTECT, SMCCC_ARCH_FEATURES, TRNG_VERSION; the SMC32 forms of CPU_SUSPEND,
        // CPU_ON and AFFINITY_INFO.
        let smc32 = [0x8400_0001, 0x8400_0003, 0x8400_0004];
        for unknown in [0xC400_0012_u64, 0x8400_0013, 0x8000_0001, 0x8400_0050].into_iter().chain(smc32) {
            let answer = call(&mut recs, [features, unknown, 0, 0]);
            assert_eq!(answer, Some(Outcome::Return(-1)));
            assert_eq!(call(&mut recs, [unknown, 0, 0, 0]), None);
        }
    }
}
