//! The FAT file system: FAT12, FAT16 and FAT32 with long names (Microsoft FAT specification, 2005).
//!
//! A damaged volume gives errors: every chain is followed at most as far as the volume has clusters, and nothing is
//! written to a volume on which two chains meet, where freeing one would take from the other.
//!
//! Writes are in an order that leaves a readable volume wherever they stop: clusters are linked before an entry names
//! them and freed after none does, so the worst that is left behind is clusters that belong to nothing, or a file
//! under both its old and its new name.

mod allocation;
mod directory;
mod entry;
mod file;
mod geometry;
mod label;
mod name;
mod nodes;
mod table;
mod time;
mod volume;
mod window;

use thiserror::Error;

use crate::block::DeviceError;

pub use directory::Cursor;
pub use entry::{ATTRIBUTES, DIRECTORY, Entry, READ_ONLY, ShortEntry};
pub use geometry::begins_in;
pub use name::{MAX_UNITS, Name};
pub use nodes::{Changes, NodeId};
pub use time::{DateTime, Timestamp};
pub use volume::{Space, Volume};

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The device.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// No FAT volume begins where one was looked for.
    #[error("no FAT volume")]
    NotFat,
    /// The volume contradicts itself.
    #[error("the volume is damaged")]
    Corrupt,
    /// There is no file of this name.
    #[error("no such file")]
    NotFound,
    /// There is one already.
    #[error("the file exists")]
    Exists,
    /// Only a directory has entries.
    #[error("not a directory")]
    NotDirectory,
    /// Only a file has contents.
    #[error("a directory")]
    IsDirectory,
    /// The directory has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The root directory, or a directory and what lies in it.
    #[error("not possible with this directory")]
    Refused,
    /// The file was deleted while it was open.
    #[error("the file was deleted")]
    Deleted,
    /// No file can have this name.
    #[error("not a name")]
    InvalidName,
    /// No free cluster, no free entry, or a file over 4 GiB.
    #[error("the volume is full")]
    NoSpace,
    /// No memory.
    #[error("out of memory")]
    OutOfMemory,
}
