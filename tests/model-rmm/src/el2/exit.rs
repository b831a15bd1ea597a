//! Exits from the realm, by cause.

#![expect(unsafe_code, reason = "functions the vectors call by name")]

use core::sync::atomic::{AtomicU64, Ordering};

use model_rmm::syndrome::{self, UNDEFINED};

use super::entry::Frame;
use super::log::End;
use super::state::State;
use super::{abort, boot, calls, cpu, gic, regs, state, traps};
use crate::log;

/// CPUs that wait with nothing of their own to wake them, by bit.
static IDLE: AtomicU64 = AtomicU64::new(0);

// SAFETY (of the names): nothing else in the program has these names; the vectors call them with
// the frame they have just made.

/// Start of each CPU.
#[unsafe(no_mangle)]
extern "C" fn el2_main(cpu: usize) -> ! {
    if cpu == 0 {
        boot::boot();
    }
    cpu::enter(cpu)
}

/// Synchronous exits.
#[unsafe(no_mangle)]
extern "C" fn el2_exit_sync(frame: &mut Frame) {
    let esr = regs::esr_el2();
    let cpu = cpu::index();
    match syndrome::class(esr) {
        0x01 => {
            frame.pc = frame.pc.wrapping_add(4);
            wait(cpu);
        }
        // HVC: the return address is behind the instruction (DEN0137 A4.5, RDNBQF).
        0x16 => undefined(frame, frame.pc.wrapping_sub(4)),
        0x17 => calls::smc(frame, cpu),
        0x18 => state::with(|state| traps::system_register(state, frame, esr)),
        0x20 | 0x24 => state::with(|state| abort::stage2(state, frame, esr)),
        // SVE, SME, and other features that the realm is told not to have.
        0x19 | 0x1d | 0x07 | 0x09 => undefined(frame, frame.pc),
        class => state::with(|state| {
            let why = alloc::format!("exit of class {class:#x}, esr {esr:#x}, pc {:#x}", frame.pc);
            state.end(End::Fault, &why)
        }),
    }
    after(cpu);
}

/// Physical interrupts.
#[unsafe(no_mangle)]
extern "C" fn el2_exit_irq(_frame: &mut Frame) {
    let cpu = cpu::index();
    let taken = gic::take(cpu);
    state::with(|state| {
        state.counts.interrupts = state.counts.interrupts.saturating_add(taken);
    });
    after(cpu);
}

/// System errors: none is expected from QEMU.
#[unsafe(no_mangle)]
extern "C" fn el2_exit_serror(frame: &mut Frame) {
    state::with(|state| {
        let why = alloc::format!("SError, esr {:#x}, pc {:#x}", regs::esr_el2(), frame.pc);
        state.end(End::Fault, &why)
    })
}

/// A fault of EL2 itself.
#[unsafe(no_mangle)]
extern "C" fn el2_fault(esr: u64, pc: u64, far: u64) -> ! {
    super::log::stop(alloc::format!("EL2 fault: esr {esr:#x} pc {pc:#x} far {far:#x}"))
}

/// What a misbehaving host does at every exit.
fn after(cpu: usize) {
    state::with(|state| {
        state.host.fw_cfg.tick();
        if let (0, Some(spi)) = (cpu, state.host.options.host.irq_storm) {
            storm(state, spi);
        }
    });
}

fn storm(state: &mut State, spi: u32) {
    if gic::inject(spi + 32, 0, true) {
        state.counts.interrupts = state.counts.interrupts.saturating_add(1);
        state.counts.call("interrupts of the storm");
        if state.host.storms == 0 {
            log!("host: SPI {spi} fires without end");
        }
        state.host.storms = state.host.storms.saturating_add(1);
    }
}

/// The realm waits for an interrupt.
pub fn wait(cpu: usize) {
    if gic::is_pending() {
        return;
    }
    const ENABLED: u64 = 1;
    const MASKED_AND_ENABLED: u64 = 3;
    let timer = |control: u64| control & MASKED_AND_ENABLED == ENABLED;
    let own_alarm = timer(regs::cntv_ctl()) || timer(regs::cntp_ctl());
    if !own_alarm && !gic::any_spi_enabled() {
        let idle = IDLE.fetch_or(1 << cpu, Ordering::SeqCst) | 1 << cpu;
        state::with(|state| {
            if idle.count_ones() as usize >= state.psci.running() {
                state.end(End::Deadlock, "all RECs wait and no interrupt can come");
            }
        });
    }
    regs::wfi();
    IDLE.fetch_and(!(1 << cpu), Ordering::SeqCst);
}

/// An SGI is on its way: no CPU may be taken for idle before it has looked again.
pub fn all_awake() {
    IDLE.store(0, Ordering::SeqCst);
}

/// The instruction at `pc` is undefined to the realm.
pub fn undefined(frame: &mut Frame, pc: u64) {
    frame.pc = pc;
    inject(frame, UNDEFINED, None);
}

/// Takes an exception to EL1 of the realm (DDI0487 D1.3).
pub fn inject(frame: &mut Frame, esr: u64, far: Option<u64>) {
    // NZCV, DIT and PAN stay; SSBS becomes what SCTLR_EL1.DSSBS says.
    const KEPT: u64 = 0xf000_0000 | 1 << 24 | 1 << 22;
    const DSSBS: u64 = 1 << 44;
    const SSBS: u64 = 1 << 12;
    const PAN: u64 = 1 << 22;
    const SPAN: u64 = 1 << 23;
    const EL1H_MASKED: u64 = 0x3c5;
    regs::set_esr_el1(esr);
    if let Some(far) = far {
        regs::set_far_el1(far);
    }
    regs::set_elr_el1(frame.pc);
    regs::set_spsr_el1(frame.pstate);
    let offset = match frame.pstate & 0xf {
        0b0101 => 0x200,
        0b0100 => 0x000,
        _ => 0x400,
    };
    let sctlr = regs::sctlr_el1();
    let pan = if sctlr & SPAN == 0 { PAN } else { 0 };
    let ssbs = if sctlr & DSSBS != 0 { SSBS } else { 0 };
    frame.pc = regs::vbar_el1().wrapping_add(offset);
    frame.pstate = frame.pstate & KEPT | EL1H_MASKED | pan | ssbs;
}
