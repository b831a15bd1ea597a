//! EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL (UEFI 2.11, 14.2).

use core::ffi::c_void;
use core::{ptr, slice};

use r_efi::efi::{Guid, Handle, Status};
use r_efi::protocols::pci_io::{
    ATTRIBUTE_DUAL_ADDRESS_CYCLE, ATTRIBUTE_MEMORY_WRITE_COMBINE, OPERATION_BUS_MASTER_READ, WIDTH_FIFO_UINT8,
    WIDTH_MAXIMUM, WIDTH_UINT8, WIDTH_UINT16, WIDTH_UINT32, WIDTH_UINT64,
};

use super::Function;
use crate::env;
use crate::report::{check, equal, failed, skipped, status};

pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0x2f70_7ebb, 0x4a1a, 0x11d4, 0x9a, 0x38, &[0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d]);

const INVALID: Status = Status::INVALID_PARAMETER;

type Access = unsafe extern "efiapi" fn(*mut Protocol, u32, u64, usize, *mut c_void) -> Status;
type Poll = unsafe extern "efiapi" fn(*mut Protocol, u32, u64, u64, u64, u64, *mut u64) -> Status;

#[repr(C)]
pub struct Protocol {
    parent: Handle,
    poll_mem: Poll,
    poll_io: Poll,
    mem: [Access; 2],
    io: [Access; 2],
    pci: [Access; 2],
    copy_mem: unsafe extern "efiapi" fn(*mut Protocol, u32, u64, u64, usize) -> Status,
    map: unsafe extern "efiapi" fn(*mut Protocol, u32, *mut c_void, *mut usize, *mut u64, *mut *mut c_void) -> Status,
    unmap: unsafe extern "efiapi" fn(*mut Protocol, *mut c_void) -> Status,
    allocate_buffer: unsafe extern "efiapi" fn(*mut Protocol, u32, u32, usize, *mut *mut c_void, u64) -> Status,
    free_buffer: unsafe extern "efiapi" fn(*mut Protocol, usize, *mut c_void) -> Status,
    flush: unsafe extern "efiapi" fn(*mut Protocol) -> Status,
    get_attributes: unsafe extern "efiapi" fn(*mut Protocol, *mut u64, *mut u64) -> Status,
    set_attributes: unsafe extern "efiapi" fn(*mut Protocol, u64, *mut u64, *mut u64) -> Status,
    configuration: unsafe extern "efiapi" fn(*mut Protocol, *mut *mut u8) -> Status,
    segment: u32,
}

/// A descriptor: kind, start, last, offset to the bus's address, length.
type Descriptor = (u8, u64, u64, u64, u64);

/// Calls `work` for each descriptor of the bridge; whether the list is one.
fn configuration(io: *mut Protocol, mut work: impl FnMut(Descriptor)) -> bool {
    let mut list = ptr::null_mut();
    if unsafe { ((*io).configuration)(io, &mut list) } != Status::SUCCESS {
        return false;
    }
    for index in 0..20 {
        let bytes = unsafe { slice::from_raw_parts(list.add(46 * index), 46) };
        if bytes[..2] == [0x79, 0] {
            return true;
        }
        if bytes[..3] != [0x8a, 43, 0] {
            return false;
        }
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        work((bytes[3], number(14), number(22), number(30), number(38)));
    }
    false
}

pub fn run(handle: Handle, edu: Function, memory: Function) {
    let io: *mut Protocol = env::interface(handle, &PROTOCOL_GUID);
    let Some(protocol) = (unsafe { io.as_ref() }) else {
        return failed("PciRootBridgeIo", format_args!("is not there"));
    };
    equal("PciRootBridgeIo: parent and segment", (protocol.parent, protocol.segment), (handle, 0));
    let edu_bar = edu.bar(0);
    let Some([edu_start, edu_offset, edu_length]) = edu_bar else { return check("GetBarAttributes: edu", false) };
    let (mut buses, mut port, mut holds_edu) = (None, None, false);
    let listed = configuration(io, |(kind, start, last, offset, length)| match kind {
        2 => buses = Some((start, last)),
        1 => port = Some([start, last].map(|end| end.wrapping_add(offset))),
        _ => holds_edu |= start <= edu_start && edu_start + edu_length <= start + length && offset == edu_offset,
    });
    check("Configuration: a list", listed);
    check("Configuration: buses", buses.is_some_and(|(first, last)| first == 0 && last >= 15));
    check("Configuration: the window of a BAR", holds_edu);
    status("Configuration: nowhere to", unsafe { (protocol.configuration)(io, ptr::null_mut()) }, INVALID);
    config(io, protocol, edu);
    mem(io, protocol, edu_start.wrapping_add(edu_offset), memory);
    match port {
        Some([first, last]) => ports(io, protocol, first, last),
        None => skipped("PciRootBridgeIo.Io", "there is no I/O window"),
    }
    rest(io, protocol);
}

fn config(io: *mut Protocol, protocol: &Protocol, edu: Function) {
    let [_, bus, device, function] = edu.location().map(|number| number as u64);
    let place = bus << 24 | device << 16 | function << 8;
    for (write, pci) in [false, true].into_iter().zip(protocol.pci) {
        let mut value = 0u64;
        let at = (&raw mut value).cast::<c_void>();
        let call = |width, address, count| unsafe { pci(io, width, address, count, at) };
        status("PciRootBridgeIo.Pci: no width", call(WIDTH_MAXIMUM, place, 1), INVALID);
        status("PciRootBridgeIo.Pci: no width at all", call(u32::MAX, place, 1), INVALID);
        status("PciRootBridgeIo.Pci: no buffer", unsafe { pci(io, 0, place, 1, ptr::null_mut()) }, INVALID);
        status("PciRootBridgeIo.Pci: no device 32", call(WIDTH_UINT32, 32 << 16, 1), INVALID);
        status("PciRootBridgeIo.Pci: no function 8", call(WIDTH_UINT32, place | 8 << 8, 1), INVALID);
        status("PciRootBridgeIo.Pci: behind the end", call(WIDTH_UINT32, place | 4096 << 32, 1), INVALID);
        status("PciRootBridgeIo.Pci: over the end", call(WIDTH_UINT32, place | 4092 << 32, 2), INVALID);
        if !write {
            equal("PciRootBridgeIo.Pci: id", (call(WIDTH_UINT32, place, 1), value as u32), (Status::SUCCESS, edu.id));
            let extended = call(WIDTH_UINT16, place | 2 << 32, 1);
            let device = (extended, value as u16);
            equal("PciRootBridgeIo.Pci: extended register", device, (Status::SUCCESS, (edu.id >> 16) as u16));
            equal(
                "PciRootBridgeIo.Pci: register",
                (call(WIDTH_UINT8, place | 3, 1), value as u8),
                (Status::SUCCESS, 0x11),
            );
            value = 0;
            let nobody = call(WIDTH_UINT32, 31 << 16, 1);
            equal("PciRootBridgeIo.Pci: nobody there", (nobody, value as u32), (Status::SUCCESS, u32::MAX));
        }
    }
}

fn mem(io: *mut Protocol, protocol: &Protocol, edu: u64, memory: Function) {
    let mut value = 0u64;
    let at = (&raw mut value).cast::<c_void>();
    for access in protocol.mem {
        let call = |width, address, count| unsafe { access(io, width, address, count, at) };
        status("PciRootBridgeIo.Mem: no width", call(WIDTH_MAXIMUM, edu, 1), INVALID);
        status("PciRootBridgeIo.Mem: no buffer", unsafe { access(io, 0, edu, 1, ptr::null_mut()) }, INVALID);
        status("PciRootBridgeIo.Mem: RAM", call(WIDTH_UINT32, 0x4000_0000, 1), INVALID);
        status("PciRootBridgeIo.Mem: over the end", call(WIDTH_UINT32, u64::MAX - 3, 2), INVALID);
        status("PciRootBridgeIo.Mem: more than there is", call(WIDTH_UINT32, edu, 1 << 60), INVALID);
        status("PciRootBridgeIo.Mem: between registers", call(WIDTH_UINT32, edu + 2, 1), Status::UNSUPPORTED);
    }
    let [read, _] = protocol.mem;
    let is = unsafe { read(io, WIDTH_UINT32, edu, 1, at) };
    equal("PciRootBridgeIo.Mem: edu", (is, value), (Status::SUCCESS, 0x0100_00ed));
    let poll = |width, value, delay, result: *mut u64| unsafe {
        (protocol.poll_mem)(io, width, edu, 0xff, value, delay, result)
    };
    status("PciRootBridgeIo.PollMem", poll(WIDTH_UINT32, 0xed, 10_000_000, &raw mut value), Status::SUCCESS);
    status("PciRootBridgeIo.PollMem: never", poll(WIDTH_UINT32, 0, 10_000, &raw mut value), Status::TIMEOUT);
    status("PciRootBridgeIo.PollMem: no width", poll(WIDTH_FIFO_UINT8, 0, 0, &raw mut value), INVALID);
    status("PciRootBridgeIo.PollMem: no result", poll(WIDTH_UINT32, 0, 0, ptr::null_mut()), INVALID);
    let Some([start, offset, _]) = memory.bar(2) else { return check("GetBarAttributes: memory", false) };
    let memory_at = start.wrapping_add(offset);
    memory.write(WIDTH_UINT64, 2, 0, 0x0102_0304_0506_0708);
    let copy = |width, to, from| unsafe { (protocol.copy_mem)(io, width, to, from, 1) };
    status("PciRootBridgeIo.CopyMem", copy(WIDTH_UINT64, memory_at + 8, memory_at), Status::SUCCESS);
    equal("PciRootBridgeIo.CopyMem: copies", memory.read(WIDTH_UINT64, 2, 8), Ok(0x0102_0304_0506_0708));
    status("PciRootBridgeIo.CopyMem: no width", copy(WIDTH_FIFO_UINT8, memory_at + 8, memory_at), INVALID);
    status("PciRootBridgeIo.CopyMem: to RAM", copy(WIDTH_UINT64, 0x4000_0000, memory_at), INVALID);
}

/// Nobody answers at the first port, nor at the last.
fn ports(io: *mut Protocol, protocol: &Protocol, port: u64, last: u64) {
    let mut value = 0u64;
    for access in protocol.io {
        value = u64::MAX;
        let at = (&raw mut value).cast::<c_void>();
        let call = |width, address| unsafe { access(io, width, address, 1, at) };
        for width in [WIDTH_UINT8, WIDTH_UINT16, WIDTH_UINT32] {
            status("PciRootBridgeIo.Io", call(width, port), Status::SUCCESS);
        }
        status("PciRootBridgeIo.Io: the last", call(WIDTH_UINT8, last), Status::SUCCESS);
        status("PciRootBridgeIo.Io: behind the last", call(WIDTH_UINT8, last + 1), INVALID);
        status("PciRootBridgeIo.Io: no port is so wide", call(WIDTH_UINT64, port), INVALID);
        status("PciRootBridgeIo.Io: outside", call(WIDTH_UINT8, 1 << 32), INVALID);
        status("PciRootBridgeIo.Io: no buffer", unsafe { access(io, 0, port, 1, ptr::null_mut()) }, INVALID);
    }
    let is = unsafe { (protocol.poll_io)(io, WIDTH_UINT8, port, 0, 0, 10, &raw mut value) };
    status("PciRootBridgeIo.PollIo", is, Status::SUCCESS);
}

fn rest(io: *mut Protocol, protocol: &Protocol) {
    let (mut supports, mut attributes) = (u64::MAX, u64::MAX);
    let null = ptr::null_mut();
    status("GetAttributes: nothing asked", unsafe { (protocol.get_attributes)(io, null, null) }, INVALID);
    unsafe { (protocol.get_attributes)(io, &mut supports, null) };
    unsafe { (protocol.get_attributes)(io, null, &mut attributes) };
    equal("GetAttributes: none", (supports, attributes), (0, 0));
    let set = |attributes, range: *mut u64| unsafe { (protocol.set_attributes)(io, attributes, range, range) };
    status("SetAttributes: none", set(0, null), Status::SUCCESS);
    let mut range = 0;
    let combine = set(ATTRIBUTE_MEMORY_WRITE_COMBINE, &raw mut range);
    status("SetAttributes: write combining", combine, Status::UNSUPPORTED);
    status("PciRootBridgeIo.Flush", unsafe { (protocol.flush)(io) }, Status::SUCCESS);

    let mut bytes = [0u8; 16];
    let host = bytes.as_mut_ptr().cast::<c_void>();
    let (mut size, mut device, mut mapping) = (16, 0, null.cast());
    let wide = OPERATION_BUS_MASTER_READ + 3;
    let mut map = |operation| unsafe { (protocol.map)(io, operation, host, &mut size, &mut device, &mut mapping) };
    status("PciRootBridgeIo.Map: no operation", map(6), INVALID);
    status("PciRootBridgeIo.Map", map(wide), Status::SUCCESS);
    status("PciRootBridgeIo.Unmap", unsafe { (protocol.unmap)(io, mapping) }, Status::SUCCESS);
    status("PciRootBridgeIo.Unmap: again", unsafe { (protocol.unmap)(io, mapping) }, INVALID);
    let mut buffer = ptr::null_mut();
    let wide = ATTRIBUTE_DUAL_ADDRESS_CYCLE;
    let data = r_efi::efi::BOOT_SERVICES_DATA;
    let is = unsafe { (protocol.allocate_buffer)(io, 0, data, 1, &mut buffer, wide) };
    status("PciRootBridgeIo.AllocateBuffer", is, Status::SUCCESS);
    let is = unsafe { (protocol.allocate_buffer)(io, 0, data, 1, &mut buffer, 1) };
    status("PciRootBridgeIo.AllocateBuffer: other attributes", is, Status::UNSUPPORTED);
    status("PciRootBridgeIo.FreeBuffer", unsafe { (protocol.free_buffer)(io, 1, buffer) }, Status::SUCCESS);
    status("PciRootBridgeIo.FreeBuffer: again", unsafe { (protocol.free_buffer)(io, 1, buffer) }, INVALID);
}
