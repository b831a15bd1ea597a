//! The console that a virtio device is, beside the UART or in its place.
//!
//! No lock is waited for: a fault amid an access to the device is told on the UART alone.

use alloc::boxed::Box;

use spin::Mutex;
use virtio::Error;
use virtio::console::Console;

use super::platform::{Machine, Place};
use super::virtio::{AnyTransport, Found};
use crate::log;

/// Bytes of output that wait for the end of what is being said, so that it is one request.
const OUTPUT_LEN: usize = 512;

struct Attached {
    console: Console<Machine, AnyTransport>,
    place: Place,
    output: [u8; OUTPUT_LEN],
    length: usize,
}

static ATTACHED: Mutex<Option<Box<Attached>>> = Mutex::new(None);

/// Starts a device, unless there is one already.
///
/// # Errors
/// The device's.
pub fn add(found: Found<'_>) -> Result<(), Error> {
    if place().is_some() {
        return Ok(());
    }
    let console = Console::start(found.machine, found.transport, found.setup, found.timeout)?;
    let attached = Attached { console, place: found.place.clone(), output: [0; OUTPUT_LEN], length: 0 };
    *ATTACHED.lock() = Some(Box::new(attached));
    Ok(())
}

/// Where the device is.
pub fn place() -> Option<Place> {
    ATTACHED.try_lock()?.as_ref().map(|attached| attached.place.clone())
}

/// Resets the device.
pub fn stop() {
    flush();
    *ATTACHED.lock() = None;
}

/// Sends a byte, at the latest with the next [`flush`].
pub fn write_byte(byte: u8) {
    with(&|attached| {
        if attached.length == OUTPUT_LEN {
            attached.send()?;
        }
        if let Some(place) = attached.output.get_mut(attached.length) {
            *place = byte;
            attached.length += 1;
        }
        Ok(None)
    });
}

/// Sends what waits.
pub fn flush() {
    with(&Attached::send);
}

/// A byte that was typed.
pub fn read_byte() -> Option<u8> {
    with(&|attached| attached.console.read())
}

impl Attached {
    fn send(&mut self) -> Result<Option<u8>, Error> {
        let bytes = self.output.get(..self.length).unwrap_or_default();
        self.length = 0;
        self.console.write(bytes)?;
        Ok(None)
    }
}

/// Uses the device, if there is one. One that fails is reset and not used again.
fn with(operation: &dyn Fn(&mut Attached) -> Result<Option<u8>, Error>) -> Option<u8> {
    let mut guard = ATTACHED.try_lock()?;
    let attached = guard.as_mut()?;
    operation(attached).unwrap_or_else(|error| {
        // Once, on the UART alone. Its memory stays: who tells of a fault must not have to wait for the heap or the pool.
        if error != Error::Broken {
            log::warn!("virtio at {}: {error}", attached.place);
        }
        None
    })
}
