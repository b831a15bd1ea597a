//! System registers that trap: what of the CPU the realm sees (the RMM's masks), and SGIs.

use model_rmm::options::Options;

use super::entry::Frame;
use super::state::State;
use super::{exit, regs};
use crate::log;

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

/// A trapped MRS or MSR with the ISS of `esr`.
pub fn system_register(state: &mut State, frame: &mut Frame, esr: u64) {
    let part = |shift: u32, bits: u32| esr >> shift & ((1 << bits) - 1);
    let (op0, op1, crn, crm, op2) = (part(20, 2), part(14, 3), part(10, 4), part(1, 4), part(17, 3));
    let register = part(5, 5) as usize;
    let read = esr & 1 != 0;
    match (op0, op1, crn, crm, op2) {
        (3, 0, 0, 1..=7, _) if read => {
            let value = id(&state.host.options, crm, op2);
            if let Some(to) = frame.x.get_mut(register) {
                *to = value;
            }
        }
        // SGIs go out by the physical interface and come back to EL2 of their targets.
        (3, 0, 12, 11, 5..=7) if !read => {
            let value = frame.x.get(register).copied().unwrap_or(0);
            exit::all_awake();
            match op2 {
                5 => regs::icc_sgi1r(value),
                6 => regs::icc_asgi1r(value),
                _ => regs::icc_sgi0r(value),
            }
        }
        _ => {
            if state.host.options.log {
                log!("inject: undefined system register S{op0}_{op1}_C{crn}_C{crm}_{op2}");
            }
            exit::undefined(frame, frame.pc);
            return;
        }
    }
    frame.pc = frame.pc.wrapping_add(4);
}

/// What the realm reads from an ID register. Features that an RMM keeps from realms read as not
/// implemented; EL3 and RME, which every CPU with realms has, read as implemented.
fn id(options: &Options, crm: u64, op2: u64) -> u64 {
    const AMU_MPAM: u64 = fields([40, 44]);
    const SVE: u64 = fields([32]);
    const RME_EL3: u64 = fields([52, 12]);
    const MTE_SME_MPAM_NMI: u64 = fields([8, 24, 16, 36]);
    // Trace, PMU snapshots, SEBEP, context-aware breakpoints, SPE, BRBE.
    const TRACE_SPE_BRBE: u64 = fields([4, 16, 24, 28, 32, 40, 44, 52, 56]);
    const EBEP_ICNTR: u64 = fields([48, 36]);
    const PMU: u64 = fields([8]);
    const BPS_WPS: u64 = fields([12, 20]);
    let value = regs::id_register(crm, op2);
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
