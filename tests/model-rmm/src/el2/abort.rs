//! Stage 2 aborts (DEN0137 A5.2): memory the host has yet to populate, devices to emulate, and
//! everything else, which is injected or the end.

use model_rmm::pci::Function;
use model_rmm::stage1::{Regime, Use};
use model_rmm::syndrome::{self, Access, Injection};
use model_rmm::virtio::{Device, Outcome};
use rsi::{GRANULE, Ripas};

use super::entry::Frame;
use super::host::Host;
use super::log::End;
use super::state::State;
use super::{exit, fw_cfg, gic, mmio, phys, regs};
use crate::log;

/// A data or instruction abort from the realm.
pub fn stage2(state: &mut State, frame: &mut Frame, esr: u64) {
    let far = regs::far_el2();
    let ipa = (regs::hpfar_el2() & 0xfff_ffff_fff0) << 8 | far & 0xfff;
    let fetch = syndrome::class(esr) == 0x20;
    let layout = &state.host.layout;
    if ipa >> layout.width != 0 {
        let level = match used_at(state, esr, far, ipa) {
            None => 0,
            Some(Use::Leaf(level)) => level,
            // What does not fit is the address of the table, which the level before has, or
            // TTBR, whose faults are those of level 0.
            Some(Use::Lookup(level)) => (level - 1).max(0),
        };
        inject(state, frame, esr, Injection::AddressSize(level));
        return;
    }
    let bit = layout.shared_bit();
    if ipa & bit == 0 {
        protected(state, frame, esr, ipa);
        return;
    }
    let canonical = ipa & !bit;
    if fetch {
        external(state, frame, esr);
    } else if layout.is_memory(canonical) {
        if state.realm.ripas.get(canonical) == Ripas::Empty {
            state.host.share(canonical);
        } else {
            log!("host: access to the shared alias {ipa:#x} of a page that is not EMPTY");
            external(state, frame, esr);
        }
    } else {
        device(state, frame, esr, canonical);
    }
}

fn protected(state: &mut State, frame: &mut Frame, esr: u64, ipa: u64) {
    match state.realm.ripas.get(ipa) {
        Ripas::Ram => {
            state.host.private_page(ipa);
        }
        Ripas::Empty => external(state, frame, esr),
        found @ (Ripas::Destroyed | Ripas::Dev) => {
            let why = alloc::format!("access to {ipa:#x}, which is {found:?}, at pc {:#x}", frame.pc);
            state.end(End::Fault, &why);
        }
    }
}

/// What the realm's own translation does at `ipa`, for which the abort is; none with stage 1 off.
fn used_at(state: &State, esr: u64, va: u64, ipa: u64) -> Option<Use> {
    if regs::sctlr_el1() & 1 == 0 {
        return None;
    }
    let regime = Regime { tcr: regs::tcr_el1(), ttbr0: regs::ttbr0_el1(), ttbr1: regs::ttbr1_el1() };
    let page = |address: u64| address & !(GRANULE - 1);
    let walk = syndrome::is_walk(esr);
    let uses = |what, at| page(at) == page(ipa) && walk == matches!(what, Use::Lookup(_));
    let read = |at: u64| Some(phys::read_word(state.host.stage2.lookup(page(at))? + at % GRANULE));
    // Another CPU may have changed the tables meanwhile: level 3 is where most walks end.
    let otherwise = if walk { Use::Lookup(3) } else { Use::Leaf(3) };
    Some(regime.find(va, uses, read).unwrap_or(otherwise))
}

/// An external abort for the access with the syndrome `esr`.
fn external(state: &mut State, frame: &mut Frame, esr: u64) {
    let far = regs::far_el2();
    let ipa = (regs::hpfar_el2() & 0xfff_ffff_fff0) << 8;
    let injection = match used_at(state, esr, far, ipa) {
        Some(Use::Lookup(level)) => Injection::ExternalOnWalk(level),
        _ => Injection::External,
    };
    inject(state, frame, esr, injection);
}

fn inject(state: &mut State, frame: &mut Frame, esr: u64, injection: Injection) {
    state.counts.injected = state.counts.injected.saturating_add(1);
    let vector = regs::vbar_el1().wrapping_add(0x200);
    if syndrome::class(esr) == 0x20 && frame.pc == vector && frame.pstate & 0xf == 0b0101 {
        let why = alloc::format!("the exception vector at {vector:#x} cannot be fetched");
        state.end(End::Fault, &why);
    }
    if state.host.options.log {
        log!("inject: {injection:?} for esr {esr:#x} far {:#x} pc {:#x}", regs::far_el2(), frame.pc);
    }
    let from_el0 = frame.pstate & 0xf == 0;
    exit::inject(frame, syndrome::injected(esr, from_el0, injection), Some(regs::far_el2()));
}

/// An access to a device's address in the unprotected half.
fn device(state: &mut State, frame: &mut Frame, esr: u64, address: u64) {
    let place = state.host.machine.mmio.iter().find_map(|window| window.translate(address));
    let access = Access::from_esr(esr);
    let done = match (access, place) {
        (Some(access), Some(address)) if access.write => {
            state.counts.mmio.1 = state.counts.mmio.1.saturating_add(1);
            let value = register(frame, access.register).map_or(0, |value| *value);
            store(state, address, access.size, access.stored(value))
        }
        (Some(access), Some(address)) => {
            state.counts.mmio.0 = state.counts.mmio.0.saturating_add(1);
            load(state, address, access.size).map(|raw| {
                if let Some(to) = register(frame, access.register) {
                    *to = access.loaded(raw);
                }
            })
        }
        _ => None,
    };
    match done {
        Some(()) => frame.pc = frame.pc.wrapping_add(4),
        None => {
            if place.is_some() && access.is_none() {
                log!("host: device access to {address:#x} at pc {:#x} has no syndrome", frame.pc);
            }
            external(state, frame, esr);
        }
    }
}

/// Register `number`; none for the zero register.
fn register(frame: &mut Frame, number: u8) -> Option<&mut u64> {
    frame.x.get_mut(usize::from(number))
}

fn store(state: &mut State, address: u64, size: u8, value: u64) -> Option<()> {
    if state.host.uart.as_mut().and_then(|uart| uart.store(address, value)).is_some() {
        return Some(());
    }
    let redistributors = &state.host.machine.redistributors;
    if redistributors.contains(&address) {
        let value = gic::filter_write(address - redistributors.start, size, value);
        return value.map_or(Some(()), |value| mmio::store(address, size, value));
    }
    let fw_cfg = state.host.fw_cfg.registers.clone().filter(|registers| registers.contains(&address));
    let taken = fw_cfg.and_then(|registers| {
        let offset = address - registers.start;
        fw_cfg::write(&mut state.host, &state.realm, offset, size, value)
    });
    if taken.is_some() {
        return taken;
    }
    if let Some((function, offset)) = pci(&mut state.host, address)
        && !function.takes_write(offset)
    {
        return Some(());
    }
    let asked = virtio(&mut state.host, address).and_then(|(device, offset)| device.asks(offset, value));
    let request = asked.and_then(|rings| state.host.request_type(rings));
    let outcome =
        virtio(&mut state.host, address).map(|(device, offset)| (device.write(offset, value, request), device.lie()));
    match outcome {
        None | Some((Outcome::Pass, _)) => return mmio::store(address, size, value),
        Some((Outcome::Drop, lie)) => log!("host: {lie:?} drops a notification"),
        Some((Outcome::Forge(forged), lie)) => {
            state.host.forge(forged);
            log!("host: {lie:?} answers for the device");
        }
    }
    Some(())
}

/// The device that lies at this address, and the offset in its registers.
fn virtio(host: &mut Host, address: u64) -> Option<(&mut Device, u64)> {
    host.virtio.iter_mut().find_map(|device| device.offset(address).map(|offset| (device, offset)))
}

/// The function that has lies for this address, and its offset in PCIe configuration space.
fn pci(host: &mut Host, address: u64) -> Option<(&mut Function, u64)> {
    let ecam = &host.machine.ecam;
    let offset = ecam.contains(&address).then(|| address - ecam.start)?;
    let function = host.pci.iter_mut().find(|function| function.stands_for(offset).is_some())?;
    Some((function, offset))
}

fn load(state: &mut State, address: u64, size: u8) -> Option<u64> {
    if let Some(value) = state.host.uart.as_mut().and_then(|uart| uart.load(address)) {
        return Some(value);
    }
    let start = state.host.machine.ecam.start;
    if let Some((function, offset)) = pci(&mut state.host, address) {
        // A part of four bytes, as a guest may have it.
        let word = mmio::load(start + function.stands_for(offset & !3)?, 4)?;
        return Some(function.read(offset & !3, word) >> (8 * (offset & 3)));
    }
    let value = mmio::load(address, size)?;
    if let Some((device, offset)) = virtio(&mut state.host, address) {
        return Some(device.read(offset, value));
    }
    let redistributors = &state.host.machine.redistributors;
    if redistributors.contains(&address) {
        return Some(gic::filter_read(address - redistributors.start, value));
    }
    match &state.host.fw_cfg.registers {
        Some(registers) if registers.contains(&address) => {
            let offset = address - registers.start;
            Some(fw_cfg::read(&mut state.host, offset, size, value))
        }
        _ => Some(value),
    }
}
