//! Clusters: which are free, taking them and giving them back.

use alloc::vec::Vec;

use super::Error;
use super::geometry::FIRST_CLUSTER;
use super::table::{ClusterSet, Link};
use super::volume::{Health, Volume};
use crate::block::BlockDevice;

/// How many zeroes are written at a time, in bytes.
const ZERO_CHUNK: u64 = 4096;

impl<D: BlockDevice> Volume<D> {
    /// What the table says of a cluster.
    pub(super) fn link(&mut self, cluster: u32) -> Result<Link, Error> {
        self.table.get(&mut self.disk, &self.geometry, cluster)
    }

    /// The next cluster of a chain.
    pub(super) fn next(&mut self, cluster: u32) -> Result<Option<u32>, Error> {
        self.table.next(&mut self.disk, &self.geometry, cluster)
    }

    fn set(&mut self, cluster: u32, link: Link) -> Result<(), Error> {
        self.table.set(&mut self.disk, &self.geometry, cluster, link)
    }

    /// Makes sure that the volume can be written to without harm: the first time, by looking at all of the table.
    pub(super) fn writable(&mut self) -> Result<(), Error> {
        if self.health == Health::Unknown {
            let set = ClusterSet::new(&self.geometry)?;
            self.health = if self.survey(Some(set))? { Health::Sound } else { Health::Damaged };
        }
        if self.health == Health::Sound { Ok(()) } else { Err(Error::Corrupt) }
    }

    /// The number of free clusters.
    pub(super) fn count_free(&mut self) -> Result<u32, Error> {
        if self.free.is_none() {
            self.survey(None)?;
        }
        Ok(self.free.unwrap_or(0))
    }

    /// Counts the free clusters; whether no cluster follows two others and none that is not there follows one.
    fn survey(&mut self, mut followed: Option<ClusterSet>) -> Result<bool, Error> {
        let mut sound = true;
        let free = self.table.each(&mut self.disk, &self.geometry, |link| {
            if let Link::Next(next) = link {
                sound &= followed.as_mut().is_none_or(|followed| followed.insert(next));
            }
        })?;
        self.free = Some(free);
        Ok(sound)
    }

    /// Takes a free cluster and puts it behind `previous`.
    pub(super) fn allocate(&mut self, previous: Option<u32>) -> Result<u32, Error> {
        let count = self.geometry.clusters;
        let start = self.next_free.saturating_sub(FIRST_CLUSTER);
        for step in 0..count {
            let cluster = FIRST_CLUSTER + (start + step) % count;
            if self.link(cluster)? != Link::Free {
                continue;
            }
            self.set(cluster, Link::End)?;
            if let Some(previous) = previous {
                self.set(previous, Link::Next(cluster))?;
            }
            self.next_free = FIRST_CLUSTER + (cluster - FIRST_CLUSTER + 1) % count;
            self.free = self.free.map(|free| free.saturating_sub(1));
            self.info_changed = true;
            return Ok(cluster);
        }
        Err(Error::NoSpace)
    }

    /// Gives back a cluster and all that follow it.
    pub(super) fn release(&mut self, first: u32) -> Result<(), Error> {
        let mut cluster = first;
        for _ in 0..self.geometry.clusters {
            let link = self.link(cluster)?;
            if matches!(link, Link::Free | Link::Bad) {
                return Err(Error::Corrupt);
            }
            self.set(cluster, Link::Free)?;
            self.free = self.free.map(|free| free + 1);
            self.info_changed = true;
            match link {
                Link::Next(next) => cluster = next,
                _ => return Ok(()),
            }
        }
        Err(Error::Corrupt)
    }

    /// Ends a chain with this cluster and gives back what followed it.
    pub(super) fn cut(&mut self, last: u32) -> Result<(), Error> {
        let Some(next) = self.next(last)? else { return Ok(()) };
        self.set(last, Link::End)?;
        self.table.flush(&mut self.disk, &self.geometry)?;
        self.release(next)
    }

    /// Makes sure that a chain can be cut behind a cluster: it ends, and does not come back to it.
    pub(super) fn check_end(&mut self, last: u32) -> Result<(), Error> {
        let mut cluster = last;
        for _ in 0..=self.geometry.clusters {
            match self.next(cluster)? {
                Some(next) if next == last => break,
                Some(next) => cluster = next,
                None => return Ok(()),
            }
        }
        Err(Error::Corrupt)
    }

    /// Takes a cluster for a directory: filled with zeroes, which end it, before it is linked.
    pub(super) fn allocate_directory(&mut self, previous: Option<u32>) -> Result<u32, Error> {
        let cluster = self.allocate(None)?;
        self.directory.forget();
        let zeroed = self.zero(self.geometry.offset(cluster), self.geometry.cluster_size.into());
        let linked = zeroed.and_then(|()| previous.map_or(Ok(()), |previous| self.set(previous, Link::Next(cluster))));
        if let Err(error) = linked {
            // The first error is the one to tell; the cluster is lost at worst.
            let _ = self.release(cluster);
            return Err(error);
        }
        Ok(cluster)
    }

    /// Fills a part of the volume with zeroes.
    pub(super) fn zero(&mut self, mut offset: u64, mut length: u64) -> Result<(), Error> {
        let chunk = length.min(ZERO_CHUNK) as usize;
        let mut zeroes = Vec::new();
        zeroes.try_reserve_exact(chunk).map_err(|_| Error::OutOfMemory)?;
        zeroes.resize(chunk, 0);
        while length > 0 {
            let piece = zeroes.get(..length.min(zeroes.len() as u64) as usize).unwrap_or_default();
            self.disk.write_at(offset, piece)?;
            offset += piece.len() as u64;
            length -= piece.len() as u64;
        }
        Ok(())
    }
}
