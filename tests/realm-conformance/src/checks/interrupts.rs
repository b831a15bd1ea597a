//! Interrupts through the virtual CPU interface (GICv3), polled for.

use super::Checks;
use crate::cpu::{self, Timer};
use crate::start;

const CTLR: u64 = 0;
const TYPER: u64 = 4;
const IGROUPR: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ISPENDR: u64 = 0x200;
const IPRIORITYR: u64 = 0x400;
const IROUTER: u64 = 0x6000;
const WAKER: u64 = 0x14;
const SGI_FRAME: u64 = 0x1_0000;
const VIRTUAL_TIMER: u32 = 27;
const PHYSICAL_TIMER: u32 = 30;
/// How often to look before an interrupt is taken to be lost.
const PATIENCE: u32 = 1_000_000;

/// The next interrupt, ended; none when there is none for long.
fn next() -> Option<u32> {
    const NONE: u32 = 1020;
    let interrupt = (0..PATIENCE).map(|_| cpu::acknowledge()).find(|interrupt| *interrupt < NONE)?;
    match interrupt {
        VIRTUAL_TIMER => cpu::timer(Timer::Virtual, false),
        PHYSICAL_TIMER => cpu::timer(Timer::Physical, false),
        _ => {}
    }
    cpu::end(interrupt);
    Some(interrupt)
}

impl Checks {
    pub(super) fn interrupts(&mut self) {
        let counters = cpu::counters();
        let [before, between, after] = counters;
        self.check(
            "the virtual counter is the physical one (RJSMQP)",
            before <= between && between <= after,
            format_args!("{counters:x?}"),
        );
        if self.machine.distributor == 0 || self.machine.redistributors == 0 {
            return;
        }
        let distributor = self.shared(self.machine.distributor);
        let redistributor = self.shared(self.machine.redistributors);
        const AFFINITY_ROUTING_GROUP_1: u32 = 1 << 4 | 1 << 1;
        start::store32(distributor + CTLR, AFFINITY_ROUTING_GROUP_1);
        start::store32(redistributor + WAKER, 0);
        cpu::open();
        self.shared_peripherals(distributor);
        let own = redistributor + SGI_FRAME;
        const SGI: u32 = 5;
        const OWN: u32 = 1 << SGI | 1 << VIRTUAL_TIMER | 1 << PHYSICAL_TIMER;
        start::store32(own + IGROUPR, OWN);
        start::store32(own + ISENABLER, OWN);
        cpu::send(SGI.into());
        let seen = next();
        self.check("an SGI to this CPU arrives", seen == Some(SGI), format_args!("{seen:?}"));
        cpu::timer(Timer::Virtual, true);
        let seen = next();
        self.check("the virtual timer interrupts", seen == Some(VIRTUAL_TIMER), format_args!("{seen:?}"));
        cpu::timer(Timer::Virtual, true);
        let again = next();
        self.check("and once more after its end", again == Some(VIRTUAL_TIMER), format_args!("{again:?}"));
        cpu::timer(Timer::Physical, true);
        let seen = next();
        self.check("the physical timer interrupts (RLKNDV)", seen == Some(PHYSICAL_TIMER), format_args!("{seen:?}"));
        cpu::timer(Timer::Virtual, true);
        const CPU_SUSPEND: u64 = 0xC400_0001;
        let [result, x1, x2, x3, ..] = self.raw(&[CPU_SUSPEND, 1, 2, 3]);
        let seen = next();
        self.check(
            "PSCI_CPU_SUSPEND comes back with SUCCESS at an interrupt",
            [result, x1, x2, x3] == [0; 4] && seen == Some(VIRTUAL_TIMER),
            format_args!("{result:#x} {x1:#x} {x2:#x} {x3:#x} {seen:?}"),
        );
    }

    /// More interrupts at once than there are list registers: the last eight, which no device has.
    fn shared_peripherals(&mut self, distributor: u64) {
        const COUNT: u32 = 8;
        let lines = (start::load32(distributor + TYPER) & 0x1f) + 1;
        let first = lines * 32 - COUNT;
        let word = u64::from(lines - 1) * 4;
        let mask = 0xff00_0000;
        for interrupt in first..first + COUNT {
            start::store64(distributor + IROUTER + u64::from(interrupt) * 8, 0);
        }
        for priorities in 0..2 {
            start::store32(distributor + IPRIORITYR + u64::from(first) + priorities * 4, 0xa0a0_a0a0);
        }
        start::store32(distributor + IGROUPR + word, mask);
        start::store32(distributor + ISENABLER + word, mask);
        start::store32(distributor + ISPENDR + word, mask);
        let mut seen = 0_u32;
        for _ in 0..COUNT {
            let Some(interrupt) = next() else { break };
            seen |= 1_u32.checked_shl(interrupt.wrapping_sub(first)).unwrap_or(0);
        }
        self.check("eight interrupts at once all arrive", seen == 0xff, format_args!("{seen:#x}"));
    }
}
