//! The bytes of a device path that stands in memory.
#![expect(unsafe_code, reason = "follows the nodes of a device path that a client wrote")]

use core::slice;

use r_efi::efi::protocols::device_path::Protocol;
use uefi_core::device_path::{MAX_SIZE, NodeHeader};

/// The bytes of `path`, its end node included. `None` for null, and for a path that breaks the rules or does not end
/// within [`MAX_SIZE`].
///
/// # Safety
/// `path` is null or points to a device path that stays as it is while the result is used.
pub unsafe fn bytes<'a>(path: *const Protocol) -> Option<&'a [u8]> {
    if path.is_null() {
        return None;
    }
    let mut length = 0usize;
    while length < MAX_SIZE {
        // SAFETY: the nodes so far do not end the path, so the header of another one follows. Its alignment is one.
        let header = unsafe { path.cast::<[u8; 4]>().byte_add(length).read() };
        let node = NodeHeader::parse(header)?;
        length = length.checked_add(node.length())?;
        if node.ends_path() {
            // SAFETY: the nodes that were walked belong to the path.
            return Some(unsafe { slice::from_raw_parts(path.cast(), length) });
        }
    }
    None
}
