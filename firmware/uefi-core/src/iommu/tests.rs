use std::cell::RefCell;
use std::rc::Rc;

use super::*;

const READ: u32 = 0;
const WRITE: u32 = 1;
const COMMON: u32 = 2;
const DAC: u64 = 0x8000;
/// Where the CPU has the pool, and the caller's memory.
const POOL: u64 = 0x8000_0000;
const CALLER: u64 = 0x5000;

type Bytes = Rc<RefCell<Vec<u8>>>;

/// Eight pages, and the caller's memory; the pages in use are those that `Piece`s exist of.
struct Fake {
    pool: Bytes,
    caller: Bytes,
    taken: Rc<RefCell<Vec<bool>>>,
    alias: u64,
    all: bool,
}

#[derive(Debug)]
struct Piece {
    first: usize,
    count: usize,
    taken: Rc<RefCell<Vec<bool>>>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.taken.borrow_mut()[self.first..self.first + self.count].fill(false);
    }
}

impl DeviceMemory for Fake {
    type Piece = Piece;

    fn is_all(&self) -> bool {
        self.all
    }

    fn take(&mut self, size: usize) -> Option<Piece> {
        let count = size.div_ceil(4096);
        let mut taken = self.taken.borrow_mut();
        let first = (0..taken.len()).find(|&at| taken.get(at..at + count).is_some_and(|run| !run.contains(&true)))?;
        taken[first..first + count].fill(true);
        self.pool.borrow_mut()[first * 4096..(first + count) * 4096].fill(0);
        Some(Piece { first, count, taken: self.taken.clone() })
    }

    fn cpu_range(&self, piece: &Piece) -> (u64, u64) {
        (POOL + piece.first as u64 * 4096, piece.count as u64 * 4096)
    }

    fn device_address(&self, address: u64) -> u64 {
        address | self.alias
    }

    fn copy_in(&mut self, piece: &mut Piece, from: u64, size: usize) {
        let from = (from - CALLER) as usize;
        let at = piece.first * 4096;
        self.pool.borrow_mut()[at..at + size].copy_from_slice(&self.caller.borrow()[from..from + size]);
    }

    fn copy_out(&mut self, piece: &Piece, to: u64, size: usize) {
        let to = (to - CALLER) as usize;
        let at = piece.first * 4096;
        self.caller.borrow_mut()[to..to + size].copy_from_slice(&self.pool.borrow()[at..at + size]);
    }
}

struct Test {
    iommu: Iommu<Fake>,
    pool: Bytes,
    caller: Bytes,
    taken: Rc<RefCell<Vec<bool>>>,
}

fn test(alias: u64) -> Test {
    with(alias, false)
}

fn with(alias: u64, all: bool) -> Test {
    let (pool, caller) = (Bytes::new(vec![0xff; 8 * 4096].into()), Bytes::new(vec![7; 16].into()));
    let taken = Rc::new(RefCell::new(vec![false; 8]));
    let fake = Fake { pool: pool.clone(), caller: caller.clone(), taken: taken.clone(), alias, all };
    Test { iommu: Iommu::new(fake), pool, caller, taken }
}

impl Test {
    fn in_use(&self) -> usize {
        self.taken.borrow().iter().filter(|taken| **taken).count()
    }
}

#[test]
fn what_a_device_reads_is_copied_in_and_not_back() {
    let mut t = test(1 << 40);
    let (device, name) = t.iommu.map(READ + 3, CALLER, 16).unwrap();
    assert_eq!(device, POOL | 1 << 40);
    assert_eq!(t.pool.borrow()[..17], [&[7; 16][..], &[0]].concat());
    t.pool.borrow_mut()[0] = 9;
    assert_eq!(t.iommu.unmap(name), Ok(()));
    assert_eq!(t.caller.borrow()[0], 7);
    assert_eq!(t.in_use(), 0);
    assert_eq!(t.iommu.unmap(name), Err(IommuError::Invalid));
}

#[test]
fn what_a_device_writes_comes_back_at_the_end() {
    let mut t = test(0);
    let (_, name) = t.iommu.map(WRITE, CALLER + 4, 4).unwrap();
    assert_eq!(t.pool.borrow()[..8], [0; 8], "nothing of the caller's is there to read");
    t.pool.borrow_mut()[..8].fill(9);
    assert_eq!(t.caller.borrow()[..], [7; 16]);
    assert_eq!(t.iommu.unmap(name), Ok(()));
    assert_eq!(t.caller.borrow()[..], [[7; 4], [9; 4], [7; 4], [7; 4]].concat());
}

#[test]
fn common_buffers_are_those_that_were_allocated() {
    let mut t = test(0);
    let start = t.iommu.allocate(2, 0).unwrap();
    let (device, name) = t.iommu.map(COMMON, start + 4096, 4096).unwrap();
    assert_eq!(device, start + 4096);
    assert_eq!(t.in_use(), 2);
    for (host, size) in [(CALLER, 16), (start + 4096, 4097), (start - 1, 2)] {
        assert_eq!(t.iommu.map(COMMON, host, size), Err(IommuError::Unsupported));
    }
    assert_eq!(t.iommu.unmap(name), Ok(()));
    for (pages, at) in [(1, start), (2, start + 4096), (usize::MAX, start)] {
        assert_eq!(t.iommu.free(pages, at), Err(IommuError::Invalid));
    }
    assert_eq!(t.iommu.free(2, start), Ok(()));
    assert_eq!(t.iommu.free(2, start), Err(IommuError::Invalid));
    assert_eq!(t.in_use(), 0);
}

#[test]
fn where_devices_reach_all_memory_nothing_is_copied() {
    const ABOVE: u64 = 1 << 32;
    let mut t = with(0, true);
    for operation in [READ, WRITE, COMMON] {
        let (device, name) = t.iommu.map(operation, CALLER, 16).unwrap();
        assert_eq!((device, t.in_use()), (CALLER, 0));
        assert_eq!(t.iommu.unmap(name), Ok(()));
        assert_eq!(t.iommu.unmap(name), Err(IommuError::Invalid));
    }
    // What a device does not reach is copied, and is no common buffer.
    let (device, _) = t.iommu.map(WRITE, ABOVE - 1, 2).unwrap();
    assert_eq!((device, t.in_use()), (POOL, 1));
    assert_eq!(t.iommu.map(COMMON, ABOVE, 16), Err(IommuError::Unsupported));
    assert_eq!(t.iommu.map(COMMON + 3, ABOVE, 16).map(|(device, _)| device), Ok(ABOVE));
}

#[test]
fn no_address_goes_to_a_device_that_does_not_reach_it() {
    let mut t = test(1 << 32);
    assert_eq!(t.iommu.map(READ, CALLER, 16), Err(IommuError::OutOfResources));
    assert_eq!(t.iommu.allocate(1, 0), Err(IommuError::OutOfResources));
    assert_eq!(t.in_use(), 0);
    let start = t.iommu.allocate(1, DAC).unwrap();
    assert_eq!(t.iommu.map(COMMON, start, 16), Err(IommuError::Unsupported));
    assert!(t.iommu.map(COMMON + 3, start, 16).is_ok());
}

#[test]
fn bad_requests_change_nothing() {
    let mut t = test(0);
    for (operation, host, size) in [(6, CALLER, 16), (u32::MAX, CALLER, 16), (READ, CALLER, 0), (WRITE, u64::MAX, 2)] {
        assert_eq!(t.iommu.map(operation, host, size), Err(IommuError::Invalid));
    }
    assert_eq!(t.iommu.map(WRITE, CALLER, 9 * 4096), Err(IommuError::OutOfResources));
    assert_eq!(t.iommu.allocate(0, 0), Err(IommuError::Invalid));
    assert_eq!(t.iommu.allocate(1, 1), Err(IommuError::Unsupported));
    assert_eq!(t.iommu.allocate(9, 0), Err(IommuError::OutOfResources));
    assert_eq!(t.iommu.allocate(usize::MAX, 0), Err(IommuError::OutOfResources));
    let (_, name) = t.iommu.map(READ, CALLER, 16).unwrap();
    assert_eq!(t.iommu.set_attribute(name, 4), Err(IommuError::Invalid));
    assert_eq!(t.iommu.set_attribute(name + 1, 1), Err(IommuError::Invalid));
    assert_eq!(t.iommu.set_attribute(name, 3), Err(IommuError::Unsupported));
    assert_eq!(t.in_use(), 1);
}
