//! The disks of the machine, behind virtio over PCI and MMIO and behind NVMe controllers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use driver::{Data, Direction, Error, Medium};
use nvme::{Controller, Namespace};
use spin::Mutex;
use virtio::block::Block;
use virtio::device_type;
use virtio::scsi::{self, Unit};

use super::platform::{Machine, Place};
use super::virtio::{AnyTransport, Found};
use crate::arch::mmio::Mmio;
use crate::memory::dma::{AddressForm, Window};
use crate::{log, realm};

type BlockDevice = Block<Machine, AnyTransport>;
type ScsiHost = scsi::Host<Machine, AnyTransport>;
type NvmeController = Controller<Machine, Mmio>;

/// The largest transfer that is bounced: the pool has room for others beside it.
const MAX_BOUNCE: usize = 512 << 10;
/// The largest transfer to memory itself.
const MAX_DIRECT: usize = 4 << 20;
/// The largest transfer that a plain VM bounces.
const MAX_COPY: usize = 64 << 10;

enum Kind {
    Block(Box<BlockDevice>),
    Unit(Arc<Mutex<ScsiHost>>, Unit),
    Namespace(Arc<Mutex<NvmeController>>, Namespace),
}

/// A disk.
pub struct Disk {
    /// Where it is.
    pub place: Place,
    kind: Kind,
    form: AddressForm,
}

/// What transfers go through; one is under way at a time.
static WINDOW: Mutex<Option<Window>> = Mutex::new(None);

impl Disk {
    /// The medium.
    pub fn medium(&self) -> Medium {
        match &self.kind {
            Kind::Block(block) => block.medium(),
            Kind::Unit(_, unit) => unit.medium,
            Kind::Namespace(_, namespace) => namespace.medium,
        }
    }

    /// The target and unit of a disk on a SCSI host.
    pub fn scsi_address(&self) -> Option<scsi::Address> {
        match &self.kind {
            Kind::Unit(_, unit) => Some(unit.address),
            _ => None,
        }
    }

    /// The disk of an NVMe controller.
    pub fn namespace(&self) -> Option<&Namespace> {
        match &self.kind {
            Kind::Namespace(_, namespace) => Some(namespace),
            _ => None,
        }
    }

    /// Whether the medium can be taken out.
    pub fn is_removable(&self) -> bool {
        matches!(&self.kind, Kind::Unit(_, unit) if unit.removable)
    }

    fn chunk(&self, window: &Window) -> usize {
        let most = match &self.kind {
            Kind::Block(block) => block.max_transfer(),
            Kind::Unit(host, unit) => unit.max_transfer(&host.lock()),
            Kind::Namespace(controller, _) => controller.lock().max_transfer(),
        };
        // All are whole blocks: blocks have at most a page.
        window.size().min(MAX_DIRECT).min(most as usize)
    }

    fn request(&mut self, direction: Direction, block: u64, data: Data) -> Result<(), Error> {
        let result = match &mut self.kind {
            Kind::Block(device) => device.transfer(direction, block, data),
            Kind::Unit(host, unit) => unit.transfer(&mut host.lock(), direction, block, data),
            Kind::Namespace(controller, namespace) => controller.lock().transfer(namespace, direction, block, data),
        };
        self.tell(result)
    }

    /// Logs why a device is given up: whoever uses it hears only that it failed.
    fn tell(&self, result: Result<(), Error>) -> Result<(), Error> {
        result.inspect_err(|error| {
            if error.is_fatal() {
                let driver = if self.namespace().is_some() { "nvme" } else { "virtio" };
                log::warn!("{driver} at {}: {error}", self.place);
            }
        })
    }

    /// What a transfer with the memory at `buffer` goes through: `usual`, or `own`. A plain VM gives the device the memory
    /// itself, and NVMe takes addresses that are multiples of four.
    fn window<'a>(
        &self,
        usual: &'a mut Option<Window>,
        own: &'a mut Option<Window>,
        buffer: *const u8,
    ) -> Result<&'a mut Window, Error> {
        let needs_copy = self.namespace().is_some() && !realm::is_realm() && !buffer.addr().is_multiple_of(4);
        let window = if needs_copy {
            *own = Window::new(MAX_COPY, true);
            own
        } else {
            usual
        };
        window.as_mut().ok_or(Error::NoMemory)
    }

    /// Reads whole blocks.
    ///
    /// # Errors
    /// The device's.
    pub fn read(&mut self, mut block: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let (mut usual, mut own) = (WINDOW.lock(), None);
        let window = self.window(&mut usual, &mut own, buffer.as_ptr())?;
        let form = self.form;
        for part in buffer.chunks_mut(self.chunk(window).max(1)) {
            // At most 4 MiB.
            let length = part.len() as u32;
            let mut transfer = window.receive(part);
            let data = Data { address: transfer.device_address(form), length };
            self.request(Direction::Read, block, data)?;
            transfer.complete();
            block += u64::from(length / self.medium().block_size);
        }
        Ok(())
    }

    /// Writes whole blocks.
    ///
    /// # Errors
    /// The device's.
    pub fn write(&mut self, mut block: u64, buffer: &[u8]) -> Result<(), Error> {
        let (mut usual, mut own) = (WINDOW.lock(), None);
        let window = self.window(&mut usual, &mut own, buffer.as_ptr())?;
        let form = self.form;
        for part in buffer.chunks(self.chunk(window).max(1)) {
            let length = part.len() as u32;
            let transfer = window.send(part);
            let data = Data { address: transfer.device_address(form), length };
            self.request(Direction::Write, block, data)?;
            block += u64::from(length / self.medium().block_size);
        }
        Ok(())
    }

    /// Makes what was written permanent.
    ///
    /// # Errors
    /// The device's.
    pub fn flush(&mut self) -> Result<(), Error> {
        let result = match &mut self.kind {
            Kind::Block(device) => device.flush(),
            Kind::Unit(host, unit) => unit.flush(&mut host.lock()),
            Kind::Namespace(controller, namespace) => controller.lock().flush(namespace),
        };
        self.tell(result)
    }

    /// Asks again what medium there is.
    ///
    /// # Errors
    /// The device's.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let result = match &mut self.kind {
            Kind::Unit(host, unit) => unit.refresh(&mut host.lock()),
            _ => Ok(()),
        };
        self.tell(result)
    }

    /// Resets the device, for good.
    pub fn stop(&mut self) {
        match &mut self.kind {
            Kind::Block(device) => device.device_mut().quiesce(),
            Kind::Unit(host, _) => host.lock().device_mut().quiesce(),
            Kind::Namespace(controller, _) => controller.lock().quiesce(),
        }
    }
}

/// Makes what transfers go through.
pub fn start() {
    let size = if realm::is_realm() { MAX_BOUNCE } else { 1 };
    *WINDOW.lock() = Window::new(size, false);
}

/// Starts a device and takes its disks.
///
/// # Errors
/// The device's.
pub fn add(disks: &mut Vec<Disk>, found: Found<'_>) -> Result<(), Error> {
    let Found { place, kind, machine, setup, timeout, transport } = found;
    let form = machine.form;
    if kind == device_type::BLOCK {
        let mut block = Block::start(machine, transport, setup)?;
        block.probe(timeout)?;
        disks.push(Disk { place: place.clone(), kind: Kind::Block(Box::new(block)), form });
        return Ok(());
    }
    let mut host = ScsiHost::start(machine, transport, setup)?;
    host.probe(timeout)?;
    let mut units = Vec::new();
    if let Err(error) = host.scan(|unit| units.push(unit)) {
        log::warn!("virtio at {place}: {error}");
    }
    let host = Arc::new(Mutex::new(host));
    disks.extend(units.into_iter().map(|unit| Disk {
        place: place.clone(),
        kind: Kind::Unit(Arc::clone(&host), unit),
        form,
    }));
    Ok(())
}

/// Starts an NVMe controller, which has `timeout` for its first answer, and takes its namespaces.
///
/// # Errors
/// The controller's.
pub fn add_controller(
    disks: &mut Vec<Disk>,
    place: &Place,
    machine: Machine,
    registers: Mmio,
    timeout: Duration,
) -> Result<(), Error> {
    let form = machine.form;
    let controller = Arc::new(Mutex::new(NvmeController::start(machine, registers, timeout)?));
    let result = controller.lock().scan(|namespace| {
        let kind = Kind::Namespace(Arc::clone(&controller), namespace);
        disks.push(Disk { place: place.clone(), kind, form });
    });
    if let Err(error) = result {
        log::warn!("nvme at {place}: {error}");
    }
    Ok(())
}
