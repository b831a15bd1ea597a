//! The human interface infrastructure as far as shells and loaders need it: the database of package lists and the
//! strings in it (UEFI 2.10, chapters 33 and 34).
//!
//! Package lists come from EFI images. They are copied as they are handed in and checked before anything of them is
//! looked up; what is in a package that is no string package is handed on, never looked at.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod database;
mod keyboard;
mod package;
mod reader;
mod scsu;
mod strings;

use alloc::vec::Vec;

pub use database::{Database, Handle};
pub use keyboard::Layout;
pub use package::{Kind, LIST_HEADER_LEN, List, list_length};
pub use strings::Font;

use thiserror::Error;

/// A GUID, as the number that its bytes are, little-endian.
pub type Guid = u128;

/// Why a request fails.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A length or an offset leads out of its structure, or a block is of no known type.
    #[error("the package list is malformed")]
    Malformed,
    /// There is no such package list, string, layout or language.
    #[error("not found")]
    NotFound,
    /// The string exists, but not in this language.
    #[error("not in this language")]
    InvalidLanguage,
    /// No memory, or no number is left.
    #[error("out of resources")]
    OutOfResources,
}

/// Appends, or reports that there is no room: lengths are the clients'.
///
/// # Errors
/// [`Error::OutOfResources`].
pub fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    to.try_reserve(bytes.len()).map_err(|_| Error::OutOfResources)?;
    to.extend_from_slice(bytes);
    Ok(())
}

fn copied(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut copy = Vec::new();
    append(&mut copy, bytes)?;
    Ok(copy)
}
