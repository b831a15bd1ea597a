//! A device with a virtqueue, ready for requests.

use core::time::Duration;

use crate::queue::Queue;
use crate::transport::{self, Transport, status};
use crate::{Error, Platform, REQUEST_TIMEOUT, Segment, SharedMemory};

/// How a device is to be set up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Setup {
    /// Whether the device must have VIRTIO_F_ACCESS_PLATFORM: true in a realm.
    pub needs_access_platform: bool,
}

/// A device. It is reset when it is dropped, before the memory that it works on goes back.
#[derive(Debug)]
pub struct Device<P: Platform, T: Transport> {
    platform: P,
    transport: T,
    queue: Queue<P::Memory>,
    queue_number: u16,
    features: u64,
    timeout: Duration,
    broken: bool,
}

impl<P: Platform, T: Transport> Device<P, T> {
    /// Resets the device, agrees on features and gives it the queue.
    ///
    /// # Errors
    /// As [`transport::negotiate`]; [`Error::NoMemory`], [`Error::Queue`], [`Error::Registers`].
    pub fn start(platform: P, transport: T, setup: Setup, wanted: u64, queue_number: u16) -> Result<Self, Error> {
        Self::start_beside(platform, transport, setup, wanted, queue_number, &mut |_, _| Ok(()))
    }

    /// As [`Self::start`]; `beside` gives the device what else it needs before it is told that the driver is ready.
    pub(crate) fn start_beside(
        platform: P,
        mut transport: T,
        setup: Setup,
        wanted: u64,
        queue_number: u16,
        beside: &mut dyn FnMut(&P, &mut T) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let features = transport::negotiate(&platform, &transport, wanted, setup.needs_access_platform)?;
        let queue = enable_queue(&platform, &mut transport, queue_number)?;
        // From here on what fails resets the device, which knows where the queue is.
        let mut device =
            Self { platform, transport, queue, queue_number, features, timeout: REQUEST_TIMEOUT, broken: false };
        beside(&device.platform, &mut device.transport)?;
        let ready = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;
        device.transport.set_status(ready);
        Ok(device)
    }

    /// Whether a feature was agreed.
    pub fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// Reads the device's configuration.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn config<C>(&self, read: impl Fn(&T) -> C) -> Result<C, Error> {
        transport::read_config(&self.transport, read)
    }

    /// How long the device may take to answer from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The machine.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The device's address of `offset` in the page of the queue.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        self.queue.memory().device_address() + offset as u64
    }

    /// Writes a fixed part of a request.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.queue.memory_mut().write(offset, bytes);
    }

    /// Reads a fixed part of an answer.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.queue.memory().read(offset, bytes);
    }

    /// Tells the device that there is something in a queue.
    pub(crate) fn notify(&self, queue: u16) {
        self.transport.notify(queue);
    }

    /// Whether the device can still be used.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives the device up when `error` says that it broke the protocol or does not answer.
    pub(crate) fn judge(&mut self, error: Error) -> Error {
        if error.is_fatal() {
            self.quiesce();
        }
        error
    }

    /// Gives a chain to the device and waits until it is done. Returns the bytes that it says it wrote.
    ///
    /// # Errors
    /// [`Error::Broken`], [`Error::Timeout`], [`Error::Protocol`].
    pub(crate) fn request(&mut self, chain: &[Segment]) -> Result<u32, Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        self.queue.publish(chain)?;
        self.transport.notify(self.queue_number);
        self.wait().map_err(|error| self.judge(error))
    }

    fn wait(&mut self) -> Result<u32, Error> {
        let Self { platform, transport, queue, timeout, .. } = self;
        driver::wait(platform, *timeout, &mut |looks| match queue.take_used()? {
            None if looks && transport.status() & status::DEVICE_NEEDS_RESET != 0 => Err(Error::NeedsReset),
            used => Ok(used),
        })
    }

    /// Resets the device: it touches no memory from then on.
    pub fn quiesce(&mut self) {
        if !self.broken {
            self.broken = true;
            // A device that does not finish its reset is as far away as a driver can bring it.
            let _ = transport::reset(&self.platform, &self.transport);
        }
    }
}

/// Gives the device the queue of that number, in a page of its own.
pub(crate) fn enable_queue<P: Platform>(
    platform: &P,
    transport: &mut impl Transport,
    number: u16,
) -> Result<Queue<P::Memory>, Error> {
    let max_size = transport.max_queue_size(number);
    let memory = platform.allocate_pages(1).ok_or(Error::NoMemory)?;
    let queue = Queue::new(memory, max_size).ok_or(Error::Queue(number))?;
    transport.enable_queue(number, queue.size(), queue.addresses())?;
    Ok(queue)
}

impl<P: Platform, T: Transport> Drop for Device<P, T> {
    fn drop(&mut self) {
        self.quiesce();
    }
}
