use super::*;

use r_efi::efi::{ACPI_RECLAIM_MEMORY, BOOT_SERVICES_DATA, LOADER_DATA, RUNTIME_SERVICES_DATA};

const BASE: u64 = 0x4000_0000;
const SIZE: u64 = 16 << 20;

fn fresh() -> (MemoryMap, Pool) {
    let mut map = MemoryMap::new();
    map.add_ram(BASE..BASE + SIZE).unwrap();
    (map, Pool::new())
}

#[test]
fn small_blocks_share_a_page() {
    let (mut map, mut pool) = fresh();
    let first = pool.allocate(&mut map, LOADER_DATA, 24).unwrap();
    assert_eq!(first.claimed, Some(BASE + SIZE - PAGE_SIZE..BASE + SIZE));
    let second = pool.allocate(&mut map, LOADER_DATA, 32).unwrap();
    assert_eq!(second.claimed, None);
    assert_eq!(second.address, first.address + 32);
    assert_eq!(map.pages_of(LOADER_DATA), 1);
}

#[test]
fn a_page_holds_as_many_slots_as_fit_and_no_more() {
    for size in SLOT_SIZES {
        let (mut map, mut pool) = fresh();
        for slot in 0..PAGE_SIZE / size {
            let block = pool.allocate(&mut map, LOADER_DATA, size).unwrap();
            assert_eq!(block.address, BASE + SIZE - PAGE_SIZE + slot * size);
        }
        assert_eq!(map.pages_of(LOADER_DATA), 1, "{size}");
        pool.allocate(&mut map, LOADER_DATA, size).unwrap();
        assert_eq!(map.pages_of(LOADER_DATA), 2, "{size}");
    }
}

#[test]
fn types_and_sizes_do_not_share_a_page() {
    let (mut map, mut pool) = fresh();
    pool.allocate(&mut map, LOADER_DATA, 24).unwrap();
    pool.allocate(&mut map, BOOT_SERVICES_DATA, 24).unwrap();
    pool.allocate(&mut map, BOOT_SERVICES_DATA, 200).unwrap();
    assert_eq!(map.pages_of(LOADER_DATA), 1);
    assert_eq!(map.pages_of(BOOT_SERVICES_DATA), 2);
}

#[test]
fn large_blocks_are_whole_pages() {
    let (mut map, mut pool) = fresh();
    let block = pool.allocate(&mut map, ACPI_RECLAIM_MEMORY, 2049).unwrap();
    assert_eq!(block.claimed, Some(block.address..block.address + PAGE_SIZE));
    let block = pool.allocate(&mut map, ACPI_RECLAIM_MEMORY, 4097).unwrap();
    assert_eq!(map.pages_of(ACPI_RECLAIM_MEMORY), 3);
    assert_eq!(pool.free(&mut map, block.address + PAGE_SIZE), Err(MapError::Invalid), "its second page");
    let freed = pool.free(&mut map, block.address).unwrap();
    assert_eq!(freed, Some(block.address..block.address + 2 * PAGE_SIZE));
    assert_eq!(pool.free(&mut map, block.address), Err(MapError::Invalid), "twice");
}

#[test]
fn the_last_block_of_a_page_gives_it_back() {
    let (mut map, mut pool) = fresh();
    let first = pool.allocate(&mut map, LOADER_DATA, 100).unwrap().address;
    let second = pool.allocate(&mut map, LOADER_DATA, 100).unwrap().address;
    assert_eq!(pool.free(&mut map, first), Ok(None));
    assert_eq!(pool.free(&mut map, second), Ok(Some(BASE + SIZE - PAGE_SIZE..BASE + SIZE)));
    assert_eq!(map.pages_of(LOADER_DATA), 0);
    assert_eq!(pool.free(&mut map, second), Err(MapError::Invalid));
}

#[test]
fn garbage_is_refused() {
    let (mut map, mut pool) = fresh();
    let block = pool.allocate(&mut map, LOADER_DATA, 64).unwrap().address;
    let page = map.allocate(Placement::Any, LOADER_DATA, 1, PAGE_SIZE, Owner::Pages).unwrap().start;
    let key = map.key();
    for garbage in [0, 1, 8, u64::MAX, block + 1, block + 8, block + 64, block - 64, page, BASE] {
        assert_eq!(pool.free(&mut map, garbage), Err(MapError::Invalid), "{garbage:#x}");
    }
    assert_eq!(map.key(), key);
    assert_eq!(pool.free(&mut map, block).map(|freed| freed.is_some()), Ok(true));
}

#[test]
fn a_freed_slot_is_used_again() {
    let (mut map, mut pool) = fresh();
    let blocks: Vec<_> = (0..3).map(|_| pool.allocate(&mut map, LOADER_DATA, 32).unwrap().address).collect();
    pool.free(&mut map, blocks[1]).unwrap();
    assert_eq!(pool.allocate(&mut map, LOADER_DATA, 32).unwrap().address, blocks[1]);
}

#[test]
fn runtime_blocks_share_a_granule_until_all_are_gone() {
    let (mut map, mut pool) = fresh();
    let small = pool.allocate(&mut map, RUNTIME_SERVICES_DATA, 32).unwrap();
    let granule = BASE + SIZE - 0x1_0000..BASE + SIZE;
    assert_eq!(small.claimed, Some(granule.clone()));
    let other = pool.allocate(&mut map, RUNTIME_SERVICES_DATA, 1024).unwrap();
    assert_eq!(other.claimed, None);
    assert_ne!(other.address & !0xFFF, small.address & !0xFFF);
    assert_eq!(map.pages_of(RUNTIME_SERVICES_DATA), 16);
    assert_eq!(pool.free(&mut map, small.address), Ok(None));
    assert_eq!(pool.free(&mut map, other.address), Ok(Some(granule)));
    assert_eq!(map.pages_of(RUNTIME_SERVICES_DATA), 0);
    let large = pool.allocate(&mut map, RUNTIME_SERVICES_DATA, 5000).unwrap();
    assert_eq!(map.pages_of(RUNTIME_SERVICES_DATA), 16);
    assert_eq!(pool.free(&mut map, large.address).map(|freed| freed.is_some()), Ok(true));
}

#[test]
fn no_bytes_are_a_block_too() {
    let (mut map, mut pool) = fresh();
    let first = pool.allocate(&mut map, LOADER_DATA, 0).unwrap().address;
    let second = pool.allocate(&mut map, LOADER_DATA, 0).unwrap().address;
    assert_ne!(first, second);
    pool.free(&mut map, first).unwrap();
    pool.free(&mut map, second).unwrap();
}

#[test]
fn refusals_change_nothing() {
    let (mut map, mut pool) = fresh();
    let key = map.key();
    assert_eq!(pool.allocate(&mut map, 7, 8), Err(MapError::Invalid));
    assert_eq!(pool.allocate(&mut map, 0x6000_0000, 8), Err(MapError::Invalid));
    assert_eq!(pool.allocate(&mut map, LOADER_DATA, SIZE + 1), Err(MapError::OutOfResources));
    assert_eq!(pool.allocate(&mut map, LOADER_DATA, u64::MAX), Err(MapError::OutOfResources));
    assert_eq!(map.key(), key);
}

/// No two blocks in use overlap, and freeing all of them leaves the map as it was.
#[test]
fn random_requests_never_overlap() {
    let (mut map, mut pool) = fresh();
    let mut blocks: Vec<(u64, u64)> = Vec::new();
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let rounds = if cfg!(miri) { 100 } else { 5_000 };
    for _ in 0..rounds {
        if random(3) < 2 {
            let largest = if random(8) == 0 { 20_000 } else { 600 };
            let size = 1 + random(largest);
            let kind = [LOADER_DATA, RUNTIME_SERVICES_DATA][random(2) as usize];
            let Ok(block) = pool.allocate(&mut map, kind, size) else { continue };
            assert!(block.address.is_multiple_of(8));
            for (address, length) in &blocks {
                assert!(block.address + size <= *address || address + length <= block.address);
            }
            blocks.push((block.address, size));
        } else if !blocks.is_empty() {
            let (address, _) = blocks.swap_remove(random(blocks.len() as u64) as usize);
            pool.free(&mut map, address).unwrap();
        }
    }
    for (address, _) in blocks {
        pool.free(&mut map, address).unwrap();
    }
    assert_eq!(map.descriptors().count(), 1);
    assert!(pool.slot_pages.is_empty() && pool.large.is_empty());
}
