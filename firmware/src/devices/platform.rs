//! What the drivers of devices that master the bus run on: registers, memory that is shared, the forms of address.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use aarch64_cpu::asm::barrier;
use address_space::page_table::PAGE_SIZE;
use driver::{Error, Platform, REQUEST_TIMEOUT, Registers, SharedMemory};

use crate::arch::{self, mmio::Mmio};
use crate::memory::dma::{AddressForm, Bus, address_forms};
use crate::memory::shared::SharedBuffer;
use crate::{log, realm};

/// How long a device may take for its first answer where it may be that it takes another form of address. QEMU needs
/// less than a millisecond; a host that is busy gets a second round.
const PROBE_TIMEOUTS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// How long the CPU rests between two looks at a device, in microseconds.
const PAUSE: u64 = 8;

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

    fn allocate_pages(&self, count: usize) -> Option<Shared> {
        Some(Shared { buffer: SharedBuffer::take(count * PAGE_SIZE as usize)?, form: self.form })
    }

    fn ticks(&self) -> u64 {
        arch::counter()
    }

    fn ticks_per_second(&self) -> u64 {
        arch::counter_frequency()
    }

    fn pause(&self) {
        arch::pause(PAUSE);
    }
}

/// Starts a device of `driver` with each form of address in turn, until it answers: `start` has a time-out for the first
/// answer. A device that cannot be used is named.
pub fn try_forms(driver: &str, place: &Place, bus: Bus, start: &mut dyn FnMut(Machine, Duration) -> Result<(), Error>) {
    // Where there is one form only, nothing is to be found out.
    let timeouts: &[_] = if realm::is_realm() { &PROBE_TIMEOUTS } else { &[REQUEST_TIMEOUT] };
    let mut result = Ok(());
    for (timeout, form) in
        timeouts.iter().flat_map(|timeout| address_forms(bus).iter().map(move |form| (*timeout, *form)))
    {
        result = start(Machine { form }, timeout);
        // Given the wrong form, a device waits for what never comes or gives up.
        if !matches!(result, Err(Error::Timeout | Error::NeedsReset | Error::ControllerFatal)) {
            break;
        }
    }
    if let Err(error) = result {
        log::warn!("{driver} at {place}: {error}");
    }
}
