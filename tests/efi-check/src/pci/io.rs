//! EFI_PCI_IO_PROTOCOL (UEFI 2.11, 14.4).

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{self, Status};
use r_efi::protocols::pci_io::{
    ATTRIBUTE_BUS_MASTER, ATTRIBUTE_DUAL_ADDRESS_CYCLE, ATTRIBUTE_IO, ATTRIBUTE_MEMORY, ATTRIBUTE_MEMORY_CACHED,
    ATTRIBUTE_OPERATION_DISABLE, ATTRIBUTE_OPERATION_ENABLE, ATTRIBUTE_OPERATION_GET, ATTRIBUTE_OPERATION_MAXIMUM,
    ATTRIBUTE_OPERATION_SET, ATTRIBUTE_OPERATION_SUPPORTED, OPERATION_BUS_MASTER_COMMON_BUFFER,
    OPERATION_BUS_MASTER_READ, OPERATION_BUS_MASTER_WRITE, OPERATION_MAXIMUM, PASS_THROUGH_BAR, WIDTH_FIFO_UINT8,
    WIDTH_FIFO_UINT32, WIDTH_FILL_UINT8, WIDTH_FILL_UINT16, WIDTH_FILL_UINT64, WIDTH_MAXIMUM, WIDTH_UINT8,
    WIDTH_UINT16, WIDTH_UINT32, WIDTH_UINT64,
};

use super::Function;
use crate::env;
use crate::report::{check, equal, status};

/// The BAR of the device's memory, and its size.
const MEMORY: u8 = 2;
const SIZE: u64 = 1 << 20;

const INVALID: Status = Status::INVALID_PARAMETER;
const UNSUPPORTED: Status = Status::UNSUPPORTED;

pub fn refusals(f: Function) {
    let mut value = 0u64;
    let at = (&raw mut value).cast();
    for write in [false, true] {
        let mem = |width, bar, offset, count| f.mem(write, width, bar, offset, count, at);
        status("PciIo.Mem: no width", mem(WIDTH_MAXIMUM, MEMORY, 0, 1), INVALID);
        status("PciIo.Mem: no width at all", mem(u32::MAX, MEMORY, 0, 1), INVALID);
        status("PciIo.Mem: no buffer", f.mem(write, WIDTH_UINT8, MEMORY, 0, 1, ptr::null_mut()), INVALID);
        status("PciIo.Mem: no BAR 6", mem(WIDTH_UINT8, 6, 0, 1), UNSUPPORTED);
        status("PciIo.Mem: the upper half of a BAR", mem(WIDTH_UINT8, MEMORY + 1, 0, 1), UNSUPPORTED);
        status("PciIo.Mem: behind the BAR", mem(WIDTH_UINT8, MEMORY, SIZE, 1), UNSUPPORTED);
        status("PciIo.Mem: over the BAR's end", mem(WIDTH_UINT32, MEMORY, SIZE - 4, 2), UNSUPPORTED);
        status("PciIo.Mem: so far that it wraps", mem(WIDTH_UINT32, MEMORY, u64::MAX - 3, 1), UNSUPPORTED);
        status("PciIo.Mem: so many that it wraps", mem(WIDTH_UINT64, MEMORY, 0, usize::MAX / 8 + 2), UNSUPPORTED);
        status("PciIo.Mem: between registers", mem(WIDTH_UINT16, MEMORY, 1, 1), UNSUPPORTED);
        status("PciIo.Mem: RAM, without a BAR", mem(WIDTH_UINT32, PASS_THROUGH_BAR, 0x4000_0000, 1), INVALID);
        status("PciIo.Mem: none", mem(WIDTH_UINT8, MEMORY, 0, 0), Status::SUCCESS);
        status("PciIo.Pci: no width", f.config(write, WIDTH_MAXIMUM, 0x3c, 1, at), INVALID);
        status("PciIo.Pci: no buffer", f.config(write, WIDTH_UINT8, 0x3c, 1, ptr::null_mut()), INVALID);
        status("PciIo.Pci: behind the end", f.config(write, WIDTH_UINT8, 4096, 1, at), UNSUPPORTED);
        status("PciIo.Pci: over the end", f.config(write, WIDTH_UINT32, 4092, 2, at), UNSUPPORTED);
        status("PciIo.Pci: between registers", f.config(write, WIDTH_UINT32, 2, 1, at), UNSUPPORTED);
        let io = unsafe { &(*f.io).io };
        let io = if write { io.write } else { io.read };
        let io = |width, bar, offset| unsafe { io(f.io, width, bar, offset, 1, at) };
        status("PciIo.Io: no width", io(WIDTH_MAXIMUM, PASS_THROUGH_BAR, 0), INVALID);
        status("PciIo.Io: a BAR of memory", io(WIDTH_UINT8, MEMORY, 0), UNSUPPORTED);
        status("PciIo.Io: outside", io(WIDTH_UINT8, PASS_THROUGH_BAR, 1 << 32), INVALID);
    }
    let poll = |width, bar, offset, result: *mut u64| unsafe {
        ((*f.io).poll_mem)(f.io, width, bar, offset, 0, 0, 50_000_000, result)
    };
    for width in WIDTH_FIFO_UINT8..=WIDTH_MAXIMUM {
        status("PciIo.PollMem: no width", poll(width, MEMORY, 0, &raw mut value), INVALID);
    }
    status("PciIo.PollMem: no width at all", poll(u32::MAX, MEMORY, 0, &raw mut value), INVALID);
    status("PciIo.PollMem: no result", poll(WIDTH_UINT8, MEMORY, 0, ptr::null_mut()), INVALID);
    status("PciIo.PollMem: behind the BAR", poll(WIDTH_UINT8, MEMORY, SIZE, &raw mut value), UNSUPPORTED);
    status("PciIo.PollMem: no BAR 6", poll(WIDTH_UINT8, 6, 0, &raw mut value), UNSUPPORTED);
    let is = unsafe { ((*f.io).poll_io)(f.io, WIDTH_UINT8, MEMORY, 0, 0, 0, 0, &raw mut value) };
    status("PciIo.PollIo: a BAR of memory", is, UNSUPPORTED);
    let copy = |width, to_bar, to, from_bar, from, count| unsafe {
        ((*f.io).copy_mem)(f.io, width, to_bar, to, from_bar, from, count)
    };
    for width in WIDTH_FIFO_UINT8..=WIDTH_MAXIMUM {
        status("PciIo.CopyMem: no width", copy(width, MEMORY, 0, MEMORY, 64, 1), INVALID);
    }
    let half = SIZE as usize / 2;
    status("PciIo.CopyMem: from behind the end", copy(0, MEMORY, 0, MEMORY, SIZE / 4 * 3, half), UNSUPPORTED);
    status("PciIo.CopyMem: to behind the end", copy(0, MEMORY, SIZE / 4 * 3, MEMORY, 0, half), UNSUPPORTED);
    status("PciIo.CopyMem: from no BAR", copy(0, MEMORY, 0, 6, 0, 1), UNSUPPORTED);
    status("PciIo.CopyMem: to no BAR", copy(0, 6, 0, MEMORY, 0, 1), UNSUPPORTED);
    bars(f);
}

fn bars(f: Function) {
    let get = |bar, supports: *mut u64| unsafe { ((*f.io).get_bar_attributes)(f.io, bar, supports, ptr::null_mut()) };
    let mut supports = u64::MAX;
    status("GetBarAttributes: nothing asked", get(MEMORY, ptr::null_mut()), INVALID);
    status("GetBarAttributes: no BAR 6", get(6, &raw mut supports), UNSUPPORTED);
    status("GetBarAttributes", get(MEMORY, &raw mut supports), Status::SUCCESS);
    equal("GetBarAttributes: registers are of one kind", supports, 0);
    let bar = f.bar(MEMORY);
    // What the register says, without its flags.
    let base = u64::from(f.config32(0x18) & !0xf) | u64::from(f.config32(0x1c)) << 32;
    let same = bar.is_some_and(|[start, offset, length]| start.wrapping_add(offset) == base && length == SIZE);
    check("GetBarAttributes: where the BAR is", same);
    let set = |attributes, bar, mut offset: u64, mut length: u64| unsafe {
        ((*f.io).set_bar_attributes)(f.io, attributes, bar, &mut offset, &mut length)
    };
    status("SetBarAttributes: none", set(0, MEMORY, 0, SIZE), Status::SUCCESS);
    status("SetBarAttributes: cached", set(ATTRIBUTE_MEMORY_CACHED, MEMORY, 0, SIZE), UNSUPPORTED);
    status("SetBarAttributes: no BAR 6", set(0, 6, 0, 1), UNSUPPORTED);
    status("SetBarAttributes: over the end", set(0, MEMORY, 1, SIZE), UNSUPPORTED);
    let (mut number, null) = (0u64, ptr::null_mut());
    for [offset, length] in [[null, &raw mut number], [&raw mut number, null]] {
        let is = unsafe { ((*f.io).set_bar_attributes)(f.io, 0, MEMORY, offset, length) };
        status("SetBarAttributes: no range", is, INVALID);
    }
}

/// Every width, on memory.
pub fn memory(f: Function) {
    let pattern: [u8; 32] = core::array::from_fn(|at| at as u8 + 1);
    let get = |offset| -> [u8; 32] {
        let mut bytes = [0; 32];
        f.mem(false, WIDTH_UINT8, MEMORY, offset, 32, bytes.as_mut_ptr().cast());
        bytes
    };
    for width in [WIDTH_UINT8, WIDTH_UINT16, WIDTH_UINT32, WIDTH_UINT64] {
        // Where a buffer begins is nobody's business.
        let (mut source, mut back) = ([0u8; 33], [0u8; 33]);
        source[1..].copy_from_slice(&pattern);
        let (count, offset) = (32usize >> width, 64 * u64::from(width + 1));
        let written = f.mem(true, width, MEMORY, offset, count, source[1..].as_mut_ptr().cast());
        let read = f.mem(false, width, MEMORY, offset, count, back[1..].as_mut_ptr().cast());
        equal("PciIo.Mem: each width", (written, read, back), (Status::SUCCESS, Status::SUCCESS, source));
        equal("PciIo.Mem: in this order", get(offset), pattern);
    }
    let mut source = pattern;
    f.mem(true, WIDTH_FIFO_UINT32, MEMORY, SIZE - 4, 8, source.as_mut_ptr().cast());
    equal("PciIo.Mem: FIFO writes one register", f.read(WIDTH_UINT32, MEMORY, SIZE - 4), Ok(0x201f_1e1d));
    let mut back = [0u8; 8];
    f.mem(false, WIDTH_FIFO_UINT32, MEMORY, SIZE - 4, 2, back.as_mut_ptr().cast());
    equal("PciIo.Mem: FIFO reads one register", back, [0x1d, 0x1e, 0x1f, 0x20, 0x1d, 0x1e, 0x1f, 0x20]);
    f.mem(true, WIDTH_FILL_UINT16, MEMORY, 1024, 16, source.as_mut_ptr().cast());
    check("PciIo.Mem: FILL writes one value", get(1024).chunks(2).all(|two| two == [1, 2]));
    let mut last = [0u64; 2];
    f.mem(false, WIDTH_FILL_UINT64, MEMORY, 64, 4, last.as_mut_ptr().cast());
    equal(
        "PciIo.Mem: FILL reads the last value",
        last.map(u64::to_le_bytes),
        [[25, 26, 27, 28, 29, 30, 31, 32], [0; 8]],
    );
    f.mem(true, WIDTH_FILL_UINT8, MEMORY, 2048, 96, [0u8].as_mut_ptr().cast());

    let copy = |width, to, from, count| unsafe {
        status("PciIo.CopyMem", ((*f.io).copy_mem)(f.io, width, MEMORY, to, MEMORY, from, count), Status::SUCCESS);
    };
    copy(WIDTH_UINT64, 2048, 64, 4);
    equal("PciIo.CopyMem: copies", get(2048), pattern);
    copy(WIDTH_UINT16, 2050, 2048, 16);
    equal("PciIo.CopyMem: up, over itself", get(2050), pattern);
    copy(WIDTH_UINT8, 2049, 2050, 32);
    equal("PciIo.CopyMem: down, over itself", get(2049), pattern);

    let poll = |value, delay| {
        let mut result = u64::MAX;
        let is = unsafe { ((*f.io).poll_mem)(f.io, WIDTH_UINT16, MEMORY, 64, 0xff00, value, delay, &mut result) };
        (is, result)
    };
    equal("PciIo.PollMem: there at once", poll(0x200, 1_000_000_000), (Status::SUCCESS, 0x201));
    equal("PciIo.PollMem: without delay", poll(0x300, 0), (Status::SUCCESS, 0x201));
    equal("PciIo.PollMem: never", poll(0x300, 50_000), (Status::TIMEOUT, 0x201));
    if let Some([start, offset, _]) = f.bar(MEMORY) {
        let address = start.wrapping_add(offset) + 64;
        equal("PciIo.Mem: without a BAR", f.read(WIDTH_UINT16, PASS_THROUGH_BAR, address), Ok(0x201));
    }
}

pub fn config(f: Function) {
    let mut bytes = [0u8; 8];
    for width in [WIDTH_UINT8, WIDTH_UINT16, WIDTH_UINT32, WIDTH_UINT64] {
        let is = f.config(false, width, 0, 8 >> width, bytes.as_mut_ptr().cast());
        let ids = (bytes[..4] == f.id.to_le_bytes(), is);
        equal("PciIo.Pci: each width", ids, (true, Status::SUCCESS));
        bytes = [0; 8];
    }
    let last = f.config(false, WIDTH_UINT32, 4092, 1, bytes.as_mut_ptr().cast());
    status("PciIo.Pci: the last register", last, Status::SUCCESS);
    // The interrupt line holds whatever it is given.
    let line = |value: u8| {
        let (mut value, mut back) = (value, 0u8);
        f.config(true, WIDTH_UINT8, 0x3c, 1, (&raw mut value).cast());
        f.config(false, WIDTH_UINT8, 0x3c, 1, (&raw mut back).cast());
        back == value
    };
    check("PciIo.Pci: writes", line(0x5a) && line(0xa5));
}

pub fn attributes(f: Function) {
    let supported = ATTRIBUTE_MEMORY | ATTRIBUTE_BUS_MASTER | ATTRIBUTE_DUAL_ADDRESS_CYCLE;
    let get = || f.attributes(ATTRIBUTE_OPERATION_GET, 0);
    equal("Attributes: supported", f.attributes(ATTRIBUTE_OPERATION_SUPPORTED, 0), Ok(supported));
    for operation in [ATTRIBUTE_OPERATION_GET, ATTRIBUTE_OPERATION_SUPPORTED] {
        let is = unsafe { ((*f.io).attributes)(f.io, operation, 0, ptr::null_mut()) };
        status("Attributes: no result", is, INVALID);
    }
    for operation in [ATTRIBUTE_OPERATION_MAXIMUM, u32::MAX] {
        equal("Attributes: no operation", f.attributes(operation, 0), Err(INVALID));
    }
    let before = get();
    for operation in [ATTRIBUTE_OPERATION_SET, ATTRIBUTE_OPERATION_ENABLE, ATTRIBUTE_OPERATION_DISABLE] {
        let others = (0..64).map(|bit| 1 << bit).filter(|bit| bit & supported == 0);
        let refused = others.clone().filter(|bit| f.attributes(operation, *bit) == Err(UNSUPPORTED)).count();
        equal("Attributes: others", refused, others.count());
        equal("Attributes: I/O with others", f.attributes(operation, ATTRIBUTE_IO | supported), Err(UNSUPPORTED));
    }
    equal("Attributes: a refusal changes nothing", get(), before);
    let command = || f.config32(4) & 7;
    let step = |name, operation, attributes, wanted, bits| {
        let is = f.attributes(operation, attributes).map(drop);
        equal(name, (is, get(), command()), (Ok(()), Ok(wanted), bits));
    };
    let set = ATTRIBUTE_OPERATION_SET;
    step("Attributes: set to none", set, 0, 0, 0);
    step("Attributes: enable memory", ATTRIBUTE_OPERATION_ENABLE, ATTRIBUTE_MEMORY, ATTRIBUTE_MEMORY, 2);
    step("Attributes: enable more", ATTRIBUTE_OPERATION_ENABLE, supported & !ATTRIBUTE_MEMORY, supported, 6);
    let less = supported & !ATTRIBUTE_BUS_MASTER;
    step("Attributes: disable one", ATTRIBUTE_OPERATION_DISABLE, ATTRIBUTE_BUS_MASTER, less, 2);
    step("Attributes: set", set, ATTRIBUTE_MEMORY, ATTRIBUTE_MEMORY, 2);
}

/// The common configuration of a virtio device (virtio 1.2, 4.1.4.3), found as a driver finds it.
pub fn virtio(f: Function) {
    f.attributes(ATTRIBUTE_OPERATION_ENABLE, ATTRIBUTE_MEMORY).ok();
    let mut next = f.config32(0x34) & 0xfc;
    let mut common = None;
    for _ in 0..32 {
        if next == 0 {
            break;
        }
        let head = f.config32(next);
        if head & 0xff == 9 && head >> 24 == 1 {
            common = Some((f.config32(next + 4) as u8, u64::from(f.config32(next + 8))));
        }
        next = head >> 8 & 0xfc;
    }
    let Some((bar, offset)) = common else { return check("PciIo.Pci: capabilities", false) };
    let queues = f.read(WIDTH_UINT16, bar, offset + 0x12);
    check("PciIo.Mem: virtio queues", queues.is_ok_and(|queues| (1..64).contains(&queues)));
    let device_status =
        |value| (f.write(WIDTH_UINT8, bar, offset + 0x14, value), f.read(WIDTH_UINT8, bar, offset + 0x14));
    equal("PciIo.Mem: virtio acknowledged", device_status(1), (Status::SUCCESS, Ok(1)));
    equal("PciIo.Mem: virtio reset", device_status(0), (Status::SUCCESS, Ok(0)));
}

/// Registers of the teaching device (QEMU, docs/specs/edu), all in BAR 0, and where its memory is for itself.
const IDENTITY: u64 = 0;
const SOURCE: u64 = 0x80;
const DESTINATION: u64 = 0x88;
const LENGTH: u64 = 0x90;
const COMMAND: u64 = 0x98;
const OWN: u64 = 0x4_0000;

struct Edu(Function);

impl Edu {
    /// Has the device move 64 bytes, and waits for it.
    fn moves(&self, source: u64, destination: u64) -> Status {
        let Self(f) = self;
        let to_memory = if source == OWN { 2 } else { 0 };
        for (register, value) in [(SOURCE, source), (DESTINATION, destination), (LENGTH, 64), (COMMAND, 1 | to_memory)]
        {
            f.write(WIDTH_UINT64, 0, register, value);
        }
        let mut result = 0;
        unsafe { ((*f.io).poll_mem)(f.io, WIDTH_UINT64, 0, COMMAND, 1, 0, 50_000_000, &mut result) }
    }

    fn map(&self, operation: u32, host: *mut u8) -> Result<(u64, *mut c_void), Status> {
        let (mut size, mut device, mut mapping) = (64, 0, ptr::null_mut());
        let io = self.0.io;
        let is = unsafe { ((*io).map)(io, operation, host.cast(), &mut size, &mut device, &mut mapping) };
        if is == Status::SUCCESS && size == 64 { Ok((device, mapping)) } else { Err(is) }
    }

    fn unmap(&self, mapping: *mut c_void) -> Status {
        unsafe { ((*self.0.io).unmap)(self.0.io, mapping) }
    }
}

pub fn dma(f: Function, realm: bool) {
    let edu = Edu(f);
    map_refusals(f);
    let wide = ATTRIBUTE_MEMORY | ATTRIBUTE_BUS_MASTER | ATTRIBUTE_DUAL_ADDRESS_CYCLE;
    if realm {
        // Shared memory is above what the device reaches without them.
        let narrow = edu.map(OPERATION_BUS_MASTER_READ, env::pool(64)).map(drop);
        equal("PciIo.Map: without dual address cycles", narrow, Err(Status::OUT_OF_RESOURCES));
    }
    equal("Attributes: for DMA", f.attributes(ATTRIBUTE_OPERATION_ENABLE, wide).map(drop), Ok(()));
    equal("PciIo.Mem: edu", f.read(WIDTH_UINT32, 0, IDENTITY), Ok(0x0100_00ed));
    let (mut sent, mut received) = ([0u8; 64], [7u8; 64]);
    for (at, byte) in sent.iter_mut().enumerate() {
        *byte = (at as u8).wrapping_mul(31) ^ 0x5c;
    }

    let Ok((device, mapping)) = edu.map(OPERATION_BUS_MASTER_READ, sent.as_mut_ptr()) else {
        return check("PciIo.Map: to the device", false);
    };
    check("PciIo.Map: in a realm to shared memory", (device != sent.as_ptr().addr() as u64) == realm);
    status("PciIo.PollMem: a transfer to the device", edu.moves(device, OWN), Status::SUCCESS);
    status("PciIo.Unmap", edu.unmap(mapping), Status::SUCCESS);
    status("PciIo.Unmap: again", edu.unmap(mapping), INVALID);

    let Ok((device, mapping)) = edu.map(OPERATION_BUS_MASTER_WRITE, received.as_mut_ptr()) else {
        return check("PciIo.Map: from the device", false);
    };
    status("PciIo.PollMem: a transfer from the device", edu.moves(OWN, device), Status::SUCCESS);
    if realm {
        let early = unsafe { (&raw const received).read_volatile() };
        equal("PciIo.Map: what is written comes later", early, [7; 64]);
    }
    status("PciIo.Flush", unsafe { ((*f.io).flush)(f.io) }, Status::SUCCESS);
    status("PciIo.Unmap", edu.unmap(mapping), Status::SUCCESS);
    equal("PciIo.Unmap: what the device wrote", unsafe { (&raw const received).read_volatile() }, sent);

    let mut host = ptr::null_mut();
    let is = unsafe { ((*f.io).allocate_buffer)(f.io, 0, efi::BOOT_SERVICES_DATA, 2, &mut host, 0) };
    status("PciIo.AllocateBuffer", is, Status::SUCCESS);
    let Ok((device, mapping)) = edu.map(OPERATION_BUS_MASTER_COMMON_BUFFER, host.cast()) else {
        return check("PciIo.Map: common buffer", false);
    };
    status("PciIo.PollMem: a transfer to a common buffer", edu.moves(OWN, device), Status::SUCCESS);
    equal("PciIo.Map: a common buffer is both's", unsafe { host.cast::<[u8; 64]>().read_volatile() }, sent);
    status("PciIo.Unmap: common buffer", edu.unmap(mapping), Status::SUCCESS);
    let free = |pages| unsafe { ((*f.io).free_buffer)(f.io, pages, host) };
    status("PciIo.FreeBuffer", free(2), Status::SUCCESS);
    status("PciIo.FreeBuffer: again", free(2), INVALID);
    // The device keeps nothing that it could go on with.
    f.attributes(ATTRIBUTE_OPERATION_DISABLE, ATTRIBUTE_BUS_MASTER).ok();
}

fn map_refusals(f: Function) {
    let mut bytes = [0u64; 8];
    let mut size = 64usize;
    let mut device = 0u64;
    let mut mapping: *mut c_void = ptr::null_mut();
    let (host, size): (*mut c_void, *mut usize) = (bytes.as_mut_ptr().cast(), &mut size);
    let (device, mapping): (*mut u64, *mut *mut c_void) = (&mut device, &mut mapping);
    let map = |operation, missing| {
        let host = if missing == 0 { ptr::null_mut() } else { host };
        let size = if missing == 1 { ptr::null_mut() } else { size };
        let device = if missing == 2 { ptr::null_mut() } else { device };
        let mapping = if missing == 3 { ptr::null_mut() } else { mapping };
        unsafe { ((*f.io).map)(f.io, operation, host, size, device, mapping) }
    };
    for operation in [OPERATION_MAXIMUM, OPERATION_MAXIMUM + 1, u32::MAX] {
        status("PciIo.Map: no operation", map(operation, 4), INVALID);
    }
    for missing in 0..4 {
        status("PciIo.Map: nothing to", map(OPERATION_BUS_MASTER_READ, missing), INVALID);
    }
    let allocate = unsafe { (*f.io).allocate_buffer };
    let mut buffer = ptr::null_mut();
    for memory_type in (0..20).chain([u32::MAX]) {
        if !matches!(memory_type, efi::BOOT_SERVICES_DATA | efi::RUNTIME_SERVICES_DATA) {
            let is = unsafe { allocate(f.io, 0, memory_type, 1, &mut buffer, 0) };
            status("PciIo.AllocateBuffer: other memory", is, INVALID);
        }
    }
    let is = unsafe { allocate(f.io, 0, efi::BOOT_SERVICES_DATA, 1, ptr::null_mut(), 0) };
    status("PciIo.AllocateBuffer: nowhere to", is, INVALID);
    for bit in (0..64).filter(|bit| !matches!(bit, 7 | 11)) {
        let is = unsafe { allocate(f.io, 0, efi::BOOT_SERVICES_DATA, 1, &mut buffer, 1 << bit) };
        if is != UNSUPPORTED {
            status("PciIo.AllocateBuffer: other attributes", is, UNSUPPORTED);
        }
    }
    status(
        "PciIo.Unmap: nothing of the kind",
        unsafe { ((*f.io).unmap)(f.io, ptr::without_provenance_mut(0x1234)) },
        INVALID,
    );
}
