//! realmfw: UEFI guest firmware for Arm CCA realms and plain virtual machines.
//!
//! The boot reads top to bottom in [`boot`]. Modules import downwards only:
//! `boot` -> `efi` -> `measurement`, `devices` -> `memory` -> `realm` -> `arch`.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod boot;
mod devices;
mod efi;
mod fault;
mod log;
mod measurement;
mod memory;
mod realm;

use alloc::format;
use core::convert::Infallible;

use boot_asm::StartInfo;
use formats::machine::{Conduit, Machine};
use measured::measure::Blob;
use memory_functions as _;

use crate::arch::psci;
use crate::boot::Error;
use crate::devices::fw_cfg::FwCfg;
use crate::devices::{console, device_tree};
use crate::log::Level;
use crate::realm::World;

/// The fw_cfg file that sets the log level: `-fw_cfg name=opt/org.realmfw/log,string=debug`.
const LOG_LEVEL_FILE: &str = "opt/org.realmfw/log";

/// What boot-asm calls: MMU on, only the image mapped, on the stack.
///
/// # Safety
/// Called once, by boot-asm.
#[expect(unsafe_code, reason = "the symbol that assembly calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn realmfw_main(start: &StartInfo) -> ! {
    device_tree::set_address(start.x0);
    realm::start(start);
    // SAFETY: before any allocation, and the only call.
    unsafe { memory::start() };
    let Err(error) = boot(start);
    if let Some(bit) = realm::shared_bit_beyond_tables() {
        console::say_beyond(bit, &format!("realmfw: error: {error}\r\n"));
    }
    console::start_early();
    log::error!("{error}");
    psci::system_off()
}

/// The way from reset to the operating system.
#[expect(unsafe_code, reason = "gives RAM to UEFI for good")]
fn boot(start: &StartInfo) -> Result<Infallible, Error> {
    if realm::is_realm() {
        psci::set_conduit(Conduit::Smc);
    }
    let world = realm::detect()?;
    if let World::Realm(_) = world {
        realm::verify("firmware", &memory::image())?;
    }

    measurement::start(&world)?;

    let tree = device_tree::read()?;
    measurement::blob(Blob::DeviceTree, &tree)?;
    let mut machine = Machine::from_device_tree(&tree)?;
    if let World::Realm(_) = world {
        // Whatever the tree says: HVC is undefined in a realm (DEN0137, A4.5).
        machine.psci = Some(Conduit::Smc);
    }
    if let Some(conduit) = machine.psci {
        psci::set_conduit(conduit);
    }

    if let Some(port) = &machine.console {
        console::start(port)?;
    }
    banner(&machine, &world);

    let layout = memory::divide(&machine, &world)?;
    memory::map_ram(&layout)?;
    // SAFETY: the layout set the block aside for this, and this is the only call.
    unsafe { memory::shared::open(layout.shared.clone()).map_err(memory::Error::from)? };
    memory::dma::set_has_fw_cfg(machine.fw_cfg.is_some());

    let mut fw_cfg = machine.fw_cfg.as_ref().map(FwCfg::new).transpose()?;
    if let Some(fw_cfg) = &mut fw_cfg {
        set_log_level(fw_cfg)?;
        log::info!("fw_cfg: transfers by {}", if fw_cfg.has_dma() { "DMA" } else { "MMIO" });
    }
    log::info!("image: entered at {:#x}, runs at {:#x}", start.entered_at, memory::image().start);
    for ram in &layout.ram {
        log::debug!("RAM: {:#x}..{:#x}", ram.start, ram.end);
    }
    log::debug!("shared with the host's devices: {:#x}..{:#x}", layout.shared.start, layout.shared.end);

    // SAFETY: the only call, and RAM is mapped.
    unsafe { efi::start(&machine, &layout)? };
    boot::boot(&boot::Platform { machine: &machine, world: &world, tree: &tree }, fw_cfg)
}

fn banner(machine: &Machine, world: &World) {
    let memory: u64 = machine.memory.iter().map(|ram| ram.size()).sum();
    let (version, mib, cpus) = (env!("CARGO_PKG_VERSION"), memory >> 20, machine.cpus.len());
    match world {
        World::Plain => {
            let level = arch::exception_level();
            log::raw(format_args!("realmfw {version}: plain VM at EL{level}, {cpus} CPUs, {mib} MiB\r\n"));
        }
        World::Realm(realm) => log::raw(format_args!(
            "realmfw {version}: realm, RSI {}, IPA width {}, {}, {cpus} CPUs, {mib} MiB\r\n",
            realm.version,
            realm.ipa_width,
            realm.hash.name(),
        )),
    }
}

/// Says more or less, as the machine's owner asks.
fn set_log_level(fw_cfg: &mut FwCfg) -> Result<(), Error> {
    let directory = fw_cfg.directory()?;
    let Some(file) = directory.find(LOG_LEVEL_FILE) else { return Ok(()) };
    // The longest name has five letters; what is longer is no level.
    let mut name = [0; 8];
    let level = match name.get_mut(..file.size as usize) {
        Some(name) => {
            fw_cfg.read(file.key, name)?;
            measurement::blob(Blob::FwCfg(LOG_LEVEL_FILE), name)?;
            core::str::from_utf8(name).ok().and_then(Level::from_name)
        }
        None => None,
    };
    match level {
        Some(level) => log::set_level(level),
        None => log::warn!("{LOG_LEVEL_FILE} is none of error, warn, info, debug"),
    }
    Ok(())
}
