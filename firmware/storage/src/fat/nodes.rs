//! Files and directories that are open: one node each, however often it is open.

use zerocopy::IntoBytes;

use super::Error;
use super::directory::Cursor;
use super::entry::{ATTRIBUTES, DIRECTORY, Entry, ShortEntry};
use super::geometry::Kind;
use super::name::Name;
use super::time::Timestamp;
use super::volume::Volume;
use crate::block::BlockDevice;

/// A node of a volume.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NodeId(usize);

/// An open file or directory.
#[derive(Debug)]
pub(super) struct Node {
    /// The directory it is in; none for the root.
    pub parent: Option<NodeId>,
    references: u32,
    pub entry: Entry,
    pub deleted: bool,
    /// A cluster that was found last, and which of the file's it is.
    pub hint: (u32, u32),
}

/// What to change of an entry; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// The attributes but for the directory bit.
    pub attributes: Option<u8>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was last read.
    pub accessed: Option<Timestamp>,
    /// When it was last written to.
    pub written: Option<Timestamp>,
}

impl<D: BlockDevice> Volume<D> {
    /// Opens the root directory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn root(&mut self) -> Result<NodeId, Error> {
        let short = ShortEntry::new(DIRECTORY, self.geometry.root_cluster, Timestamp::default());
        let entry = Entry { name: Name::default(), short, first_slot: 0, last_slot: 0, offset: 0 };
        self.node_of(None, entry)
    }

    /// Opens what has this name in a directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::Corrupt`].
    pub fn open(&mut self, directory: NodeId, name: &[u16]) -> Result<NodeId, Error> {
        let first = self.directory_cluster(directory)?;
        // What no file can be called, none is.
        let name = Name::new(name).map_err(|_| Error::NotFound)?;
        let entry = self.find(first, &name)?.ok_or(Error::NotFound)?;
        self.node_of(Some(directory), entry)
    }

    /// Opens the directory that a node is in; the root is in itself.
    ///
    /// # Errors
    /// [`Error::Deleted`].
    pub fn open_parent(&mut self, id: NodeId) -> Result<NodeId, Error> {
        let parent = self.live(id)?.parent.unwrap_or(id);
        self.retain(parent)?;
        Ok(parent)
    }

    /// Counts one more user of a node.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] after four thousand million of them.
    pub fn retain(&mut self, id: NodeId) -> Result<(), Error> {
        let node = self.node_mut(id)?;
        node.references = node.references.checked_add(1).ok_or(Error::OutOfMemory)?;
        Ok(())
    }

    /// Ends one use of a node.
    pub fn close(&mut self, id: NodeId) {
        let mut next = Some(id);
        while let Some(id) = next {
            next = None;
            if let Ok(node) = self.node_mut(id) {
                node.references = node.references.saturating_sub(1);
                if node.references == 0 {
                    next = node.parent;
                    if let Some(place) = self.nodes.get_mut(id.0) {
                        *place = None;
                    }
                }
            }
        }
    }

    /// The name and everything else that the directory has of a node.
    ///
    /// # Errors
    /// [`Error::Deleted`].
    pub fn entry(&self, id: NodeId) -> Result<&Entry, Error> {
        Ok(&self.live(id)?.entry)
    }

    /// Whether it is the root directory.
    pub fn is_root(&self, id: NodeId) -> bool {
        self.node(id).is_ok_and(|node| node.parent.is_none())
    }

    /// The start of a directory.
    ///
    /// # Errors
    /// [`Error::NotDirectory`], [`Error::Deleted`].
    pub fn rewind(&self, directory: NodeId) -> Result<Cursor, Error> {
        Ok(Cursor::start(self.directory_cluster(directory)?))
    }

    /// The next entry of a directory, which it moves the cursor behind. `None` at the end.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Device`].
    pub fn read_directory(&mut self, cursor: &mut Cursor) -> Result<Option<Entry>, Error> {
        self.next_file(cursor)
    }

    /// Creates and opens a file or directory.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::InvalidName`], [`Error::NoSpace`], and those of [`open`](Self::open).
    pub fn create(&mut self, directory: NodeId, name: &[u16], attributes: u8, now: Timestamp) -> Result<NodeId, Error> {
        let parent = self.directory_cluster(directory)?;
        let name = Name::new(name)?;
        self.writable()?;
        if self.find(parent, &name)?.is_some() {
            return Err(Error::Exists);
        }
        let cluster = if attributes & DIRECTORY == 0 { 0 } else { self.make_directory(self.named(parent), now)? };
        let short = ShortEntry::new(attributes & ATTRIBUTES, cluster, now);
        let added = match self.add(parent, &name, short, None) {
            Ok(added) => added,
            Err(error) => {
                if cluster != 0 {
                    // The first error is the one to tell; the cluster is lost at worst.
                    let _ = self.release(cluster).and_then(|()| self.sync());
                }
                return Err(error);
            }
        };
        self.sync()?;
        let (first_slot, last_slot, offset) = (added.first_slot, added.last_slot, added.offset);
        self.node_of(Some(directory), Entry { name, short: added.short, first_slot, last_slot, offset })
    }

    /// Deletes a file, or a directory with nothing in it. The node stays until it is closed.
    ///
    /// # Errors
    /// [`Error::Refused`] for the root, [`Error::NotEmpty`], [`Error::Corrupt`].
    pub fn delete(&mut self, id: NodeId) -> Result<(), Error> {
        let node = self.live(id)?;
        let (entry, parent) = (node.entry, node.parent.ok_or(Error::Refused)?);
        let first = self.first_cluster(&entry.short);
        if entry.short.is_directory() && !self.is_empty(first)? {
            return Err(Error::NotEmpty);
        }
        self.writable()?;
        let directory = self.directory_cluster(parent)?;
        self.remove_slots(directory, entry.first_slot, entry.last_slot)?;
        self.node_mut(id)?.deleted = true;
        if first != 0 {
            self.release(first)?;
        }
        self.sync()
    }

    /// Gives a file or directory another name, in a directory that may be another one.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Refused`] for the root and for a directory that would lie in itself.
    pub fn rename(&mut self, id: NodeId, directory: NodeId, name: &[u16]) -> Result<(), Error> {
        let node = self.live(id)?;
        let (old, parent) = (node.entry, node.parent.ok_or(Error::Refused)?);
        let (from, to) = (self.directory_cluster(parent)?, self.directory_cluster(directory)?);
        let name = Name::new(name)?;
        if parent == directory && name.equals(&old.name) {
            return Ok(());
        }
        self.writable()?;
        let mut above = Some(directory);
        while let Some(next) = above {
            if next == id {
                return Err(Error::Refused);
            }
            above = self.node(next)?.parent;
        }
        if self.find(to, &name)?.is_some_and(|found| found.offset != old.offset) {
            return Err(Error::Exists);
        }
        let added = self.add(to, &name, old.short, Some(old.offset))?;
        let (first_slot, last_slot, offset) = (added.first_slot, added.last_slot, added.offset);
        self.node_mut(id)?.entry = Entry { name, short: added.short, first_slot, last_slot, offset };
        if parent != directory {
            self.retain(directory)?;
            self.node_mut(id)?.parent = Some(directory);
            self.close(parent);
            if old.short.is_directory() {
                let parent = self.named(to);
                self.set_parent(self.first_cluster(&old.short), parent)?;
            }
        }
        self.remove_slots(from, old.first_slot, old.last_slot)?;
        self.sync()
    }

    /// Changes attributes and times.
    ///
    /// # Errors
    /// [`Error::Refused`] for the root, which has no entry.
    pub fn change(&mut self, id: NodeId, changes: Changes) -> Result<(), Error> {
        self.writable()?;
        let node = self.live_mut(id)?;
        if node.parent.is_none() {
            return Err(Error::Refused);
        }
        let short = &mut node.entry.short;
        if let Some(attributes) = changes.attributes {
            let kept = short.attributes & !(ATTRIBUTES & !DIRECTORY);
            short.attributes = kept | attributes & ATTRIBUTES & !DIRECTORY;
        }
        changes.created.into_iter().for_each(|time| short.set_created(time));
        changes.accessed.into_iter().for_each(|time| short.set_accessed(time));
        changes.written.into_iter().for_each(|time| short.set_written(time));
        self.store(id)
    }

    /// Writes a node's entry.
    pub(super) fn store(&mut self, id: NodeId) -> Result<(), Error> {
        let entry = self.live(id)?.entry;
        self.put_at(entry.offset, entry.short.as_bytes())
    }

    /// The node for an entry: the one that is there, or a new one.
    fn node_of(&mut self, parent: Option<NodeId>, entry: Entry) -> Result<NodeId, Error> {
        let first = self.first_cluster(&entry.short);
        let root = self.geometry.root_cluster;
        let size = u64::from(entry.short.size.get());
        let clusters = size.div_ceil(self.geometry.cluster_size.into());
        let consistent = if first == 0 {
            if entry.short.is_directory() { parent.is_none() && root == 0 } else { size == 0 }
        } else {
            self.geometry.has(first) && clusters <= self.geometry.clusters.into() && (first != root) != parent.is_none()
        };
        if !consistent {
            return Err(Error::Corrupt);
        }
        let mut free = None;
        for (index, place) in self.nodes.iter_mut().enumerate() {
            match place {
                Some(node) if node.deleted => {}
                Some(node) if node.entry.offset == entry.offset && node.parent.is_none() == parent.is_none() => {
                    node.references = node.references.checked_add(1).ok_or(Error::OutOfMemory)?;
                    return Ok(NodeId(index));
                }
                // Two entries for the same clusters.
                Some(node) if first != 0 && node.entry.short.cluster() == entry.short.cluster() => {
                    return Err(Error::Corrupt);
                }
                Some(_) => {}
                None => free = Some(index),
            }
        }
        let index = match free {
            Some(index) => index,
            None => {
                self.nodes.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
                self.nodes.push(None);
                self.nodes.len() - 1
            }
        };
        if let Some(parent) = parent {
            self.retain(parent)?;
        }
        let node = Node { parent, references: 1, entry, deleted: false, hint: (0, first) };
        if let Some(place) = self.nodes.get_mut(index) {
            *place = Some(node);
        }
        Ok(NodeId(index))
    }

    pub(super) fn node(&self, id: NodeId) -> Result<&Node, Error> {
        self.nodes.get(id.0).and_then(Option::as_ref).ok_or(Error::Deleted)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Error> {
        self.nodes.get_mut(id.0).and_then(Option::as_mut).ok_or(Error::Deleted)
    }

    pub(super) fn live(&self, id: NodeId) -> Result<&Node, Error> {
        self.node(id).and_then(|node| if node.deleted { Err(Error::Deleted) } else { Ok(node) })
    }

    pub(super) fn live_mut(&mut self, id: NodeId) -> Result<&mut Node, Error> {
        self.node_mut(id).and_then(|node| if node.deleted { Err(Error::Deleted) } else { Ok(node) })
    }

    /// Where a directory begins.
    fn directory_cluster(&self, id: NodeId) -> Result<u32, Error> {
        let short = &self.live(id)?.entry.short;
        if short.is_directory() { Ok(self.first_cluster(short)) } else { Err(Error::NotDirectory) }
    }

    /// The first cluster of an entry. On FAT12 and FAT16 the upper half of it is other systems' to use.
    pub(super) fn first_cluster(&self, short: &ShortEntry) -> u32 {
        match self.geometry.kind {
            Kind::Fat32 => short.cluster() & 0x0fff_ffff,
            _ => short.cluster() & 0xffff,
        }
    }

    /// How a directory's first cluster is written in the entries that name it as their parent: zero for the root.
    fn named(&self, directory: u32) -> u32 {
        if directory == self.geometry.root_cluster { 0 } else { directory }
    }
}
