//! Reading a log, which may come from anywhere.

use crate::hash::{Algorithm, CpuHash, Digest};

use super::{EventType, FILL, SHA1_LEN, SPEC_ID_SIGNATURE};

/// Why bytes are not the log of a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends within the field at this offset.
    #[error("event log ends within the field at {0:#x}")]
    Truncated(usize),
    /// The first event is not TCG_PCR_EVENT with a TCG_EfiSpecIDEvent of version 2.
    #[error("event log does not begin with \"Spec ID Event03\" of version 2")]
    Header,
    /// The header names no algorithm, several, or one that no realm has.
    #[error("event log is not of one algorithm that realms have")]
    Algorithm,
    /// The record at this offset has not exactly one digest, or one of another algorithm.
    #[error("event at {0:#x} does not have the log's one digest")]
    Digests(usize),
    /// The record at this offset extends a register that cannot be extended.
    #[error("event at {0:#x} extends measurement register {1}, which cannot be")]
    Register(usize, u32),
}

/// A log whose header was checked.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    algorithm: Algorithm,
    bytes: &'a [u8],
    records: usize,
}

/// TCG_PCR_EVENT2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it lies in the log, in bytes.
    pub offset: usize,
    /// The measurement register: 0 for the RIM, 1 to 4 for REM\[0\] to REM\[3\].
    pub index: u32,
    /// Type of the event.
    pub event_type: EventType,
    /// What was extended, unless the type is EV_NO_ACTION.
    pub digest: Digest,
    /// Event data.
    pub data: &'a [u8],
}

/// Takes fields from the front of a log.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let error = Error::Truncated(self.offset);
        let end = self.offset.checked_add(len).ok_or(error)?;
        let field = self.bytes.get(self.offset..end).ok_or(error)?;
        self.offset = end;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let error = Error::Truncated(self.offset);
        self.take(N)?.try_into().map_err(|_| error)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_le_bytes)
    }

    /// Takes the bytes that a 32-bit length before them counts.
    fn counted(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u32()?;
        self.take(usize::try_from(len).map_err(|_| Error::Truncated(self.offset))?)
    }

    /// Whether nothing follows but the filling of the area.
    fn at_end(&self) -> bool {
        self.bytes.get(self.offset..).unwrap_or_default().iter().all(|&byte| byte == FILL)
    }
}

impl<'a> Log<'a> {
    /// Checks the header of a log. `bytes` may go on behind the last record, with nothing but 0xFF.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor { bytes, offset: 0 };
        let (index, event_type) = (cursor.u32()?, EventType(cursor.u32()?));
        let digest: [u8; SHA1_LEN] = cursor.array()?;
        if index != 0 || event_type != EventType::NO_ACTION || digest != [0; SHA1_LEN] {
            return Err(Error::Header);
        }
        let event = cursor.counted()?;
        let records = cursor.offset;

        let mut event = Cursor { bytes: event, offset: 0 };
        let algorithm = spec_id_event(&mut event).map_err(|error| match error {
            Error::Truncated(_) => Error::Header,
            other => other,
        })?;
        Ok(Self { algorithm, bytes, records })
    }

    /// The algorithm of its digests.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its records, from the first on. Ends after the first that is malformed.
    pub fn records(&self) -> Records<'a> {
        let cursor = Cursor { bytes: self.bytes, offset: self.records };
        Records { algorithm: self.algorithm, cursor, failed: false }
    }
}

fn spec_id_event(event: &mut Cursor<'_>) -> Result<Algorithm, Error> {
    if event.array()? != SPEC_ID_SIGNATURE {
        return Err(Error::Header);
    }
    let _platform_class = event.u32()?;
    let (_minor, major, _errata, _uintn_size) = (event.u8()?, event.u8()?, event.u8()?, event.u8()?);
    if major != 2 {
        return Err(Error::Header);
    }
    if event.u32()? != 1 {
        return Err(Error::Algorithm);
    }
    let (id, digest_len) = (event.u16()?, event.u16()?);
    let algorithm = Algorithm::from_tcg_id(id).ok_or(Error::Algorithm)?;
    if usize::from(digest_len) != algorithm.digest_len() {
        return Err(Error::Algorithm);
    }
    let vendor_info_len = event.u8()?;
    event.take(vendor_info_len.into())?;
    if event.offset == event.bytes.len() { Ok(algorithm) } else { Err(Error::Header) }
}

/// The records of a log.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    algorithm: Algorithm,
    cursor: Cursor<'a>,
    failed: bool,
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<Record<'a>, Error> {
        let offset = self.cursor.offset;
        let index = self.cursor.u32()?;
        let event_type = EventType(self.cursor.u32()?);
        if self.cursor.u32()? != 1 || self.cursor.u16()? != self.algorithm.tcg_id() {
            return Err(Error::Digests(offset));
        }
        let digest = self.cursor.take(self.algorithm.digest_len())?;
        let digest = Digest::new(self.algorithm, digest).ok_or(Error::Digests(offset))?;
        let data = self.cursor.counted()?;
        Ok(Record { offset, index, event_type, digest, data })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Only what begins with ones can be nothing but ones, so that the records are looked through once.
        let begins_filled = self.cursor.bytes.get(self.cursor.offset).is_none_or(|&byte| byte == FILL);
        if self.failed || begins_filled && self.cursor.at_end() {
            return None;
        }
        let record = self.record();
        self.failed = record.is_err();
        Some(record)
    }
}

/// REM\[0\] to REM\[3\] as the events of a log make them, from registers that nothing was extended into.
pub fn replay(log: &Log<'_>, cpu: CpuHash) -> Result<[Digest; 4], Error> {
    let mut registers = [Digest::zero(log.algorithm()); 4];
    for record in log.records() {
        let record = record?;
        if record.event_type == EventType::NO_ACTION {
            continue;
        }
        let register = usize::try_from(record.index).ok().and_then(|index| registers.get_mut(index.checked_sub(1)?));
        let register = register.ok_or(Error::Register(record.offset, record.index))?;
        *register = register.extended(record.digest.as_bytes(), cpu);
    }
    Ok(registers)
}
