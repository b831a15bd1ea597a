//! Memory that the host can read and write: one pool, converted once.
//!
//! A device of a realm works on copies in this pool. Three addresses of the same memory are kept apart: the CPU's
//! pointer, which the page tables lead to the shared alias; the alias itself, which no pointer holds; and the
//! address that a device is given, which [`SharedBuffer::device_address`] alone makes. No Rust reference to shared
//! memory exists: bytes are copied in and out.
#![expect(unsafe_code, reason = "copies to and from memory that the host changes at will")]

use core::ops::Range;
use core::ptr;
use core::sync::atomic::{Ordering, fence};

use address_space::page_table::{Leaf, PAGE_SIZE};
use address_space::pages::{CAPACITY, PageBitmap};
use spin::Mutex;
use thiserror::Error;

use super::{Access, MapError, with_tables};
use crate::realm;

/// Bytes of the pool: two level-3 tables' worth would be more than any transfer gains from.
pub const POOL_SIZE: u64 = CAPACITY as u64 * PAGE_SIZE;

/// What can be wrong with shared memory.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The page tables refused a request.
    #[error("{0}")]
    Map(#[from] MapError),
    /// The RIPAS did not change.
    #[error("{0}")]
    Realm(#[from] realm::Error),
    /// The host converts more at a time than the pool has.
    #[error("the host converts {0:#x} bytes at a time, the pool has {POOL_SIZE:#x}")]
    Alignment(u64),
}

struct Pool {
    range: Range<u64>,
    pages: PageBitmap,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// Gives `range`, which is mapped nowhere yet, to the host to share, and maps its alias in its place.
///
/// # Errors
/// [`Error`].
///
/// # Safety
/// Nothing else uses the memory of `range`. Called once.
pub unsafe fn open(range: Range<u64>, host_alignment: u64) -> Result<(), Error> {
    if host_alignment > POOL_SIZE {
        return Err(Error::Alignment(host_alignment));
    }
    realm::release("shared memory", &range)?;
    let mut leaf = Leaf::ram(Access::ReadWrite.into());
    leaf.output_offset = realm::shared_bit();
    with_tables(|tables| tables.map(range.clone(), leaf))?;
    zero(&range);
    *POOL.lock() = Some(Pool { range, pages: PageBitmap::new(CAPACITY) });
    Ok(())
}

/// Takes the pool back: nothing of what was in it stays with the host, and its memory is private RAM again.
///
/// # Errors
/// [`Error`]; the memory must then not be used.
pub fn close() -> Result<(), Error> {
    let Some(pool) = POOL.lock().take() else { return Ok(()) };
    zero(&pool.range);
    with_tables(|tables| tables.unmap(pool.range.clone()))?;
    realm::accept("shared memory", &pool.range)?;
    with_tables(|tables| tables.map(pool.range.clone(), Leaf::ram(Access::ReadWrite.into())))?;
    // What the RMM leaves in a page is not defined.
    zero(&pool.range);
    Ok(())
}

fn zero(range: &Range<u64>) {
    let start = ptr::with_exposed_provenance_mut::<u8>(range.start as usize);
    // SAFETY: the callers have mapped the range read-write and own it.
    unsafe { start.write_bytes(0, (range.end - range.start) as usize) };
    fence(Ordering::SeqCst);
}

/// A piece of the pool, zero when it is taken and zero when it goes back.
#[derive(Debug)]
pub struct SharedBuffer {
    range: Range<u64>,
    first: usize,
    count: usize,
}

impl SharedBuffer {
    /// Takes `size` bytes; `None` when there are not so many in a row.
    pub fn take(size: usize) -> Option<Self> {
        let count = size.div_ceil(PAGE_SIZE as usize);
        let mut guard = POOL.lock();
        let pool = guard.as_mut()?;
        let first = pool.pages.take(count)?;
        let start = pool.range.start + first as u64 * PAGE_SIZE;
        Some(Self { range: start..start + count as u64 * PAGE_SIZE, first, count })
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// The address that a device on the system bus is given: the canonical one, which QEMU and kvmtool take.
    pub fn device_address(&self) -> u64 {
        self.range.start
    }

    fn pointer(&self, offset: usize, length: usize) -> *mut u8 {
        let end = offset.checked_add(length);
        assert!(end.is_some_and(|end| end <= self.size()), "outside the shared buffer");
        ptr::with_exposed_provenance_mut((self.range.start as usize) + offset)
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let to = self.pointer(offset, bytes.len());
        // SAFETY: inside this buffer's pages, which are mapped and no Rust object; the source is private.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        fence(Ordering::SeqCst);
    }

    /// Copies what is at `offset` to `bytes`. The host may change it at any time: what counts is the copy.
    ///
    /// # Panics
    /// When there is not so much.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        fence(Ordering::SeqCst);
        let from = self.pointer(offset, bytes.len());
        // SAFETY: as for `write`, the other way round.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
    }
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        let mut guard = POOL.lock();
        // Once the pool is closed its memory is no longer this buffer's.
        if let Some(pool) = guard.as_mut() {
            zero(&self.range);
            pool.pages.give(self.first, self.count);
        }
    }
}
