//! What all CPUs share, under one lock.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model_rmm::psci::Recs;
use rsi::rmm::{Realm, Rec};
use rsi::{GRANULE, Ripas, Version};
use spin::Mutex;

use super::boot::hex;
use super::host::Host;
use super::log::End;
use super::semihosting;
use crate::log;

/// RMM and host.
#[derive(Debug)]
pub struct State {
    /// The realm, as the RMM keeps it.
    pub realm: Realm,
    /// Its RECs' tokens under way.
    pub recs: Vec<Rec>,
    /// Which RECs run.
    pub psci: Recs,
    /// Where RECs that were started begin.
    pub starts: Vec<Start>,
    /// The host.
    pub host: Host,
    /// What happened how often.
    pub counts: Counts,
}

/// How a REC starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Program counter.
    pub pc: u64,
    /// x0.
    pub x0: u64,
    /// Whether data is big-endian.
    pub big_endian: bool,
}

/// What happened how often.
#[derive(Debug, Default)]
pub struct Counts {
    calls: BTreeMap<&'static str, u64>,
    /// Accesses forwarded to devices: reads and writes.
    pub mmio: (u64, u64),
    /// Aborts injected into the realm.
    pub injected: u64,
    /// Interrupts handed to the realm.
    pub interrupts: u64,
    /// The highest revision of RSI that the realm asked for and got.
    pub version: Option<Version>,
}

impl Counts {
    /// Counts a call.
    pub fn call(&mut self, name: &'static str) {
        let count = self.calls.entry(name).or_default();
        *count = count.saturating_add(1);
    }
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Puts the state there, once.
pub fn set(state: State) {
    *STATE.lock() = Some(state);
}

/// Works on the state.
pub fn with<R>(work: impl FnOnce(&mut State) -> R) -> R {
    match STATE.lock().as_mut() {
        Some(state) => work(state),
        None => super::log::stop("exit from a realm that is not there".into()),
    }
}

impl State {
    /// Ends the realm: prints totals and ends QEMU with the status that tells how.
    pub fn end(&self, end: End, why: &str) -> ! {
        for (name, count) in &self.counts.calls {
            log!("total: {count} {name}");
        }
        let (reads, writes) = self.counts.mmio;
        log!("total: {} mmio exits ({reads} reads, {writes} writes)", reads + writes);
        log!("total: {} interrupts", self.counts.interrupts);
        log!("total: {} aborts injected", self.counts.injected);
        let (shared, private) = self.host.conversions;
        log!("total: {shared} pages shared, {private} pages made private");
        let (returned, dirty) = self.host.returned;
        log!("total: {returned} shared pages taken back, {dirty} of them with data in them");
        log!("total: {} private pages populated", self.host.populated);
        let ram = self.host.layout.ram.clone().step_by(GRANULE as usize);
        let (mut private, mut shared) = (0_u64, 0_u64);
        for ripas in ram.map(|ipa| self.realm.ripas.get(ipa)) {
            match ripas {
                Ripas::Ram => private += GRANULE,
                _ => shared += GRANULE,
            }
        }
        log!("realm: at its end {} KiB private, {} KiB shared", private >> 10, shared >> 10);
        if let Some(version) = self.counts.version {
            log!("realm: RSI {version}");
        }
        for (index, rem) in self.realm.measurements.iter().skip(1).enumerate() {
            log!("realm: REM[{index}] {}", hex(rem));
        }
        if let Some(events) = self.host.event_log() {
            log!("realm: event log {}", hex(&events));
        }
        log!("end: {end:?}: {why}");
        semihosting::exit(end as u64)
    }
}
