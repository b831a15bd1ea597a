//! The block device (section 5.2).

use core::time::Duration;

use zerocopy::IntoBytes;

use crate::queue::REQUEST;
use crate::transport::{Transport, config64};
use crate::{Data, Device, Direction, Error, Medium, Platform, REQUEST_TIMEOUT, SECTOR, Segment, Setup};

/// Feature bits.
mod feature {
    pub const SIZE_MAX: u64 = 1 << 1;
    pub const RO: u64 = 1 << 5;
    pub const BLK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
    pub const TOPOLOGY: u64 = 1 << 10;
}

/// Offsets in the configuration.
mod config {
    pub const CAPACITY: u64 = 0;
    pub const SIZE_MAX: u64 = 8;
    pub const BLK_SIZE: u64 = 20;
    pub const PHYSICAL_BLOCK_EXP: u64 = 24;
    pub const ALIGNMENT_OFFSET: u64 = 25;
}

/// Request types.
mod kind {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
}

mod status {
    pub const OK: u8 = 0;
    pub const IOERR: u8 = 1;
    pub const UNSUPP: u8 = 2;
    /// What is there before the device answers.
    pub const NONE: u8 = 0xff;
}

const HEADER_LEN: u32 = 16;
/// Where in the page the header and the status are.
const HEADER: usize = REQUEST;
const STATUS: usize = REQUEST + 64;
/// The device's name, which nobody needs.
const ID: usize = REQUEST + 128;
const ID_LEN: u32 = 20;

/// The only queue that is used.
const QUEUE: u16 = 0;

/// A block device.
#[derive(Debug)]
pub struct Block<P: Platform, T: Transport> {
    device: Device<P, T>,
    medium: Medium,
    max_transfer: u32,
}

impl<P: Platform, T: Transport> Block<P, T> {
    /// Starts the device.
    ///
    /// # Errors
    /// As [`Device::start`]; [`Error::Config`].
    pub fn start(platform: P, transport: T, setup: Setup) -> Result<Self, Error> {
        let wanted = feature::SIZE_MAX | feature::RO | feature::BLK_SIZE | feature::FLUSH | feature::TOPOLOGY;
        let device = Device::start(platform, transport, setup, wanted, QUEUE)?;
        let medium = medium(&device)?;
        let mut max_transfer = u32::MAX;
        if device.has(feature::SIZE_MAX) {
            max_transfer = device.config(|transport| transport.config32(config::SIZE_MAX))?;
        }
        max_transfer -= max_transfer % medium.block_size;
        if max_transfer == 0 {
            return Err(Error::Config("size_max"));
        }
        Ok(Self { device, medium, max_transfer })
    }

    /// The disk.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// The most bytes of one transfer, in whole blocks.
    pub fn max_transfer(&self) -> u32 {
        self.max_transfer
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut Device<P, T> {
        &mut self.device
    }

    /// Asks the device for its name, which it answers without touching the disk, within `timeout`: whether it finds
    /// the queue where it was told.
    ///
    /// # Errors
    /// What gives the device up.
    pub fn probe(&mut self, timeout: Duration) -> Result<(), Error> {
        self.device.set_timeout(timeout);
        let place = Data { address: self.device.address(ID), length: ID_LEN };
        let result = self.request(kind::GET_ID, 0, Some((place, true)));
        self.device.set_timeout(REQUEST_TIMEOUT);
        match result {
            // An error is an answer.
            Err(Error::Io | Error::Unsupported) => Ok(()),
            result => result,
        }
    }

    /// Reads or writes whole blocks from `block` on, at most [`Self::max_transfer`] bytes.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::WriteProtected`], [`Error::Io`]; what gives the device up: [`Error::Timeout`],
    /// [`Error::Protocol`], and from then on [`Error::Broken`].
    pub fn transfer(&mut self, direction: Direction, block: u64, data: Data) -> Result<(), Error> {
        self.medium.check(direction, block, data.length)?;
        if data.length > self.max_transfer {
            return Err(Error::Range);
        }
        // Within the capacity, which is counted in sectors.
        let sector = block * u64::from(self.medium.block_size / SECTOR);
        match direction {
            Direction::Read => self.request(kind::IN, sector, Some((data, true))),
            Direction::Write => self.request(kind::OUT, sector, Some((data, false))),
        }
    }

    /// Makes what was written permanent. A device without VIRTIO_BLK_F_FLUSH does that with each write.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.device.is_broken() {
            return Err(Error::Broken);
        }
        if self.device.has(feature::FLUSH) { self.request(kind::FLUSH, 0, None) } else { Ok(()) }
    }

    fn request(&mut self, kind: u32, sector: u64, data: Option<(Data, bool)>) -> Result<(), Error> {
        let header = [u64::from(kind).to_le(), sector.to_le()];
        self.device.write(HEADER, header.as_bytes());
        self.device.write(STATUS, &[status::NONE]);
        let header = Segment { address: self.device.address(HEADER), length: HEADER_LEN, device_writes: false };
        let answer = Segment { address: self.device.address(STATUS), length: 1, device_writes: true };
        let written = match data {
            Some((data, device_writes)) => {
                let data = Segment { address: data.address, length: data.length, device_writes };
                self.device.request(&[header, data, answer])?
            }
            None => self.device.request(&[header, answer])?,
        };
        let mut answer = [0];
        self.device.read(STATUS, &mut answer);
        match answer {
            [status::OK] => {}
            [status::IOERR] => return Err(Error::Io),
            [status::UNSUPP] => return Err(Error::Unsupported),
            _ => return Err(self.device.judge(Error::Protocol("status"))),
        }
        match data {
            Some((data, true)) if kind == kind::IN && written < data.length => {
                Err(self.device.judge(Error::Protocol("short read")))
            }
            _ => Ok(()),
        }
    }
}

fn medium<P: Platform, T: Transport>(device: &Device<P, T>) -> Result<Medium, Error> {
    let (capacity, block_size, exponent, offset) = device.config(|transport| {
        (
            config64(transport, config::CAPACITY),
            transport.config32(config::BLK_SIZE),
            transport.config8(config::PHYSICAL_BLOCK_EXP),
            transport.config8(config::ALIGNMENT_OFFSET),
        )
    })?;
    let block_size = if device.has(feature::BLK_SIZE) { block_size } else { SECTOR };
    let sectors_per_block = u64::from((block_size / SECTOR).max(1));
    let mut medium = Medium::new(block_size, capacity / sectors_per_block)?;
    medium.read_only = device.has(feature::RO);
    // A hint: what makes no sense is as good as none.
    if device.has(feature::TOPOLOGY) && exponent < 16 && u32::from(offset) < 1 << exponent {
        medium.blocks_per_physical = 1 << exponent;
        medium.lowest_aligned = offset.into();
    }
    Ok(medium)
}
