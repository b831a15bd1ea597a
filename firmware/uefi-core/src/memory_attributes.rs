//! What the memory attributes table says of the runtime memory (UEFI 2.10, section 4.6.4): all of it, also what
//! clients allocated.

use r_efi::efi::{MEMORY_RUNTIME, MEMORY_XP, MemoryDescriptor, RUNTIME_SERVICES_CODE, RUNTIME_SERVICES_DATA};

use crate::memory_map::{MemoryMap, Region};

/// Fills `table` with the descriptors of `map`'s runtime code and data, and returns how many there are. Those that
/// find no room are left out.
///
/// `firmware` are the parts of the firmware's own region, which is one region of the map, with their permissions.
/// The data of others is not executable; their code may be written too, because nothing is known of its parts.
pub fn describe(map: &MemoryMap, firmware: &[MemoryDescriptor], table: &mut [MemoryDescriptor]) -> usize {
    let runtime = map.regions().iter().filter(|r| matches!(r.kind, RUNTIME_SERVICES_CODE | RUNTIME_SERVICES_DATA));
    let entries = runtime.flat_map(|region| {
        let parts = firmware.iter().filter(move |part| region.contains(part.physical_start)).copied();
        let whole = firmware.iter().all(|part| !region.contains(part.physical_start));
        parts.chain(whole.then(|| descriptor(region)))
    });
    let mut count = 0;
    for (slot, entry) in table.iter_mut().zip(entries) {
        *slot = entry;
        count += 1;
    }
    count
}

fn descriptor(region: &Region) -> MemoryDescriptor {
    let permissions = if region.kind == RUNTIME_SERVICES_DATA { MEMORY_XP } else { 0 };
    MemoryDescriptor {
        r#type: region.kind,
        physical_start: region.start,
        virtual_start: 0,
        number_of_pages: region.pages(),
        attribute: MEMORY_RUNTIME | permissions,
    }
}

#[cfg(test)]
mod tests {
    use r_efi::efi::{LOADER_DATA, MEMORY_MAPPED_IO, MEMORY_RO, MEMORY_UC};

    use super::*;
    use crate::memory_map::{Owner, PAGE_SIZE, Placement};

    const NONE: MemoryDescriptor =
        MemoryDescriptor { r#type: 0, physical_start: 0, virtual_start: 0, number_of_pages: 0, attribute: 0 };

    fn part(start: u64, attribute: u64) -> MemoryDescriptor {
        MemoryDescriptor {
            r#type: RUNTIME_SERVICES_CODE,
            physical_start: start,
            number_of_pages: 16,
            attribute: MEMORY_RUNTIME | attribute,
            ..NONE
        }
    }

    /// A map with the firmware's region at 0x10_0000, and the descriptors of its two parts.
    fn firmware() -> (MemoryMap, [MemoryDescriptor; 2]) {
        let mut map = MemoryMap::new();
        map.add_ram(0x4000..0x80_0000).unwrap();
        map.add(MEMORY_MAPPED_IO, 0x900_0000..0x900_1000, MEMORY_UC | MEMORY_XP | MEMORY_RUNTIME).unwrap();
        map.claim(RUNTIME_SERVICES_CODE, 0x10_0000..0x12_0000).unwrap();
        (map, [part(0x10_0000, MEMORY_RO), part(0x11_0000, MEMORY_XP)])
    }

    fn table(map: &MemoryMap, firmware: &[MemoryDescriptor], room: usize) -> Vec<(u64, u64, u64)> {
        let mut table = vec![NONE; room];
        let count = describe(map, firmware, &mut table);
        table.truncate(count);
        table.iter().map(|d| (d.physical_start, d.number_of_pages, d.attribute & !MEMORY_RUNTIME)).collect()
    }

    #[test]
    fn the_firmware_s_parts_alone_at_first() {
        let (map, parts) = firmware();
        assert_eq!(table(&map, &parts, 8), [(0x10_0000, 16, MEMORY_RO), (0x11_0000, 16, MEMORY_XP)]);
    }

    #[test]
    fn what_clients_allocate_is_described_too() {
        let (mut map, parts) = firmware();
        let mut allocate = |kind, start, pages| {
            map.allocate(Placement::At(start), kind, pages, PAGE_SIZE, Owner::Pages).unwrap();
        };
        allocate(RUNTIME_SERVICES_DATA, 0x13_0000, 1);
        allocate(LOADER_DATA, 0x14_0000, 1);
        // Right behind the firmware's region.
        allocate(RUNTIME_SERVICES_CODE, 0x12_0000, 16);
        let firmware = [(0x10_0000, 16, MEMORY_RO), (0x11_0000, 16, MEMORY_XP)];
        let clients = [(0x12_0000, 16, 0), (0x13_0000, 16, MEMORY_XP)];
        assert_eq!(table(&map, &parts, 8), [firmware, clients].concat());
        assert_eq!(table(&map, &parts, 3).len(), 3, "no more than there is room for");
    }
}
