//! The virtio devices of the machine: their registers, and the memory that they share.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use aarch64_cpu::asm::barrier;
use formats::machine::{self, VirtioMmio};
use virtio::mmio::MmioTransport;
use virtio::pci::{Layout, PciTransport};
use virtio::transport::{Registers, Transport};
use virtio::{Error, Platform, Setup, SharedMemory};

use super::pci::Host;
use crate::arch::{self, mmio::Mmio};
use crate::memory::dma::{AddressForm, Bus, address_forms};
use crate::memory::shared::SharedBuffer;
use crate::{log, memory, realm};

/// How long a device may take for its first answer where it may be that it takes another form of address. QEMU needs
/// less than a millisecond; a host that is busy gets a second round.
const PROBE_TIMEOUTS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// Any transport.
pub type AnyTransport = Box<dyn Transport + Send>;

impl Registers for Mmio {
    fn read8(&self, offset: u64) -> u8 {
        self.read8(offset)
    }

    fn read16(&self, offset: u64) -> u16 {
        self.read16(offset)
    }

    fn read32(&self, offset: u64) -> u32 {
        self.read32(offset)
    }

    fn write8(&self, offset: u64, value: u8) {
        self.write8(offset, value);
    }

    fn write16(&self, offset: u64, value: u16) {
        // What a notification is about must be in memory before it.
        barrier::dsb(barrier::SY);
        self.write16(offset, value);
    }

    fn write32(&self, offset: u64, value: u32) {
        barrier::dsb(barrier::SY);
        self.write32(offset, value);
    }
}

/// Where a device is, as far as its device path goes.
#[derive(Clone)]
pub enum Place {
    /// Behind a host bridge with this number: device and function, through each bridge.
    Pci(u32, Vec<(u8, u8)>),
    /// An MMIO transport, by its address.
    Mmio(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(host, nodes) => {
                write!(f, "PCI {host}")?;
                nodes.iter().try_for_each(|(device, function)| write!(f, "/{device:x}.{function}"))
            }
            Self::Mmio(address) => write!(f, "{address:#x}"),
        }
    }
}

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

/// Memory shared with a device that takes addresses of one form.
#[derive(Debug)]
pub struct Shared {
    buffer: SharedBuffer,
    form: AddressForm,
}

impl SharedMemory for Shared {
    fn device_address(&self) -> u64 {
        self.buffer.device_address(self.form)
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.buffer.write(offset, bytes);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.buffer.read(offset, bytes);
    }

    fn store16(&mut self, offset: usize, value: u16) {
        self.buffer.store(offset, value.to_le());
    }

    fn load16(&self, offset: usize) -> u16 {
        u16::from_le(self.buffer.load(offset))
    }
}

/// The machine for a device that takes addresses of one form.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The form.
    pub form: AddressForm,
}

impl Platform for Machine {
    type Memory = Shared;

    fn allocate_page(&self) -> Option<Shared> {
        Some(Shared { buffer: SharedBuffer::take(1)?, form: self.form })
    }

    fn ticks(&self) -> u64 {
        arch::counter()
    }

    fn ticks_per_second(&self) -> u64 {
        arch::counter_frequency()
    }

    fn pause(&self) {
        arch::pause();
    }
}

/// Starts each device of a type that `is_wanted`, behind `hosts` and elsewhere. One that cannot be used is named and left
/// out.
pub fn find(machine: &machine::Machine, hosts: &[Host], is_wanted: fn(u32) -> bool, start: &mut Start<'_>) {
    for host in hosts {
        for function in &host.functions {
            if let Some(kind) =
                virtio::pci::device_type(function.vendor, function.device).filter(|kind| is_wanted(*kind))
            {
                let place = Place::Pci(host.number, host.steps(function));
                try_forms(&place, kind, Bus::Pci, &|| pci(host, function), start);
            }
        }
    }
    for transport in &machine.virtio_mmio {
        let place = Place::Mmio(transport.region.base());
        match mmio(transport) {
            Ok(Some((_, kind))) if is_wanted(kind) => {
                let again = || Ok(mmio(transport)?.ok_or(Error::Registers("device went away"))?.0);
                try_forms(&place, kind, Bus::VirtioMmio, &again, start);
            }
            Ok(_) => {}
            Err(error) => log::warn!("virtio-mmio at {:#x}: {error}", transport.region.base()),
        }
    }
}

/// Starts a device with each form of address in turn, until it answers.
fn try_forms(
    place: &Place,
    kind: u32,
    bus: Bus,
    transport: &dyn Fn() -> Result<AnyTransport, Error>,
    start: &mut Start<'_>,
) {
    // Where there is one form only, nothing is to be found out.
    let timeouts: &[_] = if realm::is_realm() { &PROBE_TIMEOUTS } else { &[virtio::REQUEST_TIMEOUT] };
    let setup = Setup { needs_access_platform: realm::is_realm() };
    let mut result = Ok(());
    for (timeout, form) in
        timeouts.iter().flat_map(|timeout| address_forms(bus).iter().map(move |form| (*timeout, *form)))
    {
        let machine = Machine { form };
        result = transport().and_then(|transport| start(Found { place, kind, machine, setup, timeout, transport }));
        // Given the wrong form, a device waits for what never comes or gives up.
        if !matches!(result, Err(Error::Timeout | Error::NeedsReset)) {
            break;
        }
    }
    if let Err(error) = result {
        log::warn!("virtio at {place}: {error}");
    }
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
