//! The console device (section 5.3): its first port, which is the only one without VIRTIO_CONSOLE_F_MULTIPORT.

use core::time::Duration;

use crate::device::enable_queue;
use crate::queue::{Queue, REQUEST};
use crate::transport::Transport;
use crate::{Device, Error, Platform, Segment, Setup, SharedMemory};

/// The queues of the first port.
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// How long the device may take for its output at most. Nothing is held up for longer by who reads too slowly.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of output at a time.
const OUTPUT_LEN: usize = 1024;
/// Bytes of input that the device has room for; more waits on the host's side.
const INPUT_LEN: usize = 64;

/// A console.
#[derive(Debug)]
pub struct Console<P: Platform, T: Transport> {
    // Reset when it is dropped, and so before the memory that it receives in goes back.
    device: Device<P, T>,
    receive: Queue<P::Memory>,
    /// What came in, of which `next..end` is still to be read.
    input: [u8; INPUT_LEN],
    next: usize,
    end: usize,
}

impl<P: Platform, T: Transport> Console<P, T> {
    /// Starts the device and has it send a carriage return: whether it finds the queue where it was told, within
    /// `timeout` or [`TIMEOUT`], whichever is shorter.
    ///
    /// # Errors
    /// As [`Device::start`], [`Self::write`].
    pub fn start(platform: P, transport: T, setup: Setup, timeout: Duration) -> Result<Self, Error> {
        let mut receive = None;
        let device = Device::start_beside(platform, transport, setup, 0, TRANSMIT, &mut |platform, transport| {
            receive = Some(enable_queue(platform, transport, RECEIVE)?);
            Ok(())
        })?;
        let receive = receive.ok_or(Error::Queue(RECEIVE))?;
        let mut console = Self { device, receive, input: [0; INPUT_LEN], next: 0, end: 0 };
        console.device.set_timeout(timeout.min(TIMEOUT));
        console.write(b"\r")?;
        console.device.set_timeout(TIMEOUT);
        console.make_room()?;
        Ok(console)
    }

    /// Sends `bytes`.
    ///
    /// # Errors
    /// What gives the device up: [`Error::Timeout`], [`Error::Protocol`], [`Error::NeedsReset`], and from then on
    /// [`Error::Broken`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for part in bytes.chunks(OUTPUT_LEN) {
            self.device.write(REQUEST, part);
            let address = self.device.address(REQUEST);
            self.device.request(&[Segment { address, length: part.len() as u32, device_writes: false }])?;
        }
        Ok(())
    }

    /// A byte that came in, if there is one.
    ///
    /// # Errors
    /// What gives the device up, as for [`Self::write`].
    pub fn read(&mut self) -> Result<Option<u8>, Error> {
        if self.next == self.end {
            self.receive()?;
        }
        let byte = self.input.get(self.next..self.end).and_then(|left| left.first().copied());
        self.next += usize::from(byte.is_some());
        Ok(byte)
    }

    /// Copies what the device has brought, and makes room for more.
    fn receive(&mut self) -> Result<(), Error> {
        if self.device.is_broken() {
            return Err(Error::Broken);
        }
        if let Some(length) = self.receive.take_used().map_err(|error| self.device.judge(error))? {
            // The queue has held it against the room that there was.
            (self.next, self.end) = (0, length as usize);
            self.receive.memory().read(REQUEST, self.input.get_mut(..self.end).ok_or(Error::Range)?);
            self.make_room()?;
        }
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), Error> {
        let address = self.receive.memory().device_address() + REQUEST as u64;
        self.receive.publish(&[Segment { address, length: INPUT_LEN as u32, device_writes: true }])?;
        self.device.notify(RECEIVE);
        Ok(())
    }
}
