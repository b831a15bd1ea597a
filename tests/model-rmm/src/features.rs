//! ID registers as the realm reads them: what an RMM keeps from realms is not there (DEN0137 A3.1).

use crate::options::Options;

/// Fields of an ID register by lowest bit; each has four bits.
const fn fields<const N: usize>(lowest: [u32; N]) -> u64 {
    let mut mask = 0;
    let mut index = 0;
    while index < N {
        #[expect(clippy::indexing_slicing, reason = "constant evaluation")]
        let at = lowest[index];
        mask |= 0xf << at;
        index += 1;
    }
    mask
}

/// What the realm reads from the register S3_0_C0_C`crm`_`op2`, in which the CPU has `value`. EL3 and RME, which
/// every CPU with realms has, read as implemented.
pub fn visible(options: &Options, crm: u64, op2: u64, value: u64) -> u64 {
    const AMU_MPAM: u64 = fields([40, 44]);
    const SVE: u64 = fields([32]);
    const RME_EL3: u64 = fields([52, 12]);
    const MTE_SME_MPAM_NMI: u64 = fields([8, 24, 16, 36]);
    // Trace, PMU snapshots, SEBEP, context-aware breakpoints, SPE, BRBE.
    const TRACE_SPE_BRBE: u64 = fields([4, 16, 24, 28, 32, 40, 44, 52, 56]);
    const EBEP_ICNTR: u64 = fields([48, 36]);
    const PMU: u64 = fields([8]);
    const BPS_WPS: u64 = fields([12, 20]);
    match (crm, op2) {
        (4, 0) => {
            let sve = if options.sve.is_some() { 0 } else { SVE };
            value & !(AMU_MPAM | RME_EL3 | sve) | 1 << 52 | 1 << 12
        }
        (4, 1) => value & !MTE_SME_MPAM_NMI,
        (4, 4) if options.sve.is_none() => 0,
        (4, 5) => 0,
        (5, 0) => {
            let pmu = if options.pmu.is_some() { 0 } else { PMU };
            let (bps, wps) = (u64::from(options.bps), u64::from(options.wps));
            value & !(TRACE_SPE_BRBE | BPS_WPS | pmu) | bps << 12 | wps << 20
        }
        (5, 1) => value & !EBEP_ICNTR,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register that has ones everywhere, as the realm reads it: a digit is a field.
    fn read(options: &str, crm: u64, op2: u64) -> alloc::string::String {
        let options = Options::parse(options).unwrap();
        alloc::format!("{:016x}", visible(&options, crm, op2, u64::MAX))
    }

    #[test]
    fn features_without_a_place_in_realms_are_not_there() {
        // ID_AA64PFR0_EL1: RME and EL3; no AMU, MPAM, SVE.
        assert_eq!(read("m", 4, 0), "ff1f00f0ffff1fff");
        // ID_AA64PFR1_EL1: no NMI, SME, MPAM, MTE.
        assert_eq!(read("m", 4, 1), "ffffff0ff0f0f0ff");
        // ID_AA64ZFR0_EL1, ID_AA64SMFR0_EL1.
        assert_eq!([read("m", 4, 4), read("m", 4, 5)], ["0000000000000000"; 2]);
        // ID_AA64DFR0_EL1: breakpoints and watchpoints as asked for.
        assert_eq!(read("m bps=5 wps=3", 5, 0), "f00f00f00030500f");
        // ID_AA64DFR1_EL1.
        assert_eq!(read("m", 5, 1), "fff0ff0fffffffff");
        assert_eq!(read("m", 7, 0), "ffffffffffffffff");
    }

    #[test]
    fn features_asked_for_are_there() {
        assert_eq!(read("m sve=0", 4, 0), "ff1f00ffffff1fff");
        assert_eq!(read("m sve=0", 4, 4), "ffffffffffffffff");
        assert_eq!(read("m sve=0", 4, 5), "0000000000000000");
        assert_eq!(read("m pmu=1", 5, 0), "f00f00f000101f0f");
    }
}
