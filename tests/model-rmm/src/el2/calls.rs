//! SMC from the realm: RSI, PSCI, and what nobody answers.

use alloc::string::String;
use core::fmt::Write;

use model_rmm::psci::{self, Outcome};
use rsi::{GRANULE, Status, Version, fid};

use super::entry::Frame;
use super::log::End;
use super::state::{Start, State};
use super::{cpu, exit, regs, state};
use crate::log;

/// What to do once the lock is released.
enum After {
    Return,
    Start(usize),
    Suspend,
    Off,
}

/// An SMC.
pub fn smc(frame: &mut Frame, cpu: usize) {
    frame.pc = frame.pc.wrapping_add(4);
    match state::with(|state| dispatch(state, frame, cpu)) {
        After::Return => {}
        After::Start(rec) => cpu::start(rec),
        After::Suspend => exit::wait(cpu),
        After::Off => cpu::off(),
    }
}

fn dispatch(state: &mut State, frame: &mut Frame, cpu: usize) -> After {
    let [x0, x1, x2, x3, ..] = frame.x;
    let call = psci::function(x0, state.psci.smccc);
    if let Some(name) = fid::name(call.into())
        && rsi(state, frame, cpu, call, name)
    {
        return After::Return;
    }
    let half = state.realm.ripas.top();
    let outcome = state.psci.call(cpu, call, [x1, x2, x3], |ipa| ipa < half);
    let name = psci::name(call).unwrap_or("unknown function");
    state.counts.call(name);
    if state.host.options.log {
        log!("call: cpu{cpu} {name} {x0:#x}({x1:#x}, {x2:#x}, {x3:#x}) = {outcome:x?}");
    }
    let mut result = |value: i64| {
        let values = core::iter::once(value as u64).chain(core::iter::repeat(0));
        for (register, value) in frame.x.iter_mut().zip(values).take(1 + psci::cleared(call)) {
            *register = value;
        }
    };
    match outcome {
        Some(Outcome::Return(value)) => {
            if value == psci::DENIED {
                log!("host: denied {name} of {x1:#x}");
            }
            result(value)
        }
        None => result(psci::NOT_SUPPORTED),
        Some(Outcome::Suspend) => {
            result(0);
            return After::Suspend;
        }
        Some(Outcome::Start { rec, entry, context }) => {
            if let Some(start) = state.starts.get_mut(rec) {
                // A REC starts in the byte order of its caller (DEN0022 6.4.3.4).
                *start = Start { pc: entry, x0: context, big_endian: regs::sctlr_el1() & cpu::SCTLR_EE != 0 };
            }
            result(0);
            return After::Start(rec);
        }
        Some(Outcome::Off) => {
            if state.psci.running() == 0 {
                state.end(End::Deadlock, "all RECs are off");
            }
            return After::Off;
        }
        Some(Outcome::SystemOff) => state.end(End::Off, "PSCI_SYSTEM_OFF"),
        Some(Outcome::SystemReset) => state.end(End::Reset, "PSCI_SYSTEM_RESET"),
    }
    After::Return
}

/// The RSI call `call`; false when the RMM does not have it.
fn rsi(state: &mut State, frame: &mut Frame, cpu: usize, call: u32, name: &'static str) -> bool {
    let call = u64::from(call);
    let host = &mut state.host;
    host.rsi_calls = host.rsi_calls.saturating_add(1);
    if let Some((ipa, number)) = host.options.host.destroy
        && host.rsi_calls == number
    {
        let base = ipa & !(GRANULE - 1);
        host.destroy(base);
        match state.realm.destroy(base) {
            true => log!("host: destroyed the page at {base:#x} before RSI call {number}"),
            false => log!("host: took the memory of the page at {base:#x}, which is not RAM, before RSI call {number}"),
        }
    }
    let before = frame.x;
    let Some(rec) = state.recs.get_mut(cpu) else {
        return false;
    };
    match state.realm.handle(call, rec, &mut frame.x, &mut state.host) {
        Ok(true) => state.counts.call(name),
        Ok(false) => return false,
        Err(fault) => {
            state.counts.call(name);
            let why = alloc::format!(
                "{name} names {:#x}, which is {:?}, at pc {:#x}",
                fault.ipa,
                state.realm.ripas.get(fault.ipa),
                frame.pc
            );
            state.end(End::Fault, &why);
        }
    }
    let ([_, revision, ..], [result, ..]) = (before, frame.x);
    if call == fid::VERSION && result == Status::Success as u64 {
        state.counts.version = state.counts.version.max(Version::from_raw(revision));
    }
    if state.host.options.log {
        log!("{}", describe(name, call, cpu, &before, &frame.x));
    }
    true
}

/// One line: the call's arguments and results.
fn describe(name: &str, call: u64, cpu: usize, before: &[u64; 31], after: &[u64; 31]) -> String {
    let (arguments, results) = match call {
        fid::VERSION => (1, 2),
        fid::FEATURES => (1, 1),
        fid::MEASUREMENT_READ => (1, 8),
        fid::MEASUREMENT_EXTEND => (10, 0),
        fid::ATTESTATION_TOKEN_INIT => (8, 1),
        fid::ATTESTATION_TOKEN_CONTINUE => (3, 1),
        fid::IPA_STATE_SET => (4, 2),
        fid::IPA_STATE_GET => (2, 2),
        _ => (1, 0),
    };
    let mut line = alloc::format!("rsi: cpu{cpu} {name}(");
    let [result, ..] = *after;
    let words = |registers: &[u64; 31], count: usize| -> String {
        let words = registers.iter().skip(1).take(count);
        let words: alloc::vec::Vec<_> = words.map(|word| alloc::format!("{word:#x}")).collect();
        words.join(", ")
    };
    let _ = write!(line, "{}) = ", words(before, arguments));
    let _ = match Status::from_raw(result) {
        Some(status) => write!(line, "{status:?}"),
        None => write!(line, "{result:#x}"),
    };
    if results > 0 && result != Status::ErrorInput as u64 || call == fid::VERSION {
        let _ = write!(line, " {}", words(after, results));
    }
    line
}
