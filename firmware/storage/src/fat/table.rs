//! The file allocation table: which cluster follows which.

use core::ops::Range;

use super::Error;
use super::geometry::{FIRST_CLUSTER, Geometry, Kind};
use super::window::Window;
use crate::block::BlockDevice;
use crate::disk::Disk;

/// How much of the FAT is kept in memory: all of it on FAT12, so that no entry lies across two pieces.
const WINDOW: u64 = 8 << 10;

/// What the entry of a cluster says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// Belongs to nothing.
    Free,
    /// This cluster follows.
    Next(u32),
    /// The last of its chain.
    End,
    /// Marked as bad, or a number that is none.
    Bad,
}

/// The table, of which a part is in memory and perhaps changed there.
#[derive(Debug, Default)]
pub struct Table {
    window: Window,
    /// What was changed, in bytes of the table.
    changed: Option<Range<u64>>,
}

impl Table {
    /// What the entry of a cluster says.
    pub fn get<D: BlockDevice>(
        &mut self,
        disk: &mut Disk<D>,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<Link, Error> {
        let (bytes, at) = self.entry(disk, geometry, cluster)?;
        let raw = read(bytes, at, geometry.kind, cluster).ok_or(Error::Corrupt)?;
        let (bad, end) = match geometry.kind {
            Kind::Fat12 => (0xff7, 0xff8),
            Kind::Fat16 => (0xfff7, 0xfff8),
            Kind::Fat32 => (0x0fff_fff7, 0x0fff_fff8),
        };
        Ok(match raw {
            0 => Link::Free,
            raw if raw >= end => Link::End,
            raw if raw == bad || !geometry.has(raw) => Link::Bad,
            raw => Link::Next(raw),
        })
    }

    /// The cluster that follows in a chain; `None` at its end.
    pub fn next<D: BlockDevice>(
        &mut self,
        disk: &mut Disk<D>,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<Option<u32>, Error> {
        match self.get(disk, geometry, cluster)? {
            Link::Next(next) => Ok(Some(next)),
            Link::End => Ok(None),
            Link::Free | Link::Bad => Err(Error::Corrupt),
        }
    }

    /// Changes the entry of a cluster, in memory. Changes reach the volume in the order in which they were made, as far
    /// as they are in different pieces, and all with [`flush`](Self::flush).
    pub fn set<D: BlockDevice>(
        &mut self,
        disk: &mut Disk<D>,
        geometry: &Geometry,
        cluster: u32,
        link: Link,
    ) -> Result<(), Error> {
        let kind = geometry.kind;
        let (bytes, at) = self.entry(disk, geometry, cluster)?;
        let value = match link {
            Link::Free => 0,
            Link::Next(next) => next,
            Link::End | Link::Bad => 0x0fff_ffff,
        };
        let written = write(bytes, at, kind, cluster, value).ok_or(Error::Corrupt)?;
        let start = self.window.loaded().0 - fat(geometry, geometry.fats.start) + at as u64;
        let range = start..start + written;
        self.changed = Some(match self.changed.take() {
            Some(changed) => changed.start.min(range.start)..changed.end.max(range.end),
            None => range,
        });
        Ok(())
    }

    /// Writes what was changed to every copy of the table.
    pub fn flush<D: BlockDevice>(&mut self, disk: &mut Disk<D>, geometry: &Geometry) -> Result<(), Error> {
        let Some(changed) = self.changed.take() else { return Ok(()) };
        let (start, bytes) = self.window.loaded();
        let window = start - fat(geometry, geometry.fats.start);
        // Whole sectors, so that none has to be read before.
        let sector = u64::from(geometry.sector_size);
        let from = changed.start / sector * sector;
        let to = changed.end.next_multiple_of(sector).min(window + bytes.len() as u64);
        let range = (from - window) as usize..(to - window) as usize;
        let bytes = bytes.get(range).ok_or(Error::Corrupt)?;
        for copy in geometry.fats.clone() {
            if let Err(error) = disk.write_at(fat(geometry, copy) + from, bytes) {
                // What is in memory may be on no copy.
                self.window.forget();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The piece of the table with the entry of a cluster, and where in it the entry begins.
    fn entry<D: BlockDevice>(
        &mut self,
        disk: &mut Disk<D>,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<(&mut [u8], usize), Error> {
        if !geometry.has(cluster) {
            return Err(Error::Corrupt);
        }
        let cluster = u64::from(cluster);
        let offset = match geometry.kind {
            Kind::Fat12 => cluster + cluster / 2,
            Kind::Fat16 => cluster * 2,
            Kind::Fat32 => cluster * 4,
        };
        let start = offset / WINDOW * WINDOW;
        let length = WINDOW.min(geometry.fat_size - start) as usize;
        let place = fat(geometry, geometry.fats.start) + start;
        if self.window.loaded().0 != place {
            self.flush(disk, geometry)?;
        }
        Ok((self.window.load(disk, place, length)?, (offset - start) as usize))
    }
}

/// Where a copy of the table begins.
fn fat(geometry: &Geometry, copy: u8) -> u64 {
    geometry.fat_start + u64::from(copy) * geometry.fat_size
}

fn read(bytes: &[u8], at: usize, kind: Kind, cluster: u32) -> Option<u32> {
    let entry = bytes.get(at..)?;
    Some(match kind {
        Kind::Fat12 => (u32::from(u16::from_le_bytes(*entry.first_chunk()?)) >> (cluster % 2 * 4)) & 0xfff,
        Kind::Fat16 => u16::from_le_bytes(*entry.first_chunk()?).into(),
        Kind::Fat32 => u32::from_le_bytes(*entry.first_chunk()?) & 0x0fff_ffff,
    })
}

/// Writes an entry and leaves alone the bits around it that are not its own; how many bytes were written.
fn write(bytes: &mut [u8], at: usize, kind: Kind, cluster: u32, value: u32) -> Option<u64> {
    let entry = bytes.get_mut(at..)?;
    match kind {
        Kind::Fat32 => {
            let entry = entry.first_chunk_mut()?;
            *entry = ((u32::from_le_bytes(*entry) & 0xf000_0000) | (value & 0x0fff_ffff)).to_le_bytes();
            return Some(4);
        }
        Kind::Fat16 => *entry.first_chunk_mut()? = ((value & 0xffff) as u16).to_le_bytes(),
        Kind::Fat12 => {
            let entry = entry.first_chunk_mut()?;
            let shift = cluster % 2 * 4;
            let others = u32::from(u16::from_le_bytes(*entry)) & !(0xfff << shift);
            *entry = ((others | (value & 0xfff) << shift) as u16).to_le_bytes();
        }
    }
    Some(2)
}

/// One bit for each cluster.
pub struct ClusterSet(alloc::vec::Vec<u8>);

impl ClusterSet {
    /// A set of none.
    pub fn new(geometry: &Geometry) -> Result<Self, Error> {
        let length = geometry.clusters as usize / 8 + 1;
        let mut bytes = alloc::vec::Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Error::OutOfMemory)?;
        bytes.resize(length, 0);
        Ok(Self(bytes))
    }

    /// Adds a cluster; false when it is in the set already, or there is no such cluster.
    pub fn insert(&mut self, cluster: u32) -> bool {
        let index = cluster.wrapping_sub(FIRST_CLUSTER) as usize;
        let Some(byte) = self.0.get_mut(index / 8) else { return false };
        let bit = 1 << (index % 8);
        let new = *byte & bit == 0;
        *byte |= bit;
        new
    }
}
