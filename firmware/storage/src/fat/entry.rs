//! The slots of a directory (Microsoft FAT specification, 6 and 7).

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::name::{Name, ShortName, UNITS_PER_SLOT};
use super::time::Timestamp;

/// Attribute: not to be written to.
pub const READ_ONLY: u8 = 0x01;
/// Attribute: the volume's label, and no file.
pub const VOLUME_ID: u8 = 0x08;
/// Attribute: a directory.
pub const DIRECTORY: u8 = 0x10;
/// Attribute: written to since it was archived.
pub const ARCHIVE: u8 = 0x20;
/// The attributes of files and directories.
pub const ATTRIBUTES: u8 = 0x37;
/// The attributes of a slot of a long name, and the bits that tell.
const LONG_NAME: u8 = 0x0f;
const LONG_NAME_MASK: u8 = 0x3f;
/// First byte of a slot that is free.
pub const FREE: u8 = 0xe5;
/// First byte of the first slot of those behind all entries.
pub const END: u8 = 0;
/// Stands for a first byte that would say [`FREE`].
const KANJI: u8 = 0x05;
/// Bit of the ordinal of the slot that comes first and has a long name's end.
const LAST_LONG: u8 = 0x40;

/// The slot that a file has in any case.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ShortEntry {
    /// The short name.
    pub name: [u8; 11],
    /// The attributes.
    pub attributes: u8,
    /// NTRes: the case of the short name.
    pub case: u8,
    created_tenths: u8,
    created_time: U16,
    created_date: U16,
    accessed_date: U16,
    cluster_high: U16,
    written_time: U16,
    written_date: U16,
    cluster_low: U16,
    /// Bytes of a file; zero for directories.
    pub size: U32,
}

impl ShortEntry {
    /// A file or directory that begins with this cluster and has no name yet.
    pub fn new(attributes: u8, cluster: u32, now: Timestamp) -> Self {
        let mut entry = Self::new_zeroed();
        entry.attributes = attributes;
        entry.set_cluster(cluster);
        entry.set_created(now);
        entry.set_accessed(now);
        entry.set_written(now);
        entry
    }

    /// The short name.
    pub fn short_name(&self) -> ShortName {
        ShortName(self.name)
    }

    /// The short name as it is read.
    pub fn read_name(&self) -> Name {
        let mut short = self.name;
        if let [first, ..] = &mut short
            && *first == KANJI
        {
            *first = FREE;
        }
        ShortName(short).name(self.case)
    }

    /// The first cluster; zero for none.
    pub fn cluster(&self) -> u32 {
        u32::from(self.cluster_high.get()) << 16 | u32::from(self.cluster_low.get())
    }

    /// Sets the first cluster.
    pub fn set_cluster(&mut self, cluster: u32) {
        self.cluster_high.set((cluster >> 16) as u16);
        self.cluster_low.set((cluster & 0xffff) as u16);
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.attributes & DIRECTORY != 0
    }

    /// When it was created.
    pub fn created(&self) -> Timestamp {
        Timestamp { date: self.created_date.get(), time: self.created_time.get() }
    }

    /// Sets when it was created.
    pub fn set_created(&mut self, at: Timestamp) {
        (self.created_date, self.created_time, self.created_tenths) = (at.date.into(), at.time.into(), 0);
    }

    /// The day when it was last read.
    pub fn accessed(&self) -> Timestamp {
        Timestamp { date: self.accessed_date.get(), time: 0 }
    }

    /// Sets the day when it was last read.
    pub fn set_accessed(&mut self, at: Timestamp) {
        self.accessed_date = at.date.into();
    }

    /// When it was last written to.
    pub fn written(&self) -> Timestamp {
        Timestamp { date: self.written_date.get(), time: self.written_time.get() }
    }

    /// Sets when it was last written to.
    pub fn set_written(&mut self, at: Timestamp) {
        (self.written_date, self.written_time) = (at.date.into(), at.time.into());
    }
}

/// A slot with a part of a long name.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct LongEntry {
    ordinal: u8,
    units_1: [U16; 5],
    attributes: u8,
    kind: u8,
    checksum: u8,
    units_2: [U16; 6],
    cluster: U16,
    units_3: [U16; 2],
}

/// The slot with the part of a long name that has this index, from 0.
pub fn long_slot(name: &Name, index: usize, checksum: u8) -> [u8; 32] {
    let mut slot = LongEntry::new_zeroed();
    let last = if index + 1 == name.slots() { LAST_LONG } else { 0 };
    // There are at most 20 slots.
    slot.ordinal = (index + 1) as u8 | last;
    (slot.attributes, slot.checksum) = (LONG_NAME, checksum);
    let units = name.slot(index);
    let places = slot.units_1.iter_mut().chain(&mut slot.units_2).chain(&mut slot.units_3);
    places.zip(units).for_each(|(place, unit)| place.set(unit));
    zerocopy::transmute!(slot)
}

/// A file or directory in its directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The long name, or the short one when there is no long name.
    pub name: Name,
    /// The slot with everything else.
    pub short: ShortEntry,
    /// The first of its slots in the directory.
    pub first_slot: u32,
    /// The last of them, which has the short name.
    pub last_slot: u32,
    /// Where that slot is on the volume.
    pub offset: u64,
}

/// What came before an entry.
#[derive(Default)]
pub struct LongName {
    name: Name,
    /// The index of the part that comes next, from 1; zero when all are there.
    missing: u8,
    checksum: u8,
    first_slot: Option<u32>,
}

impl LongName {
    /// Takes the next slot in use. An entry comes back with its name when the slot is a short one.
    pub fn take(&mut self, bytes: &[u8; 32], slot: u32, offset: u64) -> Option<Entry> {
        let short: ShortEntry = zerocopy::transmute!(*bytes);
        if short.attributes & LONG_NAME_MASK == LONG_NAME {
            self.add(&zerocopy::transmute!(*bytes), slot);
            return None;
        }
        let long = core::mem::take(self);
        let whole = long.missing == 0 && long.checksum == short.short_name().checksum();
        let first_slot = long.first_slot.filter(|_| whole && !long.name.units().is_empty());
        let name = if first_slot.is_some() { long.name } else { short.read_name() };
        Some(Entry { name, short, first_slot: first_slot.unwrap_or(slot), last_slot: slot, offset })
    }

    fn add(&mut self, part: &LongEntry, slot: u32) {
        let ordinal = part.ordinal & !LAST_LONG;
        if part.ordinal & LAST_LONG != 0 {
            *self = Self { missing: ordinal, checksum: part.checksum, first_slot: Some(slot), name: Name::default() };
        }
        if ordinal == 0 || ordinal > 20 || ordinal != self.missing || part.checksum != self.checksum {
            *self = Self::default();
            return;
        }
        let mut units = [0; UNITS_PER_SLOT];
        let parts = part.units_1.iter().chain(&part.units_2).chain(&part.units_3);
        units.iter_mut().zip(parts).for_each(|(to, from)| *to = from.get());
        self.missing = ordinal - 1;
        self.name.place(self.missing.into(), &units);
    }
}
