//! The virtio devices of the machine and the way to their registers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use formats::machine::{self, VirtioMmio};
use virtio::mmio::MmioTransport;
use virtio::pci::{Layout, PciTransport};
use virtio::transport::Transport;
use virtio::{Error, Setup};

use super::pci::Host;
use super::platform::{Machine, Place, try_forms};
use crate::memory::dma::Bus;
use crate::{log, memory, realm};

/// Any transport.
pub type AnyTransport = Box<dyn Transport + Send>;

/// A device that was found, to be started with one of the forms of address that it may take.
pub struct Found<'a> {
    /// Where it is.
    pub place: &'a Place,
    /// Its type.
    pub kind: u32,
    /// The machine, with the form.
    pub machine: Machine,
    /// What it must have.
    pub setup: Setup,
    /// How long it may take for its first answer.
    pub timeout: Duration,
    /// The way to it.
    pub transport: AnyTransport,
}

/// Starts a device, which it waits for a first answer of.
type Start<'a> = dyn FnMut(Found<'_>) -> Result<(), Error> + 'a;

/// Starts each device of a type that `is_wanted`, behind `hosts` and elsewhere. One that cannot be used is named and left
/// out.
pub fn find(machine: &machine::Machine, hosts: &[Host], is_wanted: fn(u32) -> bool, start: &mut Start<'_>) {
    for host in hosts {
        for function in &host.functions {
            if let Some(kind) =
                virtio::pci::device_type(function.vendor, function.device).filter(|kind| is_wanted(*kind))
            {
                let place = Place::Pci(host.number, host.steps(function));
                start_any(&place, kind, Bus::Pci, &|| pci(host, function), start);
            }
        }
    }
    for transport in &machine.virtio_mmio {
        let place = Place::Mmio(transport.region.base());
        match mmio(transport) {
            Ok(Some((_, kind))) if is_wanted(kind) => {
                let again = || Ok(mmio(transport)?.ok_or(Error::Registers("device went away"))?.0);
                start_any(&place, kind, Bus::VirtioMmio, &again, start);
            }
            Ok(_) => {}
            Err(error) => log::warn!("virtio-mmio at {:#x}: {error}", transport.region.base()),
        }
    }
}

/// Starts a device with the form of address that it takes.
fn start_any(
    place: &Place,
    kind: u32,
    bus: Bus,
    transport: &dyn Fn() -> Result<AnyTransport, Error>,
    start: &mut Start<'_>,
) {
    let setup = Setup { needs_access_platform: realm::is_realm() };
    try_forms("virtio", place, bus, &mut |machine, timeout| {
        start(Found { place, kind, machine, setup, timeout, transport: transport()? })
    });
}

/// The device behind an MMIO transport and its type; `None` when there is none.
///
/// # Errors
/// [`Error::Registers`], [`Error::Legacy`].
fn mmio(machine: &VirtioMmio) -> Result<Option<(AnyTransport, u32)>, Error> {
    let registers = memory::map_device(machine.region.base(), machine.region.size());
    let registers = registers.map_err(|_| Error::Registers("cannot be mapped"))?;
    let transport = MmioTransport::new(registers)?;
    Ok(transport.map(|transport| {
        let kind = transport.device_type();
        (Box::new(transport) as AnyTransport, kind)
    }))
}

/// The transport of a function that is a virtio device.
///
/// # Errors
/// [`Error::Legacy`], [`Error::Registers`].
fn pci(host: &Host, function: &pci::Function) -> Result<AnyTransport, Error> {
    let capabilities: Vec<_> = pci::capabilities(&host.config, function.address, pci::VENDOR_SPECIFIC).collect();
    let layout = Layout::from_capabilities(capabilities.iter().map(<[u8; 20]>::as_slice))?;
    let transport = PciTransport::new(&layout, |place| {
        let mapped = host.map(function, place.bar, place.offset.into(), place.length.into());
        mapped.ok_or(Error::Registers("not within a BAR"))
    })?;
    host.enable(function.address, true);
    Ok(Box::new(transport))
}
