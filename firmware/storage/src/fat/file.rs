//! The contents of files.

use super::Error;
use super::entry::ARCHIVE;
use super::nodes::NodeId;
use super::time::Timestamp;
use super::volume::Volume;
use crate::block::BlockDevice;

/// Clusters of a file that lie one after the other.
struct Run {
    /// Where they begin, and how many bytes they have from there.
    offset: u64,
    length: u64,
}

impl<D: BlockDevice> Volume<D> {
    /// Reads from `position` on; how much, which is less than the buffer has at the file's end.
    ///
    /// What lies together on the volume is read in one request, straight into the buffer.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::Deleted`], [`Error::Corrupt`], [`Error::Device`].
    pub fn read(&mut self, id: NodeId, position: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let size = self.file_size(id)?;
        let wanted = (buffer.len() as u64).min(size.saturating_sub(position));
        let mut done = 0;
        while done < wanted {
            let run = self.run(id, position + done, wanted - done)?;
            let piece = buffer.get_mut(done as usize..(done + run.length) as usize).ok_or(Error::Corrupt)?;
            self.disk.read_at(run.offset, piece)?;
            done += run.length;
        }
        Ok(done as usize)
    }

    /// Writes at `position`. What lies between the file's end and there becomes zeroes.
    ///
    /// # Errors
    /// [`Error::NoSpace`], with nothing written, and those of [`read`](Self::read).
    pub fn write(&mut self, id: NodeId, position: u64, bytes: &[u8], now: Timestamp) -> Result<(), Error> {
        let size = self.file_size(id)?;
        self.writable()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end =
            position.checked_add(bytes.len() as u64).filter(|end| *end <= u32::MAX.into()).ok_or(Error::NoSpace)?;
        self.grow(id, end)?;
        if position > size {
            self.zero_file(id, size, position)?;
        }
        let mut done = 0;
        while done < bytes.len() as u64 {
            let run = self.run(id, position + done, bytes.len() as u64 - done)?;
            let piece = bytes.get(done as usize..(done + run.length) as usize).ok_or(Error::Corrupt)?;
            self.disk.write_at(run.offset, piece)?;
            done += run.length;
        }
        self.finish(id, size.max(end), now)
    }

    /// Makes a file longer, by zeroes, or shorter.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn set_size(&mut self, id: NodeId, new: u64, now: Timestamp) -> Result<(), Error> {
        let size = self.file_size(id)?;
        self.writable()?;
        if new > u32::MAX.into() {
            return Err(Error::NoSpace);
        }
        if new > size {
            self.grow(id, new)?;
            self.zero_file(id, size, new)?;
            return self.finish(id, new, now);
        }
        let cluster_size = u64::from(self.geometry.cluster_size);
        let first = self.first_cluster(&self.live(id)?.entry.short);
        let last = match new.div_ceil(cluster_size).checked_sub(1) {
            Some(index) => Some(self.cluster(id, index)?),
            None => None,
        };
        if let Some(last) = last {
            self.check_end(last)?;
        }
        // The entry first: it must not name what was given back.
        if last.is_none() {
            self.live_mut(id)?.entry.short.set_cluster(0);
        }
        self.live_mut(id)?.hint = (0, if last.is_none() { 0 } else { first });
        self.finish(id, new, now)?;
        match last {
            Some(last) => self.cut(last)?,
            None if first != 0 => self.release(first)?,
            None => {}
        }
        self.sync()
    }

    fn file_size(&self, id: NodeId) -> Result<u64, Error> {
        let short = &self.live(id)?.entry.short;
        if short.is_directory() { Err(Error::IsDirectory) } else { Ok(short.size.get().into()) }
    }

    /// Has the entry say what is now there.
    fn finish(&mut self, id: NodeId, size: u64, now: Timestamp) -> Result<(), Error> {
        self.table.flush(&mut self.disk, &self.geometry)?;
        let short = &mut self.live_mut(id)?.entry.short;
        short.size = u32::try_from(size).map_err(|_| Error::NoSpace)?.into();
        short.attributes |= ARCHIVE;
        short.set_written(now);
        self.store(id)?;
        self.sync()
    }

    /// The cluster of a file that has this index, which must lie below its length in clusters.
    fn cluster(&mut self, id: NodeId, index: u64) -> Result<u32, Error> {
        let node = self.live(id)?;
        let first = self.first_cluster(&node.entry.short);
        let (mut at, mut cluster) = node.hint;
        if u64::from(at) > index {
            (at, cluster) = (0, first);
        }
        while u64::from(at) < index {
            cluster = self.next(cluster)?.ok_or(Error::Corrupt)?;
            at += 1;
        }
        if !self.geometry.has(cluster) {
            return Err(Error::Corrupt);
        }
        self.live_mut(id)?.hint = (at, cluster);
        Ok(cluster)
    }

    /// Where `position` of a file is, with as much of `length` as lies together there.
    fn run(&mut self, id: NodeId, position: u64, length: u64) -> Result<Run, Error> {
        let cluster_size = u64::from(self.geometry.cluster_size);
        let index = position / cluster_size;
        let first = self.cluster(id, index)?;
        let within = position % cluster_size;
        let offset = self.geometry.offset(first) + within;
        let wanted = (within + length).div_ceil(cluster_size).min(self.geometry.clusters.into());
        let count = self.table.adjacent(&mut self.disk, &self.geometry, first, wanted as u32)?;
        let found = u64::from(count) * cluster_size - within;
        let (mut at, mut cluster) = (index + u64::from(count) - 1, first + (count - 1));
        if found < length {
            (at, cluster) = (at + 1, self.next(cluster)?.ok_or(Error::Corrupt)?);
        }
        // What was read is below the file's length, so its index fits.
        self.live_mut(id)?.hint = (at as u32, cluster);
        Ok(Run { offset, length: found.min(length) })
    }

    /// Gives a file the clusters for so many bytes. What they hold is undefined.
    fn grow(&mut self, id: NodeId, size: u64) -> Result<(), Error> {
        let first = self.first_cluster(&self.live(id)?.entry.short);
        let needed = size.div_ceil(self.geometry.cluster_size.into());
        let (mut count, mut last) = (0u64, None);
        if first != 0 {
            // The chain may be longer than the file, so its end is looked for.
            let (at, mut cluster) = self.live(id)?.hint;
            count = u64::from(at) + 1;
            while let Some(next) = self.next(cluster)? {
                (cluster, count) = (next, count + 1);
                if count > self.geometry.clusters.into() {
                    return Err(Error::Corrupt);
                }
            }
            last = Some(cluster);
        }
        if needed.saturating_sub(count) > self.count_free()?.into() {
            return Err(Error::NoSpace);
        }
        while count < needed {
            let cluster = self.allocate(last)?;
            if last.is_none() {
                let node = self.live_mut(id)?;
                node.entry.short.set_cluster(cluster);
                node.hint = (0, cluster);
            }
            (last, count) = (Some(cluster), count + 1);
        }
        Ok(())
    }

    /// Fills a part of a file with zeroes.
    fn zero_file(&mut self, id: NodeId, mut from: u64, to: u64) -> Result<(), Error> {
        while from < to {
            let run = self.run(id, from, to - from)?;
            self.zero(run.offset, run.length)?;
            from += run.length;
        }
        Ok(())
    }
}
