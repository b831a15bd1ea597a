//! The names that a file is opened and renamed by: `\` between them, and from the root when it comes first.

use r_efi::efi::Status;
use storage::fat::{Error, NodeId, Volume};

use super::super::disk::EfiDisk;
use super::status;

/// The separator.
pub const BACKSLASH: u16 = 0x5c;
const DOT: u16 = 0x2e;

/// A path that was followed up to its last name.
pub struct Place<'a> {
    /// The directory of the last name, open.
    pub directory: NodeId,
    /// The last name; empty when the path leads to the directory itself.
    pub name: &'a [u16],
    /// Whether a separator follows it, so that it can only be a directory.
    pub is_directory: bool,
}

/// Follows a path from `start`. The directory it comes to is the caller's to close.
pub fn follow<'a>(volume: &mut Volume<EfiDisk>, start: NodeId, path: &'a [u16]) -> Result<Place<'a>, Status> {
    let mut at = if path.first() == Some(&BACKSLASH) {
        volume.root().map_err(status)?
    } else {
        volume.retain(start).map_err(status)?;
        start
    };
    let mut names = path.split(|unit| *unit == BACKSLASH).filter(|name| !name.is_empty()).peekable();
    while let Some(name) = names.next() {
        let next = match name {
            [DOT] => continue,
            [DOT, DOT] if volume.is_root(at) => Err(Error::NotFound),
            [DOT, DOT] => volume.open_parent(at),
            name if names.peek().is_none() => {
                return Ok(Place { directory: at, name, is_directory: path.last() == Some(&BACKSLASH) });
            }
            name => volume.open(at, name),
        };
        volume.close(at);
        at = next.map_err(status)?;
    }
    Ok(Place { directory: at, name: &[], is_directory: true })
}
