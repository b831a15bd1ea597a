//! RIPAS and what accesses do in each state (DEN0137 A5.2).

use rsi::{GRANULE, Ripas, fid};

use super::{Checks, changing_page, page};
use crate::console;
use crate::start::{self, Probe};

const SUCCESS: u64 = 0;
const INPUT: u64 = 1;
const DATA_ABORT: u64 = 0x25;
const INSTRUCTION_ABORT: u64 = 0x21;

/// Whether an outcome is an external abort of this class with EA set (RVKNJW).
fn is_external(outcome: Result<u64, u64>, class: u64) -> bool {
    outcome.is_err_and(|esr| esr >> 26 == class && esr & 0x3f == 0x10 && esr >> 9 & 1 == 1)
}

impl Checks {
    /// Tells in which states the host left the first memory node.
    pub(super) fn memory_runs(&mut self) {
        let [(mut base, size), ..] = self.machine.memory;
        let top = base.saturating_add(size).min(self.shared_bit());
        while base < top {
            let Ok(run) = self.rsi.ipa_state_get(base, top) else { return };
            console::line(format_args!("INFO {base:#x}..{:#x} is {:?}", run.top, run.ripas));
            if run.top <= base {
                return;
            }
            base = run.top;
        }
    }

    pub(super) fn states(&mut self) {
        let half = self.shared_bit();
        let at = changing_page();
        for (what, base, top) in [
            ("base_align", at + 1, at + GRANULE),
            ("top_align", at, at + 1),
            ("size_valid (zero)", at, at),
            ("size_valid (negative)", at + GRANULE, at),
            ("rgn_bound (across)", half - GRANULE, half + GRANULE),
            ("rgn_bound (unprotected)", half, half + GRANULE),
            ("rgn_bound (outside)", half << 1, (half << 1) + GRANULE),
            ("size_valid (wraps)", !(GRANULE - 1), 0),
            ("rgn_bound (highest)", at, !(GRANULE - 1)),
        ] {
            let get = [fid::IPA_STATE_GET, base, top];
            self.named("RSI_IPA_STATE_GET", what, &get, INPUT);
            for ripas in [0, 1] {
                let set = [fid::IPA_STATE_SET, base, top, ripas, 0];
                self.named("RSI_IPA_STATE_SET", what, &set, INPUT);
            }
        }
        for ripas in [2, 3, 4, 255] {
            let set = [fid::IPA_STATE_SET, at, at + GRANULE, ripas, 0];
            self.named("RSI_IPA_STATE_SET", "ripas_valid", &set, INPUT);
        }
        let image = self.rsi.ipa_state_get(page(), page() + GRANULE);
        self.check(
            "the image is RAM",
            image.is_ok_and(|run| run.ripas == Ripas::Ram && run.top == page() + GRANULE),
            format_args!("{image:x?}"),
        );
        self.map(half);
        self.taken_away();
        self.one_request();
        self.reserved();
        let below = self.rsi.ipa_state_get(0, half);
        self.check(
            "RSI_IPA_STATE_GET ends its run within the range",
            below.is_ok_and(|run| run.top > 0 && run.top <= half),
            format_args!("{below:x?}"),
        );
        self.one_granule();
        self.runs();
        self.contents();
    }

    fn named(&mut self, call: &str, what: &str, arguments: &[u64], expected: u64) {
        let [result, ..] = self.raw(arguments);
        let mut rule = Rule { bytes: [0; 64], len: 0 };
        rule.push(call);
        rule.push(" ");
        rule.push(what);
        self.check(rule.text(), result == expected, format_args!("result {result:#x} for {arguments:x?}"));
    }

    /// Tells the states of the protected half, and checks that runs follow one another to its end.
    fn map(&mut self, half: u64) {
        /// No realm has more runs than this at its start, as much of it is one block of a high level.
        const PATIENCE: u32 = 1 << 16;
        let (mut at, mut from, mut calls) = (0, 0, 0);
        let mut now = None;
        while at < half && calls < PATIENCE {
            let Ok(run) = self.rsi.ipa_state_get(at, half) else { break };
            calls += 1;
            if run.top <= at || run.top > half {
                break;
            }
            // An RMM may end a run where a table ends.
            if now.is_some_and(|now| now != run.ripas) {
                self.tell(now, from, at);
                from = at;
            }
            (at, now) = (run.top, Some(run.ripas));
        }
        self.tell(now, from, at);
        console::line(format_args!("INFO {calls} runs"));
        self.check("runs reach the end of the protected half", at == half, format_args!("{at:#x} after {calls} calls"));
    }

    fn tell(&mut self, ripas: Option<Ripas>, from: u64, top: u64) {
        if let Some(ripas) = ripas {
            console::line(format_args!("INFO {ripas:?} from {from:#x} to {top:#x}"));
            if ripas == Ripas::Dev {
                self.device(from, top);
            }
        }
    }

    /// A device is no memory: requests end before it (RMI_RTT_SET_RIPAS).
    fn device(&mut self, at: u64, half: u64) {
        for (ripas, flags) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let [result, new_base, ..] = self.raw(&[fid::IPA_STATE_SET, at, half.min(at + self.unit), ripas, flags]);
            let same = self.rsi.ipa_state_get(at, half).is_ok_and(|run| run.ripas == Ripas::Dev);
            self.check(
                "a device stays a device",
                (result, new_base) == (SUCCESS, at) && same,
                format_args!("{result:#x} {new_base:#x}"),
            );
        }
    }

    /// If the host has taken a page away that the payload can spare: only who says so may have it
    /// again (A5.4, IGXDDX).
    fn taken_away(&mut self) {
        let (base, top) = (changing_page(), changing_page() + 3 * self.unit);
        let first = self.rsi.ipa_state_get(base, top);
        let destroyed = match first {
            Ok(run) if run.ripas == Ripas::Destroyed => base,
            Ok(run) if run.top < top => run.top,
            _ => return,
        };
        let found = self.rsi.ipa_state_get(destroyed, top);
        self.check(
            "a page that was taken away is DESTROYED",
            found.is_ok_and(|run| (run.ripas, run.top) == (Ripas::Destroyed, destroyed + GRANULE)),
            format_args!("{found:x?}"),
        );
        for ripas in [1, 0] {
            let [result, new_base, response, ..] = self.raw(&[fid::IPA_STATE_SET, base, top, ripas, 0]);
            let same = self.rsi.ipa_state_get(destroyed, top).is_ok_and(|run| run.ripas == Ripas::Destroyed);
            self.check(
                "RSI_NO_CHANGE_DESTROYED ends at a DESTROYED page (IGXDDX)",
                (result, new_base, response) == (SUCCESS, destroyed, 0) && same,
                format_args!("{result:#x} {new_base:#x} {response:#x} {same}"),
            );
        }
        let [result, new_base, response, ..] = self.raw(&[fid::IPA_STATE_SET, base, top, 0, 1]);
        let now = self.rsi.ipa_state_get(base, top);
        self.check(
            "RSI_CHANGE_DESTROYED goes over it",
            (result, new_base, response) == (SUCCESS, top, 0)
                && now.is_ok_and(|run| (run.ripas, run.top) == (Ripas::Empty, top)),
            format_args!("{result:#x} {new_base:#x} {response:#x} {now:x?}"),
        );
        let load = start::probe(Probe::Load, destroyed);
        let gone = is_external(load, DATA_ABORT);
        self.check("the page is EMPTY to loads too", gone, format_args!("{load:x?}"));
        let shared = self.shared(destroyed);
        start::write(shared, b"shared after all");
        let mut bytes = [0; 16];
        start::read(shared, &mut bytes);
        self.check("its shared alias can be used", bytes == *b"shared after all", format_args!("{bytes:x?}"));
        let [result, new_base, response, ..] = self.raw(&[fid::IPA_STATE_SET, base, top, 1, 1]);
        start::read(destroyed, &mut bytes);
        self.check(
            "it is RAM again, without what was shared",
            (result, new_base, response) == (SUCCESS, top, 0) && bytes != *b"shared after all",
            format_args!("{result:#x} {new_base:#x} {response:#x} {bytes:x?}"),
        );
        console::line(format_args!("INFO the page at {destroyed:#x} had been taken away"));
    }

    /// One request over three units: what it says has changed has, and no more (A5.4).
    fn one_request(&mut self) {
        let (base, top) = (changing_page(), changing_page() + 3 * self.unit);
        for (ripas, from, to) in [(0, Ripas::Ram, Ripas::Empty), (1, Ripas::Empty, Ripas::Ram)] {
            let [result, new_base, response, ..] = self.raw(&[fid::IPA_STATE_SET, base, top, ripas, 0]);
            let within = (base..=top).contains(&new_base) && new_base.is_multiple_of(GRANULE);
            let state = |this: &mut Self, at| this.rsi.ipa_state_get(at, top).map(|run| (run.ripas, run.top));
            let changed = new_base == base || state(self, base) == Ok((to, new_base));
            let rest = new_base == top || state(self, new_base) == Ok((from, top));
            let may_reject = response == 0 || response == 1 && to == Ripas::Ram && new_base != top;
            self.check(
                "a request changes as much as it says, and only RAM is rejected (A5.4)",
                result == SUCCESS && within && changed && rest && may_reject,
                format_args!("{result:#x} {new_base:#x} {response:#x}"),
            );
            let (progress, whole) = (new_base.wrapping_sub(base), top - base);
            let answer = if response == 0 { "accepted" } else { "rejected" };
            console::line(format_args!("INFO a request for {to:?}: {progress:#x} of {whole:#x}, {answer}"));
            self.set(base, top, to);
        }
    }

    /// Bits that should be zero: what an RMM makes of them is its own affair, and told.
    fn reserved(&mut self) {
        let (at, top) = (changing_page(), changing_page() + self.unit);
        for (what, ripas, flags) in
            [("x3 bit 8", 1 << 8 | 1, 0), ("x3 bit 63", 1 << 63 | 1, 0), ("x4 bit 1", 1, 2), ("x4 bit 63", 1, 1 << 63)]
        {
            let [result, ..] = self.raw(&[fid::IPA_STATE_SET, at, top, ripas, flags]);
            console::line(format_args!("INFO RSI_IPA_STATE_SET with {what}: result {result:#x}"));
        }
        self.set(at, top, Ripas::Ram);
    }

    /// What a host with larger pages makes of a single granule is its own affair: it is only told.
    fn one_granule(&mut self) {
        let at = changing_page();
        let [result, new_base, ..] = self.raw(&[fid::IPA_STATE_SET, at, at + GRANULE, 0, 0]);
        let progress = new_base.wrapping_sub(at);
        console::line(format_args!("INFO one granule to EMPTY: result {result:#x}, progress {progress:#x}"));
        self.set(at, at + self.unit, Ripas::Ram);
    }

    /// A hole of one page splits a run in three.
    fn runs(&mut self) {
        let base = changing_page();
        let top = base + 3 * self.unit;
        self.set(base + self.unit, base + 2 * self.unit, Ripas::Empty);
        let first = self.rsi.ipa_state_get(base, top);
        let second = self.rsi.ipa_state_get(base + self.unit, top);
        let split = first.is_ok_and(|run| (run.ripas, run.top) == (Ripas::Ram, base + self.unit))
            && second.is_ok_and(|run| (run.ripas, run.top) == (Ripas::Empty, base + 2 * self.unit));
        self.check("runs end where the state changes", split, format_args!("{first:x?} {second:x?}"));
        let back = self.set(base, top, Ripas::Ram);
        let whole = self.rsi.ipa_state_get(base, top);
        self.check(
            "a change to RAM goes over RAM and EMPTY",
            back && whole.is_ok_and(|run| (run.ripas, run.top) == (Ripas::Ram, top)),
            format_args!("{whole:x?}"),
        );
    }

    /// What a page holds through its changes.
    fn contents(&mut self) {
        const SECRET: [u8; 16] = *b"private contents";
        let (at, kept) = (changing_page(), page());
        let read = |address: u64| {
            let mut bytes = [0; 16];
            start::read(address, &mut bytes);
            bytes
        };
        start::write(at, &SECRET);
        start::write(kept, &SECRET);
        let same = self.set(at, at + self.unit, Ripas::Ram);
        self.check("RAM to RAM changes nothing", same && read(at) == SECRET, format_args!("{:x?}", read(at)));
        let emptied = self.raw(&[fid::IPA_STATE_SET, at, at + self.unit, 0, 0]);
        let [result, new_base, response, ..] = emptied;
        self.check(
            "RSI_IPA_STATE_SET to EMPTY: progress and acceptance",
            (result, new_base, response) == (SUCCESS, at + self.unit, 0),
            format_args!("{result:#x} {new_base:#x} {response:#x}"),
        );
        let shared = self.shared(at);
        self.check(
            "the shared alias does not show what was private",
            read(shared) != SECRET,
            format_args!("{:x?}", read(shared)),
        );
        start::write(shared, b"shared contents!");
        self.check(
            "the shared alias holds what is written",
            read(shared) == *b"shared contents!",
            format_args!("{:x?}", read(shared)),
        );
        self.check("the page beside it is as it was", read(kept) == SECRET, format_args!("{:x?}", read(kept)));
        self.set(at, at + self.unit, Ripas::Ram);
        let now = read(at);
        self.check(
            "a page that was shared comes back without its contents",
            now != SECRET && now != *b"shared contents!",
            format_args!("{now:x?}"),
        );
        self.alias_of_private();
    }

    /// What a host makes of the alias of a private page is its own affair: it is only told.
    fn alias_of_private(&mut self) {
        let at = changing_page();
        let shared = self.shared(at);
        let access = match start::probe(Probe::Load, shared) {
            Ok(_) => "is answered",
            Err(_) => "is an abort",
        };
        console::line(format_args!("INFO a load from the alias of a private page {access}"));
        self.set(at, at + self.unit, Ripas::Empty);
        let mut bytes = [0; 16];
        start::read(shared, &mut bytes);
        let contents = if bytes == *b"shared contents!" { "kept" } else { "lost" };
        console::line(format_args!("INFO shared contents are {contents} while the page is private"));
        self.set(at, at + self.unit, Ripas::Ram);
    }

    pub(super) fn accesses(&mut self) {
        let at = changing_page();
        self.set(at, at + self.unit, Ripas::Empty);
        for (rule, kind, class) in [
            ("a load from EMPTY is an external abort (RJVQQR)", Probe::Load, DATA_ABORT),
            ("a store to EMPTY is an external abort (RJVQQR)", Probe::Store, DATA_ABORT),
            ("a fetch from EMPTY is an external abort (RMKLSD)", Probe::Fetch, INSTRUCTION_ABORT),
        ] {
            let outcome = start::probe(kind, at + 0x38);
            self.check(rule, is_external(outcome, class), format_args!("{outcome:x?}"));
            let far = crate::cpu::fault_address();
            self.check("FAR_EL1 has the address", far == at + 0x38, format_args!("{far:#x}"));
            let writes = outcome.is_err_and(|esr| esr >> 6 & 1 == 1);
            let store = matches!(kind, Probe::Store);
            self.check("ESR_EL1.WnR tells a store", writes == store, format_args!("{outcome:x?}"));
        }
        let shared = self.shared(at);
        const RET: u32 = 0xd65f_03c0;
        start::write(shared, &RET.to_le_bytes());
        let fetch = start::probe(Probe::Fetch, shared);
        self.check(
            "a fetch from the unprotected half is an external abort (RXLSKP)",
            is_external(fetch, INSTRUCTION_ABORT),
            format_args!("{fetch:x?}"),
        );
        self.set(at, at + self.unit, Ripas::Ram);
        start::write(at, &RET.to_le_bytes());
        let fetch = start::probe(Probe::Fetch, at);
        self.check("a fetch from RAM executes (RFCJCP)", fetch.is_ok(), format_args!("{fetch:x?}"));
        let outside = start::probe(Probe::Load, (self.shared_bit() << 1) + page());
        self.check(
            "beyond the IPA space is an address size fault at level 0 (RLSJJR)",
            outside.is_err_and(|esr| esr >> 26 == DATA_ABORT && esr & 0x3f == 0),
            format_args!("{outside:x?}"),
        );
    }
}

/// A rule's name put together without a heap.
struct Rule {
    bytes: [u8; 64],
    len: usize,
}

impl Rule {
    fn push(&mut self, text: &str) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(text.bytes()) {
            *to = from;
        }
        self.len = (self.len + text.len()).min(self.bytes.len());
    }

    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or("rule")
    }
}
