//! Device paths of callers, and copies of them that images own.
#![expect(unsafe_code, reason = "EFI images pass device paths as raw pointers")]

use core::ptr::{self, NonNull};
use core::slice;

use formats::device_path::{MAX_LEN, NodeHeader};
use r_efi::efi::{self, Status};
use r_efi::protocols::device_path;

use super::super::services;

/// The bytes of a device path with its end node; `None` for a path that is null, malformed or
/// without an end.
///
/// # Safety
/// A path that is not null is readable up to its end node, or up to its first malformed node, and
/// nothing changes it during `'a`.
pub unsafe fn bytes<'a>(path: *const device_path::Protocol) -> Option<&'a [u8]> {
    let start: *const u8 = path.cast();
    if start.is_null() {
        return None;
    }
    let mut length = 0usize;
    while length < MAX_LEN {
        // SAFETY: all nodes before this one were well-formed and no end, so the caller promises
        // that another follows, and a node has at least these four bytes.
        let node = unsafe { start.wrapping_add(length).cast::<[u8; 4]>().read() };
        let node = NodeHeader::parse(node)?;
        length = length.checked_add(node.len.into())?;
        if node.is_end_entire() {
            // SAFETY: the caller promises that all nodes up to the end node, just seen, can be
            // read and stay as they are.
            return Some(unsafe { slice::from_raw_parts(start, length) });
        }
    }
    None
}

/// A copy of a device path in pool memory, freed with the value.
pub struct OwnedPath(NonNull<u8>);

// SAFETY: the pool memory is owned by this value, and pool memory belongs to no thread.
unsafe impl Send for OwnedPath {}

impl OwnedPath {
    /// Copies `path`, which ends with its end node.
    ///
    /// # Errors
    /// `OUT_OF_RESOURCES`.
    pub fn copy(path: &[u8]) -> Result<Self, Status> {
        let memory = services::allocate_pool(efi::BOOT_SERVICES_DATA, path.len())?;
        // SAFETY: the allocation just made has the length of `path` and is nobody else's.
        unsafe { ptr::copy_nonoverlapping(path.as_ptr(), memory.as_ptr(), path.len()) };
        Ok(Self(memory))
    }

    /// The path as images see it.
    pub fn as_ptr(&self) -> *mut device_path::Protocol {
        self.0.as_ptr().cast()
    }
}

impl Drop for OwnedPath {
    fn drop(&mut self) {
        // A client that has freed the path itself has freed it: nothing is left to do.
        let _ = services::free_pool(self.0.as_ptr().cast());
    }
}
