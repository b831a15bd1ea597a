//! System registers that trap: what of the CPU the realm sees (the RMM's masks), and SGIs.

use model_rmm::features;

use super::entry::Frame;
use super::state::State;
use super::{exit, regs};
use crate::log;

/// A trapped MRS or MSR with the ISS of `esr`.
pub fn system_register(state: &mut State, frame: &mut Frame, esr: u64) {
    let part = |shift: u32, bits: u32| esr >> shift & ((1 << bits) - 1);
    let (op0, op1, crn, crm, op2) = (part(20, 2), part(14, 3), part(10, 4), part(1, 4), part(17, 3));
    let register = part(5, 5) as usize;
    let read = esr & 1 != 0;
    match (op0, op1, crn, crm, op2) {
        (3, 0, 0, 1..=7, _) if read => {
            let value = features::visible(&state.host.options, crm, op2, regs::id_register(crm, op2));
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
