//! The rules, in groups.

use core::fmt::{Arguments, Display};
use core::sync::atomic::{AtomicU64, Ordering};

use rsi::{ChangeDestroyed, Conduit, GRANULE, HashAlgorithm, HostCall, RealmConfig, Registers, Ripas, Rsi, SmcConduit};

use crate::console;
use crate::machine::Machine;
use crate::start;

mod calls;
mod fw_cfg;
mod host;
mod interrupts;
mod measure;
mod memory;
mod mmio;
mod power;
mod registers;
mod tokens;
mod translation;

/// What the groups share.
pub struct Checks {
    rsi: Rsi<SmcConduit>,
    machine: Machine,
    config: RealmConfig,
    hash: HashAlgorithm,
    /// Bytes that the host can convert at once: its page size.
    unit: u64,
    /// The highest revision of RSI.
    higher: u64,
    passed: u32,
    failed: u32,
}

/// A page that is RAM throughout, for calls that need one.
fn page() -> u64 {
    start::scratch()
}

/// Memory that changes its state: room for three units.
fn changing_page() -> u64 {
    start::changing()
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Checks {
    fn check(&mut self, rule: impl Display, holds: bool, found: Arguments<'_>) {
        if holds {
            self.passed += 1;
            console::line(format_args!("PASS {rule}"));
        } else {
            self.failed += 1;
            console::line(format_args!("FAIL {rule}: {found}"));
        }
    }

    /// Makes a call and returns x0 to x10.
    fn raw(&mut self, arguments: &[u64]) -> Registers {
        let mut registers = [0; 11];
        for (register, argument) in registers.iter_mut().zip(arguments) {
            *register = *argument;
        }
        self.rsi.conduit().call(&mut registers);
        registers
    }

    /// Checks that a call has this x0.
    fn result(&mut self, rule: &str, arguments: &[u64], expected: u64) {
        let [result, ..] = self.raw(arguments);
        self.check(rule, result == expected, format_args!("result {result:#x}, expected {expected:#x}"));
    }

    /// Checks one rule for each of `cases`: x0 and x1, or whatever two numbers `found` makes of it,
    /// are as `expected`.
    fn every(&mut self, rule: &str, cases: &[u64], expected: [u64; 2], found: impl Fn(&mut Self, u64) -> [u64; 2]) {
        let mut wrong = None;
        for case in cases {
            let found = found(self, *case);
            if found != expected {
                wrong = wrong.or(Some((*case, found)));
            }
        }
        self.check(rule, wrong.is_none(), format_args!("{wrong:x?}, expected {expected:x?}"));
    }

    /// Checks that a call has this x0 with each of `cases` as its x1.
    fn results(&mut self, rule: &str, call: u64, cases: &[u64], expected: u64) {
        self.every(rule, cases, [expected, 0], |this, case| {
            let [result, ..] = this.raw(&[call, case]);
            [result, 0]
        });
    }

    fn shared_bit(&self) -> u64 {
        1 << (self.config.ipa_width - 1)
    }

    fn shared(&self, address: u64) -> u64 {
        address | self.shared_bit()
    }

    fn set(&mut self, base: u64, top: u64, ripas: Ripas) -> bool {
        self.rsi.set_range(base, top, ripas, ChangeDestroyed::No).is_ok()
    }
}

/// Powers off.
pub fn off() -> ! {
    const SYSTEM_OFF: u64 = 0x8400_0008;
    let mut registers = [0; 11];
    registers[0] = SYSTEM_OFF;
    start::power_off(&mut registers);
    loop {
        core::hint::spin_loop();
    }
}

static SECOND: AtomicU64 = AtomicU64::new(0);

/// What a second CPU does, `rest` being all its other registers at once: the work that its context names, whose results it leaves where the
/// first looks, then stops.
pub fn second(mut rsi: Rsi<SmcConduit>, context: u64, rest: u64) -> ! {
    if context == tokens::CONTEXT {
        tokens::second(&mut rsi);
    } else {
        power::second(rest);
    }
    SECOND.store(context, Ordering::SeqCst);
    const CPU_OFF: u64 = 0x8400_0002;
    let mut registers = [0; 11];
    registers[0] = CPU_OFF;
    rsi.conduit().call(&mut registers);
    loop {
        core::hint::spin_loop();
    }
}

/// Runs all checks and powers off.
pub fn run(mut rsi: Rsi<SmcConduit>, x0: u64) -> ! {
    const QEMU_DTB: u64 = 0x4000_0000;
    let dtb = if x0 == 0 { QEMU_DTB } else { x0 };
    let machine = Machine::read(dtb).unwrap_or_default();
    // Without the width there is no console, so this call comes before any check of it.
    let configured = rsi.realm_config(page());
    let mut bytes = [0; RealmConfig::LEN];
    start::read(page(), &mut bytes);
    let config = RealmConfig::from_bytes(&bytes);
    let (Ok(()), Some(config)) = (configured, config) else {
        off();
    };
    console::set(machine.uart | 1 << (config.ipa_width - 1));
    let mut checks = Checks {
        rsi,
        machine,
        hash: HashAlgorithm::from_raw(config.hash_algorithm).unwrap_or(HashAlgorithm::Sha256),
        config,
        unit: GRANULE,
        higher: 0,
        passed: 0,
        failed: 0,
    };
    console::line(format_args!(
        "CONFIG width={} hash={} x0={x0:#x} cpus={}",
        config.ipa_width,
        checks.hash.name(),
        machine.cpus
    ));
    // A host with larger pages converts larger units; without an answer they have 4 KiB.
    let (_, unit) = rhi(&mut checks, rsi::rhi::HOSTCONF_GET_IPA_CHANGE_ALIGNMENT);
    if [0x4000, 0x1_0000].contains(&unit) {
        checks.unit = unit;
    }
    console::line(format_args!("INFO spare pages from {:#x}", changing_page()));
    console::line(format_args!("INFO device tree of {:#x} bytes", machine.tree));
    for (base, size) in machine.memory.iter().take(machine.memories) {
        console::line(format_args!("INFO memory {base:#x} {size:#x}"));
    }
    checks.memory_runs();
    checks.measurements();
    checks.calls();
    checks.registers();
    checks.states();
    checks.accesses();
    checks.translated();
    checks.host();
    checks.mmio();
    checks.interrupts();
    checks.tokens();
    checks.power();
    console::line(format_args!("CONFORMANCE {} passed, {} failed", checks.passed, checks.failed));
    off()
}

fn rhi(checks: &mut Checks, fid: u64) -> (u64, u64) {
    let at = page() + 0x100;
    start::write(at, &HostCall::rhi(fid).to_bytes());
    let [result, ..] = checks.raw(&[rsi::fid::HOST_CALL, at]);
    let mut bytes = [0; HostCall::LEN];
    start::read(at, &mut bytes);
    (result, HostCall::from_bytes(&bytes).first())
}
