//! The file allocation table: which cluster follows which.

use core::ops::Range;

use super::Error;
use super::geometry::{FIRST_CLUSTER, Geometry, Kind};
use super::window::Window;
use crate::block::BlockDevice;
use crate::disk::Disk;

/// How much of the FAT is kept in memory: all of it on FAT12, so that no entry lies across two pieces.
const WINDOW: u64 = 32 << 10;

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
        Ok(link(raw, geometry))
    }

    /// Shows what each entry says that is not free; how many are.
    pub fn each<D: BlockDevice>(
        &mut self,
        disk: &mut Disk<D>,
        geometry: &Geometry,
        mut look: impl FnMut(Link),
    ) -> Result<u32, Error> {
        let end = FIRST_CLUSTER + geometry.clusters;
        let (mut cluster, mut free) = (FIRST_CLUSTER, 0);
        while cluster < end {
            let (bytes, at) = self.entry(disk, geometry, cluster)?;
            let one;
            let entries = match geometry.kind {
                Kind::Fat32 => bytes.get(at..).unwrap_or_default().as_chunks().0,
                kind => {
                    one = [read(bytes, at, kind, cluster).ok_or(Error::Corrupt)?.to_le_bytes()];
                    &one
                }
            };
            let entries = entries.get(..(end - cluster) as usize).unwrap_or(entries);
            // The volumes with many clusters are mostly free ones.
            for entry in entries {
                match u32::from_le_bytes(*entry) & 0x0fff_ffff {
                    0 => free += 1,
                    raw => look(link(raw, geometry)),
                }
            }
            if entries.is_empty() {
                return Err(Error::Corrupt);
            }
            // Not more than are left.
            cluster += entries.len() as u32;
        }
        Ok(free)
    }

    /// How many clusters, at most `most`, lie one behind the other from `cluster` on, each being the next in the chain.
    pub fn adjacent<D: BlockDevice>(
        &mut self,
        disk: &mut Disk<D>,
        geometry: &Geometry,
        cluster: u32,
        most: u32,
    ) -> Result<u32, Error> {
        let mut count = 1;
        while count < most {
            let last = cluster + (count - 1);
            let (bytes, at) = self.entry(disk, geometry, last)?;
            let entries = bytes.get(at..).unwrap_or_default();
            let left = (most - count) as usize;
            let mut next = last;
            let mut follows = |raw: &u32| {
                next += 1;
                *raw == next
            };
            let (here, found) = match geometry.kind {
                Kind::Fat12 => (1, read(bytes, at, geometry.kind, last).iter().take_while(|raw| follows(raw)).count()),
                Kind::Fat16 => (entries.len() / 2, words16(entries).take(left).take_while(follows).count()),
                Kind::Fat32 => (entries.len() / 4, words32(entries).take(left).take_while(follows).count()),
            };
            // Not above `left`.
            count += found as u32;
            if found == 0 || found < here.min(left) {
                break;
            }
        }
        // The table may be longer than the volume.
        if geometry.has(cluster + (count - 1)) { Ok(count) } else { Err(Error::Corrupt) }
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

fn words16(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|entry| u16::from_le_bytes(*entry).into())
}

fn words32(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|entry| u32::from_le_bytes(*entry) & 0x0fff_ffff)
}

/// What an entry with this value says.
fn link(raw: u32, geometry: &Geometry) -> Link {
    let (bad, end) = match geometry.kind {
        Kind::Fat12 => (0xff7, 0xff8),
        Kind::Fat16 => (0xfff7, 0xfff8),
        Kind::Fat32 => (0x0fff_fff7, 0x0fff_fff8),
    };
    match raw {
        0 => Link::Free,
        raw if raw >= end => Link::End,
        raw if raw == bad || !geometry.has(raw) => Link::Bad,
        raw => Link::Next(raw),
    }
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
