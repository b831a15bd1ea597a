//! The SCSI host (section 5.6) and the block devices on it (SPC-4, SBC-3, MMC-6 for what a CD has of its own).

mod command;
mod sense;
mod unit;

pub use unit::{Address, Unit};

use core::time::Duration;

use crate::queue::REQUEST;
use crate::transport::Transport;
use crate::{Data, Device, Direction, Error, Platform, REQUEST_TIMEOUT, Segment, Setup};
use command::Cdb;
use sense::Sense;

/// Offsets in the configuration.
mod config {
    pub const MAX_SECTORS: u64 = 8;
    pub const MAX_TARGET: u64 = 30;
    pub const MAX_LUN: u64 = 32;
}

/// The first request queue: 0 is for control and 1 for events.
const QUEUE: u16 = 2;

/// A CDB has this length unless the driver changes it, and sense data that one.
const CDB_LEN: usize = 32;
const SENSE_LEN: usize = 96;
const HEADER_LEN: usize = 19 + CDB_LEN;
const ANSWER_LEN: usize = 12 + SENSE_LEN;
/// Where in the page the header, the answer and small data are.
const HEADER: usize = REQUEST;
const ANSWER: usize = REQUEST + 0x80;
const DATA: usize = REQUEST + 0x200;
/// The largest answer to a command about a unit.
const MAX_DATA: usize = 256;

/// The time for finding all units of a host together.
pub const SCAN_TIMEOUT: Duration = Duration::from_secs(20);
/// The most targets that are looked at, and the most units that are found.
const MAX_TARGETS: u16 = 256;
const MAX_UNITS: usize = 64;

/// What a device did with a command (section 5.6.6.1).
mod response {
    pub const OK: u8 = 0;
    pub const BAD_TARGET: u8 = 3;
}

/// Status (SAM-5, section 5.3).
mod scsi_status {
    pub const GOOD: u8 = 0;
    pub const CHECK_CONDITION: u8 = 2;
}

/// Why a command has no result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Failure {
    /// The device or the request.
    Error(Error),
    /// There is no such target.
    NoTarget,
    /// The unit reports a condition.
    Check(Sense),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A SCSI host.
#[derive(Debug)]
pub struct Host<P: Platform, T: Transport> {
    device: Device<P, T>,
    max_transfer: u32,
    max_target: u16,
    max_lun: u32,
}

impl<P: Platform, T: Transport> Host<P, T> {
    /// Starts the device.
    ///
    /// # Errors
    /// As [`Device::start`]; [`Error::Config`].
    pub fn start(platform: P, transport: T, setup: Setup) -> Result<Self, Error> {
        let device = Device::start(platform, transport, setup, 0, QUEUE)?;
        let (max_sectors, max_target, max_lun) = device.config(|transport| {
            (
                transport.config32(config::MAX_SECTORS),
                transport.config16(config::MAX_TARGET),
                transport.config32(config::MAX_LUN),
            )
        })?;
        let max_transfer = max_sectors.saturating_mul(crate::SECTOR);
        // The largest block is the least that makes sense.
        if max_transfer < driver::MAX_BLOCK_SIZE {
            return Err(Error::Config("max_sectors"));
        }
        Ok(Self { device, max_transfer, max_target: max_target.min(MAX_TARGETS - 1), max_lun })
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut Device<P, T> {
        &mut self.device
    }

    /// Asks for a unit within `timeout`, whether it is there or not: whether the device finds the queue where it was
    /// told.
    ///
    /// # Errors
    /// What gives the host up.
    pub fn probe(&mut self, timeout: Duration) -> Result<(), Error> {
        self.device.set_timeout(timeout);
        let result = self.command_once(Address { target: 0, lun: 0 }, &Cdb::test_unit_ready(), None);
        self.device.set_timeout(REQUEST_TIMEOUT);
        match result {
            Err(Failure::Error(error)) if self.device.is_broken() => Err(error),
            // An error is an answer.
            _ => Ok(()),
        }
    }

    /// Calls `found` with each unit that is a disk or a CD, within [`SCAN_TIMEOUT`] and up to a number that no machine
    /// has.
    ///
    /// # Errors
    /// What gives the host up; units that were found before count.
    pub fn scan(&mut self, mut found: impl FnMut(Unit)) -> Result<(), Error> {
        let start = self.device.platform().ticks();
        let mut count = 0;
        for target in 0..=self.max_target {
            // At most 255: `start` saw to that.
            let target = target as u8;
            if self.is_late(start) {
                return Err(Error::Timeout);
            }
            let mut luns = [0; MAX_DATA / 8];
            let Some(known) = self.luns(target, &mut luns)? else { continue };
            for &lun in luns.iter().take(known) {
                if self.is_late(start) || count == MAX_UNITS {
                    return Err(Error::Timeout);
                }
                match Unit::find(self, Address { target, lun }) {
                    Ok(Some(unit)) => {
                        count += 1;
                        found(unit);
                    }
                    Ok(None) => {}
                    Err(error) if self.device.is_broken() => return Err(error),
                    // A unit that cannot tell what it is does not keep others from being found.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Whether [`SCAN_TIMEOUT`] is over for what began at `start`.
    fn is_late(&self, start: u64) -> bool {
        let platform = self.device.platform();
        let limit = platform.ticks_per_second().saturating_mul(SCAN_TIMEOUT.as_secs());
        platform.ticks().saturating_sub(start) > limit
    }

    /// The units of a target; `None` when there is no such target. One that cannot list them has unit 0.
    fn luns(&mut self, target: u8, luns: &mut [u16]) -> Result<Option<usize>, Error> {
        let mut data = [0; MAX_DATA];
        match self.query(Address { target, lun: 0 }, &Cdb::report_luns(MAX_DATA as u32), &mut data) {
            Ok(()) => {}
            Err(Failure::NoTarget) => return Ok(None),
            Err(Failure::Error(error)) if self.device.is_broken() => return Err(error),
            Err(_) => return Ok(Some(1)),
        }
        let (length, entries) = data.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let listed = u32::from_be_bytes(*length) as usize / 8;
        // Four reserved bytes stand before the list.
        let entries = entries.get(4..).unwrap_or_default().as_chunks::<8>().0;
        let entries = entries.iter().take(listed).filter_map(command::lun_from_list);
        let mut known = 0;
        for (lun, slot) in entries.filter(|lun| u32::from(*lun) <= self.max_lun).zip(luns) {
            *slot = lun;
            known += 1;
        }
        Ok(Some(known))
    }

    /// A command whose data fits the queue's page.
    fn query(&mut self, address: Address, cdb: &Cdb, data: &mut [u8]) -> Result<(), Failure> {
        let length = data.len().min(MAX_DATA);
        self.device.write(DATA, &[0; MAX_DATA]);
        // At most MAX_DATA.
        let part = Data { address: self.device.address(DATA), length: length as u32 };
        self.command(address, cdb, (length != 0).then_some((Direction::Read, part)))?;
        self.device.read(DATA, data.get_mut(..length).unwrap_or_default());
        Ok(())
    }

    /// A command. A unit that reports that something has happened to it (unit attention) is asked again.
    fn command(&mut self, address: Address, cdb: &Cdb, data: Option<(Direction, Data)>) -> Result<(), Failure> {
        /// One for each reason that a unit has at its start.
        const ATTEMPTS: u32 = 4;
        let mut result = self.command_once(address, cdb, data);
        for _ in 1..ATTEMPTS {
            match result {
                Err(Failure::Check(sense)) if sense.is_attention() && !sense.is_medium_changed() => {
                    result = self.command_once(address, cdb, data);
                }
                _ => break,
            }
        }
        result
    }

    fn command_once(&mut self, address: Address, cdb: &Cdb, data: Option<(Direction, Data)>) -> Result<(), Failure> {
        let answer = self.exchange(address, cdb, data)?;
        let [s0, s1, s2, s3, r0, r1, r2, r3, _, _, status, outcome, sense @ ..] = answer;
        match outcome {
            response::OK => {}
            response::BAD_TARGET => return Err(Failure::NoTarget),
            1..=9 => return Err(Error::Io.into()),
            _ => return Err(self.device.judge(Error::Protocol("response")).into()),
        }
        match status {
            scsi_status::GOOD => {}
            scsi_status::CHECK_CONDITION => {
                let length = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
                return Err(Failure::Check(self.sense(address, sense.get(..length).unwrap_or(&sense))?));
            }
            _ => return Err(Error::Io.into()),
        }
        let residual = u32::from_le_bytes([r0, r1, r2, r3]);
        let length = data.map_or(0, |(_, data)| data.length);
        if residual > length {
            return Err(self.device.judge(Error::Protocol("residual")).into());
        }
        // Blocks come whole or not at all; what a unit says of itself may be shorter than the room for it.
        if residual != 0 && cdb.moves_blocks() { Err(Error::Io.into()) } else { Ok(()) }
    }

    /// Gives a command to the host and takes the answer.
    fn exchange(
        &mut self,
        address: Address,
        cdb: &Cdb,
        data: Option<(Direction, Data)>,
    ) -> Result<[u8; ANSWER_LEN], Error> {
        let mut header = [0; HEADER_LEN];
        // LUN, then a tag, attribute, priority and CRN that are zero for a simple task.
        let fields = address.bytes().into_iter().chain([0; 11]).chain(cdb.bytes().iter().copied());
        for (to, from) in header.iter_mut().zip(fields) {
            *to = from;
        }
        self.device.write(HEADER, &header);
        self.device.write(ANSWER, &[0xff; ANSWER_LEN]);
        let header = Segment { address: self.device.address(HEADER), length: HEADER_LEN as u32, device_writes: false };
        let answer = Segment { address: self.device.address(ANSWER), length: ANSWER_LEN as u32, device_writes: true };
        let segment = |data: Data, device_writes| Segment { address: data.address, length: data.length, device_writes };
        match data {
            None => self.device.request(&[header, answer])?,
            Some((Direction::Read, data)) => self.device.request(&[header, answer, segment(data, true)])?,
            Some((Direction::Write, data)) => self.device.request(&[header, segment(data, false), answer])?,
        };
        let mut bytes = [0; ANSWER_LEN];
        self.device.read(ANSWER, &mut bytes);
        Ok(bytes)
    }

    /// The sense data that came with the answer, or what REQUEST SENSE gives when none did.
    fn sense(&mut self, address: Address, bytes: &[u8]) -> Result<Sense, Error> {
        if let Some(sense) = Sense::parse(bytes) {
            return Ok(sense);
        }
        let mut data = [0; sense::LEN as usize];
        self.device.write(DATA, &data);
        let part = Data { address: self.device.address(DATA), length: sense::LEN.into() };
        self.exchange(address, &Cdb::request_sense(sense::LEN), Some((Direction::Read, part)))?;
        self.device.read(DATA, &mut data);
        Sense::parse(&data).ok_or(Error::Io)
    }
}
