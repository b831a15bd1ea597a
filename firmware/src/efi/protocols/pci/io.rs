//! EFI_PCI_IO_PROTOCOL (UEFI 2.11, 14.4).
//!
//! No BAR is in I/O space: the firmware gives none a place there, and whoever needs I/O asks for it without a BAR.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr;

use pci::access::{CONFIG_LENGTH, END_TAG, Resource, Width, describe, to_efi_address};
use pci::{ConfigSpace, Function, command, read_command, register};
use r_efi::efi::{MemoryType, PhysicalAddress, Status};
use r_efi::protocols::pci_io::{
    ATTRIBUTE_BUS_MASTER, ATTRIBUTE_DUAL_ADDRESS_CYCLE, ATTRIBUTE_MEMORY, ATTRIBUTE_MEMORY_CACHED,
    ATTRIBUTE_MEMORY_WRITE_COMBINE, ATTRIBUTE_OPERATION_DISABLE, ATTRIBUTE_OPERATION_ENABLE, ATTRIBUTE_OPERATION_GET,
    ATTRIBUTE_OPERATION_SET, ATTRIBUTE_OPERATION_SUPPORTED, Access, ConfigAccess, OPERATION_MAXIMUM, PASS_THROUGH_BAR,
    Protocol,
};

use super::super::abi::hand_out;
use super::super::iommu;
use super::access::{self, Space};
use super::{answer, root_bridge, status};
use crate::devices::pci::{Host, bar_address};

/// What every function is taken to have.
const SUPPORTED: u64 = ATTRIBUTE_MEMORY | ATTRIBUTE_BUS_MASTER | ATTRIBUTE_DUAL_ADDRESS_CYCLE;
/// The command register has its bits in this order, from bit 0 on.
const COMMAND_SHIFT: u32 = 8;
const COMMAND_BITS: u16 = command::MEMORY | command::BUS_MASTER;

#[repr(C)]
struct Instance {
    /// First, so that a pointer to it is one to the whole.
    protocol: Protocol,
    host: &'static Host,
    function: &'static Function,
    /// ATTRIBUTE_DUAL_ADDRESS_CYCLE, or none.
    dual_address_cycle: u64,
}

/// Makes the protocol of a function.
pub fn create(host: &'static Host, function: &'static Function) -> *mut c_void {
    let protocol = Protocol {
        poll_mem,
        poll_io,
        mem: Access { read: mem_read, write: mem_write },
        io: Access { read: io_read, write: io_write },
        pci: ConfigAccess { read: pci_read, write: pci_write },
        copy_mem,
        map,
        unmap,
        allocate_buffer,
        free_buffer,
        flush,
        get_location,
        attributes,
        get_bar_attributes,
        set_bar_attributes,
        // Option ROMs are the host's code.
        rom_size: 0,
        rom_image: ptr::null_mut(),
    };
    Box::into_raw(Box::new(Instance { protocol, host, function, dual_address_cycle: 0 })).cast()
}

/// # Safety
/// `this` is an instance of [`create`].
unsafe fn parts(this: *mut Protocol) -> (&'static Host, &'static Function) {
    // SAFETY: the caller's promise; instances are never freed.
    unsafe { ((*this.cast::<Instance>()).host, (*this.cast::<Instance>()).function) }
}

/// Where on the bus `offset` of a BAR is, when the BAR has all of the access; `offset` itself without a BAR.
///
/// # Safety
/// As [`parts`].
#[inline(never)]
unsafe fn address(
    this: *mut Protocol,
    width: u32,
    bar: u8,
    offset: u64,
    count: usize,
    space: Space,
) -> Result<u64, Status> {
    let width = Width::new(width).ok_or(Status::INVALID_PARAMETER)?;
    let address = match bar {
        PASS_THROUGH_BAR => Some(offset),
        _ if space == Space::Io => None,
        // SAFETY: passed on.
        _ => width.span(count).and_then(|length| bar_address(unsafe { parts(this).1 }, bar, offset, length)),
    };
    address.ok_or(Status::UNSUPPORTED)
}

/// All accesses to memory and I/O. What differs comes last, so that a member passes on what it is passed.
///
/// # Safety
/// As [`parts`], and as [`access::transfer`].
unsafe extern "efiapi" fn transfer(
    this: *mut Protocol,
    width: u32,
    bar: u8,
    offset: u64,
    count: usize,
    buffer: *mut c_void,
    space: Space,
    write: bool,
) -> Status {
    // SAFETY: passed on.
    status(unsafe {
        address(this, width, bar, offset, count, space)
            .and_then(|address| access::transfer(parts(this).0, (space, write), address, width, count, buffer))
    })
}

/// # Safety
/// As [`parts`], and as [`access::poll`].
unsafe extern "efiapi" fn poll(
    this: *mut Protocol,
    width: u32,
    bar: u8,
    offset: u64,
    mask: u64,
    value: u64,
    delay: u64,
    result: *mut u64,
    space: Space,
) -> Status {
    // SAFETY: passed on.
    status(unsafe {
        address(this, width, bar, offset, 1, space)
            .and_then(|address| access::poll(parts(this).0, space, address, width, (mask, value), delay, result))
    })
}

/// Accesses to configuration space.
///
/// # Safety
/// As [`parts`], and as [`access::transfer`].
unsafe extern "efiapi" fn config(
    this: *mut Protocol,
    width: u32,
    offset: u32,
    count: usize,
    buffer: *mut c_void,
    write: bool,
) -> Status {
    // SAFETY: passed on.
    let (host, function) = unsafe { parts(this) };
    let Some(parsed) = Width::new(width) else { return Status::INVALID_PARAMETER };
    let end = parsed.span(count).and_then(|length| length.checked_add(offset.into()));
    if end.is_none_or(|end| end > CONFIG_LENGTH) {
        return Status::UNSUPPORTED;
    }
    let address = to_efi_address(function.address, offset);
    // SAFETY: passed on.
    status(unsafe { access::transfer(host, (Space::Config, write), address, width, count, buffer) })
}

macro_rules! members {
    (
        $(access $transfer:ident $space:ident $write:literal;)*
        $(config $config:ident $config_write:literal;)*
        $(poll $poll:ident $of:ident;)*
    ) => {
        $(unsafe extern "efiapi" fn $transfer(
            this: *mut Protocol,
            width: u32,
            bar: u8,
            offset: u64,
            count: usize,
            buffer: *mut c_void,
        ) -> Status {
            // SAFETY: the caller passes the instance that it took the member from, and a buffer for what it asks for.
            unsafe { transfer(this, width, bar, offset, count, buffer, Space::$space, $write) }
        })*

        $(unsafe extern "efiapi" fn $config(
            this: *mut Protocol,
            width: u32,
            offset: u32,
            count: usize,
            buffer: *mut c_void,
        ) -> Status {
            // SAFETY: likewise.
            unsafe { config(this, width, offset, count, buffer, $config_write) }
        })*

        $(unsafe extern "efiapi" fn $poll(
            this: *mut Protocol,
            width: u32,
            bar: u8,
            offset: u64,
            mask: u64,
            value: u64,
            delay: u64,
            result: *mut u64,
        ) -> Status {
            // SAFETY: the caller passes the instance that it took the member from, and a place for the result.
            unsafe { poll(this, width, bar, offset, mask, value, delay, result, Space::$of) }
        })*
    };
}

members! {
    access mem_read Memory false;
    access mem_write Memory true;
    access io_read Io false;
    access io_write Io true;
    config pci_read false;
    config pci_write true;
    poll poll_mem Memory;
    poll poll_io Io;
}

unsafe extern "efiapi" fn copy_mem(
    this: *mut Protocol,
    width: u32,
    to_bar: u8,
    to: u64,
    from_bar: u8,
    from: u64,
    count: usize,
) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    status(unsafe {
        address(this, width, from_bar, from, count, Space::Memory).and_then(|from| {
            let to = address(this, width, to_bar, to, count, Space::Memory)?;
            access::copy(parts(this).0, width, to, from, count)
        })
    })
}

unsafe extern "efiapi" fn map(
    this: *mut Protocol,
    operation: u32,
    host: *mut c_void,
    size: *mut usize,
    device: *mut PhysicalAddress,
    mapping: *mut *mut c_void,
) -> Status {
    if operation >= OPERATION_MAXIMUM {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from; what else it passes is passed on. The
    // operations with dual address cycles are behind the others.
    unsafe {
        let wide = (*this.cast::<Instance>()).dual_address_cycle != 0;
        let operation = if wide { operation + OPERATION_MAXIMUM } else { operation };
        iommu::map(this.cast(), operation, host, size, device, mapping)
    }
}

unsafe extern "efiapi" fn unmap(this: *mut Protocol, mapping: *mut c_void) -> Status {
    // SAFETY: passed on.
    unsafe { iommu::unmap(this.cast(), mapping) }
}

unsafe extern "efiapi" fn allocate_buffer(
    this: *mut Protocol,
    kind: u32,
    memory_type: MemoryType,
    pages: usize,
    host: *mut *mut c_void,
    attributes: u64,
) -> Status {
    if attributes & !(ATTRIBUTE_MEMORY_WRITE_COMBINE | ATTRIBUTE_MEMORY_CACHED) != 0 {
        return Status::UNSUPPORTED;
    }
    // SAFETY: as for `map`.
    unsafe {
        let attributes = attributes | (*this.cast::<Instance>()).dual_address_cycle;
        iommu::allocate_buffer(this.cast(), kind, memory_type, pages, host, attributes)
    }
}

unsafe extern "efiapi" fn free_buffer(this: *mut Protocol, pages: usize, host: *mut c_void) -> Status {
    // SAFETY: passed on.
    unsafe { iommu::free_buffer(this.cast(), pages, host) }
}

unsafe extern "efiapi" fn flush(this: *mut Protocol) -> Status {
    // SAFETY: passed on.
    unsafe { root_bridge::flush(this.cast()) }
}

unsafe extern "efiapi" fn get_location(
    this: *mut Protocol,
    segment: *mut usize,
    bus: *mut usize,
    device: *mut usize,
    function: *mut usize,
) -> Status {
    if segment.is_null() || bus.is_null() || device.is_null() || function.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from, and places to write to.
    unsafe {
        let (host, at) = parts(this);
        answer(segment, host.number as usize);
        answer(bus, at.address.bus.into());
        answer(device, at.address.device.into());
        answer(function, at.address.function.into());
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn attributes(this: *mut Protocol, operation: u32, attributes: u64, result: *mut u64) -> Status {
    // SAFETY: the caller passes the instance that it took the member from.
    let (host, function) = unsafe { parts(this) };
    // SAFETY: likewise.
    let wide = unsafe { &raw mut (*this.cast::<Instance>()).dual_address_cycle };
    let before = read_command(&host.config, function.address);
    // SAFETY: no other reference to the field exists.
    let current = u64::from(before & COMMAND_BITS) << COMMAND_SHIFT | unsafe { wide.read() };
    let new = match operation {
        ATTRIBUTE_OPERATION_GET | ATTRIBUTE_OPERATION_SUPPORTED => {
            if result.is_null() {
                return Status::INVALID_PARAMETER;
            }
            // SAFETY: the caller passes a place to write to.
            unsafe { answer(result, if operation == ATTRIBUTE_OPERATION_GET { current } else { SUPPORTED }) };
            return Status::SUCCESS;
        }
        ATTRIBUTE_OPERATION_SET => attributes,
        ATTRIBUTE_OPERATION_ENABLE => current | attributes,
        ATTRIBUTE_OPERATION_DISABLE => current & !attributes,
        _ => return Status::INVALID_PARAMETER,
    };
    if attributes & !SUPPORTED != 0 {
        return Status::UNSUPPORTED;
    }
    // SAFETY: as above.
    unsafe { wide.write(new & ATTRIBUTE_DUAL_ADDRESS_CYCLE) };
    // The two bits fit.
    let after = before & !COMMAND_BITS | (new >> COMMAND_SHIFT) as u16 & COMMAND_BITS;
    host.config.write16(function.address, register::COMMAND, after);
    Status::SUCCESS
}

unsafe extern "efiapi" fn get_bar_attributes(
    this: *mut Protocol,
    bar: u8,
    supports: *mut u64,
    resources: *mut *mut c_void,
) -> Status {
    if supports.is_null() && resources.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from.
    let (host, function) = unsafe { parts(this) };
    let Some(bar) = function.bars.iter().find(|candidate| candidate.index == bar) else { return Status::UNSUPPORTED };
    let Some(base) = bar.base else { return Status::UNSUPPORTED };
    let Some(start) = host.cpu_address(false, base, bar.size) else { return Status::UNSUPPORTED };
    if !resources.is_null() {
        let resource = Resource::memory(bar.is_64, bar.prefetchable);
        let mut list = Vec::new();
        describe(&mut list, resource, start, base, bar.size);
        list.extend(END_TAG);
        let list = hand_out(&list);
        if list.is_null() {
            return Status::OUT_OF_RESOURCES;
        }
        // SAFETY: the caller passes a place to write to.
        unsafe { answer(resources, list.cast()) };
    }
    // SAFETY: likewise. Registers are of one kind.
    unsafe { answer(supports, 0) };
    Status::SUCCESS
}

unsafe extern "efiapi" fn set_bar_attributes(
    this: *mut Protocol,
    attributes: u64,
    bar: u8,
    offset: *mut u64,
    length: *mut u64,
) -> Status {
    if offset.is_null() || length.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from, and numbers to read.
    let (function, offset, length) = unsafe { (parts(this).1, offset.read(), length.read()) };
    match bar_address(function, bar, offset, length) {
        Some(_) if attributes == 0 => Status::SUCCESS,
        _ => Status::UNSUPPORTED,
    }
}
