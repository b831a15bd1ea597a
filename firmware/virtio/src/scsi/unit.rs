//! A logical unit: a disk or a CD.

use super::command::Cdb;
use super::{Failure, Host};
use crate::transport::Transport;
use crate::{Data, Direction, Error, Medium, Platform};

/// Peripheral device types (SPC-4, section 6.4.2).
mod peripheral {
    pub const DISK: u8 = 0;
    pub const CD: u8 = 5;
}

/// Where a unit is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    /// The target.
    pub target: u8,
    /// The unit of the target.
    pub lun: u16,
}

impl Address {
    /// The form of section 5.6.6.1: flat addressing.
    pub(super) fn bytes(self) -> [u8; 8] {
        let [high, low] = self.lun.to_be_bytes();
        [1, self.target, 0x40 | (high & 0x3f), low, 0, 0, 0, 0]
    }
}

/// A disk or a CD.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unit {
    /// Where it is.
    pub address: Address,
    /// Whether it is a CD.
    pub is_cd: bool,
    /// Whether its medium can be taken out.
    pub removable: bool,
    /// The medium.
    pub medium: Medium,
}

impl Unit {
    /// Asks what is at `address`; `None` when it is no disk or CD.
    pub(super) fn find<P: Platform, T: Transport>(
        host: &mut Host<P, T>,
        address: Address,
    ) -> Result<Option<Self>, Error> {
        const INQUIRY_LEN: u8 = 36;
        let mut data = [0; INQUIRY_LEN as usize];
        match host.query(address, &Cdb::inquiry(INQUIRY_LEN), &mut data) {
            Ok(()) => {}
            Err(Failure::NoTarget) => return Ok(None),
            Err(failure) => return Err(error_of(failure)),
        }
        let [kind, flags, ..] = data;
        // A qualifier other than zero says that nothing is there; it is in the upper bits.
        let is_cd = match kind {
            peripheral::DISK => false,
            peripheral::CD => true,
            _ => return Ok(None),
        };
        let mut unit = Self { address, is_cd, removable: flags & 0x80 != 0, medium: Medium::default() };
        unit.refresh(host)?;
        Ok(Some(unit))
    }

    /// Asks again what medium there is: none is a medium without blocks.
    ///
    /// # Errors
    /// As [`Self::transfer`]; [`Error::Config`] for a medium that makes no sense.
    pub fn refresh<P: Platform, T: Transport>(&mut self, host: &mut Host<P, T>) -> Result<(), Error> {
        self.medium = Medium::default();
        self.medium = match self.look(host) {
            Ok(medium) => medium,
            Err(Error::NoMedium) => Medium { block_size: if self.is_cd { 2048 } else { 512 }, ..Medium::default() },
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn look<P: Platform, T: Transport>(&self, host: &mut Host<P, T>) -> Result<Medium, Error> {
        // The first command reports a medium that has changed, which is no news here.
        let ready = host.command(self.address, &Cdb::test_unit_ready(), None);
        match ready {
            Err(Failure::Check(sense)) if sense.is_medium_changed() => {
                host.command(self.address, &Cdb::test_unit_ready(), None).map_err(error_of)?;
            }
            ready => ready.map_err(error_of)?,
        }
        let (last, block_size) = self.capacity(host)?;
        let blocks = last.checked_add(1).ok_or(Error::Config("capacity"))?;
        let mut medium = Medium::new(block_size, blocks)?;
        medium.read_only = self.is_cd || self.is_write_protected(host)?;
        Ok(medium)
    }

    /// The last block and the size of one.
    fn capacity<P: Platform, T: Transport>(&self, host: &mut Host<P, T>) -> Result<(u64, u32), Error> {
        let mut short = [0; 8];
        host.query(self.address, &Cdb::read_capacity_10(), &mut short).map_err(error_of)?;
        let [l0, l1, l2, l3, b0, b1, b2, b3] = short;
        let last = u32::from_be_bytes([l0, l1, l2, l3]);
        if last != u32::MAX {
            return Ok((last.into(), u32::from_be_bytes([b0, b1, b2, b3])));
        }
        const LONG: u8 = 32;
        let mut long = [0; LONG as usize];
        host.query(self.address, &Cdb::read_capacity_16(LONG), &mut long).map_err(error_of)?;
        let [l0, l1, l2, l3, l4, l5, l6, l7, b0, b1, b2, b3, ..] = long;
        Ok((u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]), u32::from_be_bytes([b0, b1, b2, b3])))
    }

    /// The write-protect bit of the mode parameter header. A unit that has no such page is not protected.
    fn is_write_protected<P: Platform, T: Transport>(&self, host: &mut Host<P, T>) -> Result<bool, Error> {
        const LEN: u8 = 192;
        let mut data = [0; LEN as usize];
        match host.query(self.address, &Cdb::mode_sense(LEN), &mut data) {
            Ok(()) => {}
            Err(Failure::Error(error)) if host.device.is_broken() => return Err(error),
            Err(_) => return Ok(false),
        }
        let [_, _, parameter, ..] = data;
        Ok(parameter & 0x80 != 0)
    }

    /// The most bytes of one transfer, in whole blocks.
    pub fn max_transfer<P: Platform, T: Transport>(&self, host: &Host<P, T>) -> u32 {
        let block_size = self.medium.block_size.max(1);
        host.max_transfer - host.max_transfer % block_size
    }

    /// Reads or writes whole blocks from `block` on, at most [`Self::max_transfer`] bytes.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::WriteProtected`], [`Error::NoMedium`], [`Error::MediumChanged`], [`Error::Io`]; what
    /// gives the host up: [`Error::Timeout`], [`Error::Protocol`], and from then on [`Error::Broken`].
    pub fn transfer<P: Platform, T: Transport>(
        &self,
        host: &mut Host<P, T>,
        direction: Direction,
        block: u64,
        data: Data,
    ) -> Result<(), Error> {
        let count = self.medium.check(direction, block, data.length)?;
        if data.length > self.max_transfer(host) {
            return Err(Error::Range);
        }
        let cdb = Cdb::transfer(direction, block, count);
        host.command(self.address, &cdb, Some((direction, data))).map_err(error_of)
    }

    /// Makes what was written permanent.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub fn flush<P: Platform, T: Transport>(&self, host: &mut Host<P, T>) -> Result<(), Error> {
        match host.command(self.address, &Cdb::synchronize_cache(), None).map_err(error_of) {
            // A unit without the command has no cache.
            Err(Error::Unsupported) => Ok(()),
            result => result,
        }
    }

    /// Whether the medium is the one that was found, and still there.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub fn check<P: Platform, T: Transport>(&self, host: &mut Host<P, T>) -> Result<(), Error> {
        host.command(self.address, &Cdb::test_unit_ready(), None).map_err(error_of)
    }
}

fn error_of(failure: Failure) -> Error {
    match failure {
        Failure::Error(error) => error,
        Failure::NoTarget => Error::Io,
        Failure::Check(sense) => sense.error(),
    }
}
