//! Flattened device trees (Devicetree Specification 0.4, chapter 5), as a host hands them over.
//!
//! The tree is copied once out of the host's reach ([`Header::used_len`] bytes, then
//! [`adopt_copy`]), checked as a whole by [`Tree::parse`], and read or edited from then on without
//! another failure of form.

mod edit;
mod header;
mod walk;

use core::fmt;

pub use edit::{Seeds, clean_chosen, with_boot_arguments, with_event_log};
pub use header::{Header, adopt_copy};
pub use walk::{Node, Property, Tree};

/// A block of a flattened device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// The memory reservation block.
    Reservations,
    /// The structure block.
    Structure,
    /// The strings block.
    Strings,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reservations => "memory reservation block",
            Self::Structure => "structure block",
            Self::Strings => "strings block",
        })
    }
}

/// Why a device tree is refused. Offsets are in bytes from the start of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the header or `totalsize` says.
    #[error("device tree is truncated")]
    Truncated,
    /// The first word is not 0xd00dfeed.
    #[error("no device tree: magic is {0:#010x}")]
    BadMagic(u32),
    /// The version is older than 17, or not compatible with it.
    #[error("device tree version {0} is not supported")]
    UnsupportedVersion(u32),
    /// `totalsize` is above 2 MiB.
    #[error("device tree totalsize {0:#x} is above 2 MiB")]
    TooLarge(u32),
    /// A block does not fit where the header puts it.
    #[error("device tree {0} is out of bounds")]
    OutOfBounds(Block),
    /// A block is not aligned as it must be.
    #[error("device tree {0} is misaligned")]
    Misaligned(Block),
    /// The memory reservation block has no terminating entry.
    #[error("device tree memory reservation block is not terminated")]
    UnterminatedReservations,
    /// A token that may not stand there.
    #[error("device tree token {token:#x} at {offset:#x} is not valid there")]
    BadToken {
        /// Where.
        offset: usize,
        /// Its value.
        token: u32,
    },
    /// The structure block ends inside a node or property.
    #[error("device tree structure block ends early at {0:#x}")]
    UnexpectedEnd(usize),
    /// A node or property name that is empty, not terminated, too long or not printable ASCII.
    #[error("device tree name at {0:#x} is not valid")]
    BadName(usize),
    /// Nodes are nested more than 16 deep.
    #[error("device tree is nested too deep at {0:#x}")]
    TooDeep(usize),
    /// More than 4096 nodes.
    #[error("device tree has too many nodes")]
    TooManyNodes,
    /// More than 16384 properties, or more than 512 in one node.
    #[error("device tree has too many properties")]
    TooManyProperties,
    /// More than 64 memory reservations.
    #[error("device tree has too many memory reservations")]
    TooManyReservations,
    /// Two nodes of one name under one parent, or two `/chosen` nodes.
    #[error("device tree has two nodes of the same name")]
    DuplicateNode,
    /// Two properties of one name in one node.
    #[error("device tree has two properties of the same name at {0:#x}")]
    DuplicateProperty(usize),
    /// A boot argument that holds a NUL or makes the tree too large.
    #[error("boot arguments do not fit a device tree")]
    BadBootArguments,
    /// The tree names an event log before the firmware has named its own.
    #[error("device tree names an event log of the host's")]
    EventLogExists,
    /// No reservation can be added: a `/reserved-memory` that is disabled, not alone, has other
    /// cells than the root or a `ranges` that is not empty; or a root without one or two cells.
    #[error("device tree's /reserved-memory cannot be added to")]
    BadReservedMemory,
    /// An event log that is empty, or whose place does not fit the root's cells, or that makes the
    /// tree too large.
    #[error("event log does not fit a device tree")]
    BadEventLog,
    /// The heap is exhausted.
    #[error("out of memory for the device tree")]
    OutOfMemory,
}

impl From<alloc::collections::TryReserveError> for Error {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}
