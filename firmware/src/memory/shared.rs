//! Memory that devices work in: one pool, which a realm converts once to share it with the host.
//!
//! In a realm the pool is read and written by the host at any time, so no Rust reference to it exists: bytes are
//! copied in and out, and what counts is the copy. In a plain VM it is RAM like any other, and the same code runs.
//!
//! Three addresses of the same memory are kept apart: the CPU's, at which the page tables have the shared alias and
//! which [`SharedBuffer`] alone turns into pointers; the alias itself, which no pointer holds; and the device's, which
//! [`dma::device_address`] alone makes.
#![expect(unsafe_code, reason = "copies to and from memory that the host changes at will")]

use core::ops::Range;
use core::ptr;
use core::sync::atomic::{Ordering, fence};

use aarch64_cpu::asm::barrier;
use address_space::page_table::{Leaf, PAGE_SIZE};
use address_space::pages::{CAPACITY, PageBitmap};
use spin::Mutex;
use thiserror::Error;

use super::dma::{self, AddressForm};
use super::{Access, MapError, with_tables};
use crate::realm::{self, World};

/// Bytes of a realm's pool: several transfers of the usual size at a time, and any alignment that hosts have.
const REALM_POOL_SIZE: u64 = CAPACITY as u64 * PAGE_SIZE;
/// Bytes of the pool where transfers need no room in it: for what drivers and devices share, such as rings.
const PLAIN_POOL_SIZE: u64 = REALM_POOL_SIZE / 2;

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
    #[error("the host converts {0:#x} bytes at a time, the pool has {REALM_POOL_SIZE:#x}")]
    Alignment(u64),
}

struct Pool {
    range: Range<u64>,
    pages: PageBitmap,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// Bytes of the pool, a power of two, to which its place is aligned.
///
/// # Errors
/// [`Error::Alignment`].
pub fn pool_size(world: &World) -> Result<u64, Error> {
    match world {
        World::Plain => Ok(PLAIN_POOL_SIZE),
        World::Realm(realm) if realm.alignment <= REALM_POOL_SIZE => Ok(REALM_POOL_SIZE),
        World::Realm(realm) => Err(Error::Alignment(realm.alignment)),
    }
}

/// Opens the pool in `range`, which is mapped nowhere yet and of the size and alignment that [`pool_size`] gives. A
/// realm gives it to the host to share and maps its alias in its place.
///
/// # Errors
/// [`Error`].
///
/// # Safety
/// Nothing else uses the memory of `range`. Called once.
pub unsafe fn open(range: Range<u64>) -> Result<(), Error> {
    realm::release("shared memory", &range)?;
    let mut leaf = Leaf::ram(Access::ReadWrite.into());
    leaf.output_offset = realm::shared_bit();
    with_tables(|tables| tables.map(range.clone(), leaf))?;
    let count = (range.end - range.start) / PAGE_SIZE;
    // Never more than CAPACITY, to which the size was made.
    *POOL.lock() = Some(Pool { range, pages: PageBitmap::new(count as usize) });
    Ok(())
}

/// Takes the pool back: nothing of what was in it stays with the host, and its memory is private RAM again.
///
/// # Errors
/// [`Error`]; the memory must then not be used.
pub fn close() -> Result<(), Error> {
    let Some(pool) = POOL.lock().take() else { return Ok(()) };
    // What is free was cleared when it was given back.
    for page in pool.pages.taken() {
        let start = pool.range.start + page as u64 * PAGE_SIZE;
        zero(&(start..start + PAGE_SIZE));
    }
    if !realm::is_realm() {
        return Ok(());
    }
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

/// A number that is loaded and stored in one access.
pub trait Word: Copy + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Word for $type {}
    )*};
}
words!(u8 u16 u32 u64);

/// A piece of the pool, made of pages: zero when it is taken and cleared when it goes back.
///
/// It is what drivers and devices work on together (a ring, a descriptor), and what transfers are bounced through
/// ([`dma::Window`]). Byte order is the caller's to care for.
#[derive(Debug)]
pub struct SharedBuffer {
    range: Range<u64>,
    first: usize,
    count: usize,
}

impl SharedBuffer {
    /// Takes `size` bytes, rounded up to pages; `None` when there are not so many in a row.
    pub fn take(size: usize) -> Option<Self> {
        let count = size.div_ceil(PAGE_SIZE as usize);
        let mut guard = POOL.lock();
        let pool = guard.as_mut()?;
        let first = pool.pages.take(count)?;
        let start = pool.range.start + first as u64 * PAGE_SIZE;
        let range = start..start + count as u64 * PAGE_SIZE;
        zero(&range);
        Some(Self { range, first, count })
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// The CPU's address: where the page tables have this memory.
    pub fn cpu_address(&self) -> u64 {
        self.range.start
    }

    /// The address that a device is given, in the form that it takes.
    pub fn device_address(&self, form: AddressForm) -> u64 {
        dma::device_address(self.range.start, form)
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

    /// Copies `length` bytes at `from` to the start, for a caller that has no slice of them.
    ///
    /// # Panics
    /// When they do not fit.
    ///
    /// # Safety
    /// The bytes at `from` are readable.
    pub unsafe fn write_from(&mut self, from: *const u8, length: usize) {
        let to = self.pointer(0, length);
        // SAFETY: inside this buffer's pages; the source is the caller's, and may be shared memory itself.
        unsafe { ptr::copy(from, to, length) };
        fence(Ordering::SeqCst);
    }

    /// Copies `length` bytes from the start to `to`.
    ///
    /// # Panics
    /// When there are not so many.
    ///
    /// # Safety
    /// The bytes at `to` are writable and no one has a reference to them.
    pub unsafe fn read_to(&self, to: *mut u8, length: usize) {
        fence(Ordering::SeqCst);
        let from = self.pointer(0, length);
        // SAFETY: as for `write_from`, the other way round.
        unsafe { ptr::copy(from, to, length) };
    }

    /// Stores `value` at `offset` in one access, after all that was written before.
    ///
    /// # Panics
    /// When it does not fit, or `offset` is not a multiple of its size.
    pub fn store<T: Word>(&mut self, offset: usize, value: T) {
        assert!(offset.is_multiple_of(size_of::<T>()), "misaligned in the shared buffer");
        let to = self.pointer(offset, size_of::<T>()).cast::<T>();
        barrier::dmb(barrier::OSH);
        // SAFETY: as for `write`, and aligned: the buffer is made of pages.
        unsafe { to.write_volatile(value) };
    }

    /// Loads what is at `offset` in one access, before all that is read afterwards.
    ///
    /// # Panics
    /// As [`Self::store`].
    pub fn load<T: Word>(&self, offset: usize) -> T {
        assert!(offset.is_multiple_of(size_of::<T>()), "misaligned in the shared buffer");
        let from = self.pointer(offset, size_of::<T>()).cast::<T>();
        // SAFETY: as for `store`; every bit pattern is a number.
        let value = unsafe { from.read_volatile() };
        barrier::dmb(barrier::OSH);
        value
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
