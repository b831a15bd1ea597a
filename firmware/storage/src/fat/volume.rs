//! A mounted volume.

use alloc::vec::Vec;

use super::Error;
use super::geometry::{FIRST_CLUSTER, Geometry};
use super::nodes::Node;
use super::table::Table;
use super::window::Window;
use crate::block::BlockDevice;
use crate::disk::Disk;

/// How much room there is, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is free.
    pub free: u64,
    /// Bytes of a cluster.
    pub cluster_size: u32,
}

/// What is known of the volume's chains.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Health {
    /// Nothing: it was not written to yet.
    Unknown,
    /// No two of them meet.
    Sound,
    /// Some do, or lead off the volume.
    Damaged,
}

/// A FAT volume on a device.
#[derive(Debug)]
pub struct Volume<D> {
    pub(super) disk: Disk<D>,
    pub(super) geometry: Geometry,
    pub(super) table: Table,
    /// The piece of a directory that was read last.
    pub(super) directory: Window,
    /// What is open.
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) health: Health,
    /// Clusters that are free, once they were counted.
    pub(super) free: Option<u32>,
    /// Where the search for a free cluster begins.
    pub(super) next_free: u32,
    /// Whether FSInfo does not say so.
    pub(super) info_changed: bool,
}

/// FSInfo (Microsoft FAT specification, 5): signatures, and where it has the free count and the next free cluster.
const INFO_SIGNATURES: [(usize, [u8; 4]); 3] = [(0, *b"RRaA"), (484, *b"rrAa"), (508, [0, 0, 0x55, 0xaa])];
const INFO_FREE: u64 = 488;
const INFO_NEXT: usize = 492;

impl<D: BlockDevice> Volume<D> {
    /// Takes the device with a volume.
    ///
    /// # Errors
    /// [`Error::NotFat`] when there is none, or it is longer than the device.
    pub fn mount(device: D) -> Result<Self, Error> {
        let mut disk = Disk::new(device)?;
        let mut sector = [0; 512];
        disk.read_at(0, &mut sector)?;
        let mut geometry = Geometry::parse(&sector).ok_or(Error::NotFat)?;
        if geometry.volume_size > disk.size() {
            return Err(Error::NotFat);
        }
        let mut next_free = FIRST_CLUSTER;
        if let Some(offset) = geometry.fs_info {
            disk.read_at(offset, &mut sector)?;
            let signed =
                INFO_SIGNATURES.iter().all(|(at, bytes)| sector.get(*at..).is_some_and(|s| s.starts_with(bytes)));
            geometry.fs_info = signed.then_some(offset);
            let hint =
                sector.get(INFO_NEXT..).and_then(|bytes| bytes.first_chunk()).map(|hint| u32::from_le_bytes(*hint));
            next_free = hint.filter(|hint| signed && geometry.has(*hint)).unwrap_or(next_free);
        }
        Ok(Self {
            disk,
            geometry,
            table: Table::default(),
            directory: Window::default(),
            nodes: Vec::new(),
            health: Health::Unknown,
            free: None,
            next_free,
            info_changed: false,
        })
    }

    /// The device.
    pub fn device(&self) -> &D {
        self.disk.device()
    }

    /// The device, to be used directly.
    pub fn device_mut(&mut self) -> &mut D {
        self.disk.device_mut()
    }

    /// Bytes of a cluster.
    pub fn cluster_size(&self) -> u32 {
        self.geometry.cluster_size
    }

    /// How much room there is. The free clusters are counted: what FSInfo says of them is a hint and no more.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn space(&mut self) -> Result<Space, Error> {
        let free = self.count_free()?;
        let cluster_size = self.geometry.cluster_size;
        let bytes = |clusters: u32| u64::from(clusters) * u64::from(cluster_size);
        Ok(Space { total: bytes(self.geometry.clusters), free: bytes(free), cluster_size })
    }

    /// Writes what is still only in memory, and has the device make it last.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.sync()?;
        Ok(self.disk.flush()?)
    }

    /// As [`Self::flush`], where anything was written since the last one.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn flush_written(&mut self) -> Result<(), Error> {
        if self.disk.is_written() || self.info_changed { self.flush() } else { Ok(()) }
    }

    /// Writes what is still only in memory.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.table.flush(&mut self.disk, &self.geometry)?;
        if let (Some(offset), Some(free), true) = (self.geometry.fs_info, self.free, self.info_changed) {
            let [a, b, c, d] = free.to_le_bytes();
            let [e, f, g, h] = self.next_free.to_le_bytes();
            self.disk.write_at(offset + INFO_FREE, &[a, b, c, d, e, f, g, h])?;
        }
        self.info_changed = false;
        Ok(())
    }
}
