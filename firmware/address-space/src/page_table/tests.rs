use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Tables in a map, with the rules of hardware that the code relies on.
#[derive(Default)]
struct Fake {
    tables: BTreeMap<u64, Vec<u64>>,
    limit: usize,
    /// Tables with entries that a walk may not see yet.
    unpublished: BTreeSet<u64>,
    /// Leaves that the TLB may still hold: address of the entry -> value.
    cached: BTreeMap<(u64, usize), u64>,
}

impl Fake {
    fn new(limit: usize) -> Self {
        let mut fake = Self { limit: limit + 1, ..Self::default() };
        fake.allocate().unwrap();
        fake
    }
}

const FIRST: u64 = 0x10_0000;

impl TableMemory for Fake {
    fn read(&self, table: u64, index: usize) -> u64 {
        self.tables[&table][index]
    }

    fn write(&mut self, table: u64, index: usize, value: u64) {
        // Leaves have a mark; what has none is a link.
        let unseen = self.unpublished.contains(&(value & ADDRESS_MASK));
        assert!(value & MAPPED != 0 || !unseen, "a table is linked before what is in it");
        self.unpublished.insert(table);
        let old = self.tables[&table][index];
        if let Some(cached) = self.cached.get(&(table, index)) {
            // Break before make: a valid entry is never replaced by one of another kind or address.
            let kind = |e: u64| e & (ADDRESS_MASK | TABLE_OR_PAGE | ATTR_INDEX_MASK);
            assert!(value & VALID == 0 || kind(*cached) == kind(value), "{cached:#x} -> {value:#x}");
        }
        if old & VALID != 0 {
            self.cached.insert((table, index), old);
        }
        self.tables.get_mut(&table).unwrap()[index] = value;
    }

    fn allocate(&mut self) -> Option<u64> {
        if self.tables.len() >= self.limit {
            return None;
        }
        let address = FIRST + self.tables.len() as u64 * PAGE_SIZE;
        self.tables.insert(address, vec![0; ENTRIES]);
        self.unpublished.insert(address);
        Some(address)
    }

    fn publish(&mut self) {
        self.unpublished.clear();
    }

    fn synchronize(&mut self) {
        self.unpublished.clear();
        self.cached.clear();
    }
}

fn tables(limit: usize) -> PageTable<Fake> {
    PageTable::adopt(FIRST, Regime::El1, Fake::new(limit))
}

fn data() -> Leaf {
    Leaf::ram(Protection { execute_never: true, ..Protection::default() })
}

/// What the hardware's walk makes of an address.
fn walk(tables: &PageTable<Fake>, address: u64) -> Option<(u64, u64)> {
    let mut table = tables.root;
    for level in 0..4 {
        let shift = 39 - 9 * level;
        let entry = tables.memory.tables[&table][((address >> shift) & 511) as usize];
        match (entry & 3, level) {
            (3, 0..=2) => table = entry & ADDRESS_MASK,
            (1, 1..=2) | (3, 3) => {
                let offset = address & ((1 << shift) - 1);
                return Some(((entry & ADDRESS_MASK) + offset, entry & !ADDRESS_MASK));
            }
            _ => return None,
        }
    }
    None
}

#[test]
fn maps_the_identity_with_write_back_inner_shareable() {
    let mut t = tables(8);
    t.map(0x4000_0000..0x4020_1000, data()).unwrap();
    for address in [0x4000_0000, 0x4012_3456, 0x4020_0fff] {
        let (output, attributes) = walk(&t, address).unwrap();
        assert_eq!(output, address);
        assert_eq!(attributes & 0xffc, (3 << 2) | (3 << 8) | (1 << 10));
        assert_eq!(attributes & EXECUTE_NEVER, EXECUTE_NEVER);
    }
    assert_eq!(walk(&t, 0x4020_1000), None);
    assert_eq!(walk(&t, 0x3fff_ffff), None);
}

#[test]
fn el2_sets_the_bit_that_is_one_there() {
    let mut t = PageTable::adopt(FIRST, Regime::El2, Fake::new(8));
    t.map(0..0x1000, data()).unwrap();
    assert_eq!(walk(&t, 0).unwrap().1 & EL2_RES1, EL2_RES1);
    let mut t = tables(8);
    t.map(0..0x1000, data()).unwrap();
    assert_eq!(walk(&t, 0).unwrap().1 & EL2_RES1, 0);
}

#[test]
fn a_tebibyte_takes_a_handful_of_tables() {
    let mut t = tables(4);
    t.map(0x4000_0000..0x4000_0000 + (1 << 40), data()).unwrap();
    assert_eq!(t.memory.tables.len(), 4);
    assert_eq!(walk(&t, 0xff_ffff_ffff).unwrap().0, 0xff_ffff_ffff);
}

#[test]
fn the_shared_bit_goes_into_the_output_and_stays_when_split() {
    let mut t = tables(8);
    t.map(0x800_0000..0xa00_0000, Leaf { output_offset: 1 << 40, ..data() }).unwrap();
    assert_eq!(walk(&t, 0x900_0018).unwrap().0, (1 << 40) + 0x900_0018);
    t.protect(0x900_0000..0x900_1000, |p| Protection { read_only: true, ..p }).unwrap();
    assert_eq!(walk(&t, 0x900_0018).unwrap().0, (1 << 40) + 0x900_0018);
    assert_eq!(walk(&t, 0x901_0018).unwrap().0, (1 << 40) + 0x901_0018);
    assert_eq!(t.query(0x900_0000..0x900_1000).unwrap().output_offset, 1 << 40);
}

#[test]
fn protection_splits_blocks_and_leaves_the_neighbours() {
    let mut t = tables(8);
    t.map(0x4000_0000..0x8000_0000, data()).unwrap();
    t.protect(0x4123_4000..0x4123_6000, |_| Protection { read_only: true, ..Protection::default() }).unwrap();
    let code = walk(&t, 0x4123_5000).unwrap().1;
    assert_eq!(code & (READ_ONLY | EXECUTE_NEVER), READ_ONLY);
    for neighbour in [0x4000_0000, 0x4123_3fff, 0x4123_6000, 0x7fff_ffff] {
        let attributes = walk(&t, neighbour).unwrap().1;
        assert_eq!(attributes & (READ_ONLY | EXECUTE_NEVER), EXECUTE_NEVER, "{neighbour:#x}");
    }
}

#[test]
fn read_protected_pages_fault_and_come_back() {
    let mut t = tables(8);
    t.map(0..0x20_0000, data()).unwrap();
    t.protect(0x1000..0x2000, |p| Protection { read_protect: true, ..p }).unwrap();
    assert_eq!(walk(&t, 0x1000), None);
    let leaf = t.query(0x1000..0x2000).unwrap();
    assert!(leaf.protection.read_protect && leaf.protection.execute_never);
    t.protect(0x1000..0x2000, |p| Protection { read_protect: false, ..p }).unwrap();
    assert_eq!(walk(&t, 0x1234).unwrap().0, 0x1234);
    assert_eq!(t.query(0..0x20_0000).unwrap(), data());
}

#[test]
fn a_read_protected_block_splits_into_protected_pages() {
    let mut t = tables(8);
    t.map(0..0x20_0000, data()).unwrap();
    t.protect(0..0x20_0000, |p| Protection { read_protect: true, ..p }).unwrap();
    t.protect(0x1000..0x2000, |p| Protection { read_protect: false, ..p }).unwrap();
    assert_eq!(walk(&t, 0), None);
    assert!(walk(&t, 0x1000).is_some());
    assert_eq!(walk(&t, 0x2000), None);
}

#[test]
fn mapping_twice_needs_the_same_leaf() {
    let mut t = tables(8);
    t.map(0x20_0000..0x40_0000, data()).unwrap();
    t.map(0..0x60_0000, data()).unwrap();
    assert_eq!(t.map(0x20_0000..0x20_1000, Leaf::device(0)), Err(Error::Mapped));
    assert_eq!(walk(&t, 0x5f_ffff).unwrap().0, 0x5f_ffff);
}

#[test]
fn holes_and_differences_are_told_apart() {
    let mut t = tables(8);
    t.map(0..0x2000, data()).unwrap();
    t.map(0x2000..0x3000, Leaf::device(0)).unwrap();
    assert_eq!(t.query(0..0x3000), Err(Error::Mapped));
    assert_eq!(t.query(0..0x4000), Err(Error::Mapped));
    assert_eq!(t.query(0x2000..0x4000), Err(Error::NotMapped));
    assert_eq!(t.protect(0..0x4000, |_| Protection::default()), Err(Error::NotMapped));
    assert_eq!(t.query(0..0x2000), Ok(data()));
    t.protect(0x1000..0x2000, |_| Protection::default()).unwrap();
    assert_eq!(t.query(0..0x2000), Err(Error::Mapped));
}

#[test]
fn the_protection_of_devices_stays() {
    let mut t = tables(8);
    t.map(0..0x2000, data()).unwrap();
    t.map(0x2000..0x3000, Leaf::device(0)).unwrap();
    assert_eq!(t.protect(0..0x3000, |_| Protection::default()), Err(Error::NotMapped));
    assert_eq!(t.query(0..0x2000), Ok(data()));
    assert_eq!(t.query(0x2000..0x3000), Ok(Leaf::device(0)));
}

#[test]
fn bad_ranges_are_refused() {
    let mut t = tables(8);
    for range in [1..0x1000, 0..0x1001, ADDRESS_END..ADDRESS_END + 0x1000, Range { start: 0x2000, end: 0x1000 }] {
        assert_eq!(t.map(range, data()), Err(Error::Range));
    }
}

#[test]
fn no_table_left_is_an_error() {
    let mut t = tables(1);
    assert_eq!(t.map(0..0x1000, data()), Err(Error::OutOfTables));
    let mut t = tables(2);
    t.map(0..0x4000_0000, data()).unwrap();
    assert_eq!(t.protect(0..0x1000, |_| Protection::default()), Err(Error::OutOfTables));
}

#[test]
fn unmapped_pages_can_be_mapped_anew() {
    let mut t = tables(8);
    t.map(0x4000_0000..0x4001_0000, Leaf::ram(Protection { read_only: true, ..Protection::default() })).unwrap();
    t.unmap(0x4000_0000..0x4001_0000).unwrap();
    assert_eq!(walk(&t, 0x4000_0000), None);
    t.map(0x4000_0000..0x8000_0000, data()).unwrap();
    assert_eq!(t.query(0x4000_0000..0x8000_0000), Ok(data()));
    assert_eq!(t.unmap(0x5000_0000..0x5000_1000), Err(Error::Mapped));
}
