//! The entropy device (section 5.4).

use core::time::Duration;

use crate::queue::REQUEST;
use crate::transport::Transport;
use crate::{Device, Error, Platform, Segment, Setup};

/// Bytes that the device is asked for.
pub const LEN: usize = 32;

/// How long the device may take at most. A boot can do without it, and is not held up for longer.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// The only queue.
const QUEUE: u16 = 0;

/// Starts the device, asks it for random bytes once, and resets it. They are what the host knows.
///
/// # Errors
/// As [`Device::start`]; [`Error::Timeout`] without an answer within `timeout` or [`TIMEOUT`], whichever is shorter,
/// [`Error::Protocol`] for another one than all the bytes.
pub fn read<P: Platform>(
    platform: P,
    transport: impl Transport,
    setup: Setup,
    timeout: Duration,
) -> Result<[u8; LEN], Error> {
    let mut device = Device::start(platform, transport, setup, 0, QUEUE)?;
    device.set_timeout(timeout.min(TIMEOUT));
    let length = LEN as u32;
    if device.request(&[Segment { address: device.address(REQUEST), length, device_writes: true }])? != length {
        return Err(Error::Protocol("short of random bytes"));
    }
    let mut bytes = [0; LEN];
    device.read(REQUEST, &mut bytes);
    Ok(bytes)
}
