//! EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL and EFI_PCI_IO_PROTOCOL (UEFI 2.11, chapter 14), on the devices that tests/vm gives
//! the machine: memory behind a BAR (ivshmem-plain), QEMU's teaching device with DMA (edu), a virtio device behind a
//! bridge that nobody drives, and a disk that the firmware drives.

mod io;
mod root_bridge;

use core::ffi::c_void;
use core::{ptr, slice};

use r_efi::efi::{self, Guid, Handle, Status};
use r_efi::protocols::{block_io, device_path, pci_io};

use crate::env::{self, bs};
use crate::options::Options;
use crate::report::{check, equal, failed, skipped, status};

/// Vendor and device.
const EDU: u32 = 0x11e8_1234;
const SHARED_MEMORY: u32 = 0x1110_1af4;
const BALLOON: u32 = 0x1045_1af4;
const DISK: u32 = 0x1042_1af4;
const BRIDGE: u32 = 0x000c_1b36;

/// PciRoot(0x0) without its end.
const ROOT: [u8; 12] = [2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0];

/// A function.
#[derive(Clone, Copy)]
pub struct Function {
    pub handle: Handle,
    pub io: *mut pci_io::Protocol,
    pub id: u32,
}

impl Function {
    fn of(handle: Handle) -> Self {
        let mut function = Self { handle, io: env::interface(handle, &pci_io::PROTOCOL_GUID), id: 0 };
        let mut id = 0u32;
        function.config(false, pci_io::WIDTH_UINT32, 0, 1, (&raw mut id).cast());
        function.id = id;
        function
    }

    pub fn config(&self, write: bool, width: u32, offset: u32, count: usize, buffer: *mut c_void) -> Status {
        let access = unsafe { &(*self.io).pci };
        unsafe { (if write { access.write } else { access.read })(self.io, width, offset, count, buffer) }
    }

    /// One number of configuration space.
    pub fn config32(&self, offset: u32) -> u32 {
        let mut value = 0u32;
        self.config(false, pci_io::WIDTH_UINT32, offset, 1, (&raw mut value).cast());
        value
    }

    pub fn mem(&self, write: bool, width: u32, bar: u8, offset: u64, count: usize, buffer: *mut c_void) -> Status {
        let access = unsafe { &(*self.io).mem };
        unsafe { (if write { access.write } else { access.read })(self.io, width, bar, offset, count, buffer) }
    }

    /// Reads one value.
    pub fn read(&self, width: u32, bar: u8, offset: u64) -> Result<u64, Status> {
        let mut value = 0u64;
        let is = self.mem(false, width, bar, offset, 1, (&raw mut value).cast());
        if is == Status::SUCCESS { Ok(value) } else { Err(is) }
    }

    /// Writes one value.
    pub fn write(&self, width: u32, bar: u8, offset: u64, mut value: u64) -> Status {
        self.mem(true, width, bar, offset, 1, (&raw mut value).cast())
    }

    pub fn attributes(&self, operation: u32, attributes: u64) -> Result<u64, Status> {
        let mut result = 0;
        let is = unsafe { ((*self.io).attributes)(self.io, operation, attributes, &mut result) };
        if is == Status::SUCCESS { Ok(result) } else { Err(is) }
    }

    pub fn location(&self) -> [usize; 4] {
        let [mut segment, mut bus, mut device, mut function] = [usize::MAX; 4];
        let io = self.io;
        let is = unsafe { ((*io).get_location)(io, &mut segment, &mut bus, &mut device, &mut function) };
        if is == Status::SUCCESS { [segment, bus, device, function] } else { [usize::MAX; 4] }
    }

    /// Start, offset to the bus's address and length of a BAR, when the descriptor is as it should be.
    pub fn bar(&self, bar: u8) -> Option<[u64; 3]> {
        let mut resources = ptr::null_mut();
        let is = unsafe { ((*self.io).get_bar_attributes)(self.io, bar, ptr::null_mut(), &mut resources) };
        if is != Status::SUCCESS {
            return None;
        }
        let bytes = unsafe { slice::from_raw_parts(resources.cast::<u8>(), 48) };
        let [granularity, start, last, offset, length] =
            [6, 14, 22, 30, 38].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default()));
        let head = bytes[..4] == [0x8a, 43, 0, 0] && bytes[46..] == [0x79, 0];
        env::free(resources.cast());
        (head && matches!(granularity, 32 | 64) && last == start + length - 1).then_some([start, offset, length])
    }
}

pub fn handles(protocol: &Guid) -> &'static [Handle] {
    let (mut guid, mut count, mut list) = (*protocol, 0, ptr::null_mut());
    let null = ptr::null_mut();
    let is = unsafe { (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut guid, null, &mut count, &mut list) };
    if is == Status::SUCCESS { unsafe { slice::from_raw_parts(list, count) } } else { &[] }
}

/// The nodes of a handle's device path, as far as the machine's paths go, with the end node.
pub fn path_is(handle: Handle, nodes: &[&[u8]]) -> bool {
    let path: *const u8 = env::interface(handle, &device_path::PROTOCOL_GUID);
    let wanted = nodes.iter().copied().chain([&[0x7f, 0xff, 4, 0][..]]).flatten();
    !path.is_null() && wanted.enumerate().all(|(at, byte)| unsafe { path.add(at).read() } == *byte)
}

pub fn run(options: &Options) {
    let bridges = handles(&root_bridge::PROTOCOL_GUID);
    let functions = handles(&pci_io::PROTOCOL_GUID);
    let find = |id| functions.iter().map(|handle| Function::of(*handle)).find(|function| function.id == id);
    let all = [EDU, SHARED_MEMORY, BALLOON, DISK, BRIDGE].map(find);
    let [Some(edu), Some(memory), Some(balloon), Some(disk), Some(port)] = all else {
        if bridges.is_empty() || functions.len() <= 1 {
            return skipped("PCI", "the machine has none of the devices");
        }
        return failed("PciIo: one for each function", format_args!("{} are there", functions.len()));
    };
    equal("PciRootBridgeIo: one for the host bridge", bridges.len(), 1);
    check("PciRootBridgeIo: its path", path_is(bridges[0], &[&ROOT]));
    places(balloon, port);
    for function in [edu, memory] {
        function.attributes(pci_io::ATTRIBUTE_OPERATION_ENABLE, pci_io::ATTRIBUTE_MEMORY).ok();
    }
    root_bridge::run(bridges[0], edu, memory);
    io::refusals(memory);
    io::memory(memory);
    io::config(memory);
    io::attributes(memory);
    io::virtio(balloon);
    io::dma(edu, options.realm);
    driven(bridges[0], disk);
}

fn pci_node([_, _, device, function]: [usize; 4]) -> [u8; 6] {
    [1, 1, 6, 0, function as u8, device as u8]
}

fn places(balloon: Function, port: Function) {
    let (at, behind) = (port.location(), balloon.location());
    check("GetLocation: the root bus", at[0] == 0 && at[1] == 0 && at[2] != 0 && at[3] == 0);
    check("GetLocation: behind a bridge", behind == [0, 1, 0, 0]);
    check("PciIo: path of a bridge", path_is(port.handle, &[&ROOT, &pci_node(at)]));
    check("PciIo: path behind a bridge", path_is(balloon.handle, &[&ROOT, &pci_node(at), &pci_node(behind)]));
    let io = balloon.io;
    let mut number = 0;
    for missing in 0..4 {
        let mut places = [&raw mut number; 4];
        places[missing] = ptr::null_mut();
        let is = unsafe { ((*io).get_location)(io, places[0], places[1], places[2], places[3]) };
        status("GetLocation: nowhere to", is, Status::INVALID_PARAMETER);
    }
    check("PciIo: no option ROM", unsafe { (*io).rom_size == 0 && (*io).rom_image.is_null() });
}

/// What the firmware drives nobody else gets, and its disk is below it.
fn driven(root: Handle, disk: Function) {
    let open = |attributes| {
        let (mut guid, mut interface) = (pci_io::PROTOCOL_GUID, ptr::null_mut());
        let me = env::image();
        let is = unsafe { (bs().open_protocol)(disk.handle, &mut guid, &mut interface, me, disk.handle, attributes) };
        if is == Status::SUCCESS {
            unsafe { (bs().close_protocol)(disk.handle, &mut guid, me, disk.handle) };
        }
        is
    };
    status("OpenProtocol: what is driven, by driver", open(efi::OPEN_PROTOCOL_BY_DRIVER), Status::ACCESS_DENIED);
    status("OpenProtocol: what is driven, exclusively", open(efi::OPEN_PROTOCOL_EXCLUSIVE), Status::ACCESS_DENIED);
    status("OpenProtocol: what is driven, to look", open(efi::OPEN_PROTOCOL_GET_PROTOCOL), Status::SUCCESS);
    let is = unsafe { (bs().disconnect_controller)(disk.handle, ptr::null_mut(), ptr::null_mut()) };
    status("DisconnectController: what is driven", is, Status::DEVICE_ERROR);
    let node = pci_node(disk.location());
    let mut below = handles(&block_io::PROTOCOL_GUID).iter().filter(|handle| path_is(**handle, &[&ROOT, &node]));
    let Some(unit) = below.next() else { return check("BlockIo: on what is driven", false) };
    let mut path: *mut device_path::Protocol = env::interface(*unit, &device_path::PROTOCOL_GUID);
    let (mut guid, mut handle) = (pci_io::PROTOCOL_GUID, ptr::null_mut());
    let is = unsafe { (bs().locate_device_path)(&mut guid, &mut path, &mut handle) };
    equal("LocateDevicePath: the function of a disk", (is, handle), (Status::SUCCESS, disk.handle));
    check("OpenProtocolInformation: disk", is_child(disk.handle, &pci_io::PROTOCOL_GUID, *unit));
    check("OpenProtocolInformation: function", is_child(root, &root_bridge::PROTOCOL_GUID, disk.handle));
}

fn is_child(parent: Handle, protocol: &Guid, child: Handle) -> bool {
    let (mut guid, mut list, mut count) = (*protocol, ptr::null_mut(), 0);
    let is = unsafe { (bs().open_protocol_information)(parent, &mut guid, &mut list, &mut count) };
    if is != Status::SUCCESS {
        return false;
    }
    let found = (0..count)
        .map(|at| unsafe { list.add(at).read() })
        .any(|entry| entry.controller_handle == child && entry.attributes == efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
    env::free(list.cast());
    found
}
