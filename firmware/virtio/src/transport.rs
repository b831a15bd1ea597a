//! The way to a device's registers, and what is negotiated through it (sections 2.1, 2.2 and 3.1.1).

use alloc::boxed::Box;

pub use driver::Registers;

use crate::{Error, Platform, RESET_TIMEOUT};

/// Feature bits that every device type has (section 6).
pub mod feature {
    /// VIRTIO_F_VERSION_1: the device is not legacy.
    pub const VERSION_1: u64 = 1 << 32;
    /// VIRTIO_F_ACCESS_PLATFORM: the device's addresses are what the platform makes them.
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
}

/// Device status bits (section 2.1).
pub mod status {
    /// The driver has noticed the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// The driver knows how to drive it.
    pub const DRIVER: u8 = 2;
    /// The driver is ready.
    pub const DRIVER_OK: u8 = 4;
    /// The features are agreed.
    pub const FEATURES_OK: u8 = 8;
    /// The device cannot go on without a reset.
    pub const DEVICE_NEEDS_RESET: u8 = 64;
    /// The driver has given up.
    pub const FAILED: u8 = 128;
}

/// Where the parts of a virtqueue are for the device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueAddresses {
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring.
    pub driver: u64,
    /// The used ring.
    pub device: u64,
}

/// The registers of a device (section 4).
pub trait Transport {
    /// Half of the features that the device offers: bits 0 to 31, or 32 to 63.
    fn device_features(&self, high: bool) -> u32;
    /// Sets half of the features that the driver takes.
    fn set_driver_features(&self, high: bool, features: u32);
    /// The device status.
    fn status(&self) -> u8;
    /// Sets the device status; zero resets the device.
    fn set_status(&self, status: u8);
    /// The largest size of a queue; zero when there is none.
    fn max_queue_size(&self, queue: u16) -> u16;
    /// Enables a queue.
    ///
    /// # Errors
    /// [`Error::Registers`] when the queue cannot be notified.
    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Error>;
    /// Tells the device that there is something in a queue that was enabled.
    fn notify(&self, queue: u16);
    /// Changes whenever the configuration does.
    fn config_generation(&self) -> u32;
    /// Reads a byte of the device's configuration.
    fn config8(&self, offset: u64) -> u8;
    /// Reads two bytes of the device's configuration.
    fn config16(&self, offset: u64) -> u16;
    /// Reads four bytes of the device's configuration.
    fn config32(&self, offset: u64) -> u32;
}

/// Resets the device, and waits until it is.
///
/// # Errors
/// [`Error::Reset`].
pub fn reset<P: Platform>(platform: &P, transport: &impl Transport) -> Result<(), Error> {
    transport.set_status(0);
    let start = platform.ticks();
    let limit = platform.ticks_per_second().saturating_mul(RESET_TIMEOUT.as_secs());
    while transport.status() != 0 {
        if platform.ticks().saturating_sub(start) > limit {
            return Err(Error::Reset);
        }
    }
    Ok(())
}

/// Resets the device and agrees on features: those of `wanted` that it has. Returns what was agreed.
///
/// # Errors
/// [`Error::Reset`], [`Error::Legacy`], [`Error::NoAccessPlatform`], [`Error::Features`].
pub fn negotiate<P: Platform>(
    platform: &P,
    transport: &impl Transport,
    wanted: u64,
    needs_access_platform: bool,
) -> Result<u64, Error> {
    reset(platform, transport)?;
    transport.set_status(status::ACKNOWLEDGE);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
    let offered = u64::from(transport.device_features(true)) << 32 | u64::from(transport.device_features(false));
    let failed = |error| {
        transport.set_status(status::FAILED);
        Err(error)
    };
    if offered & feature::VERSION_1 == 0 {
        return failed(Error::Legacy);
    }
    if needs_access_platform && offered & feature::ACCESS_PLATFORM == 0 {
        return failed(Error::NoAccessPlatform);
    }
    let agreed = offered & (wanted | feature::VERSION_1 | feature::ACCESS_PLATFORM);
    // Both halves fit 32 bits.
    transport.set_driver_features(false, agreed as u32);
    transport.set_driver_features(true, (agreed >> 32) as u32);
    let features_ok = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
    transport.set_status(features_ok);
    if transport.status() != features_ok {
        return failed(Error::Features);
    }
    Ok(agreed)
}

/// Reads the configuration such that all of it is of one generation (section 2.5.1).
///
/// # Errors
/// [`Error::Config`] when it never stays the same.
pub fn read_config<T: Transport, C>(transport: &T, read: impl Fn(&T) -> C) -> Result<C, Error> {
    /// A device that changes it more often while it is being set up is not to be had.
    const ATTEMPTS: u32 = 16;
    for _ in 0..ATTEMPTS {
        let before = transport.config_generation();
        let config = read(transport);
        if transport.config_generation() == before {
            return Ok(config);
        }
    }
    Err(Error::Config("changes all the time"))
}

/// A 64-bit field of the configuration, which has no access of its own.
pub fn config64(transport: &impl Transport, offset: u64) -> u64 {
    u64::from(transport.config32(offset)) | u64::from(transport.config32(offset + 4)) << 32
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn device_features(&self, high: bool) -> u32 {
        (**self).device_features(high)
    }

    fn set_driver_features(&self, high: bool, features: u32) {
        (**self).set_driver_features(high, features);
    }

    fn status(&self) -> u8 {
        (**self).status()
    }

    fn set_status(&self, status: u8) {
        (**self).set_status(status);
    }

    fn max_queue_size(&self, queue: u16) -> u16 {
        (**self).max_queue_size(queue)
    }

    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Error> {
        (**self).enable_queue(queue, size, addresses)
    }

    fn notify(&self, queue: u16) {
        (**self).notify(queue);
    }

    fn config_generation(&self) -> u32 {
        (**self).config_generation()
    }

    fn config8(&self, offset: u64) -> u8 {
        (**self).config8(offset)
    }

    fn config16(&self, offset: u64) -> u16 {
        (**self).config16(offset)
    }

    fn config32(&self, offset: u64) -> u32 {
        (**self).config32(offset)
    }
}
