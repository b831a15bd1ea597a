//! EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL (UEFI 2.11, 14.2).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;

use aarch64_cpu::asm::barrier;
use formats::machine::WindowSpace;
use pci::access::{END_TAG, Resource, describe};
use r_efi::efi::{Guid, Handle, MemoryType, PhysicalAddress, Status};

use super::super::iommu;
use super::access::{self, Space};
use super::{answer, status};
use crate::devices::pci::Host;

/// EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL_GUID.
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0x2f70_7ebb, 0x4a1a, 0x11d4, 0x9a, 0x38, &[0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d]);

type Poll = unsafe extern "efiapi" fn(*mut c_void, u32, u64, u64, u64, u64, *mut u64) -> Status;
type Transfer = unsafe extern "efiapi" fn(*mut c_void, u32, u64, usize, *mut c_void) -> Status;

#[repr(C)]
struct Protocol {
    parent: Handle,
    poll_mem: Poll,
    poll_io: Poll,
    /// Read and write each: memory, I/O, configuration.
    access: [[Transfer; 2]; 3],
    copy_mem: unsafe extern "efiapi" fn(*mut c_void, u32, u64, u64, usize) -> Status,
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
    flush: unsafe extern "efiapi" fn(*mut c_void) -> Status,
    get_attributes: unsafe extern "efiapi" fn(*mut c_void, *mut u64, *mut u64) -> Status,
    set_attributes: unsafe extern "efiapi" fn(*mut c_void, u64, *mut u64, *mut u64) -> Status,
    configuration: unsafe extern "efiapi" fn(*mut c_void, *mut *mut c_void) -> Status,
    segment_number: u32,
}

#[repr(C)]
struct Instance {
    /// First, so that a pointer to it is one to the whole.
    protocol: Protocol,
    host: &'static Host,
    configuration: *mut c_void,
}

/// Makes the protocol of a host bridge whose handle is `handle`.
pub fn create(host: &'static Host, handle: Handle) -> *mut c_void {
    let protocol = Protocol {
        parent: handle,
        poll_mem,
        poll_io,
        access: [[mem_read, mem_write], [io_read, io_write], [pci_read, pci_write]],
        copy_mem,
        map: iommu::map,
        unmap: iommu::unmap,
        allocate_buffer: iommu::allocate_buffer,
        free_buffer: iommu::free_buffer,
        flush,
        get_attributes,
        set_attributes,
        configuration,
        segment_number: host.number,
    };
    let configuration = resources(host).leak().as_mut_ptr().cast();
    Box::into_raw(Box::new(Instance { protocol, host, configuration })).cast()
}

/// The buses and windows of a host bridge as ACPI describes them.
fn resources(host: &Host) -> Vec<u8> {
    let mut list = Vec::new();
    let (first, buses) = host.config.buses();
    describe(&mut list, Resource::BUS, first, first, buses);
    for window in &host.windows {
        let resource = match window.space {
            WindowSpace::Io => Resource::IO,
            space => Resource::memory(space == WindowSpace::Memory64, window.prefetchable),
        };
        describe(&mut list, resource, window.cpu.base(), window.pci_base, window.cpu.size());
    }
    list.extend(END_TAG);
    list
}

/// # Safety
/// `this` is an instance of [`create`].
unsafe fn host(this: *mut c_void) -> &'static Host {
    // SAFETY: the caller's promise; instances are never freed.
    unsafe { (*this.cast::<Instance>()).host }
}

/// All accesses. What differs comes last, so that a member passes on what it is passed.
///
/// # Safety
/// `this` is an instance of [`create`], and `buffer` as for [`access::transfer`].
unsafe extern "efiapi" fn transfer(
    this: *mut c_void,
    width: u32,
    address: u64,
    count: usize,
    buffer: *mut c_void,
    space: Space,
    write: bool,
) -> Status {
    // SAFETY: passed on.
    status(unsafe { access::transfer(host(this), (space, write), address, width, count, buffer) })
}

/// # Safety
/// `this` is an instance of [`create`], and `result` as for [`access::poll`].
unsafe extern "efiapi" fn poll(
    this: *mut c_void,
    width: u32,
    address: u64,
    mask: u64,
    value: u64,
    delay: u64,
    result: *mut u64,
    space: Space,
) -> Status {
    // SAFETY: passed on.
    status(unsafe { access::poll(host(this), space, address, width, (mask, value), delay, result) })
}

macro_rules! members {
    ($(access $transfer:ident $space:ident $write:literal;)* $(poll $poll:ident $of:ident;)*) => {
        $(unsafe extern "efiapi" fn $transfer(
            this: *mut c_void,
            width: u32,
            address: u64,
            count: usize,
            buffer: *mut c_void,
        ) -> Status {
            // SAFETY: the caller passes the instance that it took the member from, and a buffer for what it asks for.
            unsafe { transfer(this, width, address, count, buffer, Space::$space, $write) }
        })*

        $(unsafe extern "efiapi" fn $poll(
            this: *mut c_void,
            width: u32,
            address: u64,
            mask: u64,
            value: u64,
            delay: u64,
            result: *mut u64,
        ) -> Status {
            // SAFETY: the caller passes the instance that it took the member from, and a place for the result.
            unsafe { poll(this, width, address, mask, value, delay, result, Space::$of) }
        })*
    };
}

members! {
    access mem_read Memory false;
    access mem_write Memory true;
    access io_read Io false;
    access io_write Io true;
    access pci_read Config false;
    access pci_write Config true;
    poll poll_mem Memory;
    poll poll_io Io;
}

unsafe extern "efiapi" fn copy_mem(this: *mut c_void, width: u32, to: u64, from: u64, count: usize) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    status(access::copy(unsafe { host(this) }, width, to, from, count))
}

/// Nothing is held back on the way.
pub unsafe extern "efiapi" fn flush(_this: *mut c_void) -> Status {
    barrier::dsb(barrier::SY);
    Status::SUCCESS
}

/// There are none: neither ranges of ISA and VGA nor memory of other kinds.
unsafe extern "efiapi" fn get_attributes(_this: *mut c_void, supports: *mut u64, attributes: *mut u64) -> Status {
    if supports.is_null() && attributes.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes places to write to.
    unsafe {
        answer(supports, 0);
        answer(attributes, 0);
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn set_attributes(
    _this: *mut c_void,
    attributes: u64,
    _base: *mut u64,
    _length: *mut u64,
) -> Status {
    if attributes == 0 { Status::SUCCESS } else { Status::UNSUPPORTED }
}

unsafe extern "efiapi" fn configuration(this: *mut c_void, resources: *mut *mut c_void) -> Status {
    if resources.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from, and a place to write to.
    unsafe { answer(resources, (*this.cast::<Instance>()).configuration) };
    Status::SUCCESS
}
