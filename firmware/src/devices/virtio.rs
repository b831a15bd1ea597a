//! The virtio devices of the machine: their registers, and the memory that they share.

use alloc::boxed::Box;
use core::time::Duration;

use aarch64_cpu::asm::barrier;
use formats::machine::VirtioMmio;
use virtio::mmio::MmioTransport;
use virtio::pci::{Layout, PciTransport};
use virtio::transport::{Registers, Transport};
use virtio::{Error, Platform, SharedMemory};

use super::pci::Host;
use crate::arch::{self, mmio::Mmio};
use crate::memory;
use crate::memory::dma::AddressForm;
use crate::memory::shared::SharedBuffer;

/// How long a device may take for its first answer where it may be that it takes another form of address. QEMU needs
/// less than a millisecond; a host that is busy gets a second round.
pub const PROBE_TIMEOUTS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

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

/// The device behind an MMIO transport and its type; `None` when there is none.
///
/// # Errors
/// [`Error::Registers`], [`Error::Legacy`].
pub fn mmio(machine: &VirtioMmio) -> Result<Option<(AnyTransport, u32)>, Error> {
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
pub fn pci(host: &Host, function: &pci::Function) -> Result<AnyTransport, Error> {
    let capabilities: alloc::vec::Vec<_> =
        pci::capabilities(&host.config, function.address, pci::VENDOR_SPECIFIC).collect();
    let layout = Layout::from_capabilities(capabilities.iter().map(<[u8; 20]>::as_slice))?;
    let transport = PciTransport::new(&layout, |place| {
        let mapped = host.map(function, place.bar, place.offset.into(), place.length.into());
        mapped.ok_or(Error::Registers("not within a BAR"))
    })?;
    host.enable(function.address, true);
    Ok(Box::new(transport))
}
