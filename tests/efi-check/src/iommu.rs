//! EDKII_IOMMU_PROTOCOL: there in a realm, and not in a plain VM. That a device reaches what it is given is seen by
//! fw_cfg, whose DMA the program starts itself.

use core::ffi::c_void;
use core::{ptr, slice};

use r_efi::efi::{self, Guid, PhysicalAddress, Status};
use r_efi::protocols::memory_attribute;

use crate::env;
use crate::memory::Map;
use crate::options::Options;
use crate::report::{check, equal, status};

const PROTOCOL: Guid =
    Guid::from_fields(0x4e93_9de9, 0xd948, 0x4b0f, 0x88, 0xed, &[0xe6, 0xe1, 0xce, 0x51, 0x7c, 0x1e]);

/// The clock's registers.
const RTC: u64 = 0x0901_0000;

const WRITE64: u32 = 4;
const READ64: u32 = 3;
const COMMON64: u32 = 5;
const DAC: u64 = 0x8000;

#[repr(C)]
pub struct Protocol {
    revision: u64,
    set_attribute: unsafe extern "efiapi" fn(*mut Protocol, efi::Handle, *mut c_void, u64) -> Status,
    map: unsafe extern "efiapi" fn(
        *mut Protocol,
        u32,
        *mut c_void,
        *mut usize,
        *mut PhysicalAddress,
        *mut *mut c_void,
    ) -> Status,
    unmap: unsafe extern "efiapi" fn(*mut Protocol, *mut c_void) -> Status,
    allocate_buffer: unsafe extern "efiapi" fn(*mut Protocol, u32, u32, usize, *mut *mut c_void, u64) -> Status,
    free_buffer: unsafe extern "efiapi" fn(*mut Protocol, usize, *mut c_void) -> Status,
}

impl Protocol {
    fn map(&mut self, operation: u32, host: *mut u8, mut size: usize) -> Result<(u64, *mut c_void), Status> {
        let (mut device, mut mapping) = (0, ptr::null_mut());
        let is = unsafe { (self.map)(self, operation, host.cast(), &mut size, &mut device, &mut mapping) };
        if is == Status::SUCCESS { Ok((device, mapping)) } else { Err(is) }
    }

    fn unmap(&mut self, mapping: *mut c_void) -> Status {
        unsafe { (self.unmap)(self, mapping) }
    }

    fn allocate(&mut self, memory_type: u32, pages: usize, attributes: u64) -> Result<*mut u8, Status> {
        let mut host = ptr::null_mut();
        let is = unsafe { (self.allocate_buffer)(self, 0, memory_type, pages, &mut host, attributes) };
        if is == Status::SUCCESS { Ok(host.cast()) } else { Err(is) }
    }
}

pub fn run(options: &Options) {
    let protocol: *mut Protocol = env::locate(&PROTOCOL);
    if !options.realm {
        return check("no IOMMU where devices reach all memory", protocol.is_null());
    }
    check("IOMMU in a realm", !protocol.is_null());
    if protocol.is_null() {
        return;
    }
    let iommu = unsafe { &mut *protocol };
    equal("IOMMU: revision", iommu.revision, 0x1_0000);
    refusals(iommu);
    let buffer = iommu.allocate(efi::BOOT_SERVICES_DATA, 1, DAC);
    let Ok(buffer) = buffer else { return equal("AllocateBuffer", buffer, Ok(ptr::null_mut())) };
    check("AllocateBuffer: cleared", unsafe { slice::from_raw_parts(buffer, 4096) }.iter().all(|&byte| byte == 0));
    described(buffer.addr() as u64);
    // Whatever was tried on its attributes, the buffer is still where the device is.
    attributes(buffer.addr() as u64);
    dma(iommu, buffer);
    secrets(iommu);
    status(
        "FreeBuffer: other size",
        unsafe { (iommu.free_buffer)(iommu, 2, buffer.cast()) },
        Status::INVALID_PARAMETER,
    );
    status("FreeBuffer", unsafe { (iommu.free_buffer)(iommu, 1, buffer.cast()) }, Status::SUCCESS);
    status("FreeBuffer: again", unsafe { (iommu.free_buffer)(iommu, 1, buffer.cast()) }, Status::INVALID_PARAMETER);
}

fn refusals(iommu: &mut Protocol) {
    let mut bytes = [7u8; 64];
    let at = bytes.as_mut_ptr();
    equal("Map: no operation", iommu.map(6, at, 64), Err(Status::INVALID_PARAMETER));
    equal("Map: nothing", iommu.map(READ64, at, 0), Err(Status::INVALID_PARAMETER));
    equal("Map: nowhere", iommu.map(READ64, ptr::null_mut(), 64), Err(Status::INVALID_PARAMETER));
    equal("Map: private memory for both", iommu.map(COMMON64, at, 64), Err(Status::UNSUPPORTED));
    equal("Map: more than there is", iommu.map(WRITE64, at, 1 << 30), Err(Status::OUT_OF_RESOURCES));
    let no_unmap = iommu.unmap(ptr::without_provenance_mut(0x1234));
    status("Unmap: nothing of the kind", no_unmap, Status::INVALID_PARAMETER);
    let allocate = |iommu: &mut Protocol, kind, attributes| iommu.allocate(kind, 1, attributes).err();
    let other = allocate(iommu, efi::LOADER_DATA, DAC);
    equal("AllocateBuffer: other memory", other, Some(Status::INVALID_PARAMETER));
    let runtime = allocate(iommu, efi::RUNTIME_SERVICES_DATA, DAC);
    equal("AllocateBuffer: runtime memory", runtime, Some(Status::UNSUPPORTED));
    let attributes = allocate(iommu, efi::BOOT_SERVICES_DATA, 1);
    equal("AllocateBuffer: other attributes", attributes, Some(Status::UNSUPPORTED));
    if let Ok((_, mapping)) = iommu.map(READ64, at, 64) {
        let set = iommu.set_attribute;
        let device = env::image();
        status("SetAttribute", unsafe { set(iommu, device, mapping, 1) }, Status::UNSUPPORTED);
        status("SetAttribute: access", unsafe { set(iommu, device, mapping, 4) }, Status::INVALID_PARAMETER);
        let none = unsafe { set(iommu, ptr::null_mut(), mapping, 1) };
        status("SetAttribute: no device", none, Status::INVALID_PARAMETER);
        status("Unmap", iommu.unmap(mapping), Status::SUCCESS);
        status("Unmap: again", iommu.unmap(mapping), Status::INVALID_PARAMETER);
    }
    equal("Map: what is read stays", bytes, [7; 64]);
}

/// The memory map as Linux expects it: shared memory is boot services' RAM, which is private again once they are gone, and
/// the clock's registers are at their own address, to which Linux adds the shared bit itself.
fn described(buffer: u64) {
    /// The realm's RAM ends far below, and every shared alias is far above.
    const END: u64 = 1 << 32;
    let map = Map::read();
    let shared =
        map.at(buffer).is_some_and(|d| d.r#type == efi::BOOT_SERVICES_DATA && d.attribute & efi::MEMORY_WB != 0);
    check("GetMemoryMap: shared memory", shared);
    let rtc = map.at(RTC).is_some_and(|d| {
        d.r#type == efi::MEMORY_MAPPED_IO && d.attribute == efi::MEMORY_UC | efi::MEMORY_XP | efi::MEMORY_RUNTIME
    });
    check("GetMemoryMap: registers", rtc);
    check("GetMemoryMap: no alias", map.iter().all(|d| d.physical_start + d.number_of_pages * 4096 <= END));
    map.release();
}

/// The pool is the firmware's, whose attributes nobody changes; the registers are no RAM.
fn attributes(buffer: u64) {
    let protocol: *mut memory_attribute::Protocol = env::locate(&memory_attribute::PROTOCOL_GUID);
    let Some(p) = (unsafe { protocol.as_ref() }) else { return check("MemoryAttribute", false) };
    let set = |base, bits| unsafe { (p.set_memory_attributes)(protocol, base, 4096, bits) };
    let clear = |base, bits| unsafe { (p.clear_memory_attributes)(protocol, base, 4096, bits) };
    status("MemoryAttribute: set on shared memory", set(buffer, efi::MEMORY_RO), Status::ACCESS_DENIED);
    status("MemoryAttribute: clear on shared memory", clear(buffer, efi::MEMORY_XP), Status::ACCESS_DENIED);
    status("MemoryAttribute: set on registers", set(RTC, efi::MEMORY_RO), Status::UNSUPPORTED);
}

/// Puts bytes that stand nowhere in the program's file into private memory, through shared memory and back out, and
/// others into shared memory for good. Who looks at both afterwards finds each where it belongs (tests/realm).
fn secrets(iommu: &mut Protocol) {
    let make = |seed: u8| -> [u8; 64] {
        let seed = core::hint::black_box(seed);
        core::array::from_fn(|at| (at as u8).wrapping_mul(73) ^ seed)
    };
    let place = env::pool(64);
    unsafe { place.cast::<[u8; 64]>().write(make(0x1d)) };
    let mapped = iommu.map(READ64, place, 64);
    check("Map: a secret", mapped.is_ok());
    if let Ok((_, mapping)) = mapped {
        status("Unmap: a secret", iommu.unmap(mapping), Status::SUCCESS);
    }
    let buffers = [iommu.allocate(efi::BOOT_SERVICES_DATA, 1, DAC), iommu.allocate(efi::BOOT_SERVICES_DATA, 1, DAC)];
    let [Ok(freed), Ok(left)] = buffers else { return check("AllocateBuffer: two", false) };
    unsafe { freed.cast::<[u8; 64]>().write(make(0x1d)) };
    status("FreeBuffer: a secret", unsafe { (iommu.free_buffer)(iommu, 1, freed.cast()) }, Status::SUCCESS);
    unsafe { left.cast::<[u8; 64]>().write(make(0xe2)) };
}

/// Has fw_cfg (QEMU's virt machine) write its signature, item 0, by DMA.
fn dma(iommu: &mut Protocol, descriptor: *mut u8) {
    let mut bytes = [7u8; 8];
    let mapped =
        iommu.map(WRITE64, bytes.as_mut_ptr(), 4).and_then(|to| Ok((to, iommu.map(COMMON64, descriptor, 16)?)));
    let Ok(((to, written), (at, common))) = mapped else { return check("Map", false) };
    // fw_cfg takes addresses without the shared bit, whatever PCI devices take; here it is all that tells the two apart.
    let shared_bit = at ^ descriptor.addr() as u64;
    let canonical = |address: u64| address & !shared_bit;
    // Control: select item 0 and read; length.
    let words = u64::from(0xau32.to_be()) | u64::from(4u32.to_be()) << 32;
    unsafe {
        descriptor.cast::<u64>().write_volatile(words);
        descriptor.cast::<u64>().add(1).write_volatile(canonical(to).to_be());
        core::arch::asm!("dsb sy", "str {0}, [{1}]", "dsb sy", in(reg) canonical(at).to_be(), in(reg) 0x0902_0010u64);
    }
    let control = unsafe { descriptor.cast::<u32>().read_volatile() };
    equal("a device does what the common buffer says", control, 0);
    equal("Map: what is written comes later", bytes, [7; 8]);
    status("Unmap: write", iommu.unmap(written), Status::SUCCESS);
    equal("Unmap: what the device wrote", &bytes, b"QEMU\x07\x07\x07\x07");
    status("Unmap: common buffer", iommu.unmap(common), Status::SUCCESS);
}
