//! Memory for the transfers of the drivers that images bring: the members that EDKII_IOMMU_PROTOCOL (EDK2,
//! MdeModulePkg/Include/Protocol/IoMmu.h) and the PCI protocols (UEFI 2.11, 14.2 and 14.4) have in common.
//!
//! In a realm it is shared memory. In a plain VM devices reach all memory, and EDKII_IOMMU_PROTOCOL is not there.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{self, Guid, Handle, MemoryType, PhysicalAddress, Status};
use spin::Mutex;
use uefi_core::iommu::{DeviceMemory, Iommu, IommuError, is_wide};
use uefi_core::memory_map::PAGE_SIZE;

use super::super::services::{self, Placement};
use crate::memory::dma::{self, Bus};
use crate::memory::shared::SharedBuffer;
use crate::realm;

/// EDKII_IOMMU_PROTOCOL_GUID.
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0x4e93_9de9, 0xd948, 0x4b0f, 0x88, 0xed, &[0xe6, 0xe1, 0xce, 0x51, 0x7c, 0x1e]);

const REVISION: u64 = 0x0001_0000;

/// EDKII_IOMMU_PROTOCOL.
#[repr(C)]
pub struct Protocol {
    revision: u64,
    set_attribute: unsafe extern "efiapi" fn(*mut c_void, Handle, *mut c_void, u64) -> Status,
    map: unsafe extern "efiapi" fn(
        *mut c_void,
        u32,
        *mut c_void,
        *mut usize,
        *mut PhysicalAddress,
        *mut *mut c_void,
    ) -> Status,
    unmap: unsafe extern "efiapi" fn(*mut c_void, *mut c_void) -> Status,
    allocate_buffer: unsafe extern "efiapi" fn(*mut c_void, u32, MemoryType, usize, *mut *mut c_void, u64) -> Status,
    free_buffer: unsafe extern "efiapi" fn(*mut c_void, usize, *mut c_void) -> Status,
}

/// The pool of shared memory, for drivers of PCI devices.
struct SharedMemory;

impl DeviceMemory for SharedMemory {
    type Piece = SharedBuffer;

    fn is_all(&self) -> bool {
        !realm::is_realm()
    }

    fn take(&mut self, size: usize) -> Option<SharedBuffer> {
        SharedBuffer::take(size)
    }

    fn cpu_range(&self, piece: &SharedBuffer) -> (u64, u64) {
        (piece.cpu_address(), piece.size() as u64)
    }

    fn device_address(&self, address: u64) -> u64 {
        let form = dma::address_forms(Bus::Pci).first();
        form.map_or(address, |form| dma::device_address(address, *form))
    }

    fn copy_in(&mut self, piece: &mut SharedBuffer, from: u64, size: usize) {
        // SAFETY: the caller of Map() vouches for its memory until Unmap(), and waits.
        unsafe { piece.write_from(ptr::with_exposed_provenance(from as usize), size) };
    }

    fn copy_out(&mut self, piece: &SharedBuffer, to: u64, size: usize) {
        // SAFETY: as above; the memory is the one that the caller of Map() wants filled.
        unsafe { piece.read_to(ptr::with_exposed_provenance_mut(to as usize), size) };
    }
}

static IOMMU: Mutex<Iommu<SharedMemory>> = Mutex::new(Iommu::new(SharedMemory));

/// Makes the protocol instance of a realm; none in a plain VM.
pub fn create() -> Option<*mut Protocol> {
    let protocol = Protocol { revision: REVISION, set_attribute, map, unmap, allocate_buffer, free_buffer };
    realm::is_realm().then(|| Box::leak(Box::new(protocol)) as *mut Protocol)
}

fn status(result: Result<(), IommuError>) -> Status {
    result.err().map_or(Status::SUCCESS, to_status)
}

fn to_status(error: IommuError) -> Status {
    match error {
        IommuError::Invalid => Status::INVALID_PARAMETER,
        IommuError::Unsupported => Status::UNSUPPORTED,
        IommuError::OutOfResources => Status::OUT_OF_RESOURCES,
    }
}

unsafe extern "efiapi" fn set_attribute(
    _this: *mut c_void,
    device: Handle,
    mapping: *mut c_void,
    access: u64,
) -> Status {
    if device.is_null() {
        return Status::INVALID_PARAMETER;
    }
    status(IOMMU.lock().set_attribute(mapping.addr() as u64, access))
}

/// Member of all three.
pub unsafe extern "efiapi" fn map(
    _this: *mut c_void,
    operation: u32,
    host: *mut c_void,
    size: *mut usize,
    device: *mut PhysicalAddress,
    mapping: *mut *mut c_void,
) -> Status {
    if host.is_null() || size.is_null() || device.is_null() || mapping.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a number to read. All of it is mapped, so that it is left as it is.
    let bytes = unsafe { size.read_unaligned() };
    let result = IOMMU.lock().map(operation, host.expose_provenance() as u64, bytes);
    status(result.map(|(address, name)| {
        // SAFETY: neither is null; the caller passes places to write to.
        unsafe {
            device.write_unaligned(address);
            mapping.write_unaligned(ptr::without_provenance_mut(name as usize));
        }
    }))
}

/// Member of all three.
pub unsafe extern "efiapi" fn unmap(_this: *mut c_void, mapping: *mut c_void) -> Status {
    status(IOMMU.lock().unmap(mapping.addr() as u64))
}

/// Member of all three.
pub unsafe extern "efiapi" fn allocate_buffer(
    _this: *mut c_void,
    _type: u32,
    memory_type: MemoryType,
    pages: usize,
    host: *mut *mut c_void,
    attributes: u64,
) -> Status {
    if host.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let result = match memory_type {
        efi::BOOT_SERVICES_DATA | efi::RUNTIME_SERVICES_DATA if !realm::is_realm() => {
            allocate_pages(memory_type, pages as u64, attributes)
        }
        efi::BOOT_SERVICES_DATA => IOMMU.lock().allocate(pages, attributes).map_err(to_status),
        // Shared memory ends with boot services.
        efi::RUNTIME_SERVICES_DATA => Err(Status::UNSUPPORTED),
        _ => Err(Status::INVALID_PARAMETER),
    };
    match result {
        Ok(address) => {
            // SAFETY: not null; the caller passes a place to write to.
            unsafe { host.write_unaligned(ptr::with_exposed_provenance_mut(address as usize)) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// Memory that a device reaches in a plain VM.
fn allocate_pages(memory_type: MemoryType, pages: u64, attributes: u64) -> Result<u64, Status> {
    let wide = is_wide(attributes).map_err(to_status)?;
    let placement = if wide { Placement::Any } else { Placement::Below(u32::MAX.into()) };
    services::allocate_pages(placement, memory_type, pages, PAGE_SIZE)
}

/// Member of all three.
pub unsafe extern "efiapi" fn free_buffer(_this: *mut c_void, pages: usize, host: *mut c_void) -> Status {
    if realm::is_realm() {
        return status(IOMMU.lock().free(pages, host.addr() as u64));
    }
    services::free_pages(host.addr() as u64, pages as u64).err().map_or(Status::SUCCESS, |_| Status::INVALID_PARAMETER)
}
