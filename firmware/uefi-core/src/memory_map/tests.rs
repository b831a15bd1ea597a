use super::*;

use r_efi::efi::{ACPI_RECLAIM_MEMORY, BOOT_SERVICES_DATA, LOADER_CODE, LOADER_DATA, MEMORY_MAPPED_IO, MEMORY_XP};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const BASE: u64 = GIB;

fn map() -> MemoryMap {
    let mut map = MemoryMap::new();
    map.add_ram(BASE..BASE + 16 * MIB).unwrap();
    map
}

fn any(map: &mut MemoryMap, kind: MemoryType, pages: u64) -> Result<Range<u64>, MapError> {
    map.allocate(Placement::Any, kind, pages, PAGE_SIZE, Owner::Pages)
}

fn at(map: &mut MemoryMap, kind: MemoryType, start: u64, pages: u64) -> Result<Range<u64>, MapError> {
    map.allocate(Placement::At(start), kind, pages, PAGE_SIZE, Owner::Pages)
}

fn shape(map: &MemoryMap) -> Vec<(MemoryType, u64, u64)> {
    map.regions().iter().map(|r| (r.kind, (r.start - BASE) / PAGE_SIZE, r.pages())).collect()
}

/// Sorted, disjoint, on page boundaries, joined where possible, and nothing lost.
fn check(map: &MemoryMap, pages: u64) {
    for pair in map.regions().windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
        assert!(!pair[0].continues(&pair[1]), "{pair:?}");
    }
    for region in map.regions() {
        assert!(region.start < region.end);
        assert!(region.start.is_multiple_of(PAGE_SIZE) && region.end.is_multiple_of(PAGE_SIZE));
    }
    assert_eq!(map.regions().iter().map(Region::pages).sum::<u64>(), pages);
}

#[test]
fn pages_come_from_the_top() {
    let mut map = map();
    assert_eq!(any(&mut map, LOADER_DATA, 2), Ok(BASE + 16 * MIB - 0x2000..BASE + 16 * MIB));
    assert_eq!(any(&mut map, LOADER_DATA, 1).unwrap().start, BASE + 16 * MIB - 0x3000);
    assert_eq!(shape(&map), [(CONVENTIONAL_MEMORY, 0, 4093), (LOADER_DATA, 4093, 3)]);
    check(&map, 4096);
}

#[test]
fn the_highest_gap_that_fits_is_taken() {
    let mut map = map();
    at(&mut map, LOADER_DATA, BASE + 15 * MIB, 1).unwrap();
    // 255 pages lie above the page at 15 MiB.
    assert_eq!(any(&mut map, LOADER_CODE, 256).unwrap().end, BASE + 15 * MIB);
    assert_eq!(any(&mut map, LOADER_CODE, 255).unwrap().end, BASE + 16 * MIB);
}

#[test]
fn a_limit_is_the_last_byte_that_may_be_used() {
    let mut map = map();
    let mut below = |last, pages| map.allocate(Placement::Below(last), LOADER_DATA, pages, PAGE_SIZE, Owner::Pages);
    assert_eq!(below(BASE + 0x1FFF, 1), Ok(BASE + 0x1000..BASE + 0x2000));
    assert_eq!(below(BASE + 0x1FFE, 1), Ok(BASE..BASE + 0x1000));
    assert_eq!(below(BASE + 0x1FFF, 1), Err(MapError::OutOfResources));
    assert_eq!(below(BASE - 1, 1), Err(MapError::OutOfResources));
    assert_eq!(below(u64::MAX, 1).unwrap().end, BASE + 16 * MIB);
}

#[test]
fn an_alignment_is_kept_and_refused_when_it_is_no_power_of_two() {
    let mut map = map();
    any(&mut map, LOADER_DATA, 1).unwrap();
    let range = map.allocate(Placement::Any, LOADER_CODE, 3, 2 * MIB, Owner::Pages).unwrap();
    assert_eq!(range, BASE + 14 * MIB..BASE + 14 * MIB + 0x3000);
    let odd = map.allocate(Placement::Any, LOADER_CODE, 3, 0x3000, Owner::Pages);
    assert_eq!(odd, Err(MapError::Invalid));
    let none = map.allocate(Placement::Any, LOADER_CODE, 3, 0, Owner::Pages);
    assert_eq!(none, Err(MapError::Invalid));
}

#[test]
fn an_address_must_be_free_and_aligned() {
    let mut map = map();
    assert_eq!(at(&mut map, LOADER_DATA, BASE, 1), Ok(BASE..BASE + 0x1000));
    assert_eq!(at(&mut map, LOADER_DATA, BASE, 1), Err(MapError::NotFound));
    assert_eq!(at(&mut map, LOADER_DATA, BASE + 0x800, 1), Err(MapError::NotFound));
    assert_eq!(at(&mut map, LOADER_DATA, BASE - 0x1000, 1), Err(MapError::NotFound));
    assert_eq!(at(&mut map, LOADER_DATA, BASE + 16 * MIB - 0x1000, 2), Err(MapError::NotFound));
    assert_eq!(at(&mut map, LOADER_DATA, !0xFFF, 1), Err(MapError::NotFound));
    assert_eq!(at(&mut map, LOADER_DATA, BASE, u64::MAX), Err(MapError::NotFound));
}

#[test]
fn runtime_memory_comes_in_granules() {
    for kind in [RESERVED_MEMORY_TYPE, RUNTIME_SERVICES_CODE, RUNTIME_SERVICES_DATA, ACPI_MEMORY_NVS] {
        let mut map = map();
        any(&mut map, LOADER_DATA, 1).unwrap();
        let range = any(&mut map, kind, 1).unwrap();
        assert_eq!(range, BASE + 16 * MIB - 0x2_0000..BASE + 16 * MIB - 0x1_0000, "{kind}");
        assert_eq!(at(&mut map, kind, BASE + 0x1000, 1), Err(MapError::NotFound), "{kind}");
        assert_eq!(at(&mut map, kind, BASE, 17), Ok(BASE..BASE + 0x2_0000), "{kind}");
        assert_eq!(map.free(BASE + 0x1000, 1, Owner::Pages), Err(MapError::Invalid), "{kind}");
        assert_eq!(map.free(BASE, 1, Owner::Pages), Ok(BASE..BASE + 0x1_0000), "{kind}");
        check(&map, 4096);
    }
    let mut map = map();
    assert_eq!(any(&mut map, ACPI_RECLAIM_MEMORY, 1).unwrap().end, BASE + 16 * MIB);
    assert_eq!(map.pages_of(ACPI_RECLAIM_MEMORY), 1);
}

#[test]
fn types_are_those_of_the_specification() {
    for kind in [7, 14, 15, 16, 0x6FFF_FFFF] {
        assert_eq!(any(&mut map(), kind, 1), Err(MapError::Invalid), "{kind:#x}");
    }
    for kind in [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 0x7000_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF] {
        let mut map = map();
        any(&mut map, kind, 1).unwrap();
        assert_eq!(map.pages_of(kind), granule(kind) / PAGE_SIZE, "{kind:#x}");
    }
}

#[test]
fn zero_and_endless_requests_find_no_memory() {
    let mut map = map();
    let key = map.key();
    for pages in [0, 4097, u64::MAX, u64::MAX / PAGE_SIZE, u64::MAX / PAGE_SIZE + 1] {
        assert_eq!(any(&mut map, LOADER_DATA, pages), Err(MapError::OutOfResources), "{pages:#x}");
        assert_eq!(any(&mut map, RUNTIME_SERVICES_DATA, pages), Err(MapError::OutOfResources), "{pages:#x}");
        assert!(map.free(BASE, pages, Owner::Pages).is_err(), "{pages:#x}");
    }
    assert_eq!(map.key(), key);
}

#[test]
fn freed_pages_join_their_neighbours() {
    let mut map = map();
    at(&mut map, LOADER_DATA, BASE + 0x1000, 8).unwrap();
    assert_eq!(map.free(BASE + 0x3000, 2, Owner::Pages), Ok(BASE + 0x3000..BASE + 0x5000));
    let pieces = [
        (CONVENTIONAL_MEMORY, 0, 1),
        (LOADER_DATA, 1, 2),
        (CONVENTIONAL_MEMORY, 3, 2),
        (LOADER_DATA, 5, 4),
        (CONVENTIONAL_MEMORY, 9, 4087),
    ];
    assert_eq!(shape(&map), pieces);
    map.free(BASE + 0x1000, 2, Owner::Pages).unwrap();
    map.free(BASE + 0x5000, 4, Owner::Pages).unwrap();
    assert_eq!(shape(&map), [(CONVENTIONAL_MEMORY, 0, 4096)]);
}

#[test]
fn neighbouring_allocations_can_be_freed_at_once() {
    let mut map = map();
    at(&mut map, LOADER_DATA, BASE, 1).unwrap();
    at(&mut map, LOADER_CODE, BASE + 0x1000, 1).unwrap();
    assert_eq!(map.free(BASE, 2, Owner::Pages), Ok(BASE..BASE + 0x2000));
    assert_eq!(shape(&map), [(CONVENTIONAL_MEMORY, 0, 4096)]);
}

#[test]
fn only_what_was_allocated_can_be_freed() {
    let mut map = map();
    map.claim(BOOT_SERVICES_DATA, BASE..BASE + 0x2000).unwrap();
    map.allocate(Placement::At(BASE + 0x2000), LOADER_DATA, 1, PAGE_SIZE, Owner::Pool).unwrap();
    at(&mut map, LOADER_DATA, BASE + 0x3000, 1).unwrap();
    let key = map.key();
    let mut free = |offset: u64, pages| map.free(BASE.wrapping_add(offset), pages, Owner::Pages);
    assert_eq!(free(0, 1), Err(MapError::NotFound), "the firmware's");
    assert_eq!(free(0x2000, 1), Err(MapError::NotFound), "the pool's");
    assert_eq!(free(0x4000, 1), Err(MapError::NotFound), "free already");
    assert_eq!(free(0x3000, 2), Err(MapError::NotFound), "partly free already");
    assert_eq!(free(0x2000, 2), Err(MapError::NotFound), "partly the pool's");
    assert_eq!(free(16 * MIB - 0x1000, 2), Err(MapError::NotFound), "partly nothing");
    assert_eq!(free(0u64.wrapping_sub(BASE), 1), Err(MapError::NotFound), "nothing");
    assert_eq!(free(0x3001, 1), Err(MapError::Invalid), "not aligned");
    assert_eq!(free(0x3000, 0), Err(MapError::Invalid), "no pages");
    assert_eq!(map.key(), key);
    assert_eq!(map.free(BASE + 0x3000, 1, Owner::Pages), Ok(BASE + 0x3000..BASE + 0x4000));
}

#[test]
fn the_key_follows_each_change_and_nothing_else() {
    let mut map = map();
    let mut keys = vec![map.key()];
    at(&mut map, LOADER_DATA, BASE, 2).unwrap();
    keys.push(map.key());
    at(&mut map, LOADER_DATA, BASE, 1).unwrap_err();
    map.free(BASE + MIB, 1, Owner::Pages).unwrap_err();
    map.claim(LOADER_DATA, BASE..BASE + 0x1000).unwrap_err();
    assert_eq!(map.descriptors().count(), 2);
    assert_eq!(map.key(), keys[1]);
    map.free(BASE, 1, Owner::Pages).unwrap();
    keys.push(map.key());
    map.free(BASE + 0x1000, 1, Owner::Pages).unwrap();
    keys.push(map.key());
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
}

#[test]
fn attributes_say_what_memory_can_do_and_what_runtime_needs() {
    let mut map = map();
    let rtc = MEMORY_UC | MEMORY_XP | MEMORY_RUNTIME;
    map.add(MEMORY_MAPPED_IO, 0x901_0000..0x901_1000, rtc).unwrap();
    any(&mut map, RUNTIME_SERVICES_CODE, 1).unwrap();
    any(&mut map, LOADER_DATA, 1).unwrap();
    let descriptors: Vec<_> = map.descriptors().map(|d| (d.r#type, d.attribute)).collect();
    let expected = [
        (MEMORY_MAPPED_IO, 0x8000_0000_0000_4001),
        (CONVENTIONAL_MEMORY, 0xF),
        (LOADER_DATA, 0xF),
        (RUNTIME_SERVICES_CODE, 0x8000_0000_0000_000F),
    ];
    assert_eq!(descriptors, expected);
    map.free(BASE + 16 * MIB - RUNTIME_GRANULE, 16, Owner::Pages).unwrap();
    assert_eq!(map.descriptors().last().unwrap().attribute, 0xF);
}

#[test]
fn descriptors_join_what_differs_only_in_its_owner() {
    let mut map = map();
    map.claim(BOOT_SERVICES_DATA, BASE..BASE + 0x1000).unwrap();
    at(&mut map, BOOT_SERVICES_DATA, BASE + 0x1000, 1).unwrap();
    map.allocate(Placement::At(BASE + 0x2000), BOOT_SERVICES_DATA, 1, PAGE_SIZE, Owner::Pool).unwrap();
    assert_eq!(map.regions().len(), 4);
    let descriptors: Vec<_> = map.descriptors().collect();
    assert_eq!(descriptors.len(), 2);
    assert_eq!(descriptors[0].physical_start, BASE);
    assert_eq!(descriptors[0].number_of_pages, 3);
    assert_eq!(descriptors[1].number_of_pages, 4093);
    assert_eq!(descriptors[1].virtual_start, 0);
}

#[test]
fn seeds_may_not_overlap_or_be_crooked() {
    let mut map = map();
    for range in [BASE - MIB..BASE + 0x1000, BASE..BASE + 16 * MIB, BASE + MIB..BASE + 2 * MIB, 0..!0xFFF] {
        assert_eq!(map.add_ram(range), Err(MapError::Invalid));
    }
    assert_eq!(map.add_ram(0x1000..0x1000), Err(MapError::Invalid));
    assert_eq!(map.add_ram(Range { start: 0x2000, end: 0x1000 }), Err(MapError::Invalid));
    assert_eq!(map.add_ram(0x800..0x1000), Err(MapError::Invalid));
    map.add_ram(BASE - MIB..BASE).unwrap();
    map.add_ram(BASE + 16 * MIB..BASE + 17 * MIB).unwrap();
    assert_eq!(map.regions().len(), 1);
    check(&map, 18 * 256);
}

#[test]
fn claims_need_free_memory() {
    let mut map = map();
    map.claim(BOOT_SERVICES_DATA, BASE + MIB..BASE + 2 * MIB).unwrap();
    let overlapping = map.claim(BOOT_SERVICES_DATA, BASE..BASE + 2 * MIB);
    assert_eq!(overlapping, Err(MapError::NotFound));
    let outside = map.claim(BOOT_SERVICES_DATA, BASE + 15 * MIB..BASE + 17 * MIB);
    assert_eq!(outside, Err(MapError::NotFound));
    assert_eq!(map.pages_of(BOOT_SERVICES_DATA), 256);
}

#[test]
fn a_range_with_a_hole_is_no_memory() {
    let mut map = map();
    map.add_ram(BASE + 17 * MIB..BASE + 18 * MIB).unwrap();
    assert_eq!(at(&mut map, LOADER_DATA, BASE + 15 * MIB, 3 * 256), Err(MapError::NotFound));
    let claimed = map.claim(LOADER_DATA, BASE + 15 * MIB..BASE + 18 * MIB);
    assert_eq!(claimed, Err(MapError::NotFound));
    assert_eq!(map.pages_of(LOADER_DATA), 0);
}

#[test]
fn page_zero_is_not_handed_out_unless_asked_for() {
    let mut map = MemoryMap::new();
    map.add_ram(0..0x2000).unwrap();
    assert_eq!(any(&mut map, LOADER_DATA, 1), Ok(0x1000..0x2000));
    assert_eq!(any(&mut map, LOADER_DATA, 1), Err(MapError::OutOfResources));
    assert_eq!(at(&mut map, LOADER_DATA, 0, 1), Ok(0..0x1000));
}

#[test]
fn the_top_of_the_address_space_does_not_wrap() {
    let mut map = MemoryMap::new();
    let top = !0xFFF;
    map.add_ram(top - MIB..top).unwrap();
    assert_eq!(any(&mut map, RUNTIME_SERVICES_DATA, 1).unwrap().end % RUNTIME_GRANULE, 0);
    assert_eq!(any(&mut map, LOADER_DATA, 1).unwrap().end, top);
    let beyond = map.allocate(Placement::At(top), LOADER_DATA, 1, PAGE_SIZE, Owner::Pages);
    assert_eq!(beyond, Err(MapError::NotFound));
    assert_eq!(map.free(top, 1, Owner::Pages), Err(MapError::Invalid));
}

#[test]
fn a_tebibyte_is_one_region() {
    let mut map = MemoryMap::new();
    map.add_ram(BASE..BASE + (1 << 40)).unwrap();
    let range = any(&mut map, LOADER_DATA, (1 << 40) / PAGE_SIZE - 1).unwrap();
    assert_eq!(range, BASE + PAGE_SIZE..BASE + (1 << 40));
    assert_eq!(map.regions().len(), 2);
}

/// Compares the map with an array that has one entry per page, over a few thousand random requests.
#[test]
fn random_requests_agree_with_a_page_array() {
    const PAGES: usize = 256;
    let mut map = MemoryMap::new();
    map.add_ram(BASE..BASE + PAGES as u64 * PAGE_SIZE).unwrap();
    let mut model = [CONVENTIONAL_MEMORY; PAGES];
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let rounds = if cfg!(miri) { 200 } else { 20_000 };
    for _ in 0..rounds {
        let kind = [LOADER_DATA, LOADER_CODE, RUNTIME_SERVICES_DATA][random(3) as usize];
        let first = random(PAGES as u64);
        let pages = 1 + random(20);
        let start = BASE + first * PAGE_SIZE;
        if random(2) == 0 {
            let placement = if random(2) == 0 { Placement::Any } else { Placement::At(start) };
            if let Ok(range) = map.allocate(placement, kind, pages, PAGE_SIZE, Owner::Pages) {
                assert!(range.end - range.start >= pages * PAGE_SIZE);
                for page in in_model(&range) {
                    assert_eq!(model[page], CONVENTIONAL_MEMORY);
                    model[page] = kind;
                }
            } else if matches!(placement, Placement::Any) && granule(kind) == PAGE_SIZE {
                let fits = model.windows(pages as usize).any(|w| w.iter().all(|k| *k == CONVENTIONAL_MEMORY));
                assert!(!fits);
            }
        } else if let Ok(range) = map.free(start, pages, Owner::Pages) {
            for page in in_model(&range) {
                assert_ne!(model[page], CONVENTIONAL_MEMORY);
                model[page] = CONVENTIONAL_MEMORY;
            }
        }
        check(&map, PAGES as u64);
    }
    for (page, kind) in model.iter().enumerate() {
        assert_eq!(map.region_at(BASE + page as u64 * PAGE_SIZE).unwrap().kind, *kind);
    }
}

fn in_model(range: &Range<u64>) -> Range<usize> {
    ((range.start - BASE) / PAGE_SIZE) as usize..((range.end - BASE) / PAGE_SIZE) as usize
}

#[test]
fn a_whole_region_changes_without_memory() {
    let mut map = MemoryMap::new();
    map.add_ram(0x10_0000..0x20_0000).unwrap();
    let [first, second] = [LOADER_DATA, BOOT_SERVICES_DATA]
        .map(|kind| map.allocate(Placement::Any, kind, 1, PAGE_SIZE, Owner::Pages).unwrap());
    map.regions.shrink_to_fit();
    let room = map.regions.capacity();
    map.free(second.start, 1, Owner::Pages).unwrap();
    map.free(first.start, 1, Owner::Pages).unwrap();
    assert_eq!(map.regions.capacity(), room);
}
