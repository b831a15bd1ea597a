//! Variables packed one after the other in a byte slice.
//!
//! A record is attributes, name length, data length (little-endian, 4 bytes each), the vendor GUID,
//! the name in UCS-2 without its NUL, and the data. There are no gaps: removing moves what follows,
//! so free space is always in one piece and every change either happens or leaves all as it was.

use core::cell::Cell;

use r_efi::efi::Guid;

const GUID_SIZE: usize = 16;
const DATA_LENGTH_OFFSET: usize = 8;

/// What a record takes beside its name and data, in bytes.
pub const RECORD_OVERHEAD: usize = 12 + GUID_SIZE;

/// The change does not fit; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where a variable is. Valid until the store changes.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// `EFI_VARIABLE_*` without `APPEND_WRITE`.
    pub attributes: u32,
    /// Vendor of the variable.
    pub guid: Guid,
    start: usize,
    data: usize,
    end: usize,
}

impl Record {
    /// Length of the data in bytes.
    #[must_use]
    pub fn data_len(&self) -> usize {
        self.end.saturating_sub(self.data)
    }

    /// Length of the name in bytes, without its NUL.
    #[must_use]
    pub fn name_len(&self) -> usize {
        self.data.saturating_sub(self.start).saturating_sub(RECORD_OVERHEAD)
    }

    /// Whether both are the same variable.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.start == other.start
    }
}

/// Variables in `bytes`, of which the first `used` are taken.
#[derive(Debug)]
pub struct Store<'a> {
    bytes: &'a mut [u8],
    used: &'a mut usize,
}

impl<'a> Store<'a> {
    /// A store over `bytes`. An empty one has `used` zero; its bytes may be anything.
    pub fn new(bytes: &'a mut [u8], used: &'a mut usize) -> Self {
        Self { bytes, used }
    }

    /// Size of the store in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.capacity().saturating_sub(*self.used)
    }

    /// The variable after `record`, or the first. The order is that of creation.
    #[must_use]
    pub fn after(&self, record: Option<&Record>) -> Option<Record> {
        self.record_at(record.map_or(0, |record| record.end))
    }

    /// Whether nothing, not even something malformed, comes after `record`, or no record is there at all.
    #[must_use]
    pub fn is_last(&self, record: Option<&Record>) -> bool {
        record.map_or(0, |record| record.end) == *self.used
    }

    /// Removes all variables.
    pub fn clear(&mut self) {
        *self.used = 0;
    }

    /// The variable `name` of vendor `guid`. Names differ by any byte, so in case too.
    #[must_use]
    pub fn find(&self, name: &[u8], guid: &Guid) -> Option<Record> {
        let mut record = self.after(None)?;
        while record.guid != *guid || self.name(&record) != name {
            record = self.after(Some(&record))?;
        }
        Some(record)
    }

    /// The name of `record`: UCS-2, little-endian, without NUL.
    #[must_use]
    pub fn name(&self, record: &Record) -> &[u8] {
        let start = record.start.saturating_add(RECORD_OVERHEAD);
        self.bytes.get(start..record.data).unwrap_or_default()
    }

    /// The data of `record`.
    #[must_use]
    pub fn data(&self, record: &Record) -> &[u8] {
        self.bytes.get(record.data..record.end).unwrap_or_default()
    }

    /// Adds a variable; the caller has made sure that there is none of this name and vendor.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn insert(&mut self, name: &[u8], guid: &Guid, attributes: u32, data: &[u8]) -> Result<(), Full> {
        let mut at = *self.used;
        for part in [
            &attributes.to_le_bytes(),
            &length(name.len())?,
            &length(data.len())?,
            guid.as_bytes().as_slice(),
            name,
            data,
        ] {
            at = self.write(at, part)?;
        }
        // Only now does it exist: what a refused insertion has written lies in free space.
        *self.used = at;
        Ok(())
    }

    /// Replaces the data of `record` after its first `keep` bytes by `data`. The variable keeps its
    /// place in the order.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn replace(&mut self, record: &Record, keep: usize, data: &[u8]) -> Result<(), Full> {
        let len = keep.checked_add(data.len()).ok_or(Full)?;
        let encoded = length(len)?;
        let end = record.data.checked_add(len).ok_or(Full)?;
        self.move_tail(record.end, end)?;
        self.write(record.data.saturating_add(keep), data)?;
        self.write(record.start.saturating_add(DATA_LENGTH_OFFSET), &encoded)?;
        Ok(())
    }

    /// Removes `record`.
    pub fn remove(&mut self, record: &Record) {
        // Moving to a lower address always fits.
        let _ = self.move_tail(record.end, record.start);
    }

    fn record_at(&self, start: usize) -> Option<Record> {
        let rest = self.bytes.get(start..*self.used)?;
        let (attributes, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_first_chunk()?;
        let (data, rest) = rest.split_first_chunk()?;
        let (guid, _) = rest.split_first_chunk()?;
        let position =
            |after: usize, length: &[u8; 4]| after.checked_add(usize::try_from(u32::from_le_bytes(*length)).ok()?);
        let data_start = position(start.checked_add(RECORD_OVERHEAD)?, name)?;
        let end = position(data_start, data)?;
        (end <= *self.used).then_some(Record {
            attributes: u32::from_le_bytes(*attributes),
            guid: Guid::from_bytes(guid),
            start,
            data: data_start,
            end,
        })
    }

    /// Moves all that is used from `from` on to `to`, and counts it as used.
    fn move_tail(&mut self, from: usize, to: usize) -> Result<(), Full> {
        let length = self.used.checked_sub(from).ok_or(Full)?;
        let used = to.checked_add(length).ok_or(Full)?;
        // Cells, because source and target overlap; copy_within() would bring its panics along.
        let cells = Cell::from_mut(&mut *self.bytes).as_slice_of_cells();
        let source = cells.get(from..*self.used).ok_or(Full)?.iter();
        let target = cells.get(to..used).ok_or(Full)?.iter();
        let copy = |(target, source): (&Cell<u8>, &Cell<u8>)| target.set(source.get());
        if to <= from {
            target.zip(source).for_each(copy);
        } else {
            target.rev().zip(source.rev()).for_each(copy);
        }
        *self.used = used;
        Ok(())
    }

    /// Copies `source` to `at` and gives the offset of its end.
    fn write(&mut self, at: usize, source: &[u8]) -> Result<usize, Full> {
        let end = at.checked_add(source.len()).ok_or(Full)?;
        let target = self.bytes.get_mut(at..end).ok_or(Full)?;
        for (target, source) in target.iter_mut().zip(source) {
            *target = *source;
        }
        Ok(end)
    }
}

fn length(len: usize) -> Result<[u8; 4], Full> {
    u32::try_from(len).map(u32::to_le_bytes).map_err(|_| Full)
}
