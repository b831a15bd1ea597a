//! SMC from the realm: RSI, PSCI, and what nobody answers.

use alloc::string::String;
use core::fmt::Write;

use model_rmm::psci::{self, Outcome};
use rsi::{GRANULE, Ripas, Status, Version, fid};

use super::entry::Frame;
use super::log::End;
use super::state::State;
use super::{cpu, exit, state};
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
    let call = frame.x.first().copied().unwrap_or(0);
    if let Some(name) = fid::name(call & 0xffff_ffff) {
        rsi(state, frame, cpu, name);
        return After::Return;
    }
    let [x0, x1, x2, x3, ..] = frame.x;
    let half = state.realm.ripas.top();
    let outcome = state.psci.call(cpu, [x0, x1, x2, x3], |ipa| ipa < half);
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
        Some(Outcome::Return(value)) => result(value),
        None => result(psci::NOT_SUPPORTED),
        Some(Outcome::Suspend) => {
            result(0);
            return After::Suspend;
        }
        Some(Outcome::Start { rec, entry, context }) => {
            if let Some(start) = state.starts.get_mut(rec) {
                *start = (entry, context);
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

fn rsi(state: &mut State, frame: &mut Frame, cpu: usize, name: &'static str) {
    state.counts.call(name);
    let host = &mut state.host;
    host.rsi_calls = host.rsi_calls.saturating_add(1);
    if let Some((ipa, number)) = host.options.host.destroy
        && host.rsi_calls == number
    {
        host.destroy(ipa & !(GRANULE - 1));
        let base = ipa & !(GRANULE - 1);
        state.realm.ripas.set(base, base + GRANULE, Ripas::Destroyed);
        log!("host: destroyed the page at {base:#x} before RSI call {number}");
    }
    let before = frame.x;
    let Some(rec) = state.recs.get_mut(cpu) else {
        return;
    };
    if let Err(fault) = state.realm.handle(rec, &mut frame.x, &mut state.host) {
        let why = alloc::format!(
            "{name} names {:#x}, which is {:?}, at pc {:#x}",
            fault.ipa,
            state.realm.ripas.get(fault.ipa),
            frame.pc
        );
        state.end(End::Fault, &why);
    }
    let ([call, revision, ..], [result, ..]) = (before, frame.x);
    if call & 0xffff_ffff == fid::VERSION && result == Status::Success as u64 {
        state.counts.version = state.counts.version.max(Version::from_raw(revision));
    }
    if state.host.options.log {
        log!("{}", describe(name, cpu, &before, &frame.x));
    }
}

/// One line: the call's arguments and results.
fn describe(name: &str, cpu: usize, before: &[u64; 31], after: &[u64; 31]) -> String {
    let [call, ..] = *before;
    let (arguments, results) = match call & 0xffff_ffff {
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
    if results > 0 && result != Status::ErrorInput as u64 || call & 0xffff_ffff == fid::VERSION {
        let _ = write!(line, " {}", words(after, results));
    }
    line
}
