//! Memory services (UEFI 2.10, 7.2).

use core::ptr;

use r_efi::efi::{self, MemoryDescriptor, MemoryType, PhysicalAddress, Status};

use crate::env::{bs, free, pool};
use crate::report::{check, equal, one_of, status};

/// A copy of the memory map.
pub struct Map {
    start: *mut u8,
    pub size: usize,
    pub descriptor_size: usize,
    pub key: usize,
    pub version: u32,
}

impl Map {
    /// Reads the map into a buffer of this many bytes; the error is the status and the size that is wanted.
    pub fn read_into(start: *mut u8, room: usize) -> Result<Self, (Status, usize)> {
        let mut map = Self { start, size: room, descriptor_size: 0, key: 0, version: 0 };
        let status = unsafe {
            (bs().get_memory_map)(&mut map.size, start.cast(), &mut map.key, &mut map.descriptor_size, &mut map.version)
        };
        if status == Status::SUCCESS { Ok(map) } else { Err((status, map.size)) }
    }

    pub fn read() -> Self {
        let room = 64 * 1024;
        let start = pool(room);
        Self::read_into(start, room).unwrap_or_else(|error| panic!("GetMemoryMap: {error:?}"))
    }

    pub fn release(self) {
        free(self.start);
    }

    pub fn as_mut_ptr(&self) -> *mut MemoryDescriptor {
        self.start.cast()
    }

    pub fn len(&self) -> usize {
        self.size / self.descriptor_size
    }

    pub fn descriptor(&self, index: usize) -> *mut MemoryDescriptor {
        self.start.wrapping_add(index * self.descriptor_size).cast()
    }

    pub fn iter(&self) -> impl Iterator<Item = MemoryDescriptor> + '_ {
        (0..self.len()).map(|index| unsafe { *self.descriptor(index) })
    }

    pub fn at(&self, address: u64) -> Option<MemoryDescriptor> {
        self.iter().find(|d| d.physical_start <= address && address - d.physical_start < d.number_of_pages * 4096)
    }

    fn pages_of(&self, kind: MemoryType) -> u64 {
        self.iter().filter(|d| d.r#type == kind).map(|d| d.number_of_pages).sum()
    }
}

fn allocate(kind: u32, memory_type: MemoryType, pages: usize, address: &mut PhysicalAddress) -> Status {
    unsafe { (bs().allocate_pages)(kind, memory_type, pages, address) }
}

fn free_pages(address: PhysicalAddress, pages: usize) -> Status {
    unsafe { (bs().free_pages)(address, pages) }
}

pub fn run() {
    map();
    pages();
    types();
    placement();
    pools();
}

fn map() {
    let map = Map::read();
    check("GetMemoryMap: descriptor size", map.descriptor_size >= size_of::<MemoryDescriptor>());
    equal("GetMemoryMap: descriptor version", map.version, 1);
    check(
        "GetMemoryMap: descriptors are pages",
        map.iter().all(|d| d.physical_start % 4096 == 0 && d.number_of_pages > 0),
    );
    let overlap = map.iter().enumerate().any(|(index, first)| {
        map.iter().skip(index + 1).any(|second| {
            first.physical_start < second.physical_start + second.number_of_pages * 4096
                && second.physical_start < first.physical_start + first.number_of_pages * 4096
        })
    });
    check("GetMemoryMap: no overlap", !overlap);
    check("GetMemoryMap: free memory", map.pages_of(efi::CONVENTIONAL_MEMORY) > 1024);
    check(
        "GetMemoryMap: RAM can be cached",
        map.iter().filter(|d| d.r#type == efi::CONVENTIONAL_MEMORY).all(|d| d.attribute & efi::MEMORY_WB != 0),
    );
    check(
        "GetMemoryMap: runtime memory is marked",
        map.iter()
            .filter(|d| matches!(d.r#type, efi::RUNTIME_SERVICES_CODE | efi::RUNTIME_SERVICES_DATA))
            .all(|d| d.attribute & efi::MEMORY_RUNTIME != 0),
    );
    check(
        "GetMemoryMap: runtime services are runtime memory",
        map.at(crate::env::rt() as *const _ as u64).is_some_and(|d| d.attribute & efi::MEMORY_RUNTIME != 0),
    );
    let code = map.at(crate::env::rt().get_time as usize as u64);
    check("GetMemoryMap: runtime code", code.is_some_and(|d| d.r#type == efi::RUNTIME_SERVICES_CODE));
    let me = crate::env::loaded_image();
    let here = map.at(me.image_base as u64);
    check("GetMemoryMap: this program is loader code", here.is_some_and(|d| d.r#type == efi::LOADER_CODE));
    map.release();

    let (mut size, mut key, mut descriptor_size, mut version) = (0, 0, 0, 0);
    let mut call = |size: *mut usize, key: *mut usize, descriptor_size: *mut usize| unsafe {
        (bs().get_memory_map)(size, ptr::null_mut(), key, descriptor_size, &mut version)
    };
    let is = call(&mut size, &mut key, &mut descriptor_size);
    status("GetMemoryMap: no room", is, Status::BUFFER_TOO_SMALL);
    check("GetMemoryMap: tells the size", size > 0);
    check("GetMemoryMap: tells the descriptor size", descriptor_size >= size_of::<MemoryDescriptor>());
    status("GetMemoryMap: no size", call(ptr::null_mut(), &mut key, &mut descriptor_size), Status::INVALID_PARAMETER);
    let mut size = 1 << 20;
    let is = call(&mut size, &mut key, &mut descriptor_size);
    status("GetMemoryMap: room but no buffer", is, Status::INVALID_PARAMETER);

    let room = 64 * 1024;
    let buffer = pool(room);
    let first = Map::read_into(buffer, room).map(|map| map.key);
    let again = Map::read_into(buffer, room).map(|map| map.key);
    check("GetMemoryMap: the key stays", first == again && first.is_ok());
    let other = pool(room);
    let mut address = 0;
    let _ = allocate(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 1, &mut address);
    let changed = Map::read_into(buffer, room).map(|map| map.key);
    check("GetMemoryMap: the key changes", changed != again && changed.is_ok());
    free_pages(address, 1);
    free(other);
    free(buffer);
}

fn pages() {
    let before = Map::read();
    let free_before = before.pages_of(efi::CONVENTIONAL_MEMORY);
    before.release();
    let mut address = 0;
    status("AllocatePages", allocate(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 7, &mut address), Status::SUCCESS);
    check("AllocatePages: alignment", address % 4096 == 0 && address != 0);
    unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(address as usize), 0xa5, 7 * 4096) };
    let map = Map::read();
    let found = map.at(address);
    check("AllocatePages: in the map", found.is_some_and(|d| d.r#type == efi::LOADER_DATA));
    check("AllocatePages: taken from free memory", map.pages_of(efi::CONVENTIONAL_MEMORY) <= free_before - 7);
    map.release();
    status("FreePages: part", free_pages(address + 2 * 4096, 2), Status::SUCCESS);
    let map = Map::read();
    check("FreePages: part is free", map.at(address + 2 * 4096).is_some_and(|d| d.r#type == efi::CONVENTIONAL_MEMORY));
    check("FreePages: the rest is not", map.at(address + 4096).is_some_and(|d| d.r#type == efi::LOADER_DATA));
    map.release();
    status("FreePages: what is free", free_pages(address + 2 * 4096, 2), Status::NOT_FOUND);
    status("FreePages: over a hole", free_pages(address, 7), Status::NOT_FOUND);
    status("FreePages: start", free_pages(address, 2), Status::SUCCESS);
    status("FreePages: end", free_pages(address + 4 * 4096, 3), Status::SUCCESS);
    status("FreePages: unaligned", free_pages(address + 1, 1), Status::INVALID_PARAMETER);
    one_of("FreePages: no pages", free_pages(address, 0), &[Status::INVALID_PARAMETER, Status::NOT_FOUND]);
    one_of(
        "FreePages: no memory",
        free_pages(0xffff_ffff_ffff_f000, 1),
        &[Status::NOT_FOUND, Status::INVALID_PARAMETER],
    );
    one_of("FreePages: wraps", free_pages(address, usize::MAX), &[Status::NOT_FOUND, Status::INVALID_PARAMETER]);
    let after = Map::read();
    equal("FreePages: all is back", after.pages_of(efi::CONVENTIONAL_MEMORY), free_before);
    after.release();
}

fn types() {
    let mut address = 0;
    for (memory_type, name) in [
        (efi::RESERVED_MEMORY_TYPE, "AllocatePages: Reserved"),
        (efi::LOADER_CODE, "AllocatePages: LoaderCode"),
        (efi::LOADER_DATA, "AllocatePages: LoaderData"),
        (efi::BOOT_SERVICES_CODE, "AllocatePages: BootServicesCode"),
        (efi::BOOT_SERVICES_DATA, "AllocatePages: BootServicesData"),
        (efi::RUNTIME_SERVICES_CODE, "AllocatePages: RuntimeServicesCode"),
        (efi::RUNTIME_SERVICES_DATA, "AllocatePages: RuntimeServicesData"),
        (efi::UNUSABLE_MEMORY, "AllocatePages: Unusable"),
        (efi::ACPI_RECLAIM_MEMORY, "AllocatePages: AcpiReclaim"),
        (efi::ACPI_MEMORY_NVS, "AllocatePages: AcpiNvs"),
        (0x7000_0001, "AllocatePages: OEM type"),
        (0x8000_0001, "AllocatePages: OS type"),
    ] {
        let is = allocate(efi::ALLOCATE_ANY_PAGES, memory_type, 1, &mut address);
        let map = Map::read();
        let found = map.at(address);
        let right = found.is_some_and(|d| d.r#type == memory_type);
        let runtime = matches!(memory_type, efi::RUNTIME_SERVICES_CODE | efi::RUNTIME_SERVICES_DATA);
        let marked = found.is_some_and(|d| (d.attribute & efi::MEMORY_RUNTIME != 0) == runtime);
        map.release();
        check(name, is == Status::SUCCESS && right && marked);
        if runtime {
            check("AllocatePages: runtime memory on 64 KiB", address % 0x1_0000 == 0);
        }
        if is == Status::SUCCESS {
            status("FreePages: of that type", free_pages(address, 1), Status::SUCCESS);
        }
    }
    for (memory_type, name) in [
        (efi::CONVENTIONAL_MEMORY, "AllocatePages: refuses Conventional"),
        (efi::PERSISTENT_MEMORY, "AllocatePages: refuses Persistent"),
        (0x10, "AllocatePages: refuses an undefined type"),
        (0x6fff_ffff, "AllocatePages: refuses the last undefined type"),
    ] {
        let is = allocate(efi::ALLOCATE_ANY_PAGES, memory_type, 1, &mut address);
        status(name, is, Status::INVALID_PARAMETER);
    }
    let is = allocate(3, efi::LOADER_DATA, 1, &mut address);
    status("AllocatePages: unknown placement", is, Status::INVALID_PARAMETER);
    let is = unsafe { (bs().allocate_pages)(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 1, ptr::null_mut()) };
    status("AllocatePages: no address", is, Status::INVALID_PARAMETER);
    let is = allocate(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, usize::MAX >> 12, &mut address);
    status("AllocatePages: more than there is", is, Status::OUT_OF_RESOURCES);
    let is = allocate(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, usize::MAX, &mut address);
    status("AllocatePages: more than can be", is, Status::OUT_OF_RESOURCES);
    let is = allocate(efi::ALLOCATE_ANY_PAGES, efi::LOADER_DATA, 0, &mut address);
    one_of("AllocatePages: none", is, &[Status::OUT_OF_RESOURCES, Status::INVALID_PARAMETER, Status::NOT_FOUND]);
}

fn placement() {
    let map = Map::read();
    let largest = map
        .iter()
        .filter(|d| d.r#type == efi::CONVENTIONAL_MEMORY)
        .max_by_key(|d| d.number_of_pages)
        .unwrap_or_else(|| panic!("no free memory"));
    map.release();
    let middle = largest.physical_start + (largest.number_of_pages / 2) * 4096;
    let mut address = middle;
    status("AllocatePages: at", allocate(efi::ALLOCATE_ADDRESS, efi::LOADER_DATA, 2, &mut address), Status::SUCCESS);
    equal("AllocatePages: at: there", address, middle);
    let mut taken = middle + 4096;
    let is = allocate(efi::ALLOCATE_ADDRESS, efi::LOADER_DATA, 1, &mut taken);
    status("AllocatePages: at what is taken", is, Status::NOT_FOUND);
    let mut before = middle - 4096;
    let is = allocate(efi::ALLOCATE_ADDRESS, efi::LOADER_DATA, 2, &mut before);
    status("AllocatePages: at: half is taken", is, Status::NOT_FOUND);
    free_pages(middle, 2);
    let mut nowhere = 0x000f_ffff_f000;
    let is = allocate(efi::ALLOCATE_ADDRESS, efi::LOADER_DATA, 1, &mut nowhere);
    one_of("AllocatePages: at no memory", is, &[Status::NOT_FOUND, Status::INVALID_PARAMETER]);

    let mut address = middle + 4095;
    let is = allocate(efi::ALLOCATE_MAX_ADDRESS, efi::LOADER_DATA, 1, &mut address);
    status("AllocatePages: below", is, Status::SUCCESS);
    check("AllocatePages: below: there", address <= middle);
    free_pages(address, 1);
    let mut low = 4095;
    let is = allocate(efi::ALLOCATE_MAX_ADDRESS, efi::LOADER_DATA, 1, &mut low);
    one_of("AllocatePages: below nothing", is, &[Status::OUT_OF_RESOURCES, Status::NOT_FOUND]);
}

fn pools() {
    let allocate = |memory_type, size, buffer: *mut *mut core::ffi::c_void| unsafe {
        (bs().allocate_pool)(memory_type, size, buffer)
    };
    let mut all = [ptr::null_mut::<u8>(); 64];
    let mut aligned = true;
    for (index, slot) in all.iter_mut().enumerate() {
        let size = 1 + index * 97;
        let mut buffer = ptr::null_mut();
        if allocate(efi::LOADER_DATA, size, &mut buffer) != Status::SUCCESS {
            aligned = false;
            continue;
        }
        *slot = buffer.cast();
        aligned &= buffer.addr() % 8 == 0;
        unsafe { ptr::write_bytes(*slot, index as u8, size) };
    }
    check("AllocatePool: aligned", aligned);
    let kept = all.iter().enumerate().all(|(index, &start)| {
        let bytes = unsafe { core::slice::from_raw_parts(start, 1 + index * 97) };
        bytes.iter().all(|&byte| byte == index as u8)
    });
    check("AllocatePool: apart", kept);
    let freed = all.iter().all(|&start| unsafe { (bs().free_pool)(start.cast()) } == Status::SUCCESS);
    check("FreePool", freed);
    let mut buffer = ptr::null_mut();
    status("AllocatePool: large", allocate(efi::BOOT_SERVICES_DATA, 5 << 20, &mut buffer), Status::SUCCESS);
    status("FreePool: large", unsafe { (bs().free_pool)(buffer) }, Status::SUCCESS);
    status("AllocatePool: too large", allocate(efi::LOADER_DATA, usize::MAX, &mut buffer), Status::OUT_OF_RESOURCES);
    status("AllocatePool: no buffer", allocate(efi::LOADER_DATA, 8, ptr::null_mut()), Status::INVALID_PARAMETER);
    let is = allocate(efi::CONVENTIONAL_MEMORY, 8, &mut buffer);
    status("AllocatePool: refuses Conventional", is, Status::INVALID_PARAMETER);
    status("AllocatePool: refuses an undefined type", allocate(0x20, 8, &mut buffer), Status::INVALID_PARAMETER);
    status("FreePool: null", unsafe { (bs().free_pool)(ptr::null_mut()) }, Status::INVALID_PARAMETER);
    let mut local = [0u64; 16];
    let inside: *mut u64 = &mut local[8];
    status("FreePool: not pool", unsafe { (bs().free_pool)(inside.cast()) }, Status::INVALID_PARAMETER);
}
