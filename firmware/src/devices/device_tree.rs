//! The device tree, copied once out of the host's hands.
#![expect(unsafe_code, reason = "reads memory at an address that the VMM names")]

use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use formats::device_tree::{Header, adopt_copy};
use thiserror::Error;

use crate::memory;

/// Where QEMU puts the tree of a machine that it enters with x0 = 0.
const DEFAULT_ADDRESS: u64 = 0x4000_0000;

/// What the VMM passed in x0.
static X0: AtomicU64 = AtomicU64::new(0);

/// What the firmware holds of the tree: trees of a thousand CPUs are smaller.
const MAX_SIZE: usize = 512 * 1024;

/// Why there is no device tree.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// Nothing can be there.
    #[error("device tree at {0:#x}: {1}")]
    Map(u64, memory::Error),
    /// An address that the boot protocol forbids.
    #[error("device tree at {0:#x}: not aligned to 8 bytes")]
    Misaligned(u64),
    /// No valid tree.
    #[error("device tree at {0:#x}: {1}")]
    Format(u64, formats::device_tree::Error),
    /// More than is held.
    #[error("device tree at {0:#x}: {1} bytes in use, the most is {MAX_SIZE}")]
    TooLarge(u64, usize),
}

/// Remembers what the VMM passed in x0.
pub fn set_address(x0: u64) {
    X0.store(x0, Ordering::Relaxed);
}

/// Copies the tree at the address that x0 had, or at the usual place when that was 0, and checks its header.
///
/// # Errors
/// [`Error`] says what is wrong with it.
pub fn read() -> Result<Vec<u8>, Error> {
    let address = match X0.load(Ordering::Relaxed) {
        0 => DEFAULT_ADDRESS,
        x0 => x0,
    };
    if !address.is_multiple_of(8) {
        return Err(Error::Misaligned(address));
    }
    // The size comes from a first look, and the copy is checked again: the host may change it in between.
    let head = copy(address, Header::LEN)?;
    let header = Header::parse(&head).map_err(|error| Error::Format(address, error))?;
    let size = header.used_len();
    if size > MAX_SIZE {
        return Err(Error::TooLarge(address, size));
    }
    let mut tree = copy(address, size)?;
    adopt_copy(&mut tree).map_err(|error| Error::Format(address, error))?;
    Ok(tree)
}

fn copy(address: u64, size: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = alloc::vec![0; size];
    memory::with_mapped(address, size as u64, || {
        // SAFETY: the range is mapped readable for the time of this call; it is no part of the image, which is
        // mapped otherwise, so it is apart from every Rust object. What it holds is only copied.
        unsafe {
            ptr::copy_nonoverlapping(ptr::with_exposed_provenance::<u8>(address as usize), bytes.as_mut_ptr(), size);
        }
    })
    .map_err(|error| Error::Map(address, error))?;
    Ok(bytes)
}
