//! Memory services, and the others when memory is used up.
#![expect(unsafe_code, reason = "frees what it has allocated, and keeps lists in raw memory")]

use core::ptr::{self, NonNull};

use uefi::boot::{self, AllocateType, LoadImageSource, MemoryType, PAGE_SIZE, SearchType, Tpl};
use uefi::mem::memory_map::MemoryMap;
use uefi::proto::loaded_image::LoadedImage;
use uefi::{Identify, Status};

use crate::events;
use crate::report::{check, refused, works};

const OS_TYPE: MemoryType = MemoryType::custom(0x8000_0007);

pub fn walk() {
    let pages = |placement, kind, count| boot::allocate_pages(placement, kind, count);
    for kind in [MemoryType::LOADER_DATA, MemoryType::RUNTIME_SERVICES_DATA, MemoryType::ACPI_RECLAIM, OS_TYPE] {
        let Some(start) = works("allocate_pages", pages(AllocateType::AnyPages, kind, 3)) else { continue };
        let map = works("memory_map", boot::memory_map(MemoryType::LOADER_DATA));
        let address = start.as_ptr().addr() as u64;
        let described = map.is_some_and(|map| {
            map.entries().any(|d| {
                d.ty == kind && (d.phys_start..d.phys_start + d.page_count * PAGE_SIZE as u64).contains(&address)
            })
        });
        check("memory_map: describes them", described);
        // SAFETY: allocated above, and not used.
        works("free_pages", unsafe { boot::free_pages(start, 3) });
    }
    if let Some(low) =
        works("allocate_pages: below", pages(AllocateType::MaxAddress(1 << 32), MemoryType::LOADER_DATA, 1))
    {
        check("allocate_pages: is below", low.as_ptr().addr() < 1 << 32);
        let address = low.as_ptr().addr() as u64;
        // SAFETY: allocated above, and not used.
        works("free_pages: below", unsafe { boot::free_pages(low, 1) });
        let again = works("allocate_pages: at", pages(AllocateType::Address(address), MemoryType::LOADER_DATA, 1));
        let twice = pages(AllocateType::Address(address), MemoryType::LOADER_DATA, 1);
        refused("allocate_pages: at what is taken", twice, Status::NOT_FOUND);
        if let Some(again) = again {
            // SAFETY: allocated above, and not used.
            works("free_pages: at", unsafe { boot::free_pages(again, 1) });
        }
    }
    let unaligned = NonNull::new(ptr::without_provenance_mut(0x1001)).unwrap_or(NonNull::dangling());
    // SAFETY: nothing is freed.
    refused("free_pages: no page", unsafe { boot::free_pages(unaligned, 1) }, Status::INVALID_PARAMETER);
    for kind in [MemoryType::CONVENTIONAL, MemoryType::PERSISTENT_MEMORY, MemoryType::UNACCEPTED, MemoryType(0x1234)] {
        refused("allocate_pages: type", pages(AllocateType::AnyPages, kind, 1), Status::INVALID_PARAMETER);
        refused("allocate_pool: type", boot::allocate_pool(kind, 8), Status::INVALID_PARAMETER);
    }
    if let Some(pool) = works("allocate_pool", boot::allocate_pool(OS_TYPE, 100)) {
        check("allocate_pool: aligned", pool.as_ptr().addr().is_multiple_of(8));
        // SAFETY: allocated above, and not used.
        works("free_pool", unsafe { boot::free_pool(pool) });
        // SAFETY: nothing is freed: the firmware knows that it is no pool any more.
        refused("free_pool: twice", unsafe { boot::free_pool(pool) }, Status::INVALID_PARAMETER);
    }
    check("calculate_crc32", boot::calculate_crc32(b"123456789").is_ok_and(|crc| crc == 0xcbf4_3926));
}

/// All memory there is, in blocks that begin with the address and the size of the block before.
struct Everything {
    last: *mut (usize, usize),
}

impl Everything {
    /// Takes it: pages by ever smaller numbers, then pool blocks by ever smaller sizes.
    fn take() -> Self {
        let mut everything = Self { last: ptr::null_mut() };
        let mut pages = 1 << 20;
        while pages > 0 {
            match boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, pages) {
                Ok(start) => everything.push(start, pages * PAGE_SIZE),
                Err(_) => pages /= 2,
            }
        }
        for kind in [MemoryType::BOOT_SERVICES_DATA, MemoryType::LOADER_DATA] {
            for size in [2048, 1024, 512, 256, 128, 64, 32] {
                while let Ok(start) = boot::allocate_pool(kind, size) {
                    everything.push(start, size);
                }
            }
        }
        everything
    }

    fn push(&mut self, start: NonNull<u8>, size: usize) {
        let block = start.as_ptr().cast::<(usize, usize)>();
        // SAFETY: the block was allocated just now, is aligned to 16 bytes and at least 32 bytes long.
        unsafe { block.write((self.last.expose_provenance(), size)) };
        self.last = block;
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        while let Some(block) = NonNull::new(self.last) {
            // SAFETY: a block of the list, which begins as `push` left it.
            let (before, size) = unsafe { block.read() };
            self.last = ptr::with_exposed_provenance_mut(before);
            // SAFETY: as it was allocated: what is at least a page is pages.
            let freed = unsafe {
                if size >= PAGE_SIZE {
                    boot::free_pages(block.cast(), size / PAGE_SIZE)
                } else {
                    boot::free_pool(block.cast())
                }
            };
            if freed.is_err() {
                check("free: without memory", false);
            }
        }
    }
}

/// What needs memory says that there is none, at each level, and works again afterwards.
pub fn without_pages() {
    let file = crate::images::small();
    for tpl in [Tpl::APPLICATION, Tpl::CALLBACK, Tpl::NOTIFY] {
        // SAFETY: the level is above the present one, and goes down again with the guard.
        let guard = unsafe { boot::raise_tpl(tpl) };
        let everything = Everything::take();
        let pages = boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, 1);
        let pool = boot::allocate_pool(MemoryType::BOOT_SERVICES_DATA, 32);
        let handles = boot::locate_handle_buffer(SearchType::ByProtocol(&LoadedImage::GUID));
        let protocols = boot::protocols_per_handle(boot::image_handle());
        let source = LoadImageSource::FromBuffer { buffer: &file, file_path: None };
        let image = boot::load_image(boot::image_handle(), source);
        let timer = events::can_create();
        drop(everything);
        refused("allocate_pages: without memory", pages, Status::OUT_OF_RESOURCES);
        refused("allocate_pool: without memory", pool, Status::OUT_OF_RESOURCES);
        refused("locate_handle_buffer: without memory", handles, Status::OUT_OF_RESOURCES);
        refused("protocols_per_handle: without memory", protocols, Status::OUT_OF_RESOURCES);
        refused("load_image: without memory", image, Status::OUT_OF_RESOURCES);
        check("create_event: needs no pages", timer);
        works("locate_handle_buffer: again", boot::locate_handle_buffer(SearchType::ByProtocol(&LoadedImage::GUID)));
        drop(guard);
        works("memory_map: again", boot::memory_map(MemoryType::LOADER_DATA));
    }
}
