//! Directories: finding, adding and removing entries.

use zerocopy::IntoBytes;

use super::Error;
use super::entry::{DIRECTORY, END, Entry, FREE, LongName, ShortEntry, VOLUME_ID, long_slot};
use super::geometry::ENTRY_SIZE;
use super::name::{Name, ShortName};
use super::time::Timestamp;
use super::volume::Volume;
use crate::block::BlockDevice;

/// The most slots of a directory: 2 MiB (Microsoft FAT specification, 6.5).
const MAX_SLOTS: u32 = 65536;
/// How much of a directory is read at once.
const PIECE: u32 = 4096;
/// The most slots of one entry.
const MAX_ENTRY_SLOTS: usize = 21;
/// How many numbers are tried behind a short name, before and after a part of it is replaced by a hash.
const PLAIN_NUMBERS: core::ops::RangeInclusive<u32> = 1..=4;
const HASHED_NUMBERS: core::ops::RangeInclusive<u32> = 1..=9;

/// A place in a directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The directory's first cluster; zero for the root of FAT12 and FAT16.
    first: u32,
    slot: u32,
    /// The cluster that the slot is in; zero behind the last.
    cluster: u32,
}

impl Cursor {
    /// The start of the directory that begins with this cluster.
    pub(super) fn start(first: u32) -> Self {
        Self { first, slot: 0, cluster: first }
    }
}

/// What was added.
pub(super) struct Added {
    pub first_slot: u32,
    pub last_slot: u32,
    pub offset: u64,
    pub short: ShortEntry,
}

impl<D: BlockDevice> Volume<D> {
    /// Where the slot is on the volume; `None` behind the directory's end.
    fn slot_offset(&self, cursor: &Cursor) -> Option<u64> {
        let bytes = u64::from(cursor.slot) * ENTRY_SIZE;
        if cursor.first == 0 {
            return (bytes < self.geometry.root_size).then(|| self.geometry.root_start + bytes);
        }
        let within = bytes % u64::from(self.geometry.cluster_size);
        (cursor.cluster != 0).then(|| self.geometry.offset(cursor.cluster) + within)
    }

    fn advance(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        cursor.slot += 1;
        if cursor.slot > MAX_SLOTS {
            return Err(Error::Corrupt);
        }
        let bytes = u64::from(cursor.slot) * ENTRY_SIZE;
        if cursor.first != 0 && bytes.is_multiple_of(self.geometry.cluster_size.into()) {
            cursor.cluster = self.next(cursor.cluster)?.unwrap_or(0);
        }
        Ok(())
    }

    fn slot(&mut self, cursor: &Cursor) -> Result<Option<([u8; 32], u64)>, Error> {
        let Some(offset) = self.slot_offset(cursor) else { return Ok(None) };
        let geometry = &self.geometry;
        let (base, piece) = match cursor.first {
            0 => (geometry.root_start, geometry.sector_size),
            _ => (geometry.data_start, geometry.cluster_size.min(PIECE)),
        };
        let start = base + (offset - base) / u64::from(piece) * u64::from(piece);
        let bytes = self.directory.load(&mut self.disk, start, piece as usize)?;
        let slot = bytes.get((offset - start) as usize..).and_then(|bytes| bytes.first_chunk());
        Ok(slot.map(|slot| (*slot, offset)))
    }

    /// The next short slot with the long name before it, the volume's label included.
    pub(super) fn next_slot(&mut self, cursor: &mut Cursor) -> Result<Option<Entry>, Error> {
        let mut long = LongName::default();
        while let Some((bytes, offset)) = self.slot(cursor)? {
            let slot = cursor.slot;
            match bytes {
                [END, ..] => break,
                [FREE, ..] => long = LongName::default(),
                _ => {
                    if let Some(entry) = long.take(&bytes, slot, offset) {
                        self.advance(cursor)?;
                        return Ok(Some(entry));
                    }
                }
            }
            self.advance(cursor)?;
        }
        Ok(None)
    }

    /// The next file or directory.
    pub(super) fn next_file(&mut self, cursor: &mut Cursor) -> Result<Option<Entry>, Error> {
        while let Some(entry) = self.next_slot(cursor)? {
            if entry.short.attributes & VOLUME_ID == 0 {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entry of this name, long or short.
    pub(super) fn find(&mut self, directory: u32, name: &Name) -> Result<Option<Entry>, Error> {
        let mut cursor = Cursor::start(directory);
        while let Some(entry) = self.next_file(&mut cursor)? {
            if entry.name.matches(name) || entry.short.read_name().matches(name) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Whether an entry other than the one at `except` has this short name.
    fn is_taken(&mut self, directory: u32, name: ShortName, except: Option<u64>) -> Result<bool, Error> {
        let mut cursor = Cursor::start(directory);
        while let Some(entry) = self.next_file(&mut cursor)? {
            if entry.short.short_name() == name && Some(entry.offset) != except {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A short name that no other entry has, and whether it says all of the name.
    fn short_name(&mut self, directory: u32, name: &Name, except: Option<u64>) -> Result<(ShortName, bool), Error> {
        if let Some(exact) = ShortName::exact(name)
            && !self.is_taken(directory, exact, except)?
        {
            return Ok((exact, true));
        }
        let (basis, lossy) = ShortName::basis(name);
        if !lossy && !self.is_taken(directory, basis, except)? {
            return Ok((basis, false));
        }
        let hash =
            name.units().iter().fold(0u16, |hash, unit| hash.rotate_left(5).wrapping_mul(31).wrapping_add(*unit));
        let plain = PLAIN_NUMBERS.map(|number| basis.numbered(number, None));
        for candidate in plain.chain(HASHED_NUMBERS.map(|number| basis.numbered(number, Some(hash)))) {
            if !self.is_taken(directory, candidate, except)? {
                return Ok((candidate, false));
            }
        }
        Err(Error::NoSpace)
    }

    /// Adds an entry: its slots are written from first to last, so that it is there when its short name is. `except` is
    /// where the entry is that goes afterwards.
    pub(super) fn add(
        &mut self,
        directory: u32,
        name: &Name,
        mut short: ShortEntry,
        except: Option<u64>,
    ) -> Result<Added, Error> {
        let (short_name, exact) = self.short_name(directory, name, except)?;
        (short.name, short.case) = (short_name.0, 0);
        let long_slots = if exact { 0 } else { name.slots() };
        let mut cursor = self.find_free(directory, long_slots + 1)?;
        let first_slot = cursor.slot;
        for index in (0..long_slots).rev() {
            self.put(&cursor, &long_slot(name, index, short_name.checksum()))?;
            self.advance(&mut cursor)?;
        }
        let offset = self.put(&cursor, short.as_bytes())?;
        Ok(Added { first_slot, last_slot: cursor.slot, offset, short })
    }

    /// Adds one slot as it is.
    pub(super) fn add_slot(&mut self, directory: u32, short: &ShortEntry) -> Result<(), Error> {
        let cursor = self.find_free(directory, 1)?;
        self.put(&cursor, short.as_bytes())?;
        Ok(())
    }

    /// The first of so many free slots that follow one another. A directory that has none grows.
    fn find_free(&mut self, directory: u32, slots: usize) -> Result<Cursor, Error> {
        let mut cursor = Cursor::start(directory);
        let mut run: Option<(Cursor, usize)> = None;
        let mut ended = false;
        let start = loop {
            match self.slot(&cursor)? {
                Some(([first, ..], _)) => {
                    ended |= first == END;
                    run = (ended || first == FREE).then(|| match run {
                        Some((start, length)) => (start, length + 1),
                        None => (cursor, 1),
                    });
                    if let Some((start, length)) = run
                        && length == slots
                    {
                        break start;
                    }
                    if cursor.slot + 1 >= MAX_SLOTS {
                        return Err(Error::NoSpace);
                    }
                    let last = cursor.cluster;
                    self.advance(&mut cursor)?;
                    if directory != 0 && cursor.cluster == 0 {
                        cursor.cluster = self.allocate_directory(Some(last))?;
                        self.table.flush(&mut self.disk, &self.geometry)?;
                    }
                }
                // The root directory of FAT12 and FAT16 cannot grow.
                None => return Err(Error::NoSpace),
            }
        };
        if ended {
            // What is behind the end need not be zero, and would be read once the end is overwritten.
            let mut behind = cursor;
            self.advance(&mut behind)?;
            if let Some(([first, ..], _)) = self.slot(&behind)?
                && first != END
            {
                self.put(&behind, &[END])?;
            }
        }
        Ok(start)
    }

    /// Writes to a slot; where that is.
    fn put(&mut self, cursor: &Cursor, bytes: &[u8]) -> Result<u64, Error> {
        let offset = self.slot_offset(cursor).ok_or(Error::Corrupt)?;
        self.put_at(offset, bytes)?;
        Ok(offset)
    }

    /// Writes to the slot at this place.
    pub(super) fn put_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.directory.forget();
        Ok(self.disk.write_at(offset, bytes)?)
    }

    /// Removes the entry in these slots: the short name first, and with it the file.
    pub(super) fn remove_slots(&mut self, directory: u32, first: u32, last: u32) -> Result<(), Error> {
        let mut cursor = Cursor::start(directory);
        let mut offsets = [0; MAX_ENTRY_SLOTS];
        while cursor.slot <= last {
            let offset = self.slot_offset(&cursor).ok_or(Error::Corrupt)?;
            if let Some(index) = cursor.slot.checked_sub(first)
                && let Some(place) = offsets.get_mut(index as usize)
            {
                *place = offset;
            }
            self.advance(&mut cursor)?;
        }
        for offset in offsets.iter().rev().filter(|offset| **offset != 0) {
            self.put_at(*offset, &[FREE])?;
        }
        Ok(())
    }

    /// Whether there is nothing in a directory but itself and its parent.
    pub(super) fn is_empty(&mut self, directory: u32) -> Result<bool, Error> {
        let mut cursor = Cursor::start(directory);
        while let Some(entry) = self.next_file(&mut cursor)? {
            if ![ShortName::DOT, ShortName::DOT_DOT].contains(&entry.short.short_name()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the cluster of a new directory, which no entry names yet.
    pub(super) fn make_directory(&mut self, parent: u32, now: Timestamp) -> Result<u32, Error> {
        let cluster = self.allocate_directory(None)?;
        let own = [(ShortName::DOT, cluster), (ShortName::DOT_DOT, parent)];
        for ((name, cluster), offset) in own.into_iter().zip([0, ENTRY_SIZE]) {
            let mut short = ShortEntry::new(DIRECTORY, cluster, now);
            short.name = name.0;
            self.put_at(self.geometry.offset(own[0].1) + offset, short.as_bytes())?;
        }
        self.table.flush(&mut self.disk, &self.geometry)?;
        Ok(cluster)
    }

    /// Has a directory name its new parent.
    pub(super) fn set_parent(&mut self, directory: u32, parent: u32) -> Result<(), Error> {
        let mut cursor = Cursor::start(directory);
        while let Some(mut entry) = self.next_file(&mut cursor)? {
            if entry.short.short_name() == ShortName::DOT_DOT {
                entry.short.set_cluster(parent);
                return self.put_at(entry.offset, entry.short.as_bytes());
            }
        }
        Ok(())
    }
}
